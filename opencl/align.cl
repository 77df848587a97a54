// align: part[workgroup] = sum of l((o_full - o_sparse) h) over the workgroup's elements, h = sigmoid(z[3 row + 1]) if gated,
// else 1; l = SmoothL1 (d^2/2 if |d| < 1 else |d| - 1/2) or d^2. The parts are added in order afterwards.
//   0 o_full [rows, D] in   1 o_sparse [rows, D] in   2 z [rows, 3] in   3 part [parts] out, f32
//   push: E (= rows * D), D, each (elements a workgroup), l2, gated
//   workgroup WG; local memory 4 * WG bytes; no subgroup use
#include "common.h"
#include "reduce.h"
typedef struct { uint off[8]; uint E, D, each, l2, gated; } push;

__kernel __attribute__((reqd_work_group_size(WG, 1, 1)))
void align(__global const act_t *o_full, __global const act_t *o_sparse, __global const act_t *z, __global float *part, const push p) {
    __local float shared[WG];
    uint begin = GROUP * p.each, end = min(p.E, begin + p.each);
    float sum = 0.0f;
    for (uint e = begin + LANE; e < end; e += WG) {
        float d = load_act(o_full, p.off[0] + e) - load_act(o_sparse, p.off[1] + e);
        if (p.gated != 0u) d *= logistic(load_act(z, p.off[2] + 3u * (e / p.D) + 1u));
        float size = fabs(d);
        sum += p.l2 != 0u ? d * d : size < 1.0f ? 0.5f * d * d : size - 0.5f;
    }
    sum = group_sum(sum, shared);
    if (LANE == 0u && begin < p.E) part[p.off[3] + GROUP] = sum;
}
