/* The CPU's backward operations in f64 against central differences of its forward ones. Shapes are tiny: every element of
 * every input is moved. The scalar that is differentiated is sum(y * dy) with a random dy, except where the operation is a
 * loss itself. Each backward pass is run a second time with accumulate, onto random values. */
#include "verify.h"
#include <math.h>
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_INPUTS = 4, MAX_TENSORS = 24 };

typedef struct problem problem;
struct problem {
    ssa_context *ctx;
    ssa_error *err;
    uint64_t random;
    ssa_op op; /* the backward operation, for the report */
    ssa_attrs attr;
    int64_t dim[26];
    char text[128];
    ssa_status status;                           /* of anything so far */
    ssa_tensor in[MAX_INPUTS], grad[MAX_INPUTS]; /* differentiable inputs and where their gradients go */
    const char *name[MAX_INPUTS];
    int inputs;
    ssa_tensor extra[6]; /* what else the operations need */
    ssa_tensor owned[MAX_TENSORS];
    int count;
    void (*forward)(problem *p, double *loss);
    void (*backward)(problem *p);
    bool accumulates;             /* the operation reads attr.accumulate */
    bool overwritten[MAX_INPUTS]; /* but not for this gradient */
};

#define TRYP(call)                                                                                                                                   \
    do {                                                                                                                                             \
        if (!p->status) p->status = (call);                                                                                                          \
    } while (0)
#define RUN(op, operands, ...) TRYP(SSA_CALL(p->ctx, op, operands, __VA_ARGS__))
#define DIM(letter) p->dim[(letter) - 'A']

static ssa_tensor make(problem *p, ssa_dtype dtype, int rank, const int64_t *shape) {
    ssa_tensor t = {0};
    TRYP(p->count < MAX_TENSORS ? ssa_tensor_create(p->ctx, dtype, rank, shape, &t) : SSA_ERR_MEMORY);
    if (!p->status) p->owned[p->count++] = t;
    return t;
}
#define NEW(...) make(p, SSA_F64, (int)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)), (int64_t[]){__VA_ARGS__})
#define NEW_INTS(...) make(p, SSA_I32, (int)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)), (int64_t[]){__VA_ARGS__})

static double *read_all(problem *p, ssa_tensor t) {
    double *x = calloc((size_t)(t.buffer ? ssa_numel(&t) : 1), sizeof *x);
    if (!x && !p->status) p->status = ssa_fail(p->err, SSA_ERR_MEMORY, "out of memory for a gradient check");
    if (!p->status) p->status = ssa_read(p->ctx, t, x);
    return x;
}

static void randomize(problem *p, ssa_tensor t) {
    double *x = read_all(p, t);
    for (int64_t i = 0; !p->status && i < ssa_numel(&t); i++) x[i] = verify_normal(&p->random);
    TRYP(ssa_write(p->ctx, t, x));
    free(x);
}

static ssa_tensor random_tensor(problem *p, int rank, const int64_t *shape) {
    ssa_tensor t = make(p, SSA_F64, rank, shape);
    randomize(p, t);
    return t;
}
#define RANDOM(...) random_tensor(p, (int)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)), (int64_t[]){__VA_ARGS__})

static double dot(problem *p, ssa_tensor a, ssa_tensor b) {
    double *x = read_all(p, a), *y = read_all(p, b), sum = 0;
    for (int64_t i = 0; !p->status && i < ssa_numel(&a); i++) sum += x[i] * y[i];
    free(x);
    free(y);
    return sum;
}

static void input(problem *p, const char *name, ssa_tensor t) {
    p->name[p->inputs] = name;
    p->in[p->inputs] = t;
    p->grad[p->inputs++] = make(p, SSA_F64, t.rank, t.shape);
}

/* -- the operations: set-up, forward, backward --------------------------------------------------------------------------- */

