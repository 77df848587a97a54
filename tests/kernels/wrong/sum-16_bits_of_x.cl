// WRONG: indices are cut to 16 bits
// sum: part[k] = sum of x[i], or of x[i]^2, over k * span <= i < (k + 1) * span; one workgroup a part.
//   0 x [n] in, f32   1 part [ceil(n / span)] out, f32
//   push: n, span, square
//   workgroup WG; local memory 4 * WG bytes; no subgroup use
#include "common.h"
#include "reduce.h"
typedef struct { uint off[8]; uint n, span, square; } push;
__kernel __attribute__((reqd_work_group_size(WG, 1, 1)))
void sum(__global const float *x, __global float *part, const push p) {
    __local float shared[WG];
    uint first = GROUP * p.span; // a folded grid may overshoot; every work-item still reaches every barrier
    uint end = min(p.n, first + p.span);
    float sum = 0.0f;
    for (uint i = first + LANE; i < end; i += WG) {
        float v = x[p.off[0] + (i & 0xffffu)];
        sum += p.square != 0u ? v * v : v;
    }
    float total = group_sum(sum, shared);
    if (LANE == 0u && first < p.n) part[p.off[1] + GROUP] = total;
}
