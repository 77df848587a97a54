#version 450
// matmul_sum: c[m, n] (+)= sum_k part[k, m, n], in ascending k: partial products over ranges of K, or f32 sums on their way to
// a 16-bit c.
//   0 part [parts, M, N] in, f32   1 c [M, N], rows ldc apart, in, out, of type ACT2
//   push: n (M * N), N, ldc, parts, accumulate (1: add to c)
//   workgroup WG, EACH elements an invocation; no shared memory; no subgroup use
#include "common.glsl"
layout(constant_id = 0) const uint WG = 128;
layout(constant_id = 1) const uint EACH = 4;
layout(local_size_x_id = 0) in;
READ(0, float, part);
BOTH(1, act2_t, c);
PUSH { uint off[8]; uint n, N, ldc, parts, accumulate; } p;

void main() {
    for (uint k = 0u; k < EACH; k++) {
        uint i = (GROUP * EACH + k) * WG + LANE;
        if (i >= p.n) break;
        float sum = 0.0;
        for (uint s = 0u; s < p.parts; s++) sum += part[p.off[0] + s * p.n + i];
        uint at = p.off[1] + i / p.N * p.ldc + i % p.N;
        if (p.accumulate != 0u) sum += load_act2(c[at]);
        c[at] = store_act2(sum);
    }
}
