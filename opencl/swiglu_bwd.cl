// swiglu_bwd: dgate = dy * up * silu'(gate), dup = dy * silu(gate); silu'(z) = s (1 + z (1 - s)), s = sigmoid(z).
//   0 dy [n] in   1 gate [n] in   2 up [n] in   3 dgate [n] out (may be gate)   4 dup [n] out (may be up)
//   push: n
//   workgroup WG, EACH elements a work-item; no local memory; no subgroup use
#include "common.h"
typedef struct { uint off[8]; uint n; } push;
static inline float sigmoid(float z) { // exp of nothing positive
    float e = exp(-fabs(z));
    return (z >= 0.0f ? 1.0f : e) / (1.0f + e);
}

__kernel __attribute__((reqd_work_group_size(WG, 1, 1)))
void swiglu_bwd(__global const act_t *dy, __global const act_t *gate, __global const act_t *up, __global act_t *dgate, __global act_t *dup,
                const push p) {
    for (uint k = 0u; k < EACH; k++) {
        uint i = (GROUP * EACH + k) * WG + LANE;
        if (i >= p.n) break;
        float g = load_act(dy, p.off[0] + i), z = load_act(gate, p.off[1] + i), u = load_act(up, p.off[2] + i), s = sigmoid(z);
        store_act(dgate, p.off[3] + i, g * u * s * (1.0f + z * (1.0f - s)));
        store_act(dup, p.off[4] + i, g * z * s);
    }
}
