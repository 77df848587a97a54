// gate_bwd: do = dy g, dz[3 row + 1] = g (1-g) sum_d dy o, other columns 0, delta = sum_d o do = g sum_d dy o; g = sigmoid(z[3 row + 1]).
//   0 dy [rows, D] in   1 o [rows, D] in   2 z [rows, 3] in   3 do [rows, D] out (may be dy)   4 dz [rows, 3] out
//   5 stat, f32: delta [rows] out
//   push: rows, D
//   workgroup WG, LANES of them a row; local memory 4 * WG bytes; no subgroup use
#include "common.h"
typedef struct { uint off[8]; uint rows, D; } push;

__kernel __attribute__((reqd_work_group_size(WG, 1, 1)))
void gate_bwd(__global const act_t *dy, __global const act_t *o, __global const act_t *z, __global act_t *d_o, __global act_t *dz,
              __global float *stat, const push p) {
    __local float part[WG];
    uint r = GROUP * (WG / LANES) + LANE / LANES, lane = LANE % LANES;
    bool inside = r < p.rows;
    float sum = 0.0f, g = 0.0f;
    if (inside) {
        g = logistic(load_act(z, p.off[2] + 3u * r + 1u));
        for (uint d = lane; d < p.D; d += LANES) {
            float x = load_act(dy, p.off[0] + r * p.D + d);
            sum += x * load_act(o, p.off[1] + r * p.D + d);
            store_act(d_o, p.off[3] + r * p.D + d, x * g);
        }
    }
    part[LANE] = sum;
    BARRIER;
    for (uint n = LANES / 2u; n > 0u; n /= 2u) {
        if (lane < n) part[LANE] += part[LANE + n];
        BARRIER;
    }
    if (inside && lane == 0u) {
        sum = part[LANE];
        store_act(dz, p.off[4] + 3u * r, 0.0f);
        store_act(dz, p.off[4] + 3u * r + 1u, g * (1.0f - g) * sum);
        store_act(dz, p.off[4] + 3u * r + 2u, 0.0f);
        stat[p.off[5] + r] = g * sum;
    }
}
