// attn_sparse: o[t] = sum_j softmax_j(scale q_t . k_j) v_j over the tokens j <= t of the selected blocks; a workgroup takes one
// query's heads that share a selection (4 RG of them) and walks the selected keys, 4 CG a time.
//   0 q [B, T, Q, D] in   1 k [B, T, H, D] in   2 v [B, T, H, D] in   3 idx [B, T, S, K] in, int   4 o [B, T, Q, D] out
//   5 stat, f32: lse [B, T, Q] out
//   push: B, T, Q, H, D, S, K, block_size (at most T), head_tiles (4 RG heads each), scale
//   workgroup WG = RG * CG; groups B * T * S * head_tiles; CHUNKS * 4 CG >= D; local memory: attn.h + 16 CG; no subgroup use
#include "common.h"
#include "attn.h"
typedef struct { uint off[8]; uint B, T, Q, H, D, S, K, block_size, head_tiles; float scale; } push;

#define Q_AT(r, d) (first + (r) < end && (d) < p.D ? load_act(q, p.off[0] + (row + first + (r)) * p.D + (d)) : 0.0f)
#define K_AT(c, d) (col_key[c] != NONE && (d) < p.D ? load_act(k, p.off[1] + ((b * p.T + col_key[c]) * p.H + h) * p.D + (d)) : 0.0f)
#define V_AT(c, d) (col_key[c] != NONE && (d) < p.D ? load_act(v, p.off[2] + ((b * p.T + col_key[c]) * p.H + h) * p.D + (d)) : 0.0f)
#define STORE_O(r, d, i, c) \
    if (inside && first + (r) < end && (d) < p.D) \
        store_act(o, p.off[4] + (row + first + (r)) * p.D + (d), acc[i].c);
#define STORE_LSE(r, x) if (first + (r) < end) stat[p.off[5] + row + first + (r)] = x;

__kernel NARROW __attribute__((reqd_work_group_size(WG, 1, 1)))
void attn_sparse(__global const act_t *q, __global const act_t *k, __global const act_t *v, __global const int *idx, __global act_t *o,
                 __global float *stat, const push p) {
    ATTN_LOCAL
    __local uint col_key[4 * CG]; // the column's token, or NONE
    uint tile = GROUP % p.head_tiles, group = GROUP / p.head_tiles, heads = p.Q / p.S;
    uint sel = group % p.S, t = group / p.S % p.T, b = group / p.S / p.T;
    bool inside = b < p.B; // a folded grid may overshoot: no keys then
    uint first = sel * heads + tile * 4u * RG, end = (sel + 1u) * heads, h = sel * heads / (p.Q / p.H), row = (b * p.T + t) * p.Q;
    uint slots = p.off[3] + ((b * p.T + t) * p.S + sel) * p.K, keys = 0u, current = t / p.block_size;
    if (inside)
        for (uint c = 0u; c < p.K; c++) // up to the last slot in use
            if (idx[slots + c] >= 0 && (uint)(idx[slots + c]) <= current) keys = (c + 1u) * p.block_size;
    float4 acc[4 * CHUNKS], s[4], m = (float4)(NEG), l = (float4)(0.0f);
    UNROLL for (uint i = 0u; i < 4u * CHUNKS; i++) acc[i] = (float4)(0.0f);
    for (uint n0 = 0u; n0 < keys; n0 += 4u * CG) {
        BARRIER;
        NO_UNROLL for (uint i = LANE; i < 4u * CG; i += WG) {
            uint c = (n0 + i) / p.block_size, key = NONE;
            if (n0 + i < keys && idx[slots + c] >= 0 && (uint)(idx[slots + c]) <= current)
                key = (uint)(idx[slots + c]) * p.block_size + (n0 + i) % p.block_size;
            col_key[i] = key <= t ? key : NONE;
        }
        UNROLL for (uint j = 0u; j < 4u; j++) s[j] = (float4)(0.0f);
        BARRIER;
        DOTS(s, Q_AT, K_AT, p.D)
        UNROLL for (uint j = 0u; j < 4u; j++) s[j] = col_key[4u * CX + j] != NONE ? p.scale * s[j] : (float4)(MASKED);
        float4 top = max(max(s[0], s[1]), max(s[2], s[3])), old = m;
        ROW_MAX(top, top)
        m = max(m, top);
        float4 shrink = exp(old - m);
        l *= shrink;
        UNROLL for (uint i = 0u; i < 4u * CHUNKS; i++) acc[i] *= shrink;
        UNROLL for (uint j = 0u; j < 4u; j++) {
            s[j] = exp(s[j] - m);
            l += s[j];
        }
        PUT(s)
        UPDATE(acc, V_AT, 0u)
    }
    ROW_SUM(l, l)
    l += 1e-30f; // 1 at least, or 0 without a key; max would lose NaN
    float4 inverse = 1.0f / l, lse = m + log_or_nan4(l);
    UNROLL for (uint i = 0u; i < 4u * CHUNKS; i++) acc[i] *= inverse;
    EACH(0u, STORE_O)
    if (inside && CX == 0u) {
        STORE_LSE(4u * RY, lse.x)
        STORE_LSE(4u * RY + 1u, lse.y)
        STORE_LSE(4u * RY + 2u, lse.z)
        STORE_LSE(4u * RY + 3u, lse.w)
    }
}