/* in: x, w. extra: dy, y, rstd */
static void rmsnorm_forward(problem *p, double *loss) {
    RUN(SSA_RMSNORM, SSA_T(p->in[0], p->in[1], p->extra[1], p->extra[2]), .eps = 1e-2f);
    *loss = dot(p, p->extra[1], p->extra[0]);
}
static void rmsnorm_backward(problem *p) {
    RUN(SSA_RMSNORM_BWD, SSA_T(p->extra[0], p->in[0], p->in[1], p->extra[2], p->grad[0], p->grad[1]), .accumulate = p->attr.accumulate,
        .residual = p->attr.accumulate);
}
static void rmsnorm(problem *p) {
    int64_t R = DIM('R'), C = DIM('C');
    input(p, "dx", RANDOM(R, C));
    input(p, "dw", RANDOM(C));
    p->extra[0] = RANDOM(R, C), p->extra[1] = NEW(R, C), p->extra[2] = NEW(R);
    p->forward = rmsnorm_forward, p->backward = rmsnorm_backward, p->accumulates = true;
}

/* in: gate, up. extra: dy, y */
static void swiglu_forward(problem *p, double *loss) {
    RUN(SSA_SWIGLU, SSA_T(p->in[0], p->in[1], p->extra[1]), 0);
    *loss = dot(p, p->extra[1], p->extra[0]);
}
static void swiglu_backward(problem *p) { RUN(SSA_SWIGLU_BWD, SSA_T(p->extra[0], p->in[0], p->in[1], p->grad[0], p->grad[1]), 0); }
static void swiglu(problem *p) {
    int64_t E = DIM('E');
    input(p, "dgate", RANDOM(E));
    input(p, "dup", RANDOM(E));
    p->extra[0] = RANDOM(E), p->extra[1] = NEW(E);
    p->forward = swiglu_forward, p->backward = swiglu_backward;
}

/* in: x. extra: dy, y, cos_sin (any table of rotations) */
static void rope_forward(problem *p, double *loss) {
    RUN(SSA_ROPE, SSA_T(p->in[0], p->extra[2], p->extra[1]), .position = 2);
    *loss = dot(p, p->extra[1], p->extra[0]);
}
static void rope_backward(problem *p) { RUN(SSA_ROPE, SSA_T(p->extra[0], p->extra[2], p->grad[0]), .position = 2, .inverse = true); }
static void rope(problem *p) {
    int64_t B = DIM('B'), T = DIM('T'), Q = DIM('Q'), D = DIM('D');
    input(p, "y (inverse)", RANDOM(B, T, Q, D));
    p->extra[0] = RANDOM(B, T, Q, D), p->extra[1] = NEW(B, T, Q, D), p->extra[2] = RANDOM(T + 3, D);
    double *table = read_all(p, p->extra[2]);
    for (int64_t t = 0; t < T + 3; t++)
        for (int64_t d = 0; d < D / 2; d++) {
            double angle = table[t * D + d];
            table[t * D + d] = cos(angle);
            table[t * D + D / 2 + d] = sin(angle);
        }
    TRYP(ssa_write(p->ctx, p->extra[2], table));
    free(table);
    p->forward = rope_forward, p->backward = rope_backward;
}

/* in: w. extra: dy, y, tokens, order */
static void embedding_forward(problem *p, double *loss) {
    RUN(SSA_EMBEDDING, SSA_T(p->extra[2], p->in[0], p->extra[1]), 0);
    *loss = dot(p, p->extra[1], p->extra[0]);
}
static void embedding_backward(problem *p) {
    RUN(SSA_EMBEDDING_BWD, SSA_T(p->extra[2], p->extra[3], p->extra[0], p->grad[0]), .accumulate = p->attr.accumulate);
}
static void embedding(problem *p) {
    static const int32_t tokens[] = {2, 0, 2, -1, 3, 2, 5, 0}, order[] = {3, 1, 7, 0, 2, 5, 4, 6}; /* V = 5: two are outside */
    int64_t C = DIM('C');
    input(p, "dw", RANDOM(5, C));
    p->extra[0] = RANDOM(8, C), p->extra[1] = NEW(8, C), p->extra[2] = NEW_INTS(8), p->extra[3] = NEW_INTS(8);
    TRYP(ssa_write(p->ctx, p->extra[2], tokens));
    TRYP(ssa_write(p->ctx, p->extra[3], order));
    p->forward = embedding_forward, p->backward = embedding_backward, p->accumulates = true;
}

