// sum_parts: y[c] (+)= sum_k part[k, c], in ascending k: the second half of sums whose first half ran in parallel.
//   0 part [parts, C] in, f32   1 y [C] in, out, f32
//   push: parts, C, accumulate (1: add to y)
//   workgroup WG; no local memory; no subgroup use
#include "common.h"
typedef struct { uint off[8]; uint parts, C, accumulate; } push;
__kernel __attribute__((reqd_work_group_size(WG, 1, 1)))
void sum_parts(__global const float *part, __global float *y, const push p) {
    uint c = GROUP * WG + LANE;
    if (c >= p.C) return;
    float sum = p.accumulate != 0u ? y[p.off[1] + c] : 0.0f;
    for (uint k = 0u; k < p.parts; k++) sum += part[p.off[0] + k * p.C + c];
    y[p.off[1] + c] = sum;
}
