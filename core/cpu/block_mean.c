/* Block keys: kbar[b,i,h,:] = mean of k[b,j,h,:] over the tokens j of block i; the last block over its real length.
 * k: [B,T,H,D]; kbar: [B,N,H,D] */
#include "cpu.h"

static void block_mean(const void *arg, pool_part part) {
    const cpu_args *a = arg;
    const real     *k = REALS(0);
    real           *kbar = REALS(1);
    int64_t         T = DIM('T'), N = DIM('N'), C = DIM('H') * DIM('D'), block = ATTR.block_size;
    for (int64_t bi = part.first; bi < part.end; bi++) {
        int64_t     b = bi / N, first = bi % N * block, n = T - first < block ? T - first : block;
        const real *x = k + (b * T + first) * C;
        real       *y = kbar + bi * C, inverse = 1 / (real)n;
        for (int64_t c = 0; c < C; c++) y[c] = 0;
        for (int64_t j = 0; j < n; j++)
            for (int64_t c = 0; c < C; c++) y[c] += x[j * C + c];
        for (int64_t c = 0; c < C; c++) y[c] *= inverse;
    }
}

ssa_status CPU(block_mean)(const cpu_args *a) {
    pool_run(a->pool, DIM('B') * DIM('N'), 1, block_mean, a);
    return SSA_OK;
}
