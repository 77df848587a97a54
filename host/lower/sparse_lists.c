/* The inverted list by count, prefix sum and scatter: queries in tiles of TILE_QUERIES; count per (tile, block), sum over the
 * tiles before and over the blocks before, and each query then knows its place. No order depends on timing. */
#include "attn.h"

enum { WG = 64, COUNT_WG = 128, TILE_QUERIES = 32, BLOCKS = 1024, SCRATCH = 1 << 24 };

ssa_status lower_sparse_lists(lowering *l, const ssa_call *call) {
    int64_t    B = DIM('B'), T = DIM('T'), S = DIM('S'), K = DIM('K'), L = DIM('L'), N = L - 1 - T * K, tiles = ceil_div(T, TILE_QUERIES);
    int64_t    block = call->attr.block_size, each = S * tiles * N;
    ssa_tensor idx = call->t[0], lists = call->t[1], count;
    int64_t    most = min_i64(batches(l, B, S * L, SSA_I32), max_i64(1, min_i64(SCRATCH, binding_elements(l, SSA_I32)) / max_i64(each, 1)));
    SSA_TRY(scratch(l, SSA_I32, min_i64(most, B) * each, &count));
    for (int64_t b = 0; b < B; b += most) {
        int64_t    n = min_i64(most, B - b);
        double     entries = (double)(n * T * S * K);
        ssa_tensor bidx = batch(idx, b, n, T * S * K), blists = batch(lists, b, n, S * L), bcount = ssa_view(count, 0, n * each);
        SSA_TRY(launch(l, &(launch_desc){.kernel = "sparse_lists_count", .constants = {{"WG", COUNT_WG}, {"BLOCKS", BLOCKS}},
                                         .groups = {n * S * tiles},
                                         .bind = {RD(bidx), WR(bcount)}, PUSH(U(n), U(T), U(S), U(K), U(N), U(tiles), U(TILE_QUERIES), U(block)),
                                         .flops = entries, .bytes = 4 * (entries + (double)(n * each))}));
        SSA_TRY(launch(l, &(launch_desc){.kernel = "sparse_lists_tiles", .constants = {{"WG", WG}}, .groups = {ceil_div(n * S * N, WG)},
                                         .bind = {RW(bcount), WR(blists)}, PUSH(U(n * S), U(N), U(tiles), U(L)), .flops = (double)(n * each),
                                         .bytes = 8.0 * (double)(n * each)}));
        SSA_TRY(launch(l, &(launch_desc){.kernel = "sparse_lists_offsets", .constants = {{"WG", WG}}, .groups = {n * S}, .bind = {RW(blists)},
                                         PUSH(U(N), U(L), U(n * S)), .flops = (double)(n * S * N), .bytes = 8.0 * (double)(n * S * N)}));
        SSA_TRY(launch(l, &(launch_desc){.kernel = "sparse_lists_scatter", .constants = {{"WG", WG}}, .groups = {ceil_div(n * T * S * K, WG)},
                                         .bind = {RD(bidx), RD(bcount), RW(blists)},
                                         PUSH(U(n), U(T), U(S), U(K), U(N), U(tiles), U(TILE_QUERIES), U(block), U(L)),
                                         .flops = entries * (double)K * TILE_QUERIES / 2, .bytes = 12 * entries}));
    }
    return SSA_OK;
}
