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

ssa_status CPU(attn_sparse)(const cpu_args *a) {
    const real    *q = REALS(0), *k = REALS(1), *v = REALS(2);
    const int32_t *idx = INTS(3);
    real          *o = REALS(4), *stat = REALS(5), scale = (real)ATTR.scale;
    shape          n = shape_of(a);
    packing        pk = packing_of(n.B, n.T, n.H, n.D, n.block);
    int64_t        width = least(n.K, pk.blocks) * pk.per_block * KEYS, shared = packed_size(&pk), chunks = (n.T + CHUNK - 1) / CHUNK;
    int64_t        own = ROWS * width + n.K * (int64_t)(sizeof(span) / sizeof(float));
    real          *kt = a->scratch(a->owner, (size_t)(shared + omp_get_max_threads() * own) * sizeof(real));
    if (!kt) return ssa_fail(a->err, SSA_ERR_MEMORY, "attn_sparse: out of memory for the repacked keys");
    pack(&pk, kt, k);
#pragma omp parallel for schedule(dynamic)
    for (int64_t task = 0; task < n.B * n.S * chunks; task++) {
        int64_t b = task / (n.S * chunks), s = task / chunks % n.S, h = s * n.heads / n.G, first = task % chunks * CHUNK;
        span   *spans = (span *)(kt + shared + omp_get_thread_num() * own);
        real   *scores = (real *)(spans + n.K);
        rows    r;
        for (int64_t t = first; t < least(n.T, first + CHUNK); t++) {
            int64_t count = spans_of(spans, &n, idx + ((b * n.T + t) * n.S + s) * n.K, t);
            for (int64_t at = s * n.heads; at < (s + 1) * n.heads; at += r.m) {
                take(&r, &n, b, t, at, (s + 1) * n.heads, q, o, stat, NULL);
                attend(&r, spans, count, &pk, kt, v, b, h, scale, scores, width);
            }
        }
    }
    return SSA_OK;
}

/* Formulas as in attn_full_bwd. dq walks the selected blocks of a query; dk and dv of a block walk the queries that selected
 * it (lists, see sparse_lists.c), with S = Q the lists of the group's heads one after the other. */
ssa_status CPU(attn_sparse_bwd)(const cpu_args *a) {
    const real    *d_o = REALS(0), *q = REALS(1), *k = REALS(2), *v = REALS(3);
    const int32_t *idx = INTS(4), *lists = INTS(5);
    real          *stat = REALS(6), *dq = REALS(7), *dk = REALS(8), *dv = REALS(9), scale = (real)ATTR.scale;
    shape          n = shape_of(a);
    packing        pk = packing_of(n.B, n.T, n.H, n.D, n.block);
    int64_t        shared = packed_size(&pk), chunks = (n.T + CHUNK - 1) / CHUNK;
    int64_t        own = 2 * KEYS * n.D + n.K * (int64_t)(sizeof(span) / sizeof(float));
    real          *kt = a->scratch(a->owner, (size_t)(2 * shared + omp_get_max_threads() * own) * sizeof(real)), *vt = kt + shared;
    if (!kt) return ssa_fail(a->err, SSA_ERR_MEMORY, "attn_sparse_bwd: out of memory for the repacked keys");
    pack(&pk, kt, k);
    pack(&pk, vt, v);
#pragma omp parallel for schedule(dynamic)
    for (int64_t task = 0; task < n.B * n.S * chunks; task++) {
        int64_t b = task / (n.S * chunks), s = task / chunks % n.S, h = s * n.heads / n.G, first = task % chunks * CHUNK;
        span   *spans = (span *)(vt + shared + omp_get_thread_num() * own);
        real   *sums = (real *)(spans + n.K);
        rows    r;
        for (int64_t t = first; t < least(n.T, first + CHUNK); t++) {
            int64_t count = spans_of(spans, &n, idx + ((b * n.T + t) * n.S + s) * n.K, t);
            for (int64_t at = s * n.heads; at < (s + 1) * n.heads; at += r.m) {
                take(&r, &n, b, t, at, (s + 1) * n.heads, q, dq, stat, d_o);
                attend_dq(&r, spans, count, &pk, kt, vt, k, b, h, scale, ATTR.accumulate, sums);
            }
        }
    }
    int64_t per_head = pk.blocks * pk.per_block, L = DIM('L'), lists_per_head = n.S / n.H;
#pragma omp parallel for schedule(dynamic)
    for (int64_t task = 0; task < n.B * n.H * per_head; task++) {
        int64_t b = task / (n.H * per_head), h = task / per_head % n.H, block = task % per_head / pk.per_block, tile = task % pk.per_block;
        int64_t first = block * pk.block + tile * KEYS, keys = least(KEYS, least(pk.block - tile * KEYS, n.T - first));
        if (keys <= 0) continue;
        real       *sum_k = vt + shared + omp_get_thread_num() * own, *sum_v = sum_k + KEYS * n.D;
        const real *kt_tile = packed_tile(&pk, kt, b, h, block, tile), *vt_tile = packed_tile(&pk, vt, b, h, block, tile);
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
    return SSA_OK;
}
