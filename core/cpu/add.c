/* y = x1 + x2; y may be x1. */
#include "cpu.h"

ssa_status CPU(add)(const cpu_args *a) {
    const real *x1 = REALS(0), *x2 = REALS(1);
    real       *y = REALS(2);
    int64_t     E = ssa_numel(&a->call->t[0]);
#pragma omp parallel for simd
    for (int64_t i = 0; i < E; i++) y[i] = x1[i] + x2[i];
    return SSA_OK;
}
