// select_lse: lse[b,t,head] = log sum over the complete blocks i < (t+1) / block_size of exp(scale q . kbar_i), 0 where there is
// none; streaming, a workgroup takes 4 RG queries of a head and walks the blocks, 4 CG a time.
//   0 q [B, T, Q, D] in   1 kbar [B, N, H, D] in, f32   2 lse [B, T, Q] out, f32
//   push: B, T, Q, H, D, N, tiles (of queries), block_size, scale
//   workgroup WG = RG * CG; groups tiles * B * Q; local memory: attn.h; no subgroup use
#include "common.h"
#include "attn.h"
typedef struct { uint off[8]; uint B, T, Q, H, D, N, tiles, block_size; float scale; } push;

#define Q_AT(r, d) (first + (r) < p.T && (d) < p.D ? load_act(q, p.off[0] + ((b * p.T + first + (r)) * p.Q + head) * p.D + (d)) : 0.0f)
#define K_AT(c, d) (block0 + (c) < p.N && (d) < p.D ? kbar[p.off[1] + ((b * p.N + block0 + (c)) * p.H + h) * p.D + (d)] : 0.0f)
#define STORE_LSE(r, sum, max) if (first + (r) < p.T) lse[p.off[2] + (b * p.T + first + (r)) * p.Q + head] = (sum) == 0.0f ? 0.0f : (max) + log_or_nan(sum);

__kernel NARROW __attribute__((reqd_work_group_size(WG, 1, 1)))
void select_lse(__global const act_t *q, __global const float *kbar, __global float *lse, const push p) {
    ATTN_LOCAL
    uint heads = p.B * p.Q, tile = GROUP / heads;
    bool inside = tile < p.tiles;
    uint first = inside ? (p.tiles - 1u - tile) * 4u * RG : 0u, b = GROUP % heads / p.Q, head = GROUP % p.Q, h = head / (p.Q / p.H);
    uint blocks = inside ? min(p.T, first + 4u * RG) / p.block_size : 0u;
    uint4 complete = (ramp(first + 4u * RY) + (uint4)(1u)) / p.block_size;
    float4 s[4], m = (float4)(NEG), l = (float4)(0.0f);
    for (uint block0 = 0u; block0 < blocks; block0 += 4u * CG) {
        UNROLL for (uint j = 0u; j < 4u; j++) s[j] = (float4)(0.0f);
        DOTS(s, Q_AT, K_AT, p.D)
        UNROLL for (uint j = 0u; j < 4u; j++) s[j] = where_upto(block0 + 4u * CX + j + 1u, complete, p.scale * s[j], (float4)(MASKED));
        float4 top = max(max(s[0], s[1]), max(s[2], s[3])), old = m;
        ROW_MAX(top, top)
        m = max(m, top);
        l *= exp(old - m);
        UNROLL for (uint j = 0u; j < 4u; j++) l += exp_or_nan4(s[j] - m);
    }
    ROW_SUM(l, l)
    if (inside && CX == 0u) {
        STORE_LSE(4u * RY, l.x, m.x)
        STORE_LSE(4u * RY + 1u, l.y, m.y)
        STORE_LSE(4u * RY + 2u, l.z, m.z)
        STORE_LSE(4u * RY + 3u, l.w, m.w)
    }
}
