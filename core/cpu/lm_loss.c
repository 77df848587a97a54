/* Cross-entropy fused with the output projection. h: [R, C]; w: [V, C]; target: [R]; loss: [R].
 *   logits = h w^T,  loss[r] = logsumexp_v(logits[r,v]) - logits[r,target[r]];  a target outside 0..V-1: loss 0, no gradient.
 * Logits exist only as a piece [rows, columns] of at most PIECE elements; the log-sum-exp runs over the pieces of a row. */
#include "simd.h"

enum { PIECE = 1 << 24, FEWEST_ROWS = 64 };

typedef struct { const cpu_args *a; real *logits, *max, *sum, *at_target; int64_t rows, columns; } pieces;

/* A piece of the logits: m vocabulary entries from v for the rows from r. */
typedef struct { const pieces *p; int64_t r, v, m; } piece;

/* Whole rows while at least FEWEST_ROWS of them fit: then the gradient need not compute the logits again. */
static ssa_status make_pieces(const cpu_args *a, pieces *p) {
    int64_t R = DIM('R'), V = DIM('V');
    p->a = a;
    p->rows = PIECE / V > FEWEST_ROWS ? PIECE / V : FEWEST_ROWS;
    if (p->rows > R) p->rows = R;
    p->columns = PIECE / p->rows < V ? PIECE / p->rows : V;
    size_t bytes = (size_t)(p->rows * (p->columns + 3)) * sizeof(real);
    p->logits = a->scratch(a->owner, bytes);
    if (!p->logits) return ssa_fail(a->err, SSA_ERR_MEMORY, "out of memory: %zu bytes of logits", bytes);
    p->max = p->logits + p->rows * p->columns;
    p->sum = p->max + p->rows;
    p->at_target = p->sum + p->rows;
    return SSA_OK;
}

/* The logits of a piece, n rows of them. */
static void project(const piece *at, int64_t n) {
    const cpu_args *a = at->p->a;
    int64_t         C = DIM('C');
    CPU(gemm)(a, false, true, n, at->m, C, REALS(0) + at->r * C, C, REALS(1) + at->v * C, C, false, at->p->logits, at->m);
}

/* Streaming log-sum-exp (Milakov & Gimelshein 2018): takes a piece into max and sum; v = 0 starts. */
static void take_in(const void *arg, pool_part part) {
    const piece    *at = arg;
    const pieces   *p = at->p;
    const cpu_args *a = p->a;
    const int32_t  *target = INTS(2) + at->r;
    int64_t         v = at->v, m = at->m;
    for (int64_t i = part.first; i < part.end; i++) {
        const real *logit = p->logits + i * m;
        real        before = v ? p->max[i] : logit[0], max = before;
        double      sum = 0;
#pragma omp simd reduction(max : max)
        for (int64_t j = 0; j < m; j++) max = logit[j] > max ? logit[j] : max;
#pragma omp simd reduction(+ : sum)
        for (int64_t j = 0; j < m; j++) sum += simd_exp(logit[j] - max);
        if (v) sum += (double)(p->sum[i] * real_exp(before - max));
        p->max[i] = max;
        p->sum[i] = (real)sum;
        if (target[i] >= v && target[i] < v + m) p->at_target[i] = logit[target[i] - v];
    }
}

static void write_loss(const cpu_args *a, const pieces *p, int64_t r, int64_t n, real *loss) {
    const int32_t *target = INTS(2) + r;
    for (int64_t i = 0; i < n; i++) loss[r + i] = target[i] < 0 || target[i] >= DIM('V') ? 0 : p->max[i] + real_log(p->sum[i]) - p->at_target[i];
}

ssa_status CPU(lm_loss)(const cpu_args *a) {
    int64_t R = DIM('R'), V = DIM('V');
    pieces  p;
    SSA_TRY(make_pieces(a, &p));
    for (int64_t r = 0; r < R; r += p.rows) {
        int64_t n = R - r < p.rows ? R - r : p.rows;
        for (int64_t v = 0; v < V; v += p.columns) {
            piece at = {&p, r, v, V - v < p.columns ? V - v : p.columns};
            project(&at, n);
            pool_run(a->pool, n, rows_of(at.m), take_in, &at);
        }
        write_loss(a, &p, r, n, REALS(3));
    }
    return SSA_OK;
}

/* dlogits = scale * (softmax - onehot), in place of the logits. */
static void differentiate(const void *arg, pool_part part) {
    const piece    *at = arg;
    const pieces   *p = at->p;
    const cpu_args *a = p->a;
    const int32_t  *target = INTS(2) + at->r;
    int64_t         v = at->v, m = at->m;
    real            scale = (real)ATTR.scale;
    for (int64_t i = part.first; i < part.end; i++) {
        real *logit = p->logits + i * m, max = p->max[i], factor = scale / p->sum[i];
        if (target[i] < 0 || target[i] >= DIM('V')) {
            memset(logit, 0, (size_t)m * sizeof(real));
            continue;
        }
#pragma omp simd
        for (int64_t j = 0; j < m; j++) logit[j] = simd_exp(logit[j] - max) * factor;
        if (target[i] >= v && target[i] < v + m) logit[target[i] - v] -= scale;
    }
}

/* dh = dlogits w, dw (+)= dlogits^T h: summed over the pieces in order. */
ssa_status CPU(lm_loss_grad)(const cpu_args *a) {
    int64_t R = DIM('R'), V = DIM('V'), C = DIM('C');
    real   *h = REALS(0), *w = REALS(1), *dh = REALS(4), *dw = REALS(5);
    pieces  p;
    SSA_TRY(make_pieces(a, &p));
    for (int64_t r = 0; r < R; r += p.rows) {
        int64_t n = R - r < p.rows ? R - r : p.rows;
        for (int64_t v = 0; v < V; v += p.columns) {
            piece at = {&p, r, v, V - v < p.columns ? V - v : p.columns};
            project(&at, n);
            pool_run(a->pool, n, rows_of(at.m), take_in, &at);
        }
        write_loss(a, &p, r, n, REALS(3));
        for (int64_t v = 0; v < V; v += p.columns) {
            int64_t m = V - v < p.columns ? V - v : p.columns;
            piece   at = {&p, r, v, m};
            if (p.columns < V) project(&at, n);
            pool_run(a->pool, n, rows_of(m), differentiate, &at);
            CPU(gemm)(a, false, false, n, C, m, p.logits, m, w + v * C, C, v > 0, dh + r * C, C);
            CPU(gemm)(a, true, false, m, C, n, p.logits, m, h + r * C, C, ATTR.accumulate || r > 0, dw + v * C, C);
        }
    }
    return SSA_OK;
}
