#version 450
// select_score: the score of every earlier block for the queries t0 .. t0 + rows - 1, summed over the heads that share a
// selection: exp(scale q . kbar_i - lse), or q . kbar_i (dot_score). Blocks that a query does not rank hold anything.
//   0 q [B, T, Q, D] in   1 kbar [B, N, H, D] in, f32   2 lse [B, T, Q] in, f32   3 score [B, rows, S, stride] out, f32
//   push: B, T, Q, H, D, N, S, t0, rows, stride (blocks kept), row_tiles, block_tiles, scale, dot_score
//   workgroup WG = RG * CG; groups B * S * row_tiles * block_tiles; shared memory: attn.glsl; no subgroup use
#include "common.glsl"
#include "attn.glsl"
READ(0, act_t, q);
READ(1, float, kbar);
READ(2, float, lse);
WRITE(3, float, score);
PUSH { uint off[8]; uint B, T, Q, H, D, N, S, t0, rows, stride, row_tiles, block_tiles; float scale; uint dot_score; } p;

#define ROW(r) ((b * p.T + p.t0 + first + (r)) * p.Q + head)
#define Q_AT(r, d) (first + (r) < p.rows && (d) < p.D ? load_act(q[p.off[0] + ROW(r) * p.D + (d)]) : 0.0)
#define K_AT(c, d) (block0 + (c) < p.N && (d) < p.D ? kbar[p.off[1] + ((b * p.N + block0 + (c)) * p.H + h) * p.D + (d)] : 0.0)
#define LSE(r) (first + (r) < p.rows ? lse[p.off[2] + ROW(r)] : 0.0)
#define STORE(r, c, x) if (first + (r) < p.rows && (c) < p.stride) score[p.off[3] + ((b * p.rows + first + (r)) * p.S + sel) * p.stride + (c)] = x;

void main() {
    uint block0 = GROUP % p.block_tiles * 4u * CG, group = GROUP / p.block_tiles, sel = group % p.S, first = group / p.S % p.row_tiles * 4u * RG;
    uint b = group / p.S / p.row_tiles, heads = p.Q / p.S, h = sel * heads / (p.Q / p.H);
    bool inside = b < p.B;
    vec4 s[4], sum[4];
    [[unroll]] for (uint j = 0u; j < 4u; j++) sum[j] = vec4(0.0);
    for (uint head = sel * heads; inside && head < (sel + 1u) * heads; head++) {
        [[unroll]] for (uint j = 0u; j < 4u; j++) s[j] = vec4(0.0);
        DOTS(s, Q_AT, K_AT, p.D)
        vec4 offset = ROWS4(LSE);
        [[unroll]] for (uint j = 0u; j < 4u; j++) sum[j] += p.dot_score != 0u ? s[j] : exp(p.scale * s[j] - offset);
    }
    if (inside)
        [[unroll]] for (uint j = 0u; j < 4u; j++) {
            uint c = block0 + 4u * CX + j;
            STORE(4u * RY, c, sum[j].x)
            STORE(4u * RY + 1u, c, sum[j].y)
            STORE(4u * RY + 2u, c, sum[j].z)
            STORE(4u * RY + 3u, c, sum[j].w)
        }
}
