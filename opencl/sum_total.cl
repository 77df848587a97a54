// sum_total: y (+)= scale * sum of part, by one workgroup: lane sums, then their tree.
//   0 part [n] in, f32   1 y [1] in, out, f32
//   push: n, scale, accumulate (1: add to y)
//   workgroup WG; local memory 4 * WG bytes; no subgroup use
#include "common.h"
#include "reduce.h"
typedef struct { uint off[8]; uint n; float scale; uint accumulate; } push;
__kernel __attribute__((reqd_work_group_size(WG, 1, 1)))
void sum_total(__global const float *part, __global float *y, const push p) {
    __local float shared[WG];
    float sum = 0.0f;
    for (uint i = LANE; i < p.n; i += WG) sum += part[p.off[0] + i];
    float total = group_sum(sum, shared) * p.scale;
    if (LANE == 0u) y[p.off[1]] = p.accumulate != 0u ? y[p.off[1]] + total : total;
}
