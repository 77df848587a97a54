// clip: clip_out[0] = norm = sqrt(sumsq); clip_out[1] = 1 if norm <= max_norm or max_norm is 0, else max_norm / (norm + 1e-6);
// -1 where the norm is not finite, which is told by its bits: compilers assume that floats are finite.
//   0 sumsq [1] in, f32   1 clip_out [2] out, f32
//   push: max_norm
//   workgroup WG, of which one work-item works; no local memory; no subgroup use
#include "common.h"
typedef struct { uint off[8]; float max_norm; } push;
__kernel __attribute__((reqd_work_group_size(WG, 1, 1)))
void clip(__global const float *sumsq, __global float *clip_out, const push p) {
    if (GROUP != 0u || LANE != 0u) return;
    float square = sumsq[p.off[0]], norm = sqrt(square);
    bool finite = (as_uint(square) & 0x7f800000u) != 0x7f800000u;
    clip_out[p.off[1]] = norm;
    clip_out[p.off[1] + 1u] = !finite ? -1.0f : p.max_norm == 0.0f || norm <= p.max_norm ? 1.0f : p.max_norm / (norm + 1e-6f);
}
