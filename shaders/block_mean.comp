#version 450
// block_mean: kbar[b,i,h,:] = mean of the keys of block i, the last one over its real length; one invocation an element.
//   0 k [B, T, H, D] in   1 kbar [B, N, H, D] out, f32
//   push: B, T, C (= H * D), N, block_size
//   workgroup WG; no shared memory; no subgroup use
#include "common.glsl"
layout(constant_id = 0) const uint WG = 64;
layout(local_size_x_id = 0) in;
READ(0, act_t, k);
WRITE(1, float, kbar);
PUSH { uint off[8]; uint B, T, C, N, block_size; } p;

void main() {
    uint i = GROUP * WG + LANE, c = i % p.C, b = i / p.C / p.N;
    if (b >= p.B) return;
    uint first = i / p.C % p.N * p.block_size, n = min(p.T - first, p.block_size);
    float sum = 0.0;
    for (uint j = 0u; j < n; j++) sum += load_act(k[p.off[0] + (b * p.T + first + j) * p.C + c]);
    kbar[p.off[1] + i] = sum * (1.0 / float(n));
}
