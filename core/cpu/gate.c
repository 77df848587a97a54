/* Head gate: y = o * g, g[b,t,h] = sigmoid(z[b,t,3h+1]), one scalar a token and head (columns 3h and 3h+2 belong to NSA's
 * other branches). o, y: [B,T,Q,D]; z: [B,T,3Q] */
#include "cpu.h"

static void forward(const void *arg, pool_part part) {
    const cpu_args *a = arg;
    const real     *o = REALS(0), *z = REALS(1);
    real           *y = REALS(2);
    int64_t         D = DIM('D');
    for (int64_t r = part.first; r < part.end; r++) {
        real g = sigmoid(z[3 * r + 1]);
        for (int64_t d = 0; d < D; d++) y[r * D + d] = o[r * D + d] * g;
    }
}

ssa_status CPU(gate)(const cpu_args *a) {
    pool_run(a->pool, DIM('B') * DIM('T') * DIM('Q'), rows_of(DIM('D')), forward, a);
    return SSA_OK;
}

/* do = dy * g, dz[3h+1] = g (1-g) sum_d dy o, other columns 0; stat[1] = delta = sum_d o do = g sum_d dy o. do may be dy. */
static void backward(const void *arg, pool_part part) {
    const cpu_args *a = arg;
    const real     *dy = REALS(0), *o = REALS(1), *z = REALS(2);
    real           *d_o = REALS(3), *dz = REALS(4), *stat = REALS(5);
    int64_t         rows = DIM('B') * DIM('T') * DIM('Q'), D = DIM('D');
    for (int64_t r = part.first; r < part.end; r++) {
        real g = sigmoid(z[3 * r + 1]), sum = 0;
#pragma omp simd reduction(+ : sum)
        for (int64_t d = 0; d < D; d++) sum += dy[r * D + d] * o[r * D + d];
        for (int64_t d = 0; d < D; d++) d_o[r * D + d] = dy[r * D + d] * g;
        dz[3 * r] = dz[3 * r + 2] = 0;
        dz[3 * r + 1] = g * (1 - g) * sum;
        stat[rows + r] = g * sum;
    }
}

ssa_status CPU(gate_bwd)(const cpu_args *a) {
    pool_run(a->pool, DIM('B') * DIM('T') * DIM('Q'), rows_of(DIM('D')), backward, a);
    return SSA_OK;
}
