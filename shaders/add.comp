#version 450
// add: y = x1 + x2.
//   0 x1 [n] in   1 x2 [n] in   2 y [n] out (may be x1)
//   push: n
//   workgroup WG, EACH elements an invocation; no shared memory; no subgroup use
#include "common.glsl"
layout(constant_id = 0) const uint WG = 128;
layout(constant_id = 1) const uint EACH = 4;
layout(local_size_x_id = 0) in;
READ(0, act_t, x1);
READ(1, act_t, x2);
WRITE(2, act_t, y);
PUSH { uint off[8]; uint n; } p;

void main() {
    for (uint k = 0u; k < EACH; k++) {
        uint i = (GROUP * EACH + k) * WG + LANE;
        if (i >= p.n) break;
        y[p.off[2] + i] = store_act(load_act(x1[p.off[0] + i]) + load_act(x2[p.off[1] + i]));
    }
}
