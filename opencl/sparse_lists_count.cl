// sparse_lists_count: count[b,s,tile,i] = how many of the tile's queries selected block i; a workgroup a tile, BLOCKS blocks a
// time. The integer atomics add in any order to the same sum.
//   0 idx [B, T, S, K] in, int, from the first of `heads` selection heads on   1 count [B, heads, tiles, N] out, int
//   push: B, T, S, heads, K, N, tiles, tile (queries of one), block_size
//   workgroup WG; groups B * heads * tiles; local memory 4 * BLOCKS bytes; no subgroup use
#include "common.h"
typedef struct { uint off[8]; uint B, T, S, heads, K, N, tiles, tile, block_size; } push;

__kernel __attribute__((reqd_work_group_size(WG, 1, 1)))
void sparse_lists_count(__global const int *idx, __global int *count, const push p) {
    __local uint seen[BLOCKS];
    uint first = GROUP % p.tiles * p.tile, sel = GROUP / p.tiles % p.heads, b = GROUP / p.tiles / p.heads;
    bool inside = b < p.B;
    uint entries = inside ? min(p.T - first, p.tile) * p.K : 0u;
    for (uint base = 0u; base < p.N; base += BLOCKS) {
        BARRIER;
        for (uint i = LANE; i < BLOCKS; i += WG) seen[i] = 0u;
        BARRIER;
        for (uint e = LANE; e < entries; e += WG) {
            uint t = first + e / p.K;
            int i = idx[p.off[0] + ((b * p.T + t) * p.S + sel) * p.K + e % p.K];
            if (i >= 0 && (uint)(i) <= t / p.block_size && (uint)(i) >= base && (uint)(i) < base + BLOCKS) atomic_add(&seen[(uint)(i) - base], 1u);
        }
        BARRIER;
        if (inside)
            for (uint i = LANE; i < BLOCKS && base + i < p.N; i += WG) count[p.off[1] + GROUP * p.N + base + i] = (int)(seen[i]);
    }
}
