/* Selection: log-sum-exp per query and head (softmax score), then scores of a bounded range of queries into scratch and the
 * best of them; never T x T / block_size at once. */
#include "attn.h"

enum { SCRATCH = 1 << 22, LEAST_ROWS = 32 }; /* scores kept at a time: 16 MiB, or a tile of queries */

/* Whole tiles of queries; fewer where not even one tile's scores fit a binding. */
static int64_t rows_that_fit(int64_t rows) { return rows >= LEAST_ROWS ? rows / LEAST_ROWS * LEAST_ROWS : max_i64(1, rows); }

ssa_status lower_select(lowering *l, const ssa_call *call) {
    int64_t    B = DIM('B'), T = DIM('T'), Q = DIM('Q'), H = DIM('H'), D = DIM('D'), S = DIM('S'), N = DIM('N'), K = DIM('K');
    int64_t    block = call->attr.block_size;
    ssa_tensor q = call->t[0], kbar = call->t[1], idx = call->t[2], lse, score;
    bool       dot = call->attr.score == SSA_SCORE_DOT, halves = call->attr.select == SSA_SELECT_COMPAT && call->attr.top_k == block;
    attn_tile  tile = attn_tile_of(l, "select_score", D, NULL), of_lse = attn_tile_of(l, "select_lse", D, NULL);
    int64_t    fit = min_i64(max_i64(SCRATCH, LEAST_ROWS * S * N), binding_elements(l, SSA_F32));
    int64_t    most = min_i64(min_i64(batches(l, B, T * Q * D, q.dtype), batches(l, B, N * H * D, SSA_F32)), batches(l, B, T * S * K, SSA_I32));
    int64_t    all = T * S * N; /* scores of a batch: several batches at a time, or a range of one's queries */
    most = max_i64(1, min_i64(most, fit / all));
    int64_t    range = all <= fit ? T : rows_that_fit(fit / (S * N));
    SSA_TRY(scratch(l, SSA_F32, min_i64(most, B) * T * Q, &lse));
    SSA_TRY(scratch(l, SSA_F32, min_i64(most, B) * range * S * N, &score));
    for (int64_t b = 0; b < B; b += most) {
        int64_t    n = min_i64(most, B - b), tiles = ceil_div(T, 32);
        ssa_tensor bq = batch(q, b, n, T * Q * D), bkbar = batch(kbar, b, n, N * H * D), bidx = batch(idx, b, n, T * S * K);
        ssa_tensor blse = ssa_view(lse, 0, n * T * Q);
        double     products = (double)(n * T * Q) * (double)N * (double)D; /* half of all pairs, two operations each */
        if (!dot)
            SSA_TRY(launch(l, &(launch_desc){.kernel = "select_lse", .act = q.dtype, TILE(of_lse), .groups = {tiles * n * Q},
                                             .bind = {RD(bq), RD(bkbar), WR(blse)},
                                             PUSH(U(n), U(T), U(Q), U(H), U(D), U(N), U(tiles), U(block), F(call->attr.scale)), .flops = products,
                                             .bytes = (double)(n * T * Q * D * element_bytes(l, q.dtype))}));
        for (int64_t t = 0; t < T; t += range) {
            int64_t    rows = min_i64(range, T - t), stride = max_i64(1, (t + rows - 1) / block), row_tiles = ceil_div(rows, 32);
            int64_t    block_tiles = ceil_div(stride, 32);
            ssa_tensor bscore = ssa_view(score, 0, n * rows * S * stride);
            double     share = (double)rows / (double)T;
            SSA_TRY(launch(l, &(launch_desc){.kernel = "select_score", .act = q.dtype, TILE(tile), .groups = {n * S * row_tiles * block_tiles},
                                             .bind = {RD(bq), RD(bkbar), RD(blse), WR(bscore)},
                                             PUSH(U(n), U(T), U(Q), U(H), U(D), U(N), U(S), U(t), U(rows), U(stride), U(row_tiles), U(block_tiles),
                                                  F(call->attr.scale), U(dot)),
                                             .flops = 2 * products * share, .bytes = 4.0 * (double)(n * rows * S * stride)}));
            SSA_TRY(launch(l, &(launch_desc){.kernel = "select_topk", .groups = {n * rows * S},
                                             .bind = {RD(bscore), WR(bidx)},
                                             PUSH(U(n), U(T), U(S), U(K), U(t), U(rows), U(stride), U(block), U(halves)),
                                             .flops = (double)(n * rows * S) * (double)(stride * K),
                                             .bytes = 4.0 * (double)(n * rows * S) * (double)(stride * K)}));
        }
    }
    return SSA_OK;
}
