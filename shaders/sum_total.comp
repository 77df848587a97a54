#version 450
// sum_total: y (+)= scale * sum of part, by one workgroup: lane sums, then their tree.
//   0 part [n] in, f32   1 y [1] in, out, f32
//   push: n, scale, accumulate (1: add to y)
//   workgroup WG; shared memory 4 * WG bytes; no subgroup use
#include "common.glsl"
layout(constant_id = 0) const uint WG = 256;
layout(local_size_x_id = 0) in;
READ(0, float, part);
BOTH(1, float, y);
PUSH { uint off[8]; uint n; float scale; uint accumulate; } p;
#include "reduce.glsl"

void main() {
    float sum = 0.0;
    for (uint i = LANE; i < p.n; i += WG) sum += part[p.off[0] + i];
    float total = group_sum(sum) * p.scale;
    if (LANE == 0u) y[p.off[1]] = p.accumulate != 0u ? y[p.off[1]] + total : total;
}
