// matmul: c (+)= op(a) op(b), one workgroup a tile TILE x TILE of c, in f32; the portable kernel, any sizes.
// Group z is a matrix of the batch times a range of K: z = matrix * splits + range, ranges are k_range long. With more than
// one range the launch writes partial products, c [batch * splits, M, N], and matmul_sum adds them up.
//   0 a [M, K] ([K, M] if TRANS_A), rows lda apart, in   1 b [K, N] ([N, K] if TRANS_B), rows ldb apart, in
//   2 c [M, N], rows ldc apart, in, out, of type ACT2   3 a32: a once more, in, f32, read where A_F32 is 1 (b alone is of type ACT)
//   push: M, N, K, lda, ldb, ldc, stride_a, stride_b (from matrix to matrix), stride_c (from group z to z + 1), splits, k_range,
//         accumulate (1: add to c)
//   groups ceil(N / TILE), ceil(M / TILE), batch * splits; workgroup WG = (TILE / EACH)^2
//   local memory 8 * DEPTH * (TILE + 32 / DEPTH) bytes (8448 for 64 and for 128, 4352 for 32); no subgroup use
// A step loads TILE x DEPTH of a and b, lanes along the stored rows so that loads coalesce, and keeps both with k outermost.
// A work-item owns EACH x EACH elements, TILE / EACH apart: neighbours then read neighbouring words of local memory, and PAD
// spreads the transposing stores over the 32 banks.
#include "common.h"
typedef struct { uint off[8]; uint M, N, K, lda, ldb, ldc, stride_a, stride_b, stride_c, splits, k_range, accumulate; } push;
#define ACROSS (TILE / EACH)
#define PAD (32 / DEPTH)
#define PITCH (TILE + PAD)

#if A_F32
#define load_a(i) (a32[p.off[3] + (i)])
#else
#define load_a(i) load_act(a, p.off[0] + (i))
#endif

__kernel NARROW __attribute__((reqd_work_group_size(WG, 1, 1)))
void matmul(__global const act_t *a, __global const act_t *b, __global act2_t *c, __global const float *a32, const push p) {
    __local float a_tile[DEPTH * PITCH], b_tile[DEPTH * PITCH];
    uint z = (uint)get_group_id(2), matrix = z / p.splits, k_first = z % p.splits * p.k_range, k_end = min(p.K, k_first + p.k_range);
    uint m_first = (uint)get_group_id(1) * TILE, n_first = (uint)get_group_id(0) * TILE, row = LANE / ACROSS, column = LANE % ACROSS;
    float sum[EACH * EACH]; // loops over it are unrolled, or it ends up in memory
#pragma unroll
    for (uint i = 0u; i < EACH * EACH; i++) sum[i] = 0.0f;

    for (uint k0 = k_first; k0 < k_end; k0 += DEPTH) {
        for (uint i = LANE; i < DEPTH * TILE; i += WG) {
            uint m = TRANS_A != 0u ? i % TILE : i / DEPTH, k = TRANS_A != 0u ? i / TILE : i % DEPTH;
            bool inside = m_first + m < p.M && k0 + k < k_end;
            uint at = matrix * p.stride_a + (TRANS_A != 0u ? (k0 + k) * p.lda + m_first + m : (m_first + m) * p.lda + k0 + k);
            float value = 0.0f;
            if (inside) value = load_a(at);
            a_tile[k * PITCH + m] = value;
        }
        for (uint i = LANE; i < DEPTH * TILE; i += WG) {
            uint n = TRANS_B != 0u ? i / DEPTH : i % TILE, k = TRANS_B != 0u ? i % DEPTH : i / TILE;
            bool inside = n_first + n < p.N && k0 + k < k_end;
            uint at = matrix * p.stride_b + (TRANS_B != 0u ? (n_first + n) * p.ldb + k0 + k : (k0 + k) * p.ldb + n_first + n);
            float value = 0.0f;
            if (inside) value = load_act(b, p.off[1] + at);
            b_tile[k * PITCH + n] = value;
        }
        BARRIER;
        for (uint k = 0u; k < DEPTH; k++) {
            float av[EACH], bv[EACH];
#pragma unroll
            for (uint i = 0u; i < EACH; i++) av[i] = a_tile[k * PITCH + row + i * ACROSS];
#pragma unroll
            for (uint j = 0u; j < EACH; j++) bv[j] = b_tile[k * PITCH + column + j * ACROSS];
#pragma unroll
            for (uint i = 0u; i < EACH; i++)
#pragma unroll
                for (uint j = 0u; j < EACH; j++) sum[i * EACH + j] += av[i] * bv[j];
        }
        BARRIER;
    }

#pragma unroll
    for (uint i = 0u; i < EACH; i++)
#pragma unroll
        for (uint j = 0u; j < EACH; j++) {
            uint m = m_first + row + i * ACROSS, n = n_first + column + j * ACROSS;
            if (m >= p.M || n >= p.N) continue;
            uint at = p.off[2] + z * p.stride_c + m * p.ldc + n;
            float value = sum[i * EACH + j];
            if (p.accumulate != 0u) value += load_act2(c, at);
            store_act2(c, at, value);
        }
}
