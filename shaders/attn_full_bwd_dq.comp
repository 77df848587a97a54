#version 450
// attn_full_bwd_dq: dq (+)= scale sum_{j<=t} ds k_j, ds = p (do.v_j - delta), p = exp(scale q.k_j - lse) recomputed; a
// workgroup takes 4 RG queries of a head and walks the keys, 4 CG a time.
//   0 do [B, T, Q, D] in   1 q [B, T, Q, D] in   2 k [B, T, H, D] in   3 v [B, T, H, D] in
//   4 stat, f32: lse [B, T, Q], delta stat_delta elements further in   5 dq [B, T, Q, D] in, out
//   push: B, T, Q, H, D, tiles (of queries), parts (of D), stat_delta, scale, accumulate (1: add to dq)
//   workgroup WG = RG * CG; groups tiles * B * Q * parts; shared memory: attn.glsl (on CPUs, in OpenCL, + 32 RG); no subgroup use
#include "common.glsl"
#include "attn.glsl"
READ(0, act_t, d_o);
READ(1, act_t, q);
READ(2, act_t, k);
READ(3, act_t, v);
READ(4, float, stat);
BOTH(5, act_t, dq);
PUSH { uint off[8]; uint B, T, Q, H, D, tiles, parts, stat_delta; float scale; uint accumulate; } p;

#define ROW(r) ((b * p.T + first + (r)) * p.Q + head)
#define DO_AT(r, d) (first + (r) < p.T && (d) < p.D ? load_act(d_o[p.off[0] + ROW(r) * p.D + (d)]) : 0.0)
#define Q_AT(r, d) (first + (r) < p.T && (d) < p.D ? load_act(q[p.off[1] + ROW(r) * p.D + (d)]) : 0.0)
#define K_AT(c, d) (key0 + (c) < p.T && (d) < p.D ? load_act(k[p.off[2] + ((b * p.T + key0 + (c)) * p.H + h) * p.D + (d)]) : 0.0)
#define V_AT(c, d) (key0 + (c) < p.T && (d) < p.D ? load_act(v[p.off[3] + ((b * p.T + key0 + (c)) * p.H + h) * p.D + (d)]) : 0.0)
#define LSE(r) (first + (r) < p.T ? stat[p.off[4] + ROW(r)] : 0.0)
#define DELTA(r) (first + (r) < p.T ? stat[p.off[4] + p.stat_delta + ROW(r)] : 0.0)
#define DQ(r, d) (p.off[5] + ROW(r) * p.D + (d))
#define STORE_DQ(r, d, i, c) \
    if (inside && first + (r) < p.T && (d) < p.D) \
        dq[DQ(r, d)] = store_act((p.accumulate != 0u ? load_act(dq[DQ(r, d)]) : 0.0) + p.scale * acc[i].c);

void main() {
    uint part = GROUP % p.parts, group = GROUP / p.parts, heads = p.B * p.Q, tile = group / heads;
    bool inside = tile < p.tiles;
    uint first = inside ? (p.tiles - 1u - tile) * 4u * RG : 0u, b = group % heads / p.Q, head = group % p.Q, h = head / (p.Q / p.H);
    uint keys = inside ? min(p.T, first + 4u * RG) : 0u;
    uvec4 t = ramp(first + 4u * RY);
    vec4 acc[4 * CHUNKS], s[4], dp[4], lse = vec4(0.0), delta = vec4(0.0);
    if (inside) {
        lse = ROWS4(LSE);
        delta = ROWS4(DELTA);
    }
    [[unroll]] for (uint i = 0u; i < 4u * CHUNKS; i++) acc[i] = vec4(0.0);
    for (uint key0 = 0u; key0 < keys; key0 += 4u * CG) {
        [[unroll]] for (uint j = 0u; j < 4u; j++) {
            s[j] = vec4(0.0);
            dp[j] = vec4(0.0);
        }
        DOTS(s, Q_AT, K_AT, p.D)
        DOTS(dp, DO_AT, V_AT, p.D)
        [[unroll]] for (uint j = 0u; j < 4u; j++)
            s[j] = where_upto(key0 + 4u * CX + j, t, exp(p.scale * s[j] - lse) * (dp[j] - delta), vec4(0.0));
        PUT(s)
        UPDATE(acc, K_AT, part * CHUNKS)
    }
    EACH(part * CHUNKS, STORE_DQ)
}
