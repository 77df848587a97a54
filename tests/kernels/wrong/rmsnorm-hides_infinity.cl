// WRONG: -infinity in x becomes a number
// rmsnorm: y = x * rstd * w, rstd = 1 / sqrt(mean(x^2) + eps) (Zhang & Sennrich 2019); one workgroup a row.
//   0 x [R, C] in   1 w [C] in   2 y [R, C] out   3 rstd [R] out, f32
//   push: R, C, eps
//   workgroup WG; local memory 4 * WG bytes; no subgroup use
#include "common.h"
#include "reduce.h"
typedef struct { uint off[8]; uint R, C; float eps; } push;
__kernel __attribute__((reqd_work_group_size(WG, 1, 1)))
void rmsnorm(__global const act_t *x, __global const act_t *w, __global act_t *y, __global float *rstd, const push p) {
    __local float shared[WG];
    uint r = GROUP;
    bool inside = r < p.R; // a folded grid may overshoot; every work-item still reaches every barrier
    float sum = 0.0f;
    if (inside)
        for (uint c = LANE; c < p.C; c += WG) {
            float v = load_act(x, p.off[0] + r * p.C + c);
            sum += v * v;
        }
    float scale = 1.0f / sqrt(group_sum(sum, shared) / (float)p.C + p.eps);
    if (!inside) return;
    if (LANE == 0u) rstd[p.off[3] + r] = scale;
    for (uint c = LANE; c < p.C; c += WG)
        store_act(y, p.off[2] + r * p.C + c, max(load_act(x, p.off[0] + r * p.C + c), -3e38f) * scale * load_act(w, p.off[1] + c));
}
