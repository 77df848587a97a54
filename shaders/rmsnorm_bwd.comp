#version 450
// rmsnorm_bwd: dx (+)= rstd * (w dy - xhat * mean_c(xhat w dy)), xhat = x * rstd; one workgroup a row.
//   0 dy [R, C] in   1 x [R, C] in   2 w [C] in   3 rstd [R] in, f32   4 dx [R, C] in, out (may be dy)
//   push: R, C, residual (1: add to dx)
//   workgroup WG; shared memory 4 * WG bytes; no subgroup use
#include "common.glsl"
layout(constant_id = 0) const uint WG = 64;
layout(local_size_x_id = 0) in;
READ(0, act_t, dy);
READ(1, act_t, x);
READ(2, act_t, w);
READ(3, float, rstd);
BOTH(4, act_t, dx);
PUSH { uint off[8]; uint R, C, residual; } p;
#include "reduce.glsl"

void main() {
    uint r = GROUP;
    bool inside = r < p.R;
    float dot_sum = 0.0, scale = inside ? rstd[p.off[3] + r] : 0.0;
    if (inside)
        for (uint c = LANE; c < p.C; c += WG) {
            uint i = r * p.C + c;
            dot_sum += load_act(x[p.off[1] + i]) * load_act(w[p.off[2] + c]) * load_act(dy[p.off[0] + i]);
        }
    float mean = group_sum(dot_sum) * scale / float(p.C);
    if (!inside) return;
    for (uint c = LANE; c < p.C; c += WG) {
        uint i = r * p.C + c;
        float g = scale * (load_act(w[p.off[2] + c]) * load_act(dy[p.off[0] + i]) - load_act(x[p.off[1] + i]) * scale * mean);
        if (p.residual != 0u) g += load_act(dx[p.off[4] + i]);
        dx[p.off[4] + i] = store_act(g);
    }
}
