// block_mean: kbar[b,i,h,:] = mean of the keys of block i, the last one over its real length; one work-item an element.
//   0 k [B, T, H, D] in   1 kbar [B, N, H, D] out, f32
//   push: B, T, C (= H * D), N, block_size
//   workgroup WG; no local memory; no subgroup use
#include "common.h"
typedef struct { uint off[8]; uint B, T, C, N, block_size; } push;

__kernel __attribute__((reqd_work_group_size(WG, 1, 1)))
void block_mean(__global const act_t *k, __global float *kbar, const push p) {
    uint i = GROUP * WG + LANE, c = i % p.C, b = i / p.C / p.N;
    if (b >= p.B) return;
    uint first = i / p.C % p.N * p.block_size, n = min(p.T - first, p.block_size);
    float sum = 0.0f;
    for (uint j = 0u; j < n; j++) sum += load_act(k, p.off[0] + (b * p.T + first + j) * p.C + c);
    kbar[p.off[1] + i] = sum * (1.0f / (float)(n));
}
