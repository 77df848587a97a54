/* y = x1 + x2; y may be x1. */
#include "cpu.h"

static void add(const void *arg, pool_part part) {
    const cpu_args *a = arg;
    const real     *x1 = REALS(0), *x2 = REALS(1);
    real           *y = REALS(2);
#pragma omp simd
    for (int64_t i = part.first; i < part.end; i++) y[i] = x1[i] + x2[i];
}

ssa_status CPU(add)(const cpu_args *a) {
    pool_run(a->pool, ssa_numel(&a->call->t[0]), BLOCK, add, a);
    return SSA_OK;
}
