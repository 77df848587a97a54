/* Which blocks a query sees: the current block c = t / block_size, then the best of the earlier ones (core/cpu/rank.h) by
 *   dot:     score(i) = sum_g q_g . kbar_i
 *   softmax: score(i) = sum_g exp(scale q_g . kbar_i - lse_g), lse_g over the complete blocks i < (t+1) / block_size, 0 if none
 * summed over the query heads g that share the selection (S = H: the group's; S = Q: one).
 * q: [B,T,Q,D]; kbar: [B,N,H,D]; idx: [B,T,S,K] */
#include "rank.h"

/* A query's scores of blocks 0..c-1. x: N of scratch */
static void importance(const cpu_args *a, int64_t b, int64_t t, int64_t s, real *x, real *score) {
    int64_t Q = DIM('Q'), H = DIM('H'), D = DIM('D'), heads = Q / DIM('S'), c = t / ATTR.block_size, complete = (t + 1) / ATTR.block_size;
    for (int64_t i = 0; i < c; i++) score[i] = 0;
    for (int64_t h = s * heads; h < (s + 1) * heads && complete > 0; h++) {
        const real *q = REALS(0) + ((b * DIM('T') + t) * Q + h) * D, *kbar = REALS(1) + (b * DIM('N') * H + h / (Q / H)) * D;
        real        max = NEG, sum = 0;
        for (int64_t i = 0; i < complete; i++) {
            x[i] = 0;
            for (int64_t d = 0; d < D; d++) x[i] += q[d] * kbar[i * H * D + d];
            if (ATTR.score == SSA_SCORE_SOFTMAX) x[i] *= (real)ATTR.scale;
            if (x[i] > max) max = x[i];
        }
        for (int64_t i = 0; i < complete; i++) sum += real_exp(x[i] - max);
        for (int64_t i = 0; i < c; i++) score[i] += ATTR.score == SSA_SCORE_SOFTMAX ? real_exp(x[i] - (max + real_log(sum))) : x[i];
    }
}

typedef struct { const cpu_args *a; real *own; int64_t own_size; } job; /* own: each thread's scratch */

static void select_rows(const void *arg, pool_part part) {
    const job      *p = arg;
    const cpu_args *a = p->a;
    int64_t         T = DIM('T'), S = DIM('S'), N = DIM('N');
    real           *x = p->own + part.thread * p->own_size, *score = x + N;
    for (int64_t row = part.first; row < part.end; row++) {
        int64_t t = row / S % T;
        importance(a, row / (T * S), t, row % S, x, score);
        rank(a, t / ATTR.block_size, score, (int32_t *)(score + N), INTS(2) + row * DIM('K'));
    }
}

ssa_status CPU(select)(const cpu_args *a) {
    job p = {.a = a, .own_size = 2 * DIM('N') + 2 * DIM('K')};
    p.own = a->scratch(a->owner, (size_t)(pool_threads(a->pool) * p.own_size) * sizeof(real));
    if (!p.own) return ssa_fail(a->err, SSA_ERR_MEMORY, "select: out of memory for a row of scores");
    pool_run(a->pool, DIM('B') * DIM('T') * DIM('S'), 16, select_rows, &p);
    return SSA_OK;
}
