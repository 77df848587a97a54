#version 450
// gate_bwd: do = dy g, dz[3 row + 1] = g (1-g) sum_d dy o, other columns 0, delta = sum_d o do = g sum_d dy o; g = sigmoid(z[3 row + 1]).
//   0 dy [rows, D] in   1 o [rows, D] in   2 z [rows, 3] in   3 do [rows, D] out (may be dy)   4 dz [rows, 3] out
//   5 stat, f32: delta [rows] out
//   push: rows, D
//   workgroup WG, LANES of them a row; shared memory 4 * WG bytes; no subgroup use
#include "common.glsl"
layout(constant_id = 0) const uint WG = 64;
layout(constant_id = 1) const uint LANES = 16;
layout(local_size_x_id = 0) in;
shared float part[WG];
READ(0, act_t, dy);
READ(1, act_t, o);
READ(2, act_t, z);
WRITE(3, act_t, d_o);
WRITE(4, act_t, dz);
WRITE(5, float, stat);
PUSH { uint off[8]; uint rows, D; } p;

void main() {
    uint r = GROUP * (WG / LANES) + LANE / LANES, lane = LANE % LANES;
    bool inside = r < p.rows;
    float sum = 0.0, g = 0.0;
    if (inside) {
        g = logistic(load_act(z[p.off[2] + 3u * r + 1u]));
        for (uint d = lane; d < p.D; d += LANES) {
            float x = load_act(dy[p.off[0] + r * p.D + d]);
            sum += x * load_act(o[p.off[1] + r * p.D + d]);
            d_o[p.off[3] + r * p.D + d] = store_act(x * g);
        }
    }
    part[LANE] = sum;
    barrier();
    for (uint n = LANES / 2u; n > 0u; n /= 2u) {
        if (lane < n) part[LANE] += part[LANE + n];
        barrier();
    }
    if (inside && lane == 0u) {
        sum = part[LANE];
        dz[p.off[4] + 3u * r] = store_act(ZERO);
        dz[p.off[4] + 3u * r + 1u] = store_act(g * (1.0 - g) * sum);
        dz[p.off[4] + 3u * r + 2u] = store_act(ZERO);
        stat[p.off[5] + r] = g * sum;
    }
}
