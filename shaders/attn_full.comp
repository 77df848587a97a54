#version 450
// attn_full: o[t] = sum_{j<=t} softmax_j(scale q_t . k_j) v_j, streaming softmax (Dao et al. 2022); a workgroup takes 4 RG
// queries of a head and walks the keys, 4 CG a time. Late queries (the long rows) first.
//   0 q [B, T, Q, D] in   1 k [B, T, H, D] in   2 v [B, T, H, D] in   3 o [B, T, Q, D] out   4 stat, f32: lse [B, T, Q] out
//   push: B, T, Q, H, D, tiles (of queries), parts (of D, CHUNKS * 4 CG wide), scale
//   workgroup WG = RG * CG; groups tiles * B * Q * parts; shared memory: attn.glsl; no subgroup use
#include "common.glsl"
#include "attn.glsl"
READ(0, act_t, q);
READ(1, act_t, k);
READ(2, act_t, v);
WRITE(3, act_t, o);
WRITE(4, float, stat);
PUSH { uint off[8]; uint B, T, Q, H, D, tiles, parts; float scale; } p;

#define Q_AT(r, d) (first + (r) < p.T && (d) < p.D ? load_act(q[p.off[0] + ((b * p.T + first + (r)) * p.Q + head) * p.D + (d)]) : 0.0)
#define K_AT(c, d) (key0 + (c) < p.T && (d) < p.D ? load_act(k[p.off[1] + ((b * p.T + key0 + (c)) * p.H + h) * p.D + (d)]) : 0.0)
#define V_AT(c, d) (key0 + (c) < p.T && (d) < p.D ? load_act(v[p.off[2] + ((b * p.T + key0 + (c)) * p.H + h) * p.D + (d)]) : 0.0)
#define STORE_O(r, d, i, c) \
    if (inside && first + (r) < p.T && (d) < p.D) \
        o[p.off[3] + ((b * p.T + first + (r)) * p.Q + head) * p.D + (d)] = store_act(acc[i].c);
#define STORE_LSE(r, x) if (first + (r) < p.T) stat[p.off[4] + (b * p.T + first + (r)) * p.Q + head] = x;

void main() {
    uint part = GROUP % p.parts, group = GROUP / p.parts, heads = p.B * p.Q, tile = group / heads;
    bool inside = tile < p.tiles; // a folded grid may overshoot: no keys then
    uint first = inside ? (p.tiles - 1u - tile) * 4u * RG : 0u, b = group % heads / p.Q, head = group % p.Q, h = head / (p.Q / p.H);
    uint keys = inside ? min(p.T, first + 4u * RG) : 0u;
    uvec4 t = ramp(first + 4u * RY);
    vec4 acc[4 * CHUNKS], s[4], m = vec4(NEG), l = vec4(0.0);
    [[unroll]] for (uint i = 0u; i < 4u * CHUNKS; i++) acc[i] = vec4(0.0);
    for (uint key0 = 0u; key0 < keys; key0 += 4u * CG) {
        [[unroll]] for (uint j = 0u; j < 4u; j++) s[j] = vec4(0.0);
        DOTS(s, Q_AT, K_AT, p.D)
        [[unroll]] for (uint j = 0u; j < 4u; j++) s[j] = where_upto(key0 + 4u * CX + j, t, p.scale * s[j], vec4(MASKED));
        vec4 top = max(max(s[0], s[1]), max(s[2], s[3])), old = m;
        ROW_MAX(top, top)
        m = max(m, top); // key 0 is visible to every row, so m is real from the first tile on
        vec4 shrink = exp(old - m);
        l *= shrink;
        [[unroll]] for (uint i = 0u; i < 4u * CHUNKS; i++) acc[i] *= shrink;
        [[unroll]] for (uint j = 0u; j < 4u; j++) {
            s[j] = exp(s[j] - m);
            l += s[j];
        }
        PUT(s)
        UPDATE(acc, V_AT, part * CHUNKS)
    }
    ROW_SUM(l, l)
    l += 1e-30; // 1 at least, or 0 without a key; max would lose NaN
    vec4 inverse = 1.0 / l, lse = m + log_or_nan(l);
    [[unroll]] for (uint i = 0u; i < 4u * CHUNKS; i++) acc[i] *= inverse;
    EACH(part * CHUNKS, STORE_O)
    if (inside && part == 0u && CX == 0u) {
        STORE_LSE(4u * RY, lse.x)
        STORE_LSE(4u * RY + 1u, lse.y)
        STORE_LSE(4u * RY + 2u, lse.z)
        STORE_LSE(4u * RY + 3u, lse.w)
    }
}
