/* y (+)= scale * sum x, y (+)= sum x^2: ranges of RANGE elements in parallel, their sums added in order, in double. */
#include "cpu.h"

static ssa_status reduce(const cpu_args *a, bool square, double scale) {
    enum { RANGE = 1 << 14 };
    const real *x = REALS(0);
    real       *y = REALS(1);
    int64_t     E = ssa_numel(&a->call->t[0]), parts = (E + RANGE - 1) / RANGE;
    double     *part = a->scratch(a->owner, (size_t)parts * sizeof *part), total = 0;
    if (!part) return ssa_fail(a->err, SSA_ERR_MEMORY, "out of memory for the partial sums of %lld elements", (long long)E);
#pragma omp parallel for
    for (int64_t k = 0; k < parts; k++) {
        int64_t first = k * RANGE, end = first + RANGE < E ? first + RANGE : E;
        double  sum = 0;
        if (square) {
#pragma omp simd reduction(+ : sum)
            for (int64_t i = first; i < end; i++) sum += (double)x[i] * (double)x[i];
        } else {
#pragma omp simd reduction(+ : sum)
            for (int64_t i = first; i < end; i++) sum += (double)x[i];
        }
        part[k] = sum;
    }
    for (int64_t k = 0; k < parts; k++) total += part[k];
    y[0] = (real)((ATTR.accumulate ? (double)y[0] : 0) + scale * total);
    return SSA_OK;
}

ssa_status CPU(sum)(const cpu_args *a) { return reduce(a, false, (double)ATTR.scale); }
ssa_status CPU(sumsq)(const cpu_args *a) { return reduce(a, true, 1); }
