// align_bwd: gate and alignment backward. u = scale l'((o_full - o_sparse) h), h = g = sigmoid(z[3 row + 1]) if gated, else 1;
//   do_full = u h + [main full] dy g, do_sparse = -u h + [main sparse] dy g, delta = sum_d o do of either stream,
//   dz[3 row + 1] = g (1-g) sum_d (dy o_main + [gated] u (o_full - o_sparse)), other columns 0; l' = clamp(d, -1, 1) or 2 d.
//   0 dy [rows, D] in   1 o_full [rows, D] in   2 o_sparse [rows, D] in   3 z [rows, 3] in   4 do_full [rows, D] out (may be dy)
//   5 do_sparse [rows, D] out   6 dz [rows, 3] out   7 stat, f32: delta of full [rows], of sparse stat_sparse elements further out
//   push: rows, D, stat_sparse, scale, l2, gated, main_sparse
//   workgroup WG, LANES of them a row; local memory 12 * WG bytes; no subgroup use
#include "common.h"
typedef struct { uint off[8]; uint rows, D, stat_sparse; float scale; uint l2, gated, main_sparse; } push;

__kernel __attribute__((reqd_work_group_size(WG, 1, 1)))
void align_bwd(__global const act_t *dy, __global const act_t *o_full, __global const act_t *o_sparse, __global const act_t *z,
               __global act_t *do_full, __global act_t *do_sparse, __global act_t *dz, __global float *stat, const push p) {
    __local float part_dot[WG];
    __local float part_full[WG];
    __local float part_sparse[WG];
    uint r = GROUP * (WG / LANES) + LANE / LANES, lane = LANE % LANES;
    bool inside = r < p.rows;
    float g = 0.0f, dot_sum = 0.0f, delta_full = 0.0f, delta_sparse = 0.0f;
    if (inside) {
        g = logistic(load_act(z, p.off[3] + 3u * r + 1u));
        float h = p.gated != 0u ? g : 1.0f;
        for (uint d = lane; d < p.D; d += LANES) {
            uint i = r * p.D + d;
            float y = load_act(dy, p.off[0] + i), full = load_act(o_full, p.off[1] + i), sparse = load_act(o_sparse, p.off[2] + i);
            float x = (full - sparse) * h, u = p.scale * (p.l2 != 0u ? 2.0f * x : is_nan(x) ? x : clamp(x, -1.0f, 1.0f));
            float df = u * h, ds = -u * h;
            if (p.main_sparse != 0u) ds += y * g;
            else df += y * g;
            dot_sum += y * (p.main_sparse != 0u ? sparse : full);
            if (p.gated != 0u) dot_sum += u * (full - sparse);
            delta_full += full * df;
            delta_sparse += sparse * ds;
            store_act(do_full, p.off[4] + i, df);
            store_act(do_sparse, p.off[5] + i, ds);
        }
    }
    part_dot[LANE] = dot_sum;
    part_full[LANE] = delta_full;
    part_sparse[LANE] = delta_sparse;
    BARRIER;
    for (uint n = LANES / 2u; n > 0u; n /= 2u) {
        if (lane < n) {
            part_dot[LANE] += part_dot[LANE + n];
            part_full[LANE] += part_full[LANE + n];
            part_sparse[LANE] += part_sparse[LANE + n];
        }
        BARRIER;
    }
    if (inside && lane == 0u) {
        store_act(dz, p.off[6] + 3u * r, 0.0f);
        store_act(dz, p.off[6] + 3u * r + 1u, g * (1.0f - g) * part_dot[LANE]);
        store_act(dz, p.off[6] + 3u * r + 2u, 0.0f);
        stat[p.off[7] + r] = part_full[LANE];
        stat[p.off[7] + p.stat_sparse + r] = part_sparse[LANE];
    }
}
