#version 450
// swiglu: y = silu(gate) * up, silu(z) = z * sigmoid(z) (Shazeer 2020).
//   0 gate [n] in   1 up [n] in   2 y [n] out
//   push: n
//   workgroup WG, EACH elements an invocation; no shared memory; no subgroup use
#include "common.glsl"
layout(constant_id = 0) const uint WG = 128;
layout(constant_id = 1) const uint EACH = 4;
layout(local_size_x_id = 0) in;
READ(0, act_t, gate);
READ(1, act_t, up);
WRITE(2, act_t, y);
PUSH { uint off[8]; uint n; } p;

float sigmoid(float z) { // exp of nothing positive
    float e = exp(-abs(z));
    return (z >= 0.0 ? 1.0 : e) / (1.0 + e);
}

void main() {
    for (uint k = 0u; k < EACH; k++) {
        uint i = (GROUP * EACH + k) * WG + LANE;
        if (i >= p.n) break;
        float z = load_act(gate[p.off[0] + i]);
        y[p.off[2] + i] = store_act(z * sigmoid(z) * load_act(up[p.off[1] + i]));
    }
}
