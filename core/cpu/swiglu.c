/* SwiGLU (Shazeer 2020): y = silu(gate) * up, silu(z) = z * sigmoid(z). All operands have one shape. */
#include "simd.h"

static void forward(const void *arg, pool_part part) {
    const cpu_args *a = arg;
    const real     *gate = REALS(0), *up = REALS(1);
    real           *y = REALS(2);
#pragma omp simd
    for (int64_t i = part.first; i < part.end; i++) y[i] = gate[i] * simd_sigmoid(gate[i]) * up[i];
}

ssa_status CPU(swiglu)(const cpu_args *a) {
    pool_run(a->pool, ssa_numel(&a->call->t[0]), BLOCK, forward, a);
    return SSA_OK;
}

/* dgate = dy * up * silu'(gate), silu'(z) = s (1 + z (1 - s)), s = sigmoid(z);  dup = dy * silu(gate).
 * dgate may be gate and dup may be up: an element is read before it is written. */
static void backward(const void *arg, pool_part part) {
    const cpu_args *a = arg;
    const real     *dy = REALS(0), *gate = REALS(1), *up = REALS(2);
    real           *dgate = REALS(3), *dup = REALS(4);
#pragma omp simd
    for (int64_t i = part.first; i < part.end; i++) {
        real z = gate[i], u = up[i], g = dy[i], s = simd_sigmoid(z);
        dgate[i] = g * u * s * (1 + z * (1 - s));
        dup[i] = g * z * s;
    }
}

ssa_status CPU(swiglu_bwd)(const cpu_args *a) {
    pool_run(a->pool, ssa_numel(&a->call->t[0]), BLOCK, backward, a);
    return SSA_OK;
}
