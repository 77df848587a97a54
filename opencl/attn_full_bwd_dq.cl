// attn_full_bwd_dq: dq (+)= scale sum_{j<=t} ds k_j, ds = p (do.v_j - delta), p = exp(scale q.k_j - lse) recomputed; a
// workgroup takes 4 RG queries of a head and walks the keys, 4 CG a time.
//   0 do [B, T, Q, D] in   1 q [B, T, Q, D] in   2 k [B, T, H, D] in   3 v [B, T, H, D] in
//   4 stat, f32: lse [B, T, Q], delta stat_delta elements further in   5 dq [B, T, Q, D] in, out
//   push: B, T, Q, H, D, tiles (of queries), parts (of D), stat_delta, scale, accumulate (1: add to dq)
//   workgroup WG = RG * CG; groups tiles * B * Q * parts; local memory: attn.h (on CPUs, in OpenCL, + 32 RG); no subgroup use
#include "common.h"
#include "attn.h"
typedef struct { uint off[8]; uint B, T, Q, H, D, tiles, parts, stat_delta; float scale; uint accumulate; } push;

#define ROW(r) ((b * p.T + first + (r)) * p.Q + head)
#define DO_AT(r, d) (first + (r) < p.T && (d) < p.D ? load_act(d_o, p.off[0] + ROW(r) * p.D + (d)) : 0.0f)
#define Q_AT(r, d) (first + (r) < p.T && (d) < p.D ? load_act(q, p.off[1] + ROW(r) * p.D + (d)) : 0.0f)
#define K_AT(c, d) (key0 + (c) < p.T && (d) < p.D ? load_act(k, p.off[2] + ((b * p.T + key0 + (c)) * p.H + h) * p.D + (d)) : 0.0f)
#define V_AT(c, d) (key0 + (c) < p.T && (d) < p.D ? load_act(v, p.off[3] + ((b * p.T + key0 + (c)) * p.H + h) * p.D + (d)) : 0.0f)
#define LSE(r) (first + (r) < p.T ? stat[p.off[4] + ROW(r)] : 0.0f)
#define DELTA(r) (first + (r) < p.T ? stat[p.off[4] + p.stat_delta + ROW(r)] : 0.0f)
#define DQ(r, d) (p.off[5] + ROW(r) * p.D + (d))
#define STORE_DQ(r, d, i, c) \
    if (inside && first + (r) < p.T && (d) < p.D) \
        store_act(dq, DQ(r, d), (p.accumulate != 0u ? load_act(dq, DQ(r, d)) : 0.0f) + p.scale * acc[i].c);

__kernel NARROW __attribute__((reqd_work_group_size(WG, 1, 1)))
void attn_full_bwd_dq(__global const act_t *d_o, __global const act_t *q, __global const act_t *k, __global const act_t *v,
                      __global const float *stat, __global act_t *dq, const push p) {
    ATTN_LOCAL
    ROW_STAT(lse)
    ROW_STAT(delta)
    uint part = GROUP % p.parts, group = GROUP / p.parts, heads = p.B * p.Q, tile = group / heads;
    bool inside = tile < p.tiles;
    uint first = inside ? (p.tiles - 1u - tile) * 4u * RG : 0u, b = group % heads / p.Q, head = group % p.Q, h = head / (p.Q / p.H);
    uint keys = inside ? min(p.T, first + 4u * RG) : 0u;
    uint4 t = ramp(first + 4u * RY);
    float4 acc[4 * CHUNKS], s[4], dp[4];
    if (inside) {
        SET_STAT(lse, ROWS4(LSE))
        SET_STAT(delta, ROWS4(DELTA))
    }
    UNROLL for (uint i = 0u; i < 4u * CHUNKS; i++) acc[i] = (float4)(0.0f);
    for (uint key0 = 0u; key0 < keys; key0 += 4u * CG) {
        UNROLL for (uint j = 0u; j < 4u; j++) {
            s[j] = (float4)(0.0f);
            dp[j] = (float4)(0.0f);
        }
        DOTS(s, Q_AT, K_AT, p.D)
        DOTS(dp, DO_AT, V_AT, p.D)
        UNROLL for (uint j = 0u; j < 4u; j++)
            s[j] = where_upto(key0 + 4u * CX + j, t, exp(p.scale * s[j] - STAT(lse)) * (dp[j] - STAT(delta)), (float4)(0.0f));
        PUT(s)
        UPDATE(acc, K_AT, part * CHUNKS)
    }
    EACH(part * CHUNKS, STORE_DQ)
}
