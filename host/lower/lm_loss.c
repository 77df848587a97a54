/* Cross-entropy fused with the output projection: pieces of logits [rows, columns] in scratch, a streaming log-sum-exp over
 * the pieces of a row, and for the gradient each piece turned into dlogits in place and multiplied out at once. */
#include "chunk.h"
#include "gemm.h"

enum {
    PIECE = 1 << 24,   /* logits in scratch: 64 MiB */
    FEWEST_ROWS = 256, /* whole rows (so that the gradient need not compute the logits again) if that many fit */
    MOST_ROWS = 2048,
};

typedef struct {
    int64_t    rows, columns;
    ssa_tensor logits, state, work; /* state [rows, 3]: see lm_loss.comp */
} pieces;

static ssa_status make_pieces(lowering *l, const ssa_call *call, pieces *p) {
    int64_t R = DIM('R'), V = DIM('V'), most = min_i64(PIECE, binding_elements(l, SSA_F32));
    *p = (pieces){.rows = min_i64(R, most / V)};
    if (p->rows < min_i64(R, FEWEST_ROWS)) p->rows = min_i64(min_i64(R, MOST_ROWS), most);
    p->columns = min_i64(V, most / p->rows);
    SSA_TRY(scratch(l, SSA_F32, p->rows * p->columns, &p->logits));
    return scratch(l, SSA_F32, p->rows * 3, &p->state);
}

/* A piece: n rows from r, m vocabulary entries from v. */
typedef struct { int64_t r, n, v, m; } piece;

static piece piece_at(const ssa_call *call, const pieces *p, int64_t r, int64_t v) {
    return (piece){r, min_i64(p->rows, DIM('R') - r), v, min_i64(p->columns, DIM('V') - v)};
}

static ssa_tensor rows_of(ssa_tensor t, int64_t first, int64_t rows, int64_t C) { return ssa_view(t, first * C, rows, C); }

static ssa_status project(lowering *l, const ssa_call *call, pieces *p, piece k) {
    int64_t C = DIM('C');
    gemm_desc g = {.trans_b = true, .batch = 1, .M = k.n, .N = k.m, .K = C, .a = rows_of(call->t[0], k.r, k.n, C),
                   .b = rows_of(call->t[1], k.v, k.m, C), .c = ssa_view(p->logits, 0, k.n, k.m)};
    return lower_gemm_batch(l, &g, &p->work);
}

static ssa_status take_in(lowering *l, const ssa_call *call, pieces *p, piece k) {
    return launch(l, &(launch_desc){.kernel = "lm_loss", .groups = {k.n},
                                    .bind = {RD(ssa_view(p->logits, 0, k.n, k.m)), RD(ssa_view(call->t[2], k.r, k.n)),
                                             RW(ssa_view(p->state, 0, k.n, 3)), WR(ssa_view(call->t[3], k.r, k.n))},
                                    PUSH(U(k.n), U(DIM('V')), U(k.v), U(k.m)), .flops = 4.0 * (double)(k.n * k.m),
                                    .bytes = 8.0 * (double)(k.n * k.m)});
}

/* The loss of all rows of a strip. */
static ssa_status lower_loss(lowering *l, const ssa_call *call, pieces *p, int64_t r) {
    for (int64_t v = 0; v < DIM('V'); v += p->columns) {
        piece k = piece_at(call, p, r, v);
        SSA_TRY(project(l, call, p, k));
        SSA_TRY(take_in(l, call, p, k));
    }
    return SSA_OK;
}

ssa_status lower_lm_loss(lowering *l, const ssa_call *call) {
    pieces p;
    SSA_TRY(make_pieces(l, call, &p));
    for (int64_t r = 0; r < DIM('R'); r += p.rows) SSA_TRY(lower_loss(l, call, &p, r));
    return SSA_OK;
}

static ssa_status differentiate(lowering *l, const ssa_call *call, pieces *p, piece k) {
    return launch(l, &(launch_desc){.kernel = "lm_loss_dlogits", .groups = {k.n},
                                    .bind = {RW(ssa_view(p->logits, 0, k.n, k.m)), RD(ssa_view(call->t[2], k.r, k.n)),
                                             RD(ssa_view(p->state, 0, k.n, 3))},
                                    PUSH(U(k.n), U(DIM('V')), U(k.v), U(k.m), F(call->attr.scale)), .flops = 3.0 * (double)(k.n * k.m),
                                    .bytes = 8.0 * (double)(k.n * k.m)});
}

/* dlogits stay f32: scaled by 1 / tokens they would vanish in f16. Over several pieces a 16-bit dh is summed in f32 scratch. */
ssa_status lower_lm_loss_grad(lowering *l, const ssa_call *call) {
    int64_t    R = DIM('R'), V = DIM('V'), C = DIM('C');
    ssa_tensor h = call->t[0], w = call->t[1], dh = call->t[4], dw = call->t[5], sums = {0};
    pieces     p;
    SSA_TRY(make_pieces(l, call, &p));
    bool in_f32 = p.columns < V && dh.dtype != SSA_F32;
    if (in_f32) SSA_TRY(scratch(l, SSA_F32, p.rows * C, &sums));
    for (int64_t r = 0; r < R; r += p.rows) {
        SSA_TRY(lower_loss(l, call, &p, r));
        for (int64_t v = 0; v < V; v += p.columns) {
            piece      k = piece_at(call, &p, r, v);
            ssa_tensor dlogits = ssa_view(p.logits, 0, k.n, k.m);
            if (p.columns < V) SSA_TRY(project(l, call, &p, k));
            SSA_TRY(differentiate(l, call, &p, k));
            gemm_desc to_dh = {.accumulate = v > 0, .batch = 1, .M = k.n, .N = C, .K = k.m, .a = dlogits, .b = rows_of(w, v, k.m, C),
                               .c = in_f32 ? ssa_view(sums, 0, k.n, C) : rows_of(dh, r, k.n, C)};
            gemm_desc to_dw = {.trans_a = true, .accumulate = call->attr.accumulate || r > 0, .batch = 1, .M = k.m, .N = C, .K = k.n, .a = dlogits,
                               .b = rows_of(h, r, k.n, C), .c = rows_of(dw, v, k.m, C)};
            SSA_TRY(lower_gemm_batch(l, &to_dh, &p.work));
            SSA_TRY(lower_gemm_batch(l, &to_dw, &p.work));
        }
        if (in_f32) SSA_TRY(lower_convert(l, sums, rows_of(dh, r, min_i64(p.rows, R - r), C)));
    }
    return SSA_OK;
}
