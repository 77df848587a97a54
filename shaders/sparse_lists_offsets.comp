#version 450
// sparse_lists_offsets: lists[b,s,0..N-1] hold each block's entries; they become the exclusive prefix sum, lists[b,s,N] the total.
//   0 lists [B, S, L] in, out, int
//   push: N, L, BS (= B * S)
//   workgroup WG; groups BS; shared memory 4 * WG bytes; no subgroup use
#include "common.glsl"
layout(constant_id = 0) const uint WG = 64;
layout(local_size_x_id = 0) in;
shared int part[WG];
BOTH(0, int, lists);
PUSH { uint off[8]; uint N, L, BS; } p;

void main() {
    bool inside = GROUP < p.BS;
    uint list = p.off[0] + GROUP * p.L;
    int carry = 0;
    for (uint base = 0u; base < p.N; base += WG) {
        int own = inside && base + LANE < p.N ? lists[list + base + LANE] : 0, sum = own;
        for (uint n = 1u; n < WG; n *= 2u) { // inclusive scan: add the sum that ends n lanes before
            barrier();
            part[LANE] = sum;
            barrier();
            if (LANE >= n) sum += part[LANE - n];
        }
        barrier();
        part[LANE] = sum;
        barrier();
        if (inside && base + LANE < p.N) lists[list + base + LANE] = carry + sum - own;
        carry += part[WG - 1u];
    }
    if (inside && LANE == 0u) lists[list + p.N] = carry;
}
