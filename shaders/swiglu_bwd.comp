#version 450
// swiglu_bwd: dgate = dy * up * silu'(gate), dup = dy * silu(gate); silu'(z) = s (1 + z (1 - s)), s = sigmoid(z).
//   0 dy [n] in   1 gate [n] in   2 up [n] in   3 dgate [n] out (may be gate)   4 dup [n] out (may be up)
//   push: n
//   workgroup WG, EACH elements an invocation; no shared memory; no subgroup use
#include "common.glsl"
layout(constant_id = 0) const uint WG = 128;
layout(constant_id = 1) const uint EACH = 4;
layout(local_size_x_id = 0) in;
READ(0, act_t, dy);
READ(1, act_t, gate);
READ(2, act_t, up);
WRITE(3, act_t, dgate);
WRITE(4, act_t, dup);
PUSH { uint off[8]; uint n; } p;

float sigmoid(float z) { // exp of nothing positive
    float e = exp(-abs(z));
    return (z >= 0.0 ? 1.0 : e) / (1.0 + e);
}

void main() {
    for (uint k = 0u; k < EACH; k++) {
        uint i = (GROUP * EACH + k) * WG + LANE;
        if (i >= p.n) break;
        float g = load_act(dy[p.off[0] + i]), z = load_act(gate[p.off[1] + i]), u = load_act(up[p.off[2] + i]), s = sigmoid(z);
        dgate[p.off[3] + i] = store_act(g * u * s * (1.0 + z * (1.0 - s)));
        dup[p.off[4] + i] = store_act(g * z * s);
    }
}
