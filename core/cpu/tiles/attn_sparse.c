/* Block-sparse attention: as attn_full, over the tokens j <= t of the blocks idx[b,t,s,:] only; the softmax is over them.
 * q, o: [B,T,Q,D]; k, v: [B,T,H,D]; idx: [B,T,S,K], slots < 0 or of blocks that start after t are skipped; S = H: the heads
 * of a group share their blocks, S = Q: each has its own. stat: [2,B,T,Q], [0] = lse. */
#include "tiles.h"

enum { CHUNK = 16 }; /* queries a task */

typedef struct shape { int64_t B, T, Q, H, D, S, K, G, heads, block; } shape; /* heads that share a selection: G or 1 */

static shape shape_of(const cpu_args *a) {
    int64_t Q = DIM('Q'), H = DIM('H'), S = DIM('S');
    return (shape){DIM('B'), DIM('T'), Q, H, DIM('D'), S, DIM('K'), Q / H, Q / S, ATTR.block_size};
}

/* The visible part of each selected block. */
static int64_t spans_of(span *spans, const shape *n, const int32_t *idx, int64_t t) {
    int64_t count = 0;
    for (int64_t c = 0; c < n->K; c++)
        if (idx[c] >= 0 && idx[c] <= t / n->block) {
            int64_t first = idx[c] * n->block;
            spans[count++] = (span){idx[c], first, least(n->block, t + 1 - first)};
        }
    return count;
}

static void take(rows *r, const shape *n, int64_t b, int64_t t, int64_t first_head, int64_t end_head, const real *q, real *out, real *stat,
                 const real *d_o) {
    r->m = (int)least(ROWS, end_head - first_head);
    for (int i = 0; i < r->m; i++) {
        int64_t row = (b * n->T + t) * n->Q + first_head + i;
        r->q[i] = q + row * n->D;
        r->out[i] = out + row * n->D;
        r->t[i] = t;
        r->lse[i] = stat + row;
        if (d_o) r->d_o[i] = d_o + row * n->D, r->delta[i] = stat[n->B * n->T * n->Q + row];
    }
}

/* What the tasks share; `own` is each thread's scratch of `own_size` elements: the spans of a query, then scores or sums. */
typedef struct { const cpu_args *a; shape n; packing pk; real *kt, *vt, *own; int64_t own_size, width, chunks; } repacked;

static repacked repacked_of(const cpu_args *a) {
    shape n = shape_of(a);
    return (repacked){.a = a, .n = n, .pk = packing_of(n.B, n.T, n.H, n.D, n.block), .chunks = (n.T + CHUNK - 1) / CHUNK};
}

static int64_t span_size(const shape *n) { return n->K * (int64_t)(sizeof(span) / sizeof(float)); }

static void forward(const void *arg, pool_part part) {
    const repacked *p = arg;
    const cpu_args *a = p->a;
    const shape     n = p->n;
    const real     *q = REALS(0), *v = REALS(2);
    const int32_t  *idx = INTS(3);
    real           *o = REALS(4), *stat = REALS(5), scale = (real)ATTR.scale;
    int64_t         chunks = p->chunks;
    for (int64_t task = part.first; task < part.end; task++) {
        int64_t b = task / (n.S * chunks), s = task / chunks % n.S, h = s * n.heads / n.G, first = task % chunks * CHUNK;
        span   *spans = (span *)(p->own + part.thread * p->own_size);
        real   *scores = (real *)(spans + n.K);
        rows    r;
        for (int64_t t = first; t < least(n.T, first + CHUNK); t++) {
            int64_t count = spans_of(spans, &n, idx + ((b * n.T + t) * n.S + s) * n.K, t);
            for (int64_t at = s * n.heads; at < (s + 1) * n.heads; at += r.m) {
                take(&r, &n, b, t, at, (s + 1) * n.heads, q, o, stat, NULL);
                attend(&r, spans, count, &p->pk, p->kt, v, b, h, scale, scores, p->width);
            }
        }
    }
}

ssa_status CPU(attn_sparse)(const cpu_args *a) {
    repacked p = repacked_of(a);
    int64_t  shared = packed_size(&p.pk);
    p.width = least(p.n.K, p.pk.blocks) * p.pk.per_block * KEYS;
    p.own_size = ROWS * p.width + span_size(&p.n);
    p.kt = a->scratch(a->owner, (size_t)(shared + pool_threads(a->pool) * p.own_size) * sizeof(real));
    if (!p.kt) return ssa_fail(a->err, SSA_ERR_MEMORY, "attn_sparse: out of memory for the repacked keys");
    p.own = p.kt + shared;
    pack(a->pool, &p.pk, p.kt, REALS(1));
    pool_run(a->pool, p.n.B * p.n.S * p.chunks, 1, forward, &p);
    return SSA_OK;
}

/* Formulas as in attn_full_bwd. dq walks the selected blocks of a query; dk and dv of a block walk the queries that selected
 * it (lists, see sparse_lists.c), with S = Q the lists of the group's heads one after the other. */
