// lm_loss_dlogits: dlogits = scale * (softmax - onehot), in place of a chunk of logits; one workgroup a row.
// Rows whose target is outside 0..V-1 become 0.
//   0 logits [R, count] in, out, f32: vocabulary entries first .. first + count - 1   1 target [R] in, i32
//   2 state [R, 3] in, f32 (as lm_loss leaves it)
//   push: R, V, first, count, scale
//   workgroup WG; no local memory; no subgroup use
#include "common.h"
typedef struct { uint off[8]; uint R, V, first, count; float scale; } push;
__kernel __attribute__((reqd_work_group_size(WG, 1, 1)))
void lm_loss_dlogits(__global float *logits, __global const int *target, __global const float *state, const push p) {
    uint r = GROUP;
    if (r >= p.R) return;
    uint t = (uint)(target[p.off[1] + r]); // a negative target becomes a large one
    float largest = state[p.off[2] + r * 3u], factor = p.scale / state[p.off[2] + r * 3u + 1u];
    for (uint v = LANE; v < p.count; v += WG) {
        float d = t < p.V ? exp(logits[p.off[0] + r * p.count + v] - largest) * factor : 0.0f;
        logits[p.off[0] + r * p.count + v] = p.first + v == t ? d - p.scale : d;
    }
}
