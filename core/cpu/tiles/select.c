/* plain/select.c for f32: the scores of ROWS heads against tiles of block keys. */
#include "rank.h"
#include "tiles.h"

typedef struct { const cpu_args *a; packing pk; real *kt, *own; int64_t width, own_size; } repacked;

static void select_rows(const void *arg, pool_part part) {
    const repacked *p = arg;
    const cpu_args *a = p->a;
    const real     *q = REALS(0);
    int32_t        *idx = INTS(2);
    int64_t         T = DIM('T'), Q = DIM('Q'), H = DIM('H'), D = DIM('D'), S = DIM('S'), K = DIM('K');
    int64_t         block = ATTR.block_size, heads = Q / S, G = Q / H, width = p->width;
    bool            softmax = ATTR.score == SSA_SCORE_SOFTMAX;
    real            scale = softmax ? (real)ATTR.scale : 1;
    for (int64_t row = part.first; row < part.end; row++) {
        int64_t b = row / (T * S), t = row / S % T, s = row % S, c = t / block, complete = (t + 1) / block;
        real   *x = p->own + part.thread * p->own_size, *score = x + ROWS * width;
        for (int64_t i = 0; i < c; i++) score[i] = 0;
        for (int64_t first = 0; first < heads && complete > 0; first += ROWS) {
            const real *qs[ROWS];
            int         m = (int)least(ROWS, heads - first);
            for (int g = 0; g < m; g++) qs[g] = q + ((b * T + t) * Q + s * heads + first + g) * D;
            for (int64_t tile = 0; tile * KEYS < complete; tile++)
                dots(m, x + tile * KEYS, width, qs, packed_tile(&p->pk, p->kt, b, s * heads / G, 0, tile), D, scale);
            for (int g = 0; g < m; g++) {
                real *xg = x + g * width, max = NEG, sum = 0;
                if (softmax) {
                    for (int64_t i = 0; i < complete; i++) max = xg[i] > max ? xg[i] : max;
                    for (int64_t i = 0; i < complete; i++) sum += exponential(xg[i] - max);
                    real lse = max + real_log(sum);
                    for (int64_t i = 0; i < c; i++) score[i] += exponential(xg[i] - lse);
                } else
                    for (int64_t i = 0; i < c; i++) score[i] += xg[i];
            }
        }
        rank(a, c, score, (int32_t *)(score + width), idx + row * K);
    }
}

ssa_status CPU(select)(const cpu_args *a) {
    enum { GRAIN = 16 };
    int64_t  B = DIM('B'), T = DIM('T'), S = DIM('S'), N = DIM('N');
    repacked p = {.a = a, .pk = packing_of(B, N, DIM('H'), DIM('D'), N)};
    int64_t  shared = packed_size(&p.pk);
    p.width = p.pk.per_block * KEYS;
    p.own_size = (ROWS + 1) * p.width + 2 * DIM('K');
    p.kt = a->scratch(a->owner, (size_t)(shared + pool_threads(a->pool) * p.own_size) * sizeof(real));
    if (!p.kt) return ssa_fail(a->err, SSA_ERR_MEMORY, "select: out of memory for the repacked block keys");
    p.own = p.kt + shared;
    pack(a->pool, &p.pk, p.kt, REALS(1));
    pool_run(a->pool, B * T * S, GRAIN, select_rows, &p);
    return SSA_OK;
}
