/* y = value. i32 tensors take the value rounded to the nearest integer. */
#include "cpu.h"

static void fill_i32(const void *arg, pool_part part) {
    const cpu_args *a = arg;
    int32_t        *y = INTS(0), value = (int32_t)lrintf(ATTR.value);
#pragma omp simd
    for (int64_t i = part.first; i < part.end; i++) y[i] = value;
}

static void fill(const void *arg, pool_part part) {
    const cpu_args *a = arg;
    real           *y = REALS(0), value = (real)ATTR.value;
#pragma omp simd
    for (int64_t i = part.first; i < part.end; i++) y[i] = value;
}

ssa_status CPU(fill)(const cpu_args *a) {
    pool_run(a->pool, ssa_numel(&a->call->t[0]), BLOCK, a->call->t[0].dtype == SSA_I32 ? fill_i32 : fill, a);
    return SSA_OK;
}