/* The three layouts of a linear layer y = x W^T: forward, input gradient dx = dy W, weight gradient dW = dy^T x. */
static void matmul_forward(problem *p, double *loss) {
    RUN(SSA_MATMUL, SSA_T(p->in[0], p->in[1], p->extra[1]), .trans_b = true);
    *loss = dot(p, p->extra[1], p->extra[0]);
}
static void matmul_backward(problem *p) {
    RUN(SSA_MATMUL, SSA_T(p->extra[0], p->in[1], p->grad[0]), .accumulate = p->attr.accumulate);
    RUN(SSA_MATMUL, SSA_T(p->extra[0], p->in[0], p->grad[1]), .trans_a = true, .accumulate = p->attr.accumulate);
}
static void matmul(problem *p) {
    int64_t G = DIM('G'), M = DIM('M'), N = DIM('N'), K = DIM('K');
    input(p, "dx", RANDOM(G, M, K));
    input(p, "dw", RANDOM(G, N, K));
    p->extra[0] = RANDOM(G, M, N), p->extra[1] = NEW(G, M, N);
    p->forward = matmul_forward, p->backward = matmul_backward, p->accumulates = true;
}

/* in: q, k, v. extra: do, o, stat, idx, lists */
static void attention_forward(problem *p, double *loss) {
    ssa_tensor *e = p->extra, *in = p->in;
    if (p->op == SSA_ATTN_FULL_BWD)
        RUN(SSA_ATTN_FULL, SSA_T(in[0], in[1], in[2], e[1], e[2]), .scale = p->attr.scale);
    else
        RUN(SSA_ATTN_SPARSE, SSA_T(in[0], in[1], in[2], e[3], e[1], e[2]), .scale = p->attr.scale, .block_size = p->attr.block_size);
    *loss = dot(p, e[1], e[0]);
}
static void attention_backward(problem *p) {
    ssa_tensor *e = p->extra, *in = p->in, *g = p->grad;
    double *o = read_all(p, e[1]), *dout = read_all(p, e[0]), *stat = read_all(p, e[2]);
    int64_t D = DIM('D'), rows = p->status ? 0 : ssa_numel(&e[2]) / 2;
    for (int64_t r = 0; r < rows; r++) {
        stat[rows + r] = 0;
        for (int64_t d = 0; d < D; d++) stat[rows + r] += o[r * D + d] * dout[r * D + d];
    }
    TRYP(ssa_write(p->ctx, e[2], stat));
    free(o);
    free(dout);
    free(stat);
    if (p->op == SSA_ATTN_FULL_BWD)
        RUN(SSA_ATTN_FULL_BWD, SSA_T(e[0], in[0], in[1], in[2], e[2], g[0], g[1], g[2]), .scale = p->attr.scale, .accumulate = p->attr.accumulate);
    else {
        RUN(SSA_SPARSE_LISTS, SSA_T(e[3], e[4]), .block_size = p->attr.block_size);
        RUN(SSA_ATTN_SPARSE_BWD, SSA_T(e[0], in[0], in[1], in[2], e[3], e[4], e[2], g[0], g[1], g[2]), .scale = p->attr.scale,
            .block_size = p->attr.block_size, .accumulate = p->attr.accumulate);
    }
}
static void attention(problem *p) {
    int64_t B = DIM('B'), T = DIM('T'), Q = DIM('Q'), H = DIM('H'), S = DIM('S'), D = DIM('D'), K = DIM('K');
    input(p, "dq", RANDOM(B, T, Q, D));
    input(p, "dk", RANDOM(B, T, H, D));
    input(p, "dv", RANDOM(B, T, H, D));
    p->attr.scale = 0.4f;
    p->extra[0] = RANDOM(B, T, Q, D), p->extra[1] = NEW(B, T, Q, D), p->extra[2] = RANDOM(2, B, T, Q);
    if (p->op == SSA_ATTN_SPARSE_BWD) {
        int64_t N = (T + p->attr.block_size - 1) / p->attr.block_size;
        p->extra[3] = NEW_INTS(B, T, S, K), p->extra[4] = NEW_INTS(B, S, N + 1 + T * K);
        int32_t *idx = calloc((size_t)(B * T * S * K), sizeof *idx);
        if (idx) verify_random_blocks(&p->random, idx, B, T, S, K, p->attr.block_size, false);
        TRYP(idx ? ssa_write(p->ctx, p->extra[3], idx) : SSA_ERR_MEMORY);
        free(idx);
    }
    p->forward = attention_forward, p->backward = attention_backward, p->accumulates = true;
}

