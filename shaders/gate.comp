#version 450
// gate: y = o * sigmoid(z[3 row + 1]), a row being a token's head; one invocation an element.
//   0 o [rows, D] in   1 z [rows, 3] in   2 y [rows, D] out
//   push: rows, D
//   workgroup WG; no shared memory; no subgroup use
#include "common.glsl"
layout(constant_id = 0) const uint WG = 64;
layout(local_size_x_id = 0) in;
READ(0, act_t, o);
READ(1, act_t, z);
WRITE(2, act_t, y);
PUSH { uint off[8]; uint rows, D; } p;

void main() {
    uint e = GROUP * WG + LANE, r = e / p.D;
    if (r >= p.rows) return;
    float g = logistic(load_act(z[p.off[1] + 3u * r + 1u]));
    y[p.off[2] + e] = store_act(load_act(o[p.off[0] + e]) * g);
}
