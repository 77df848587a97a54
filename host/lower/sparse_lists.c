/* The inverted list by count, prefix sum and scatter: queries in tiles; count per (tile, block), sum over the tiles before and over the
 * blocks before, and each query then knows its place. No order depends on timing. The counts of all blocks and tiles grow with T^2: as
 * many selection heads are taken at a time as SCRATCH holds, and tiles are larger where one head's counts are beyond a binding. */
#include "attn.h"

enum { TILE_QUERIES = 32, SCRATCH = 1 << 24 };

/* What stays the same over the pieces of a call. */
typedef struct lists_plan {
    int64_t    tile, tiles, N;
    ssa_tensor count;
} lists_plan;

/* Batches b .. b+n-1, selection heads h .. h+heads-1; all heads where n > 1. */
static ssa_status piece(lowering *l, const ssa_call *call, const lists_plan *p, int64_t b, int64_t n, int64_t h, int64_t heads) {
    int64_t    T = DIM('T'), S = DIM('S'), K = DIM('K'), L = DIM('L'), N = p->N, tiles = p->tiles, block = call->attr.block_size, BS = n * heads;
    double     entries = (double)(BS * T * K), counts = (double)(BS * tiles * N);
    ssa_tensor idx = ssa_view(call->t[0], b * T * S * K + h * K, n * T * S * K - h * K), lists = ssa_view(call->t[1], (b * S + h) * L, BS * L);
    ssa_tensor count = ssa_view(p->count, 0, BS * tiles * N);
    SSA_TRY(launch(l, &(launch_desc){.kernel = "sparse_lists_count", .groups = {BS * tiles},
                                     .bind = {RD(idx), WR(count)},
                                     PUSH(U(n), U(T), U(S), U(heads), U(K), U(N), U(tiles), U(p->tile), U(block)),
                                     .flops = entries, .bytes = 4 * (entries + counts)}));
    SSA_TRY(launch(l, &(launch_desc){.kernel = "sparse_lists_tiles", .groups = {ceil_div(BS * N, wg_of(l, "sparse_lists_tiles"))},
                                     .bind = {RW(count), WR(lists)}, PUSH(U(BS), U(N), U(tiles), U(L)), .flops = counts, .bytes = 8.0 * counts}));
    SSA_TRY(launch(l, &(launch_desc){.kernel = "sparse_lists_offsets", .groups = {BS}, .bind = {RW(lists)},
                                     PUSH(U(N), U(L), U(BS)), .flops = (double)(BS * N), .bytes = 8.0 * (double)(BS * N)}));
    return launch(l, &(launch_desc){.kernel = "sparse_lists_scatter", .groups = {ceil_div(BS * T * K, wg_of(l, "sparse_lists_scatter"))},
                                    .bind = {RD(idx), RD(count), RW(lists)},
                                    PUSH(U(n), U(T), U(S), U(heads), U(K), U(N), U(tiles), U(p->tile), U(block), U(L)),
                                    .flops = entries * (double)K * (double)p->tile / 2, .bytes = 12 * entries});
}

ssa_status lower_sparse_lists(lowering *l, const ssa_call *call) {
    int64_t    B = DIM('B'), T = DIM('T'), S = DIM('S'), K = DIM('K'), L = DIM('L'), room = binding_elements(l, SSA_I32);
    lists_plan p = {.tile = TILE_QUERIES, .N = L - 1 - T * K};
    while (p.tile < T && ceil_div(T, p.tile) * p.N > room) p.tile *= 2;
    p.tiles = ceil_div(T, p.tile);
    int64_t each = p.tiles * p.N; /* counts of a head */
    int64_t heads = max_i64(1, min_i64(S, min_i64(SCRATCH, room) / each));
    int64_t most = heads < S ? 1 : max_i64(1, min_i64(batches(l, B, S * max_i64(L, T * K), SSA_I32), min_i64(SCRATCH, room) / (S * each)));
    SSA_TRY(scratch(l, SSA_I32, min_i64(most, B) * heads * each, &p.count));
    for (int64_t b = 0; b < B; b += most)
        for (int64_t h = 0; h < S; h += heads) SSA_TRY(piece(l, call, &p, b, min_i64(most, B - b), h, min_i64(heads, S - h)));
    return SSA_OK;
}
