#version 450
// cast: y = x, rounded to the type of y.
//   0 x [n] in   1 y [n] out, of type ACT2
//   push: n
//   workgroup WG, EACH elements an invocation; no shared memory; no subgroup use
#include "common.glsl"
layout(constant_id = 0) const uint WG = 128;
layout(constant_id = 1) const uint EACH = 4;
layout(local_size_x_id = 0) in;
READ(0, act_t, x);
WRITE(1, act2_t, y);
PUSH { uint off[8]; uint n; } p;

void main() {
    for (uint k = 0u; k < EACH; k++) {
        uint i = (GROUP * EACH + k) * WG + LANE;
        if (i >= p.n) break;
        y[p.off[1] + i] = store_act2(load_act(x[p.off[0] + i]));
    }
}
