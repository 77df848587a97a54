/* y (+)= scale * sum x, y (+)= sum x^2: ranges of RANGE elements in parallel, their sums added in order, in double. */
#include "cpu.h"

enum { RANGE = 1 << 14 };

typedef struct { const cpu_args *a; bool square; double *sum; } range_sums;

static void sum_range(const void *arg, pool_part part) {
    const range_sums *sums = arg;
    const cpu_args   *a = sums->a;
    const real       *x = REALS(0);
    double            sum = 0;
    if (sums->square) {
#pragma omp simd reduction(+ : sum)
        for (int64_t i = part.first; i < part.end; i++) sum += (double)x[i] * (double)x[i];
    } else {
#pragma omp simd reduction(+ : sum)
        for (int64_t i = part.first; i < part.end; i++) sum += (double)x[i];
    }
    sums->sum[part.first / RANGE] = sum;
}

static ssa_status reduce(const cpu_args *a, bool square, double scale) {
    real      *y = REALS(1);
    int64_t    E = ssa_numel(&a->call->t[0]), parts = (E + RANGE - 1) / RANGE;
    range_sums sums = {a, square, a->scratch(a->owner, (size_t)parts * sizeof(double))};
    double     total = 0;
    if (!sums.sum) return ssa_fail(a->err, SSA_ERR_MEMORY, "out of memory for the partial sums of %lld elements", (long long)E);
    pool_run(a->pool, E, RANGE, sum_range, &sums);
    for (int64_t k = 0; k < parts; k++) total += sums.sum[k];
    y[0] = (real)((ATTR.accumulate ? (double)y[0] : 0) + scale * total);
    return SSA_OK;
}

ssa_status CPU(sum)(const cpu_args *a) { return reduce(a, false, (double)ATTR.scale); }
ssa_status CPU(sumsq)(const cpu_args *a) { return reduce(a, true, 1); }
