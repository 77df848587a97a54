#version 450
// align: part[workgroup] = sum of l((o_full - o_sparse) h) over the workgroup's elements, h = sigmoid(z[3 row + 1]) if gated,
// else 1; l = SmoothL1 (d^2/2 if |d| < 1 else |d| - 1/2) or d^2. The parts are added in order afterwards.
//   0 o_full [rows, D] in   1 o_sparse [rows, D] in   2 z [rows, 3] in   3 part [parts] out, f32
//   push: E (= rows * D), D, each (elements a workgroup), l2, gated
//   workgroup WG; shared memory 4 * WG bytes; no subgroup use
#include "common.glsl"
layout(constant_id = 0) const uint WG = 64;
layout(local_size_x_id = 0) in;
READ(0, act_t, o_full);
READ(1, act_t, o_sparse);
READ(2, act_t, z);
WRITE(3, float, part);
PUSH { uint off[8]; uint E, D, each, l2, gated; } p;
#include "reduce.glsl"

void main() {
    uint begin = GROUP * p.each, end = min(p.E, begin + p.each);
    float sum = 0.0;
    for (uint e = begin + LANE; e < end; e += WG) {
        float d = load_act(o_full[p.off[0] + e]) - load_act(o_sparse[p.off[1] + e]);
        if (p.gated != 0u) d *= logistic(load_act(z[p.off[2] + 3u * (e / p.D) + 1u]));
        float size = abs(d);
        sum += p.l2 != 0u ? d * d : size < 1.0 ? 0.5 * d * d : size - 0.5;
    }
    sum = group_sum(sum);
    if (LANE == 0u && begin < p.E) part[p.off[3] + GROUP] = sum;
}
