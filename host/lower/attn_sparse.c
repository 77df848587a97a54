/* Block-sparse attention: forward and dq one workgroup a query and selection head; dk, dv one workgroup a block, along the
 * inverted list. Few heads that share a selection make a tile of few rows; blocks above 16 keys take the tile of 32 keys. */
#include "attn.h"

/* Selected (query, key) pairs, at most: the estimate for flops. */
static double pairs_of(int64_t n, int64_t T, int64_t Q, int64_t K, int64_t block) {
    return (double)(n * Q * T) * (double)min_i64(K * block, (T + 1) / 2);
}

ssa_status lower_attn_sparse(lowering *l, const ssa_call *call) {
    int64_t    B = DIM('B'), T = DIM('T'), Q = DIM('Q'), H = DIM('H'), D = DIM('D'), S = DIM('S'), K = DIM('K');
    int64_t    block = min_i64(call->attr.block_size, T), most = min_i64(batches(l, B, T * Q * D, call->act), batches(l, B, T * S * K, SSA_I32));
    ssa_tensor q = call->t[0], k = call->t[1], v = call->t[2], idx = call->t[3], o = call->t[4], stat = call->t[5];
    attn_tile  tile = attn_tile_of(l, "attn_sparse", D, SIZES({'G', Q / S}));
    int64_t    head_tiles = ceil_div(Q / S, 4 * tile.rows);
    for (int64_t b = 0; b < B; b += most) {
        int64_t n = min_i64(most, B - b);
        double  pairs = pairs_of(n, T, Q, K, block);
        SSA_TRY(launch(l, &(launch_desc){.kernel = "attn_sparse", .act = q.dtype, TILE(tile), .groups = {n * T * S * head_tiles},
                                         .bind = {RD(batch(q, b, n, T * Q * D)), RD(batch(k, b, n, T * H * D)), RD(batch(v, b, n, T * H * D)),
                                                  RD(batch(idx, b, n, T * S * K)), WR(batch(o, b, n, T * Q * D)), WR(batch(stat, b, n, T * Q))},
                                         PUSH(U(n), U(T), U(Q), U(H), U(D), U(S), U(K), U(block), U(head_tiles), F(call->attr.scale)),
                                         .flops = 4 * pairs * (double)D, .bytes = (double)(n * T * (Q + H) * 2 * D * element_bytes(l, q.dtype))}));
    }
    return SSA_OK;
}

ssa_status lower_attn_sparse_bwd(lowering *l, const ssa_call *call) {
    int64_t    B = DIM('B'), T = DIM('T'), Q = DIM('Q'), H = DIM('H'), D = DIM('D'), S = DIM('S'), K = DIM('K'), L = DIM('L');
    int64_t    block = min_i64(call->attr.block_size, T), N = L - 1 - T * K, E = B * T * Q;
    int64_t    most = min_i64(batches(l, B, T * Q * D, call->act), batches(l, B, S * L, SSA_I32));
    ssa_tensor d_o = call->t[0], q = call->t[1], k = call->t[2], v = call->t[3], idx = call->t[4], lists = call->t[5], stat = call->t[6];
    ssa_tensor dq = call->t[7], dk = call->t[8], dv = call->t[9];
    attn_tile  by_query = attn_tile_of(l, "attn_sparse_bwd_dq", D, SIZES({'G', Q / S}));
    attn_tile  by_key = attn_tile_of(l, "attn_sparse_bwd_dkv", D, SIZES({'N', block}));
    int64_t    head_tiles = ceil_div(Q / S, 4 * by_query.rows), tiles = ceil_div(block, 4 * by_key.rows);
    for (int64_t b = 0; b < B; b += most) {
        int64_t    n = min_i64(most, B - b);
        double     pairs = pairs_of(n, T, Q, K, block), bytes = (double)(n * T * (Q + H) * 3 * D * element_bytes(l, q.dtype));
        ssa_tensor bd_o = batch(d_o, b, n, T * Q * D), bq = batch(q, b, n, T * Q * D), bk = batch(k, b, n, T * H * D), bv = batch(v, b, n, T * H * D);
        ssa_tensor bstat = ssa_view(stat, b * T * Q, E + n * T * Q); /* lse of these batches, up to their delta */
        SSA_TRY(launch(l, &(launch_desc){.kernel = "attn_sparse_bwd_dq", .act = q.dtype, TILE(by_query), .groups = {n * T * S * head_tiles},
                                         .bind = {RD(bd_o), RD(bq), RD(bk), RD(bv), RD(batch(idx, b, n, T * S * K)), RD(bstat),
                                                  RW(batch(dq, b, n, T * Q * D))},
                                         PUSH(U(n), U(T), U(Q), U(H), U(D), U(S), U(K), U(block), U(head_tiles), U(E), F(call->attr.scale),
                                              U(call->attr.accumulate)),
                                         .flops = 6 * pairs * (double)D, .bytes = bytes}));
        SSA_TRY(launch(l, &(launch_desc){.kernel = "attn_sparse_bwd_dkv", .act = q.dtype, TILE(by_key), .groups = {n * H * N * tiles * by_key.parts},
                                         .bind = {RD(bd_o), RD(bq), RD(bk), RD(bv), RD(batch(lists, b, n, S * L)), RD(bstat),
                                                  RW(batch(dk, b, n, T * H * D)),
                                                  RW(batch(dv, b, n, T * H * D))},
                                         PUSH(U(n), U(T), U(Q), U(H), U(D), U(S), U(L), U(N), U(block), U(tiles), U(by_key.parts), U(E),
                                              F(call->attr.scale),
                                              U(call->attr.accumulate)),
                                         .flops = 8 * pairs * (double)D, .bytes = bytes}));
    }
    return SSA_OK;
}
