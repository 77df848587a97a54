// A kernel for `ssa verify kernel tests/kernels/rmsnorm_right.cl --as rmsnorm`: rmsnorm as a user might write it, one work-item
// a row's stride, the sum in local memory by a tree. Bindings and parameters are those of opencl/rmsnorm.cl:
//   0 x [R, C] in   1 w [C] in   2 y [R, C] out   3 rstd [R] out, f32;   push: R, C, eps;   workgroup WG
#include "common.h"
typedef struct { uint off[8]; uint R, C; float eps; } push;
__kernel __attribute__((reqd_work_group_size(WG, 1, 1)))
void rmsnorm(__global const act_t *x, __global const act_t *w, __global act_t *y, __global float *rstd, const push p) {
    __local float part[WG];
    uint row = GROUP, lane = LANE;
    uint first = p.off[0] + row * p.C;
    part[lane] = 0.0f;
    for (uint c = lane; row < p.R && c < p.C; c += WG) part[lane] += load_act(x, first + c) * load_act(x, first + c);
    for (uint step = WG / 2; step > 0; step /= 2) {
        BARRIER;
        if (lane < step) part[lane] += part[lane + step];
    }
    BARRIER;
    if (row >= p.R) return; // a folded grid may overshoot; every work-item has reached every barrier
    float scale = rsqrt(part[0] / (float)p.C + p.eps);
    if (lane == 0) rstd[p.off[3] + row] = scale;
    for (uint c = lane; c < p.C; c += WG) store_act(y, p.off[2] + row * p.C + c, load_act(x, first + c) * scale * load_act(w, p.off[1] + c));
}
