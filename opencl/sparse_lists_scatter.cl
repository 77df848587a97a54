// sparse_lists_scatter: writes query t behind its block's offset, the tiles before and the queries of its tile before it that
// selected the block too: ascending t.
//   0 idx [B, T, S, K] in, int, from the first of `heads` selection heads on
//   1 count [B, heads, tiles, N] in, int: sums over the tiles before   2 lists [B, heads, L] in, out, int
//   push: B, T, S, heads, K, N, tiles, tile (queries of one), block_size, L
//   workgroup WG, one work-item a slot; groups ceil(B * T * heads * K / WG); no local memory; no subgroup use
#include "common.h"
typedef struct { uint off[8]; uint B, T, S, heads, K, N, tiles, tile, block_size, L; } push;

__kernel __attribute__((reqd_work_group_size(WG, 1, 1)))
void sparse_lists_scatter(__global const int *idx, __global const int *count, __global int *lists, const push p) {
    uint e = GROUP * WG + LANE, sel = e / p.K % p.heads, t = e / p.K / p.heads % p.T, b = e / p.K / p.heads / p.T;
    if (b >= p.B) return;
    int i = idx[p.off[0] + ((b * p.T + t) * p.S + sel) * p.K + e % p.K];
    if (i < 0 || (uint)(i) > t / p.block_size) return;
    uint rank = 0u, list = p.off[2] + (b * p.heads + sel) * p.L;
    for (uint u = t / p.tile * p.tile; u < t; u++) {
        uint slots = p.off[0] + ((b * p.T + u) * p.S + sel) * p.K;
        if ((uint)(i) <= u / p.block_size)
            for (uint c = 0u; c < p.K; c++) rank += idx[slots + c] == i ? 1u : 0u;
    }
    uint before = (uint)(count[p.off[1] + ((b * p.heads + sel) * p.tiles + t / p.tile) * p.N + (uint)(i)]);
    lists[list + p.N + 1u + (uint)(lists[list + (uint)(i)]) + before + rank] = (int)(t);
}
