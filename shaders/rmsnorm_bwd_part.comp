#version 450
// rmsnorm_bwd_part: partial sums of dw: part[k, c] = sum over the rows of part k of dy[r,c] * x[r,c] * rstd[r].
// The rows are divided into `parts` equal ranges; workgroup (x, y) sums WG columns of part y.
//   0 dy [R, C] in   1 x [R, C] in   2 rstd [R] in, f32   3 part [parts, C] out, f32
//   push: R, C, parts
//   workgroup WG; no shared memory; no subgroup use
#include "common.glsl"
layout(constant_id = 0) const uint WG = 64;
layout(local_size_x_id = 0) in;
READ(0, act_t, dy);
READ(1, act_t, x);
READ(2, float, rstd);
WRITE(3, float, part);
PUSH { uint off[8]; uint R, C, parts; } p;

void main() {
    uint c = gl_WorkGroupID.x * WG + LANE, k = gl_WorkGroupID.y;
    if (c >= p.C) return;
    uint rows = (p.R + p.parts - 1u) / p.parts, end = min(p.R, (k + 1u) * rows);
    float sum = 0.0;
    for (uint r = k * rows; r < end; r++)
        sum += load_act(dy[p.off[0] + r * p.C + c]) * load_act(x[p.off[1] + r * p.C + c]) * rstd[p.off[2] + r];
    part[p.off[3] + k * p.C + c] = sum;
}
