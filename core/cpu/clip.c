/* Gradient clipping by global norm: clip[0] = norm = sqrt(sumsq), clip[1] = the factor gradients are multiplied with: 1 while
 * norm <= max_norm (or max_norm is 0), else max_norm / (norm + 1e-6); -1 where the norm is not finite: adamw then skips. */
#include "cpu.h"

ssa_status CPU(clip)(const cpu_args *a) {
    real norm = real_sqrt(REALS(0)[0]), max_norm = (real)ATTR.max_norm, *clip = REALS(1);
    clip[0] = norm;
    clip[1] = !isfinite(norm) ? -1 : max_norm == 0 || norm <= max_norm ? 1 : max_norm / (norm + (real)1e-6);
    return SSA_OK;
}
