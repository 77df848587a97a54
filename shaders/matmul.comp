#version 450
// matmul: c (+)= op(a) op(b), one workgroup a tile TILE x TILE of c, in f32; the portable kernel, any sizes.
// Group z is a matrix of the batch times a range of K: z = matrix * splits + range, ranges are k_range long. With more than
// one range the launch writes partial products, c [batch * splits, M, N], and matmul_sum adds them up.
//   0 a [M, K] ([K, M] if TRANS_A), rows lda apart, in   1 b [K, N] ([N, K] if TRANS_B), rows ldb apart, in
//   2 c [M, N], rows ldc apart, in, out, of type ACT2   3 a32: a once more, in, f32, read where A_F32 is 1 (b alone is of type ACT)
//   push: M, N, K, lda, ldb, ldc, stride_a, stride_b (from matrix to matrix), stride_c (from group z to z + 1), splits, k_range,
//         accumulate (1: add to c)
//   groups ceil(N / TILE), ceil(M / TILE), batch * splits; workgroup WG = (TILE / EACH)^2
//   shared memory 8 * DEPTH * (TILE + 32 / DEPTH) bytes (8448 for 64 and for 128, 4352 for 32); no subgroup use
// A step loads TILE x DEPTH of a and b, lanes along the stored rows so that loads coalesce, and keeps both with k outermost.
// An invocation owns EACH x EACH elements, TILE / EACH apart: neighbours then read neighbouring words of shared memory, and PAD
// spreads the transposing stores over the 32 banks.
#include "common.glsl"
layout(constant_id = 0) const uint WG = 256;
layout(constant_id = 1) const uint TRANS_A = 0;
layout(constant_id = 2) const uint TRANS_B = 0;
layout(constant_id = 3) const uint A_F32 = 0;
layout(constant_id = 4) const uint TILE = 64;
layout(constant_id = 5) const uint EACH = 4;
layout(constant_id = 6) const uint DEPTH = 16;
layout(local_size_x_id = 0) in;
READ(0, act_t, a);
READ(1, act_t, b);
BOTH(2, act2_t, c);
READ(3, float, a32);
PUSH { uint off[8]; uint M, N, K, lda, ldb, ldc, stride_a, stride_b, stride_c, splits, k_range, accumulate; } p;

const uint ACROSS = TILE / EACH, PAD = 32u / DEPTH, PITCH = TILE + PAD;
shared float a_tile[DEPTH * PITCH], b_tile[DEPTH * PITCH];

float load_a(uint i) { return A_F32 != 0u ? a32[p.off[3] + i] : load_act(a[p.off[0] + i]); }

void main() {
    uint z = gl_WorkGroupID.z, matrix = z / p.splits, k_first = z % p.splits * p.k_range, k_end = min(p.K, k_first + p.k_range);
    uint m_first = gl_WorkGroupID.y * TILE, n_first = gl_WorkGroupID.x * TILE, row = LANE / ACROSS, column = LANE % ACROSS;
    float sum[EACH * EACH];
    [[unroll]] for (uint i = 0u; i < EACH * EACH; i++) sum[i] = 0.0;

    for (uint k0 = k_first; k0 < k_end; k0 += DEPTH) {
        [[unroll]] for (uint i = LANE; i < DEPTH * TILE; i += WG) {
            uint m = TRANS_A != 0u ? i % TILE : i / DEPTH, k = TRANS_A != 0u ? i / TILE : i % DEPTH;
            bool inside = m_first + m < p.M && k0 + k < k_end;
            uint at = matrix * p.stride_a + (TRANS_A != 0u ? (k0 + k) * p.lda + m_first + m : (m_first + m) * p.lda + k0 + k);
            float value = 0.0;
            if (inside) value = load_a(at);
            a_tile[k * PITCH + m] = value;
        }
        [[unroll]] for (uint i = LANE; i < DEPTH * TILE; i += WG) {
            uint n = TRANS_B != 0u ? i / DEPTH : i % TILE, k = TRANS_B != 0u ? i % DEPTH : i / TILE;
            bool inside = n_first + n < p.N && k0 + k < k_end;
            uint at = matrix * p.stride_b + (TRANS_B != 0u ? (n_first + n) * p.ldb + k0 + k : (k0 + k) * p.ldb + n_first + n);
            float value = 0.0;
            if (inside) value = load_act(b[p.off[1] + at]);
            b_tile[k * PITCH + n] = value;
        }
        barrier();
        for (uint k = 0u; k < DEPTH; k++) {
            float av[EACH], bv[EACH];
            [[unroll]] for (uint i = 0u; i < EACH; i++) av[i] = a_tile[k * PITCH + row + i * ACROSS];
            [[unroll]] for (uint j = 0u; j < EACH; j++) bv[j] = b_tile[k * PITCH + column + j * ACROSS];
            [[unroll]] for (uint i = 0u; i < EACH; i++)
                [[unroll]] for (uint j = 0u; j < EACH; j++) sum[i * EACH + j] += av[i] * bv[j];
        }
        barrier();
    }

    [[unroll]] for (uint i = 0u; i < EACH; i++)
        [[unroll]] for (uint j = 0u; j < EACH; j++) {
            uint m = m_first + row + i * ACROSS, n = n_first + column + j * ACROSS;
            if (m >= p.M || n >= p.N) continue;
            uint at = p.off[2] + z * p.stride_c + m * p.ldc + n;
            float value = sum[i * EACH + j];
            if (p.accumulate != 0u) value += load_act2(c[at]);
            c[at] = store_act2(value);
        }
}