static void backward_q(const void *arg, pool_part part) {
    const repacked *p = arg;
    const cpu_args *a = p->a;
    const shape     n = p->n;
    const real     *d_o = REALS(0), *q = REALS(1), *k = REALS(2);
    const int32_t  *idx = INTS(4);
    real           *stat = REALS(6), *dq = REALS(7), scale = (real)ATTR.scale;
    int64_t         chunks = p->chunks;
    for (int64_t task = part.first; task < part.end; task++) {
        int64_t b = task / (n.S * chunks), s = task / chunks % n.S, h = s * n.heads / n.G, first = task % chunks * CHUNK;
        span   *spans = (span *)(p->own + part.thread * p->own_size);
        real   *sums = (real *)(spans + n.K);
        rows    r;
        for (int64_t t = first; t < least(n.T, first + CHUNK); t++) {
            int64_t count = spans_of(spans, &n, idx + ((b * n.T + t) * n.S + s) * n.K, t);
            for (int64_t at = s * n.heads; at < (s + 1) * n.heads; at += r.m) {
                take(&r, &n, b, t, at, (s + 1) * n.heads, q, dq, stat, d_o);
                attend_dq(&r, spans, count, &p->pk, p->kt, p->vt, k, b, h, scale, ATTR.accumulate, sums);
            }
        }
    }
}

static void backward_kv(const void *arg, pool_part part) {
    const repacked *p = arg;
    const cpu_args *a = p->a;
    const shape     n = p->n;
    const packing   pk = p->pk;
    const real     *d_o = REALS(0), *q = REALS(1);
    const int32_t  *lists = INTS(5);
    real           *stat = REALS(6), *dk = REALS(8), *dv = REALS(9), scale = (real)ATTR.scale;
    int64_t         per_head = pk.blocks * pk.per_block, L = DIM('L'), lists_per_head = n.S / n.H;
    for (int64_t task = part.first; task < part.end; task++) {
        int64_t b = task / (n.H * per_head), h = task / per_head % n.H, block = task % per_head / pk.per_block, tile = task % pk.per_block;
        int64_t first = block * pk.block + tile * KEYS, keys = least(KEYS, least(pk.block - tile * KEYS, n.T - first));
        if (keys <= 0) continue;
        real       *sum_k = p->own + part.thread * p->own_size, *sum_v = sum_k + KEYS * n.D;
        const real *kt_tile = packed_tile(&pk, p->kt, b, h, block, tile), *vt_tile = packed_tile(&pk, p->vt, b, h, block, tile);
        queue       w = {0};
        memset(sum_k, 0, (size_t)(2 * KEYS * n.D) * sizeof(real));
        for (int64_t s = h * lists_per_head; s < (h + 1) * lists_per_head; s++) {
            const int32_t *list = lists + (b * n.S + s) * L, *entries = list + pk.blocks + 1;
            for (int32_t e = list[block]; e < list[block + 1]; e++) {
                if (entries[e] < first) continue; /* sees only earlier keys of the block */
                for (int64_t head = s * n.heads; head < (s + 1) * n.heads; head++) {
                    int64_t row = (b * n.T + entries[e]) * n.Q + head;
                    w.q[w.n] = q + row * n.D, w.d_o[w.n] = d_o + row * n.D, w.t[w.n] = entries[e];
                    w.lse[w.n] = stat[row], w.delta[w.n] = stat[n.B * n.T * n.Q + row];
                    if (++w.n == WAITING) flush(&w, sum_k, sum_v, first, keys, kt_tile, vt_tile, n.D, scale);
                }
            }
        }
        flush(&w, sum_k, sum_v, first, keys, kt_tile, vt_tile, n.D, scale);
        store_tile(&pk, dk, dv, sum_k, sum_v, b, h, first, keys, scale, ATTR.accumulate);
    }
}

ssa_status CPU(attn_sparse_bwd)(const cpu_args *a) {
    repacked p = repacked_of(a);
    int64_t  shared = packed_size(&p.pk);
    p.own_size = 2 * KEYS * p.n.D + span_size(&p.n);
    p.kt = a->scratch(a->owner, (size_t)(2 * shared + pool_threads(a->pool) * p.own_size) * sizeof(real));
    if (!p.kt) return ssa_fail(a->err, SSA_ERR_MEMORY, "attn_sparse_bwd: out of memory for the repacked keys");
    p.vt = p.kt + shared;
    p.own = p.vt + shared;
    pack(a->pool, &p.pk, p.kt, REALS(2));
    pack(a->pool, &p.pk, p.vt, REALS(3));
    pool_run(a->pool, p.n.B * p.n.S * p.chunks, 1, backward_q, &p);
    pool_run(a->pool, p.n.B * p.n.H * p.pk.blocks * p.pk.per_block, 1, backward_kv, &p);
    return SSA_OK;
}
