// rope: rotary embedding, rotate-half convention (Su et al. 2021); a work-item turns the pair (d, half_dim + d) of a head.
// y[d] = x[d] c - x[half_dim + d] s, y[half_dim + d] = x[half_dim + d] c + x[d] s; c, s = cos_sin[row % T][d], [half_dim + d].
//   0 x [rows, Q, 2 half_dim] in   1 cos_sin [T, 2 half_dim] in, f32   2 y [rows, Q, 2 half_dim] out (may be x)
//   push: n (pairs), T, Q, half_dim, inverse (1: s -> -s)
//   workgroup WG, EACH pairs a work-item; no local memory; no subgroup use
#include "common.h"
typedef struct { uint off[8]; uint n, T, Q, half_dim, inverse; } push;
__kernel __attribute__((reqd_work_group_size(WG, 1, 1)))
void rope(__global const act_t *x, __global const float *cos_sin, __global act_t *y, const push p) {
    for (uint k = 0u; k < EACH; k++) {
        uint i = (GROUP * EACH + k) * WG + LANE;
        if (i >= p.n) break;
        uint head = i / p.half_dim, d = i % p.half_dim, t = head / p.Q % p.T;
        uint low = head * 2u * p.half_dim + d, high = low + p.half_dim;
        float c = cos_sin[p.off[1] + t * 2u * p.half_dim + d], s = cos_sin[p.off[1] + (t * 2u + 1u) * p.half_dim + d];
        if (p.inverse != 0u) s = -s;
        float a = load_act(x, p.off[0] + low), b = load_act(x, p.off[0] + high);
        store_act(y, p.off[2] + low, a * c - b * s);
        store_act(y, p.off[2] + high, b * c + a * s);
    }
}
