#version 450
// sum_parts: y[c] (+)= sum_k part[k, c], in ascending k: the second half of sums whose first half ran in parallel.
//   0 part [parts, C] in, f32   1 y [C] in, out, f32
//   push: parts, C, accumulate (1: add to y)
//   workgroup WG; no shared memory; no subgroup use
#include "common.glsl"
layout(constant_id = 0) const uint WG = 64;
layout(local_size_x_id = 0) in;
READ(0, float, part);
BOTH(1, float, y);
PUSH { uint off[8]; uint parts, C, accumulate; } p;

void main() {
    uint c = GROUP * WG + LANE;
    if (c >= p.C) return;
    float sum = p.accumulate != 0u ? y[p.off[1] + c] : 0.0;
    for (uint k = 0u; k < p.parts; k++) sum += part[p.off[0] + k * p.C + c];
    y[p.off[1] + c] = sum;
}
