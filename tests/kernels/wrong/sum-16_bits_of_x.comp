#version 450
// WRONG: indices are cut to 16 bits
// sum: part[k] = sum of x[i], or of x[i]^2, over k * span <= i < (k + 1) * span; one workgroup a part.
//   0 x [n] in, f32   1 part [ceil(n / span)] out, f32
//   push: n, span, square
//   workgroup WG; shared memory 4 * WG bytes; no subgroup use
#include "common.glsl"
layout(constant_id = 0) const uint WG = 256;
layout(local_size_x_id = 0) in;
READ(0, float, x);
WRITE(1, float, part);
PUSH { uint off[8]; uint n, span, square; } p;
#include "reduce.glsl"

void main() {
    uint first = GROUP * p.span; // a folded grid may overshoot; every invocation still reaches every barrier
    uint end = min(p.n, first + p.span);
    float sum = 0.0;
    for (uint i = first + LANE; i < end; i += WG) {
        float v = x[p.off[0] + (i & 0xffffu)];
        sum += p.square != 0u ? v * v : v;
    }
    float total = group_sum(sum);
    if (LANE == 0u && first < p.n) part[p.off[1] + GROUP] = total;
}
