#version 450
// A kernel for `ssa verify kernel tests/kernels/rmsnorm_wrong.comp --as rmsnorm`: rmsnorm_right.comp with a subtle error. The loop that
// writes y steps over the last column where C is odd, so that only some shapes show it.
// Bindings and parameters are those of shaders/rmsnorm.comp:
//   0 x [R, C] in   1 w [C] in   2 y [R, C] out   3 rstd [R] out, f32;   push: R, C, eps;   workgroup WG
#include "common.glsl"
layout(constant_id = 0) const uint WG = 64;
layout(local_size_x_id = 0) in;
READ(0, act_t, x);
READ(1, act_t, w);
WRITE(2, act_t, y);
WRITE(3, float, rstd);
PUSH { uint off[8]; uint R, C; float eps; } p;
shared float part[WG];

void main() {
    uint row = GROUP, lane = LANE;
    uint first = p.off[0] + row * p.C;
    part[lane] = 0.0;
    for (uint c = lane; row < p.R && c < p.C; c += WG) part[lane] += load_act(x[first + c]) * load_act(x[first + c]);
    for (uint step = WG / 2u; step > 0u; step /= 2u) {
        barrier();
        if (lane < step) part[lane] += part[lane + step];
    }
    barrier();
    if (row >= p.R) return; // a folded grid may overshoot; every invocation has reached every barrier
    float scale = inversesqrt(part[0] / float(p.C) + p.eps);
    if (lane == 0u) rstd[p.off[3] + row] = scale;
    for (uint c = lane; c < (p.C & ~1u); c += WG) y[p.off[2] + row * p.C + c] = store_act(load_act(x[first + c]) * scale * load_act(w[p.off[1] + c]));
}
