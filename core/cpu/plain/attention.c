/* Attention as its formulas say: the truth that the register tiles (core/cpu/tiles/) and every device are held against.
 * A row (b, t, h) sees tokens J: all j <= t (dense), or those of them that lie in the blocks idx[b,t,s,:] (block-sparse).
 *   x_j = scale q . k_j,   lse = log sum_{j in J} exp x_j,   p_j = exp(x_j - lse),   o = sum_{j in J} p_j v_j
 * Backward, from do = dL/do and delta = o . do (Dao et al. 2022):
 *   ds_j = p_j (do . v_j - delta),   dq = scale sum_{j in J} ds_j k_j
 *   dk_j = scale sum ds_j q,   dv_j = sum p_j do,   both over the rows that see j
 * q, o, do, dq: [B,T,Q,D]; k, v, dk, dv: [B,T,H,D], G = Q/H query heads share a KV head; idx: [B,T,S,K], Q/S query heads share a
 * selection; stat: [2,B,T,Q], lse and delta. A row that sees nothing, or nothing but x_j = -infinity, has o = 0 and lse = NEG. */
#include "cpu.h"

typedef struct attention {
    const cpu_args *a;
    const real     *q, *k, *v, *d_o;
    const int32_t  *idx; /* NULL: dense */
    real           *o, *stat, *dq, *dk, *dv;
    int64_t         most; /* tokens that a row can see: a thread has room for so many */
    real           *x;    /* [threads, most] scores of one row */
    int32_t        *seen; /* [threads, most] its tokens */
} attention;

/* The tokens that a row sees, in the order of the slots; returns how many. */
static int64_t tokens_seen(const attention *n, int64_t b, int64_t t, int64_t h, int32_t *seen) {
    const cpu_args *a = n->a;
    int64_t         count = 0, size = ATTR.block_size, K = DIM('K');
    if (!n->idx) {
        for (; count <= t; count++) seen[count] = (int32_t)count;
        return count;
    }
    const int32_t *block = n->idx + ((b * DIM('T') + t) * DIM('S') + h * DIM('S') / DIM('Q')) * K;
    for (int64_t c = 0; c < K; c++)
        for (int64_t j = block[c] * size; block[c] >= 0 && j <= t && j < (block[c] + 1) * size; j++) seen[count++] = (int32_t)j;
    return count;
}

static real dot(const real *x, const real *y, int64_t D) {
    real sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t d = 0; d < D; d++) sum += x[d] * y[d];
    return sum;
}

static void forward(const void *arg, pool_part part) {
    const attention *n = arg;
    const cpu_args  *a = n->a;
    int64_t          T = DIM('T'), Q = DIM('Q'), H = DIM('H'), D = DIM('D');
    real            *x = n->x + part.thread * n->most;
    int32_t         *seen = n->seen + part.thread * n->most;
    for (int64_t row = part.first; row < part.end; row++) {
        int64_t     b = row / (T * Q), t = row / Q % T, h = row % Q, count = tokens_seen(n, b, t, h, seen);
        const real *q = n->q + row * D, *k = n->k + (b * T * H + h / (Q / H)) * D, *v = n->v + (k - n->k); /* token j: + j H D */
        real       *o = n->o + row * D, max = NEG, sum = 0;
        for (int64_t i = 0; i < count; i++) {
            x[i] = (real)ATTR.scale * dot(q, k + seen[i] * H * D, D);
            if (x[i] > max) max = x[i];
        }
        for (int64_t i = 0; i < count; i++) sum += real_exp(x[i] - max);
        real lse = n->stat[row] = sum == 0 ? NEG : max + real_log(sum);
        for (int64_t d = 0; d < D; d++) o[d] = 0;
        for (int64_t i = 0; i < count; i++) {
            real p = real_exp(x[i] - lse);
            for (int64_t d = 0; d < D; d++) o[d] += p * v[seen[i] * H * D + d];
        }
    }
}

