#version 450
// lm_loss_dlogits: dlogits = scale * (softmax - onehot), in place of a chunk of logits; one workgroup a row.
// Rows whose target is outside 0..V-1 become 0.
//   0 logits [R, count] in, out, f32: vocabulary entries first .. first + count - 1   1 target [R] in, i32
//   2 state [R, 3] in, f32 (as lm_loss leaves it)
//   push: R, V, first, count, scale
//   workgroup WG; no shared memory; no subgroup use
#include "common.glsl"
layout(constant_id = 0) const uint WG = 128;
layout(local_size_x_id = 0) in;
BOTH(0, float, logits);
READ(1, int, target);
READ(2, float, state);
PUSH { uint off[8]; uint R, V, first, count; float scale; } p;

void main() {
    uint r = GROUP;
    if (r >= p.R) return;
    uint t = uint(target[p.off[1] + r]); // a negative target becomes a large one
    float largest = state[p.off[2] + r * 3u], factor = p.scale / state[p.off[2] + r * 3u + 1u];
    for (uint v = LANE; v < p.count; v += WG) {
        float d = t < p.V ? exp(logits[p.off[0] + r * p.count + v] - largest) * factor : 0.0;
        logits[p.off[0] + r * p.count + v] = p.first + v == t ? d - p.scale : d;
    }
}
