#version 450
// WRONG: -infinity in x becomes a number
// rmsnorm: y = x * rstd * w, rstd = 1 / sqrt(mean(x^2) + eps) (Zhang & Sennrich 2019); one workgroup a row.
//   0 x [R, C] in   1 w [C] in   2 y [R, C] out   3 rstd [R] out, f32
//   push: R, C, eps
//   workgroup WG; shared memory 4 * WG bytes; no subgroup use
#include "common.glsl"
layout(constant_id = 0) const uint WG = 64;
layout(local_size_x_id = 0) in;
READ(0, act_t, x);
READ(1, act_t, w);
WRITE(2, act_t, y);
WRITE(3, float, rstd);
PUSH { uint off[8]; uint R, C; float eps; } p;
#include "reduce.glsl"

void main() {
    uint r = GROUP;
    bool inside = r < p.R; // a folded grid may overshoot; every invocation still reaches every barrier
    float sum = 0.0;
    if (inside)
        for (uint c = LANE; c < p.C; c += WG) {
            float v = load_act(x[p.off[0] + r * p.C + c]);
            sum += v * v;
        }
    float scale = 1.0 / sqrt(group_sum(sum) / float(p.C) + p.eps);
    if (!inside) return;
    if (LANE == 0u) rstd[p.off[3] + r] = scale;
    for (uint c = LANE; c < p.C; c += WG)
        y[p.off[2] + r * p.C + c] = store_act(max(load_act(x[p.off[0] + r * p.C + c]), -3e38) * scale * load_act(w[p.off[1] + c]));
}
