#version 450
// rope: rotary embedding, rotate-half convention (Su et al. 2021); an invocation turns the pair (d, half_dim + d) of a head.
// y[d] = x[d] c - x[half_dim + d] s, y[half_dim + d] = x[half_dim + d] c + x[d] s; c, s = cos_sin[row % T][d], [half_dim + d].
//   0 x [rows, Q, 2 half_dim] in   1 cos_sin [T, 2 half_dim] in, f32   2 y [rows, Q, 2 half_dim] out (may be x)
//   push: n (pairs), T, Q, half_dim, inverse (1: s -> -s)
//   workgroup WG, EACH pairs an invocation; no shared memory; no subgroup use
#include "common.glsl"
layout(constant_id = 0) const uint WG = 128;
layout(constant_id = 1) const uint EACH = 4;
layout(local_size_x_id = 0) in;
READ(0, act_t, x);
READ(1, float, cos_sin);
WRITE(2, act_t, y);
PUSH { uint off[8]; uint n, T, Q, half_dim, inverse; } p;

void main() {
    for (uint k = 0u; k < EACH; k++) {
        uint i = (GROUP * EACH + k) * WG + LANE;
        if (i >= p.n) break;
        uint head = i / p.half_dim, d = i % p.half_dim, t = head / p.Q % p.T;
        uint low = head * 2u * p.half_dim + d, high = low + p.half_dim;
        float c = cos_sin[p.off[1] + t * 2u * p.half_dim + d], s = cos_sin[p.off[1] + (t * 2u + 1u) * p.half_dim + d];
        if (p.inverse != 0u) s = -s;
        float a = load_act(x[p.off[0] + low]), b = load_act(x[p.off[0] + high]);
        y[p.off[2] + low] = store_act(a * c - b * s);
        y[p.off[2] + high] = store_act(b * c + a * s);
    }
}
