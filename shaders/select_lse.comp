#version 450
// select_lse: lse[b,t,head] = log sum over the complete blocks i < (t+1) / block_size of exp(scale q . kbar_i), 0 where there is
// none; streaming, a workgroup takes 4 RG queries of a head and walks the blocks, 4 CG a time.
//   0 q [B, T, Q, D] in   1 kbar [B, N, H, D] in, f32   2 lse [B, T, Q] out, f32
//   push: B, T, Q, H, D, N, tiles (of queries), block_size, scale
//   workgroup WG = RG * CG; groups tiles * B * Q; shared memory: attn.glsl; no subgroup use
#include "common.glsl"
#include "attn.glsl"
READ(0, act_t, q);
READ(1, float, kbar);
WRITE(2, float, lse);
PUSH { uint off[8]; uint B, T, Q, H, D, N, tiles, block_size; float scale; } p;

#define Q_AT(r, d) (first + (r) < p.T && (d) < p.D ? load_act(q[p.off[0] + ((b * p.T + first + (r)) * p.Q + head) * p.D + (d)]) : 0.0)
#define K_AT(c, d) (block0 + (c) < p.N && (d) < p.D ? kbar[p.off[1] + ((b * p.N + block0 + (c)) * p.H + h) * p.D + (d)] : 0.0)
#define STORE_LSE(r, sum, max) if (first + (r) < p.T) lse[p.off[2] + (b * p.T + first + (r)) * p.Q + head] = (sum) == 0.0 ? 0.0 : (max) + log_or_nan(sum);

void main() {
    uint heads = p.B * p.Q, tile = GROUP / heads;
    bool inside = tile < p.tiles;
    uint first = inside ? (p.tiles - 1u - tile) * 4u * RG : 0u, b = GROUP % heads / p.Q, head = GROUP % p.Q, h = head / (p.Q / p.H);
    uint blocks = inside ? min(p.T, first + 4u * RG) / p.block_size : 0u;
    uvec4 complete = (ramp(first + 4u * RY) + uvec4(1u)) / p.block_size;
    vec4 s[4], m = vec4(NEG), l = vec4(0.0);
    for (uint block0 = 0u; block0 < blocks; block0 += 4u * CG) {
        [[unroll]] for (uint j = 0u; j < 4u; j++) s[j] = vec4(0.0);
        DOTS(s, Q_AT, K_AT, p.D)
        [[unroll]] for (uint j = 0u; j < 4u; j++) s[j] = where_upto(block0 + 4u * CX + j + 1u, complete, p.scale * s[j], vec4(MASKED));
        vec4 top = max(max(s[0], s[1]), max(s[2], s[3])), old = m;
        ROW_MAX(top, top)
        m = max(m, top);
        l *= exp(old - m);
        [[unroll]] for (uint j = 0u; j < 4u; j++) l += exp_or_nan(s[j] - m);
    }
    ROW_SUM(l, l)
    if (inside && CX == 0u) {
        STORE_LSE(4u * RY, l.x, m.x)
        STORE_LSE(4u * RY + 1u, l.y, m.y)
        STORE_LSE(4u * RY + 2u, l.z, m.z)
        STORE_LSE(4u * RY + 3u, l.w, m.w)
    }
}
