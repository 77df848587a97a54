/* Dense causal attention: forward one kernel; backward one kernel by query (dq) and one by key (dk, dv), without atomics. */
#include "attn.h"

ssa_status lower_attn_full(lowering *l, const ssa_call *call) {
    int64_t    B = DIM('B'), T = DIM('T'), Q = DIM('Q'), H = DIM('H'), D = DIM('D'), tiles = ceil_div(T, 32);
    ssa_tensor q = call->t[0], k = call->t[1], v = call->t[2], o = call->t[3], stat = call->t[4];
    int64_t    most = batches(l, B, T * Q * D, q.dtype);
    attn_tile  tile = attn_tile_of(l, "attn_full", D, NULL);
    for (int64_t b = 0; b < B; b += most) {
        int64_t n = min_i64(most, B - b);
        double  pairs = (double)(n * Q) * (double)T * (double)(T + 1) / 2;
        SSA_TRY(launch(l, &(launch_desc){.kernel = "attn_full", .act = q.dtype, TILE(tile), .groups = {tiles * n * Q * tile.parts},
                                         .bind = {RD(batch(q, b, n, T * Q * D)), RD(batch(k, b, n, T * H * D)), RD(batch(v, b, n, T * H * D)),
                                                  WR(batch(o, b, n, T * Q * D)), WR(batch(stat, b, n, T * Q))},
                                         PUSH(U(n), U(T), U(Q), U(H), U(D), U(tiles), U(tile.parts), F(call->attr.scale)),
                                         .flops = 4 * pairs * (double)D,
                                         .bytes = (double)(n * T * (Q + H) * 2 * D * element_bytes(l, q.dtype))}));
    }
    return SSA_OK;
}

ssa_status lower_attn_full_bwd(lowering *l, const ssa_call *call) {
    int64_t    B = DIM('B'), T = DIM('T'), Q = DIM('Q'), H = DIM('H'), D = DIM('D'), tiles = ceil_div(T, 32);
    ssa_tensor d_o = call->t[0], q = call->t[1], k = call->t[2], v = call->t[3], stat = call->t[4], dq = call->t[5], dk = call->t[6], dv = call->t[7];
    int64_t    most = batches(l, B, T * Q * D, q.dtype), E = B * T * Q;
    attn_tile  by_query = attn_tile_of(l, "attn_full_bwd_dq", D, NULL), by_key = attn_tile_of(l, "attn_full_bwd_dkv", D, NULL);
    for (int64_t b = 0; b < B; b += most) {
        int64_t    n = min_i64(most, B - b);
        double     pairs = (double)(n * Q) * (double)T * (double)(T + 1) / 2, bytes = (double)(n * T * (Q + H) * 3 * D * element_bytes(l, q.dtype));
        ssa_tensor bd_o = batch(d_o, b, n, T * Q * D), bq = batch(q, b, n, T * Q * D), bk = batch(k, b, n, T * H * D), bv = batch(v, b, n, T * H * D);
        ssa_tensor bstat = ssa_view(stat, b * T * Q, E + n * T * Q); /* lse of these batches, up to their delta */
        SSA_TRY(launch(l, &(launch_desc){.kernel = "attn_full_bwd_dq", .act = q.dtype, TILE(by_query), .groups = {tiles * n * Q * by_query.parts},
                                         .bind = {RD(bd_o), RD(bq), RD(bk), RD(bv), RD(bstat), RW(batch(dq, b, n, T * Q * D))},
                                         PUSH(U(n), U(T), U(Q), U(H), U(D), U(tiles), U(by_query.parts), U(E), F(call->attr.scale),
                                              U(call->attr.accumulate)),
                                         .flops = 6 * pairs * (double)D, .bytes = bytes}));
        SSA_TRY(launch(l, &(launch_desc){.kernel = "attn_full_bwd_dkv", .act = q.dtype, TILE(by_key), .groups = {tiles * n * H * by_key.parts},
                                         .bind = {RD(bd_o), RD(bq), RD(bk), RD(bv), RD(bstat), RW(batch(dk, b, n, T * H * D)),
                                                  RW(batch(dv, b, n, T * H * D))},
                                         PUSH(U(n), U(T), U(Q), U(H), U(D), U(tiles), U(by_key.parts), U(E), F(call->attr.scale),
                                              U(call->attr.accumulate)),
                                         .flops = 8 * pairs * (double)D, .bytes = bytes}));
    }
    return SSA_OK;
}
