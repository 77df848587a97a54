/* Rotary embedding, rotate-half convention (Su et al. 2021). x, y: [B, T, Q, D]; cos_sin: [P, D], cosines in the first half
 * of a row, sines in the second. For d < D/2 and token t:
 *   y[d] = x[d] c - x[D/2 + d] s,   y[D/2 + d] = x[D/2 + d] c + x[d] s,   c, s = cos_sin[position + t][d], [D/2 + d]
 * inverse rotates back (s -> -s), which is the backward pass. y may be x. */
#include "cpu.h"

static void rotate(const void *arg, pool_part part) {
    const cpu_args *a = arg;
    const real     *x = REALS(0), *cos_sin = REALS(1);
    real           *y = REALS(2);
    int64_t         T = DIM('T'), Q = DIM('Q'), D = DIM('D'), half = D / 2;
    real            sign = ATTR.inverse ? -1 : 1;
    for (int64_t r = part.first; r < part.end; r++) {
        const real *c = cos_sin + (ATTR.position + r % T) * D, *s = c + half;
        for (int64_t q = 0; q < Q; q++) {
            const real *xq = x + (r * Q + q) * D;
            real       *yq = y + (r * Q + q) * D;
#pragma omp simd
            for (int64_t d = 0; d < half; d++) {
                real lo = xq[d], hi = xq[half + d], sd = sign * s[d];
                yq[d] = lo * c[d] - hi * sd;
                yq[half + d] = hi * c[d] + lo * sd;
            }
        }
    }
}

ssa_status CPU(rope)(const cpu_args *a) {
    pool_run(a->pool, DIM('B') * DIM('T'), rows_of(DIM('Q') * DIM('D')), rotate, a);
    return SSA_OK;
}
