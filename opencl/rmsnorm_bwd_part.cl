// rmsnorm_bwd_part: partial sums of dw: part[k, c] = sum over the rows of part k of dy[r,c] * x[r,c] * rstd[r].
// The rows are divided into `parts` equal ranges; workgroup (x, y) sums WG columns of part y.
//   0 dy [R, C] in   1 x [R, C] in   2 rstd [R] in, f32   3 part [parts, C] out, f32
//   push: R, C, parts
//   workgroup WG; no local memory; no subgroup use
#include "common.h"
typedef struct { uint off[8]; uint R, C, parts; } push;
__kernel __attribute__((reqd_work_group_size(WG, 1, 1)))
void rmsnorm_bwd_part(__global const act_t *dy, __global const act_t *x, __global const float *rstd, __global float *part, const push p) {
    uint c = get_group_id(0) * WG + LANE, k = get_group_id(1);
    if (c >= p.C) return;
    uint rows = (p.R + p.parts - 1u) / p.parts, end = min(p.R, (k + 1u) * rows);
    float sum = 0.0f;
    for (uint r = k * rows; r < end; r++)
        sum += load_act(dy, p.off[0] + r * p.C + c) * load_act(x, p.off[1] + r * p.C + c) * rstd[p.off[2] + r];
    part[p.off[3] + k * p.C + c] = sum;
}
