/* Dense causal attention with grouped queries (softmax kept as log-sum-exp, as in Dao et al. 2022).
 *   o[t] = sum_{j<=t} softmax_j(scale q_t . k_j) v_j,   lse[t] = log sum_{j<=t} exp(scale q_t . k_j)
 * q, o: [B,T,Q,D]; k, v: [B,T,H,D], Q = H*G; stat: [2,B,T,Q], [0] = lse. No T x T matrix: a row of scores a query. */
#include "tiles.h"

enum { CHUNK = 64 }; /* queries a task */

/* The next rows (t, g) of a chunk: grouped heads and neighbouring queries share the keys. */
static int take(rows *r, const cpu_args *a, int64_t b, int64_t h, int64_t at, int64_t end, real *out, real *stat, const real *d_o) {
    int64_t     B = DIM('B'), T = DIM('T'), Q = DIM('Q'), D = DIM('D'), G = Q / DIM('H');
    const real *q = d_o ? REALS(1) : REALS(0);
    r->m = (int)least(ROWS, end - at);
    for (int i = 0; i < r->m; i++) {
        int64_t t = (at + i) / G, row = (b * T + t) * Q + h * G + (at + i) % G;
        r->q[i] = q + row * D;
        r->out[i] = out + row * D;
        r->t[i] = t;
        r->lse[i] = stat + row;
        if (d_o) r->d_o[i] = d_o + row * D, r->delta[i] = stat[B * T * Q + row];
    }
    return r->m;
}

ssa_status CPU(attn_full)(const cpu_args *a) {
    const real *k = REALS(1), *v = REALS(2);
    real       *o = REALS(3), *stat = REALS(4), scale = (real)ATTR.scale;
    int64_t     B = DIM('B'), T = DIM('T'), H = DIM('H'), G = DIM('Q') / H, chunks = (T + CHUNK - 1) / CHUNK;
    packing     pk = packing_of(B, T, H, DIM('D'), T);
    int64_t     width = pk.per_block * KEYS, shared = packed_size(&pk);
    real       *kt = a->scratch(a->owner, (size_t)(shared + omp_get_max_threads() * ROWS * width) * sizeof(real));
    if (!kt) return ssa_fail(a->err, SSA_ERR_MEMORY, "attn_full: out of memory for the repacked keys");
    pack(&pk, kt, k);
#pragma omp parallel for schedule(dynamic)
    for (int64_t task = B * H * chunks - 1; task >= 0; task--) { /* the longest rows first */
        int64_t b = task % (B * H) / H, h = task % H, first = task / (B * H) * CHUNK, end = least(T, first + CHUNK) * G;
        rows    r;
        for (int64_t at = first * G; at < end; at += r.m) {
            take(&r, a, b, h, at, end, o, stat, NULL);
            attend(&r, &(span){0, 0, r.t[r.m - 1] + 1}, 1, &pk, kt, v, b, h, scale, kt + shared + omp_get_thread_num() * ROWS * width, width);
        }
    }
    return SSA_OK;
}

/* p = exp(scale q.k - lse), ds = p (do.v - delta); dq (+)= scale sum_j ds k_j; dk (+)= scale sum ds q, dv (+)= sum p do over
 * the later queries and the group's heads. p is recomputed twice: once by query for dq, once by key for dk and dv. */
ssa_status CPU(attn_full_bwd)(const cpu_args *a) {
    const real *d_o = REALS(0), *q = REALS(1), *k = REALS(2), *v = REALS(3);
    real       *stat = REALS(4), *dq = REALS(5), *dk = REALS(6), *dv = REALS(7), scale = (real)ATTR.scale;
    int64_t     B = DIM('B'), T = DIM('T'), Q = DIM('Q'), H = DIM('H'), D = DIM('D'), G = Q / H, chunks = (T + CHUNK - 1) / CHUNK;
    packing     pk = packing_of(B, T, H, D, T);
    int64_t     shared = packed_size(&pk), own = 2 * KEYS * D; /* a thread's sums: dk and dv of a tile, or dq of ROWS rows */
    real       *kt = a->scratch(a->owner, (size_t)(2 * shared + omp_get_max_threads() * own) * sizeof(real)), *vt = kt + shared;
    if (!kt) return ssa_fail(a->err, SSA_ERR_MEMORY, "attn_full_bwd: out of memory for the repacked keys");
    pack(&pk, kt, k);
    pack(&pk, vt, v);
#pragma omp parallel for schedule(dynamic)
    for (int64_t task = B * H * chunks - 1; task >= 0; task--) {
        int64_t b = task % (B * H) / H, h = task % H, first = task / (B * H) * CHUNK, end = least(T, first + CHUNK) * G;
        rows    r;
        for (int64_t at = first * G; at < end; at += r.m) {
            take(&r, a, b, h, at, end, dq, stat, d_o);
            attend_dq(&r, &(span){0, 0, r.t[r.m - 1] + 1}, 1, &pk, kt, vt, k, b, h, scale, ATTR.accumulate, vt + shared + omp_get_thread_num() * own);
        }
    }
#pragma omp parallel for schedule(dynamic)
    for (int64_t task = 0; task < B * H * pk.per_block; task++) { /* the first keys have the most queries */
        int64_t     b = task % (B * H) / H, h = task % H, tile = task / (B * H), first = tile * KEYS, keys = least(KEYS, T - first);
        real       *sum_k = vt + shared + omp_get_thread_num() * own, *sum_v = sum_k + KEYS * D;
        const real *kt_tile = packed_tile(&pk, kt, b, h, 0, tile), *vt_tile = packed_tile(&pk, vt, b, h, 0, tile);
        queue       w = {0};
        memset(sum_k, 0, (size_t)own * sizeof(real));
        for (int64_t t = first; t < T; t++)
            for (int64_t g = 0; g < G; g++) {
                int64_t row = (b * T + t) * Q + h * G + g;
                w.q[w.n] = q + row * D, w.d_o[w.n] = d_o + row * D, w.t[w.n] = t;
                w.lse[w.n] = stat[row], w.delta[w.n] = stat[B * T * Q + row];
                if (++w.n == WAITING) flush(&w, sum_k, sum_v, first, keys, kt_tile, vt_tile, D, scale);
            }
        flush(&w, sum_k, sum_v, first, keys, kt_tile, vt_tile, D, scale);
        store_tile(&pk, dk, dv, sum_k, sum_v, b, h, first, keys, scale, ATTR.accumulate);
    }
    return SSA_OK;
}
