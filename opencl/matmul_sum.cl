// matmul_sum: c[m, n] (+)= sum_k part[k, m, n], in ascending k: partial products over ranges of K, or f32 sums on their way to
// a 16-bit c.
//   0 part [parts, M, N] in, f32   1 c [M, N], rows ldc apart, in, out, of type ACT2
//   push: n (M * N), N, ldc, parts, accumulate (1: add to c)
//   workgroup WG, EACH elements a work-item; no local memory; no subgroup use
#include "common.h"
typedef struct { uint off[8]; uint n, N, ldc, parts, accumulate; } push;
__kernel __attribute__((reqd_work_group_size(WG, 1, 1)))
void matmul_sum(__global const float *part, __global act2_t *c, const push p) {
    for (uint k = 0u; k < EACH; k++) {
        uint i = (GROUP * EACH + k) * WG + LANE;
        if (i >= p.n) break;
        float sum = 0.0f;
        for (uint s = 0u; s < p.parts; s++) sum += part[p.off[0] + s * p.n + i];
        uint at = p.off[1] + i / p.N * p.ldc + i % p.N;
        if (p.accumulate != 0u) sum += load_act2(c, at);
        store_act2(c, at, sum);
    }
}