/* in: o, z. extra: dy, y, stat */
static void gate_forward(problem *p, double *loss) {
    RUN(SSA_GATE, SSA_T(p->in[0], p->in[1], p->extra[1]), 0);
    *loss = dot(p, p->extra[1], p->extra[0]);
}
static void gate_backward(problem *p) { RUN(SSA_GATE_BWD, SSA_T(p->extra[0], p->in[0], p->in[1], p->grad[0], p->grad[1], p->extra[2]), 0); }
static void gate(problem *p) {
    int64_t B = DIM('B'), T = DIM('T'), Q = DIM('Q'), D = DIM('D');
    input(p, "do", RANDOM(B, T, Q, D));
    input(p, "dz", RANDOM(B, T, 3 * Q));
    p->extra[0] = RANDOM(B, T, Q, D), p->extra[1] = NEW(B, T, Q, D), p->extra[2] = RANDOM(2, B, T, Q);
    p->forward = gate_forward, p->backward = gate_backward;
}

/* in: o_full, o_sparse, z. extra: dy, y, stat, value. The loss has the gradient of ONE plain l(h_full - h_sparse), half the
 * value of the two-sided one that align gives (ssa_spec 1.9), plus what comes back through the main stream's gated output. */
enum { ALIGN_WEIGHT = 3 };
static void align_forward(problem *p, double *loss) {
    double value = 0;
    RUN(SSA_ALIGN, SSA_T(p->in[0], p->in[1], p->in[2], p->extra[3]), .scale = ALIGN_WEIGHT, .loss = p->attr.loss, .gated = p->attr.gated);
    TRYP(ssa_read(p->ctx, p->extra[3], &value));
    RUN(SSA_GATE, SSA_T(p->in[p->attr.main == SSA_MAIN_FULL ? 0 : 1], p->in[2], p->extra[1]), 0);
    *loss = value / 2 + dot(p, p->extra[1], p->extra[0]);
}
static void align_backward(problem *p) {
    RUN(SSA_ALIGN_BWD, SSA_T(p->extra[0], p->in[0], p->in[1], p->in[2], p->grad[0], p->grad[1], p->grad[2], p->extra[2]), .scale = p->attr.scale,
        .loss = p->attr.loss, .gated = p->attr.gated, .main = p->attr.main);
}
static void align(problem *p) {
    int64_t B = DIM('B'), T = DIM('T'), Q = DIM('Q'), D = DIM('D');
    input(p, "do_full", RANDOM(B, T, Q, D));
    input(p, "do_sparse", RANDOM(B, T, Q, D));
    input(p, "dz", RANDOM(B, T, 3 * Q));
    /* a power of two elements, so that the scale, a float, is exact */
    p->attr.scale = ALIGN_WEIGHT / (float)(B * T * Q * D);
    p->extra[0] = RANDOM(B, T, Q, D), p->extra[1] = NEW(B, T, Q, D), p->extra[2] = RANDOM(4, B, T, Q), p->extra[3] = NEW(1);
    p->forward = align_forward, p->backward = align_backward;
}

/* in: h, w. extra: loss, target */
static void loss_forward(problem *p, double *loss) {
    RUN(SSA_LM_LOSS, SSA_T(p->in[0], p->in[1], p->extra[1], p->extra[0]), 0);
    double *rows = read_all(p, p->extra[0]);
    *loss = 0;
    for (int64_t r = 0; r < DIM('R'); r++) *loss += 0.5 * rows[r];
    free(rows);
}
static void loss_backward(problem *p) {
    RUN(SSA_LM_LOSS_GRAD, SSA_T(p->in[0], p->in[1], p->extra[1], p->extra[0], p->grad[0], p->grad[1]), .scale = 0.5f,
        .accumulate = p->attr.accumulate);
}
static void loss(problem *p) {
    int64_t R = DIM('R'), C = DIM('C'), V = DIM('V');
    input(p, "dh", RANDOM(R, C));
    input(p, "dw", RANDOM(V, C));
    p->extra[0] = NEW(R), p->extra[1] = NEW_INTS(R);
    for (int64_t r = 0; r < R; r++) {
        int32_t target = (int32_t)(r == 1 ? -1 : r == 2 ? V : r * 7 % V);
        TRYP(ssa_write(p->ctx, ssa_view(p->extra[1], r, 1), &target));
    }
    p->forward = loss_forward, p->backward = loss_backward, p->accumulates = p->overwritten[0] = true;
}

