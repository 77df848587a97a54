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

/* What the tasks share; `own` is each thread's scratch of `own_size` elements. */
typedef struct { const cpu_args *a; packing pk; real *kt, *vt, *own; int64_t own_size, chunks; } repacked;

static void forward(const void *arg, pool_part part) {
    const repacked *p = arg;
    const cpu_args *a = p->a;
    real           *o = REALS(3), *stat = REALS(4), scale = (real)ATTR.scale, *scores = p->own + part.thread * p->own_size;
    int64_t         B = DIM('B'), T = DIM('T'), H = DIM('H'), G = DIM('Q') / H;
    for (int64_t i = part.first; i < part.end; i++) {
        int64_t task = B * H * p->chunks - 1 - i; /* the longest rows first */
        int64_t b = task % (B * H) / H, h = task % H, first = task / (B * H) * CHUNK, end = least(T, first + CHUNK) * G;
        rows    r;
        for (int64_t at = first * G; at < end; at += r.m) {
            take(&r, a, b, h, at, end, o, stat, NULL);
            attend(&r, &(span){0, 0, r.t[r.m - 1] + 1}, 1, &p->pk, p->kt, REALS(2), b, h, scale, scores, p->own_size / ROWS);
        }
    }
}

ssa_status CPU(attn_full)(const cpu_args *a) {
    int64_t  B = DIM('B'), T = DIM('T'), H = DIM('H');
    repacked p = {.a = a, .pk = packing_of(B, T, H, DIM('D'), T), .chunks = (T + CHUNK - 1) / CHUNK};
    int64_t  shared = packed_size(&p.pk);
    p.own_size = ROWS * p.pk.per_block * KEYS;
    p.kt = a->scratch(a->owner, (size_t)(shared + pool_threads(a->pool) * p.own_size) * sizeof(real));
    if (!p.kt) return ssa_fail(a->err, SSA_ERR_MEMORY, "attn_full: out of memory for the repacked keys");
    p.own = p.kt + shared;
    pack(a->pool, &p.pk, p.kt, REALS(1));
    pool_run(a->pool, B * H * p.chunks, 1, forward, &p);
    return SSA_OK;
}

/* p = exp(scale q.k - lse), ds = p (do.v - delta); dq (+)= scale sum_j ds k_j; dk (+)= scale sum ds q, dv (+)= sum p do over
 * the later queries and the group's heads. p is recomputed twice: once by query for dq, once by key for dk and dv. */
static void backward_q(const void *arg, pool_part part) {
    const repacked *p = arg;
    const cpu_args *a = p->a;
    const real     *d_o = REALS(0), *k = REALS(2);
    real           *stat = REALS(4), *dq = REALS(5), scale = (real)ATTR.scale, *sums = p->own + part.thread * p->own_size;
    int64_t         B = DIM('B'), T = DIM('T'), H = DIM('H'), G = DIM('Q') / H;
    for (int64_t i = part.first; i < part.end; i++) {
        int64_t task = B * H * p->chunks - 1 - i;
        int64_t b = task % (B * H) / H, h = task % H, first = task / (B * H) * CHUNK, end = least(T, first + CHUNK) * G;
        rows    r;
        for (int64_t at = first * G; at < end; at += r.m) {
            take(&r, a, b, h, at, end, dq, stat, d_o);
            attend_dq(&r, &(span){0, 0, r.t[r.m - 1] + 1}, 1, &p->pk, p->kt, p->vt, k, b, h, scale, ATTR.accumulate, sums);
        }
    }
}

static void backward_kv(const void *arg, pool_part part) {
    const repacked *p = arg;
    const cpu_args *a = p->a;
    const real     *d_o = REALS(0), *q = REALS(1);
    real           *stat = REALS(4), *dk = REALS(6), *dv = REALS(7), scale = (real)ATTR.scale, *sum_k = p->own + part.thread * p->own_size;
    int64_t         B = DIM('B'), T = DIM('T'), Q = DIM('Q'), H = DIM('H'), D = DIM('D'), G = Q / H;
    for (int64_t task = part.first; task < part.end; task++) { /* the first keys have the most queries */
        int64_t     b = task % (B * H) / H, h = task % H, tile = task / (B * H), first = tile * KEYS, keys = least(KEYS, T - first);
        real       *sum_v = sum_k + KEYS * D;
        const real *kt_tile = packed_tile(&p->pk, p->kt, b, h, 0, tile), *vt_tile = packed_tile(&p->pk, p->vt, b, h, 0, tile);
        queue       w = {0};
        memset(sum_k, 0, (size_t)p->own_size * sizeof(real));
        for (int64_t t = first; t < T; t++)
            for (int64_t g = 0; g < G; g++) {
                int64_t row = (b * T + t) * Q + h * G + g;
                w.q[w.n] = q + row * D, w.d_o[w.n] = d_o + row * D, w.t[w.n] = t;
                w.lse[w.n] = stat[row], w.delta[w.n] = stat[B * T * Q + row];
                if (++w.n == WAITING) flush(&w, sum_k, sum_v, first, keys, kt_tile, vt_tile, D, scale);
            }
        flush(&w, sum_k, sum_v, first, keys, kt_tile, vt_tile, D, scale);
        store_tile(&p->pk, dk, dv, sum_k, sum_v, b, h, first, keys, scale, ATTR.accumulate);
    }
}

ssa_status CPU(attn_full_bwd)(const cpu_args *a) {
    int64_t  B = DIM('B'), T = DIM('T'), H = DIM('H'), D = DIM('D');
    repacked p = {.a = a, .pk = packing_of(B, T, H, D, T), .chunks = (T + CHUNK - 1) / CHUNK};
    int64_t  shared = packed_size(&p.pk);
    p.own_size = 2 * KEYS * D; /* a thread's sums: dk and dv of a tile, or dq of ROWS rows */
    p.kt = a->scratch(a->owner, (size_t)(2 * shared + pool_threads(a->pool) * p.own_size) * sizeof(real));
    if (!p.kt) return ssa_fail(a->err, SSA_ERR_MEMORY, "attn_full_bwd: out of memory for the repacked keys");
    p.vt = p.kt + shared;
    p.own = p.vt + shared;
    pack(a->pool, &p.pk, p.kt, REALS(2));
    pack(a->pool, &p.pk, p.vt, REALS(3));
    pool_run(a->pool, B * H * p.chunks, 1, backward_q, &p);
    pool_run(a->pool, B * H * p.pk.per_block, 1, backward_kv, &p);
    return SSA_OK;
}
