/* Which blocks a query sees: the current block c = t / block_size, then the best of the earlier ones.
 *   dot:     score(i) = sum_g q_g . kbar_i
 *   softmax: score(i) = sum_g exp(scale q_g . kbar_i - lse_g), lse_g over the complete blocks i < (t+1) / block_size, 0 if none
 * summed over the query heads g that share the selection (S = H: the group's; S = Q: one). Equal scores: the newer block. A score
 * that is NaN ranks as infinity: a block with NaN is taken, and the NaN seen.
 * compat with top_k = block_size: at most block_size/2 of the current superblock (c included) and block_size/2 of those
 * before; in the first superblock all (the rule of the released kernel). q: [B,T,Q,D]; kbar: [B,N,H,D]; idx: [B,T,S,K]. */
#include "tiles.h"

/* Inserts block i into the `taken` best so far, at most `room`: descending score, then descending block. Blocks come ascending. */
static int64_t insert(int32_t *best, int64_t taken, int64_t room, const real *score, int32_t i) {
    if (room <= 0 || (taken == room && score[i] < score[best[taken - 1]])) return taken;
    int64_t at = taken < room ? taken++ : taken - 1;
    for (; at > 0 && score[i] >= score[best[at - 1]]; at--) best[at] = best[at - 1];
    best[at] = i;
    return taken;
}

typedef struct { const cpu_args *a; packing pk; real *kt, *own; int64_t width, own_size; } repacked;

static void select_rows(const void *arg, pool_part part) {
    const repacked *p = arg;
    const cpu_args *a = p->a;
    const real     *q = REALS(0);
    int32_t        *idx = INTS(2);
    int64_t         T = DIM('T'), Q = DIM('Q'), H = DIM('H'), D = DIM('D'), S = DIM('S'), K = DIM('K');
    int64_t         block = ATTR.block_size, heads = Q / S, G = Q / H, width = p->width;
    bool            softmax = ATTR.score == SSA_SCORE_SOFTMAX;
    bool            halves = ATTR.select == SSA_SELECT_COMPAT && ATTR.top_k == block && ATTR.top_k > block / 2;
    real            scale = softmax ? (real)ATTR.scale : 1;
    for (int64_t row = part.first; row < part.end; row++) {
        int64_t  b = row / (T * S), t = row / S % T, s = row % S, c = t / block, complete = (t + 1) / block;
        int64_t  super = halves && c >= block ? c / block * block : 0;
        real    *x = p->own + part.thread * p->own_size, *score = x + ROWS * width;
        int32_t *near = (int32_t *)(score + width), *far = near + K, *out = idx + row * K;
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
        for (int64_t i = 0; i < c; i++) score[i] = isnan(score[i]) ? INFINITY : score[i];
        int64_t quota_far = super ? block / 2 : 0, quota_near = super ? block / 2 - 1 : K - 1, n_far = 0, n_near = 0, slot = 1;
        for (int64_t i = 0; i < super; i++) n_far = insert(far, n_far, least(quota_far, K), score, (int32_t)i);
        for (int64_t i = super; i < c; i++) n_near = insert(near, n_near, least(quota_near, K), score, (int32_t)i);
        out[0] = (int32_t)c;
        for (int64_t i = 0, j = 0; slot < K && (i < n_near || j < n_far);) /* both sorted; a near block is the newer one */
            out[slot++] = j == n_far || (i < n_near && score[near[i]] >= score[far[j]]) ? near[i++] : far[j++];
        for (; slot < K; slot++) out[slot] = -1;
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
