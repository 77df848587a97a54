#version 450
// lm_loss: takes a chunk of logits into the streaming log-sum-exp of its rows (Milakov & Gimelshein 2018); one workgroup a row.
// state[r] = max, sum of exp(logit - max), logit of the target.
// loss[r] = log-sum-exp - logit of the target, written with the last chunk; 0 where the target is outside 0..V-1.
//   0 logits [R, count] in, f32: vocabulary entries first .. first + count - 1   1 target [R] in, i32
//   2 state [R, 3] in, out, f32   3 loss [R] out, f32
//   push: R, V, first, count
//   workgroup WG; shared memory 4 * WG bytes; no subgroup use
#include "common.glsl"
layout(constant_id = 0) const uint WG = 128;
layout(local_size_x_id = 0) in;
READ(0, float, logits);
READ(1, int, target);
BOTH(2, float, state);
WRITE(3, float, loss);
PUSH { uint off[8]; uint R, V, first, count; } p;
#include "reduce.glsl"

void main() {
    uint r = GROUP;
    bool inside = r < p.R; // a folded grid may overshoot; every invocation still reaches every barrier
    float before = inside && p.first > 0u ? state[p.off[2] + r * 3u] : NEG, largest = before, sum = 0.0;
    if (inside)
        for (uint v = LANE; v < p.count; v += WG) largest = max(largest, logits[p.off[0] + r * p.count + v]);
    largest = group_max(largest);
    if (inside)
        for (uint v = LANE; v < p.count; v += WG) sum += exp_or_nan(logits[p.off[0] + r * p.count + v] - largest);
    sum = group_sum(sum);
    if (!inside || LANE != 0u) return;
    if (p.first > 0u) sum += state[p.off[2] + r * 3u + 1u] * exp(before - largest);
    uint t = uint(target[p.off[1] + r]); // a negative target becomes a large one
    float at_target = p.first > 0u ? state[p.off[2] + r * 3u + 2u] : 0.0;
    if (t >= p.first && t - p.first < p.count) at_target = logits[p.off[0] + r * p.count + t - p.first];
    state[p.off[2] + r * 3u] = largest;
    state[p.off[2] + r * 3u + 1u] = sum;
    state[p.off[2] + r * 3u + 2u] = at_target;
    if (p.first + p.count == p.V) loss[p.off[3] + r] = t < p.V ? largest + log_or_nan(sum) - at_target : 0.0;
}
