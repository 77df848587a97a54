// sparse_lists_offsets: lists[b,s,0..N-1] hold each block's entries; they become the exclusive prefix sum, lists[b,s,N] the total.
//   0 lists [B, S, L] in, out, int
//   push: N, L, BS (= B * S)
//   workgroup WG; groups BS; local memory 4 * WG bytes; no subgroup use
#include "common.h"
typedef struct { uint off[8]; uint N, L, BS; } push;

__kernel __attribute__((reqd_work_group_size(WG, 1, 1)))
void sparse_lists_offsets(__global int *lists, const push p) {
    __local int part[WG];
    bool inside = GROUP < p.BS;
    uint list = p.off[0] + GROUP * p.L;
    int carry = 0;
    for (uint base = 0u; base < p.N; base += WG) {
        int own = inside && base + LANE < p.N ? lists[list + base + LANE] : 0, sum = own;
        for (uint n = 1u; n < WG; n *= 2u) { // inclusive scan: add the sum that ends n lanes before
            BARRIER;
            part[LANE] = sum;
            BARRIER;
            if (LANE >= n) sum += part[LANE - n];
        }
        BARRIER;
        part[LANE] = sum;
        BARRIER;
        if (inside && base + LANE < p.N) lists[list + base + LANE] = carry + sum - own;
        carry += part[WG - 1u];
    }
    if (inside && LANE == 0u) lists[list + p.N] = carry;
}
