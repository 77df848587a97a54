/* y = value. i32 tensors take the value rounded to the nearest integer. */
#include "cpu.h"

ssa_status CPU(fill)(const cpu_args *a) {
    int64_t E = ssa_numel(&a->call->t[0]);
    if (a->call->t[0].dtype == SSA_I32) {
        int32_t *y = INTS(0), value = (int32_t)lrintf(ATTR.value);
#pragma omp parallel for simd
        for (int64_t i = 0; i < E; i++) y[i] = value;
        return SSA_OK;
    }
    real *y = REALS(0), value = (real)ATTR.value;
#pragma omp parallel for simd
    for (int64_t i = 0; i < E; i++) y[i] = value;
    return SSA_OK;
}