typedef struct {
    ssa_op op;
    void (*set_up)(problem *p);
    const char *sizes;
    ssa_attrs attr;
} entry;

static const entry entries[] = {
    {SSA_RMSNORM_BWD, rmsnorm, "R=3 C=7", {0}},
    {SSA_RMSNORM_BWD, rmsnorm, "R=5 C=65", {0}},
    {SSA_SWIGLU_BWD, swiglu, "E=37", {0}},
    {SSA_ROPE, rope, "B=2 T=3 Q=2 D=8", {0}},
    {SSA_EMBEDDING_BWD, embedding, "R=8 V=5 C=3", {0}},
    {SSA_MATMUL, matmul, "G=1 M=5 N=7 K=9", {0}},
    {SSA_MATMUL, matmul, "G=3 M=4 N=3 K=6", {0}},
    {SSA_ATTN_FULL_BWD, attention, "B=1 T=1 Q=2 H=1 D=4", {0}},
    {SSA_ATTN_FULL_BWD, attention, "B=2 T=7 Q=4 H=2 D=4", {0}},
    {SSA_ATTN_FULL_BWD, attention, "B=1 T=17 Q=3 H=1 D=8", {0}},
    {SSA_ATTN_SPARSE_BWD, attention, "B=2 T=11 Q=4 H=2 S=2 D=4 K=2", {.block_size = 3}},
    {SSA_ATTN_SPARSE_BWD, attention, "B=1 T=13 Q=4 H=2 S=4 D=4 K=3", {.block_size = 2}},
    {SSA_ATTN_SPARSE_BWD, attention, "B=1 T=17 Q=3 H=1 S=1 D=8 K=2", {.block_size = 4}},
    {SSA_GATE_BWD, gate, "B=1 T=5 Q=3 D=4", {0}},
    {SSA_ALIGN_BWD, align, "B=1 T=4 Q=2 D=4", {.gated = true}},
    {SSA_ALIGN_BWD, align, "B=1 T=4 Q=2 D=4", {.gated = true, .main = SSA_MAIN_SPARSE}},
    {SSA_ALIGN_BWD, align, "B=1 T=4 Q=2 D=4", {.main = SSA_MAIN_FULL}},
    {SSA_ALIGN_BWD, align, "B=1 T=4 Q=2 D=4", {.main = SSA_MAIN_SPARSE}},
    {SSA_ALIGN_BWD, align, "B=1 T=4 Q=2 D=4", {.gated = true, .loss = SSA_LOSS_L2}},
    {SSA_ALIGN_BWD, align, "B=1 T=4 Q=2 D=4", {.loss = SSA_LOSS_L2, .main = SSA_MAIN_SPARSE}},
    {SSA_LM_LOSS_GRAD, loss, "R=6 C=5 V=11", {0}},
    {SSA_LM_LOSS_GRAD, loss, "R=4 C=3 V=65", {0}},
};

/* d loss / d in[i] by central differences; h is small against the data (about 1) and large against rounding (1e-16). */
static double *differences(problem *p, int i) {
    const double h = 1e-5;
    ssa_tensor t = p->in[i];
    double *x = read_all(p, t), *g = read_all(p, t);
    for (int64_t k = 0; !p->status && k < ssa_numel(&t); k++) {
        double up = x[k] + h, down = x[k] - h, above = 0, below = 0;
        TRYP(ssa_write(p->ctx, ssa_view(t, k, 1), &up));
        p->forward(p, &above);
        TRYP(ssa_write(p->ctx, ssa_view(t, k, 1), &down));
        p->forward(p, &below);
        TRYP(ssa_write(p->ctx, ssa_view(t, k, 1), &x[k]));
        g[k] = (above - below) / (up - down);
    }
    free(x);
    return g;
}