/* One KV head of one sequence a task: nobody else writes its dk and dv, and they are summed in the order of the queries. */
static void backward(const void *arg, pool_part part) {
    const attention *n = arg;
    const cpu_args  *a = n->a;
    int64_t          T = DIM('T'), Q = DIM('Q'), H = DIM('H'), D = DIM('D'), G = Q / H;
    real             scale = (real)ATTR.scale;
    int32_t         *seen = n->seen + part.thread * n->most;
    for (int64_t i = part.first * T * G; i < part.end * T * G; i++) { /* i runs over [B,H,T,G] */
        int64_t     b = i / (H * T * G), t = i / G % T, h = i / (T * G) % H * G + i % G, row = (b * T + t) * Q + h;
        const real *q = n->q + row * D, *d_o = n->d_o + row * D;
        real        lse = n->stat[row], delta = n->stat[DIM('B') * T * Q + row];
        int64_t     count = tokens_seen(n, b, t, h, seen);
        for (int64_t c = 0; c < count; c++) {
            int64_t     at = ((b * T + seen[c]) * H + h / G) * D;
            const real *k = n->k + at, *v = n->v + at;
            real        p = real_exp(scale * dot(q, k, D) - lse), ds = p * (dot(d_o, v, D) - delta);
            for (int64_t d = 0; d < D; d++) {
                n->dq[row * D + d] += scale * ds * k[d];
                n->dk[at + d] += scale * ds * q[d];
                n->dv[at + d] += p * d_o[d];
            }
        }
    }
}

static ssa_status run(attention *n) {
    const cpu_args *a = n->a;
    int64_t         B = DIM('B'), T = DIM('T'), Q = DIM('Q'), H = DIM('H'), D = DIM('D'), threads = pool_threads(a->pool);
    n->most = n->idx ? DIM('K') * (ATTR.block_size < T ? ATTR.block_size : T) : T;
    n->x = a->scratch(a->owner, (size_t)(threads * n->most) * (sizeof(real) + sizeof(int32_t)));
    if (!n->x) return ssa_fail(a->err, SSA_ERR_MEMORY, "%s: out of memory for a row of scores", ssa_op_name(a->call->op));
    n->seen = (int32_t *)(n->x + threads * n->most);
    if (n->o) {
        pool_run(a->pool, B * T * Q, 1, forward, n);
        return SSA_OK;
    }
    if (!ATTR.accumulate) {
        memset(n->dq, 0, (size_t)(B * T * Q * D) * sizeof(real));
        memset(n->dk, 0, (size_t)(B * T * H * D) * sizeof(real));
        memset(n->dv, 0, (size_t)(B * T * H * D) * sizeof(real));
    }
    pool_run(a->pool, B * H, 1, backward, n);
    return SSA_OK;
}

ssa_status CPU(attn_full)(const cpu_args *a) {
    return run(&(attention){.a = a, .q = REALS(0), .k = REALS(1), .v = REALS(2), .o = REALS(3), .stat = REALS(4)});
}

ssa_status CPU(attn_full_bwd)(const cpu_args *a) {
    return run(&(attention){.a = a, .d_o = REALS(0), .q = REALS(1), .k = REALS(2), .v = REALS(3), .stat = REALS(4), .dq = REALS(5), .dk = REALS(6),
                            .dv = REALS(7)});
}

ssa_status CPU(attn_sparse)(const cpu_args *a) {
    return run(&(attention){.a = a, .q = REALS(0), .k = REALS(1), .v = REALS(2), .idx = INTS(3), .o = REALS(4), .stat = REALS(5)});
}

/* The inverted lists (operand 5) say the same as idx; who walks queries does not need them. */
ssa_status CPU(attn_sparse_bwd)(const cpu_args *a) {
    return run(&(attention){.a = a, .d_o = REALS(0), .q = REALS(1), .k = REALS(2), .v = REALS(3), .idx = INTS(4), .stat = REALS(6), .dq = REALS(7),
                            .dk = REALS(8), .dv = REALS(9)});
}
