// swiglu: y = silu(gate) * up, silu(z) = z * sigmoid(z) (Shazeer 2020).
//   0 gate [n] in   1 up [n] in   2 y [n] out
//   push: n
//   workgroup WG, EACH elements a work-item; no local memory; no subgroup use
#include "common.h"
typedef struct { uint off[8]; uint n; } push;
static inline float sigmoid(float z) { // exp of nothing positive
    float e = exp(-fabs(z));
    return (z >= 0.0f ? 1.0f : e) / (1.0f + e);
}

__kernel __attribute__((reqd_work_group_size(WG, 1, 1)))
void swiglu(__global const act_t *gate, __global const act_t *up, __global act_t *y, const push p) {
    for (uint k = 0u; k < EACH; k++) {
        uint i = (GROUP * EACH + k) * WG + LANE;
        if (i >= p.n) break;
        float z = load_act(gate, p.off[0] + i);
        store_act(y, p.off[2] + i, z * sigmoid(z) * load_act(up, p.off[1] + i));
    }
}
