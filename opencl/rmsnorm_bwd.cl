// rmsnorm_bwd: dx (+)= rstd * (w dy - xhat * mean_c(xhat w dy)), xhat = x * rstd; one workgroup a row.
//   0 dy [R, C] in   1 x [R, C] in   2 w [C] in   3 rstd [R] in, f32   4 dx [R, C] in, out (may be dy)
//   push: R, C, residual (1: add to dx)
//   workgroup WG; local memory 4 * WG bytes; no subgroup use
#include "common.h"
#include "reduce.h"
typedef struct { uint off[8]; uint R, C, residual; } push;
__kernel __attribute__((reqd_work_group_size(WG, 1, 1)))
void rmsnorm_bwd(__global const act_t *dy, __global const act_t *x, __global const act_t *w, __global const float *rstd, __global act_t *dx,
                 const push p) {
    __local float shared[WG];
    uint r = GROUP;
    bool inside = r < p.R;
    float dot_sum = 0.0f, scale = inside ? rstd[p.off[3] + r] : 0.0f;
    if (inside)
        for (uint c = LANE; c < p.C; c += WG) {
            uint i = r * p.C + c;
            dot_sum += load_act(x, p.off[1] + i) * load_act(w, p.off[2] + c) * load_act(dy, p.off[0] + i);
        }
    float mean = group_sum(dot_sum, shared) * scale / (float)p.C;
    if (!inside) return;
    for (uint c = LANE; c < p.C; c += WG) {
        uint i = r * p.C + c;
        float g = scale * (load_act(w, p.off[2] + c) * load_act(dy, p.off[0] + i) - load_act(x, p.off[1] + i) * scale * mean);
        if (p.residual != 0u) g += load_act(dx, p.off[4] + i);
        store_act(dx, p.off[4] + i, g);
    }
}