/* Relative error, in the 2-norm. A gradient that is zero (one key: dq, dk) is measured against 1. */
static void measure(problem *p, int i, const double *got, const double *base, const double *want, verify_row *row) {
    double error = 0, size = 0;
    for (int64_t k = 0; k < ssa_numel(&p->in[i]); k++) {
        double d = got[k] - base[k] - want[k];
        error += d * d;
        size += want[k] * want[k];
    }
    row->error = sqrt(error / (size > 1e-12 ? size : 1));
    row->status = row->error < row->limit ? VERIFY_OK : VERIFY_FAILED; /* NaN fails */
}

static void check(problem *p, verify_callback callback, void *user) {
    double value = 0, *want[MAX_INPUTS] = {0};
    for (int i = 0; i < p->inputs; i++) want[i] = differences(p, i);
    for (int again = 0; again <= (p->accumulates ? 1 : 0) && !p->status; again++) {
        double *base[MAX_INPUTS] = {0};
        p->attr.accumulate = again;
        for (int i = 0; i < p->inputs; i++) {
            randomize(p, p->grad[i]);
            base[i] = read_all(p, p->grad[i]);
            if ((!again || p->overwritten[i]) && !p->status) memset(base[i], 0, (size_t)ssa_numel(&p->in[i]) * sizeof(double));
        }
        p->forward(p, &value);
        p->backward(p);
        for (int i = 0; i < p->inputs && !p->status; i++) {
            verify_row row = {
                .mode = "grad", .op = ssa_op_name(p->op), .text = p->text, .device = "cpu", .output = p->name[i], .dtype = SSA_F64, .limit = 1e-6};
            double *got = read_all(p, p->grad[i]);
            if (!p->status) measure(p, i, got, base[i], want[i], &row);
            if (row.status != VERIFY_OK)
                snprintf(row.reason, sizeof row.reason, "%s does not agree with finite differences", again ? "accumulated gradient" : "gradient");
            free(got);
            callback(user, &row);
        }
        for (int i = 0; i < p->inputs; i++) free(base[i]);
    }
    for (int i = 0; i < p->inputs; i++) free(want[i]);
}

ssa_status verify_grad(const verify_options *options, verify_callback callback, void *user, ssa_error *err) {
    ssa_context *ctx = NULL;
    regex_t filter;
    bool filtered = options && options->filter;
    if (filtered && regcomp(&filter, options->filter, REG_EXTENDED | REG_NOSUB))
        return ssa_fail(err, SSA_ERR_INPUT, "filter \"%s\" is not a regular expression", options->filter);
    ssa_status s = ssa_open("cpu", NULL, &ctx, err);
    for (size_t i = 0; i < sizeof entries / sizeof *entries && !s; i++) {
        const entry *e = &entries[i];
        char name[256];
        problem p = {.ctx = ctx, .err = err, .random = (options ? options->seed : 0) + i + 1, .op = e->op, .attr = e->attr};
        for (const char *c = e->sizes; *c; c++)
            if (c[1] == '=') p.dim[*c - 'A'] = strtoll(c + 2, NULL, 10);
        snprintf(p.text, sizeof p.text, "%s%s%s%s", e->sizes,
                 e->op != SSA_ALIGN_BWD ? ""
                 : e->attr.gated        ? " gated"
                                        : " ungated",
                 e->op != SSA_ALIGN_BWD        ? ""
                 : e->attr.loss == SSA_LOSS_L2 ? " l2"
                                               : " smoothl1",
                 e->op != SSA_ALIGN_BWD          ? ""
                 : e->attr.main == SSA_MAIN_FULL ? " main=full"
                                                 : " main=sparse");
        snprintf(name, sizeof name, "%s f64 %s", ssa_op_name(e->op), p.text);
        if ((filtered && regexec(&filter, name, 0, NULL, 0)) || (options && options->interrupt && *options->interrupt)) continue;
        e->set_up(&p);
        check(&p, callback, user);
        for (int k = 0; k < p.count; k++) ssa_tensor_free(ctx, &p.owned[k]);
        if (p.status) s = ssa_fail(err, p.status, "%s", ssa_context_error(ctx)->text);
    }
    if (filtered) regfree(&filter);
    ssa_close(ctx);
    return s;
}
