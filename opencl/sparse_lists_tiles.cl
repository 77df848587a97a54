// sparse_lists_tiles: per block, count[tile] becomes the sum over the tiles before; the block's total goes to lists[b,s,i].
//   0 count [B, S, tiles, N] in, out, int   1 lists [B, S, L] out, int
//   push: BS (= B * S), N, tiles, L
//   workgroup WG, one work-item a block; groups ceil(BS * N / WG); no local memory; no subgroup use
#include "common.h"
typedef struct { uint off[8]; uint BS, N, tiles, L; } push;

__kernel __attribute__((reqd_work_group_size(WG, 1, 1)))
void sparse_lists_tiles(__global int *count, __global int *lists, const push p) {
    uint i = (GROUP * WG + LANE) % p.N, bs = (GROUP * WG + LANE) / p.N;
    if (bs >= p.BS) return;
    int sum = 0;
    for (uint tile = 0u; tile < p.tiles; tile++) {
        uint at = p.off[0] + (bs * p.tiles + tile) * p.N + i;
        int n = count[at];
        count[at] = sum;
        sum += n;
    }
    lists[p.off[1] + bs * p.L + i] = sum;
}
