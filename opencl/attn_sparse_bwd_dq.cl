// attn_sparse_bwd_dq: dq (+)= scale sum_j ds k_j over the selected keys, ds = p (do.v_j - delta), p = exp(scale q.k_j - lse)
// recomputed; a workgroup takes one query's heads that share a selection (4 RG of them) and walks the selected keys, 4 CG a time.
//   0 do [B, T, Q, D] in   1 q [B, T, Q, D] in   2 k [B, T, H, D] in   3 v [B, T, H, D] in   4 idx [B, T, S, K] in, int
//   5 stat, f32: lse [B, T, Q], delta stat_delta elements further in   6 dq [B, T, Q, D] in, out
//   push: B, T, Q, H, D, S, K, block_size (at most T), head_tiles (4 RG heads each), stat_delta, scale, accumulate (1: add to dq)
//   workgroup WG = RG * CG; groups B * T * S * head_tiles; CHUNKS * 4 CG >= D; local memory: attn.h + 16 CG (on CPUs, in OpenCL, + 32 RG); no subgroup use
#include "common.h"
#include "attn.h"
typedef struct { uint off[8]; uint B, T, Q, H, D, S, K, block_size, head_tiles, stat_delta; float scale; uint accumulate; } push;

#define DO_AT(r, d) (first + (r) < end && (d) < p.D ? load_act(d_o, p.off[0] + (row + first + (r)) * p.D + (d)) : 0.0f)
#define Q_AT(r, d) (first + (r) < end && (d) < p.D ? load_act(q, p.off[1] + (row + first + (r)) * p.D + (d)) : 0.0f)
#define K_AT(c, d) (col_key[c] != NONE && (d) < p.D ? load_act(k, p.off[2] + ((b * p.T + col_key[c]) * p.H + h) * p.D + (d)) : 0.0f)
#define V_AT(c, d) (col_key[c] != NONE && (d) < p.D ? load_act(v, p.off[3] + ((b * p.T + col_key[c]) * p.H + h) * p.D + (d)) : 0.0f)
#define LSE(r) (first + (r) < end ? stat[p.off[5] + row + first + (r)] : 0.0f)
#define DELTA(r) (first + (r) < end ? stat[p.off[5] + p.stat_delta + row + first + (r)] : 0.0f)
#define DQ(r, d) (p.off[6] + (row + first + (r)) * p.D + (d))
#define STORE_DQ(r, d, i, c) \
    if (inside && first + (r) < end && (d) < p.D) \
        store_act(dq, DQ(r, d), (p.accumulate != 0u ? load_act(dq, DQ(r, d)) : 0.0f) + p.scale * acc[i].c);

__kernel NARROW __attribute__((reqd_work_group_size(WG, 1, 1)))
void attn_sparse_bwd_dq(__global const act_t *d_o, __global const act_t *q, __global const act_t *k, __global const act_t *v,
                        __global const int *idx, __global const float *stat, __global act_t *dq, const push p) {
    ATTN_LOCAL
    ROW_STAT(lse)
    ROW_STAT(delta)
    __local uint col_key[4 * CG]; // the column's token, or NONE
    uint tile = GROUP % p.head_tiles, group = GROUP / p.head_tiles, heads = p.Q / p.S;
    uint sel = group % p.S, t = group / p.S % p.T, b = group / p.S / p.T;
    bool inside = b < p.B;
    uint first = sel * heads + tile * 4u * RG, end = (sel + 1u) * heads, h = sel * heads / (p.Q / p.H), row = (b * p.T + t) * p.Q;
    uint slots = p.off[4] + ((b * p.T + t) * p.S + sel) * p.K, keys = 0u, current = t / p.block_size;
    float4 acc[4 * CHUNKS], s[4], dp[4];
    if (inside) {
        for (uint c = 0u; c < p.K; c++) // up to the last slot in use
            if (idx[slots + c] >= 0 && (uint)(idx[slots + c]) <= current) keys = (c + 1u) * p.block_size;
        SET_STAT(lse, ROWS4(LSE))
        SET_STAT(delta, ROWS4(DELTA))
    }
    UNROLL for (uint i = 0u; i < 4u * CHUNKS; i++) acc[i] = (float4)(0.0f);
    for (uint n0 = 0u; n0 < keys; n0 += 4u * CG) {
        BARRIER;
        NO_UNROLL for (uint i = LANE; i < 4u * CG; i += WG) {
            uint c = (n0 + i) / p.block_size, key = NONE;
            if (n0 + i < keys && idx[slots + c] >= 0 && (uint)(idx[slots + c]) <= current)
                key = (uint)(idx[slots + c]) * p.block_size + (n0 + i) % p.block_size;
            col_key[i] = key <= t ? key : NONE;
        }
        UNROLL for (uint j = 0u; j < 4u; j++) {
            s[j] = (float4)(0.0f);
            dp[j] = (float4)(0.0f);
        }
        BARRIER;
        DOTS(s, Q_AT, K_AT, p.D)
        DOTS(dp, DO_AT, V_AT, p.D)
        UNROLL for (uint j = 0u; j < 4u; j++)
            s[j] = col_key[4u * CX + j] != NONE ? exp(p.scale * s[j] - STAT(lse)) * (dp[j] - STAT(delta)) : (float4)(0.0f);
        PUT(s)
        UPDATE(acc, K_AT, 0u)
    }
    EACH(0u, STORE_DQ)
}
