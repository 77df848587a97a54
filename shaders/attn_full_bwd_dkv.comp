#version 450
// attn_full_bwd_dkv: dk (+)= scale sum ds q, dv (+)= sum p do, over the later queries and the group's heads in a fixed order;
// p = exp(scale q.k - lse) and ds = p (do.v - delta) recomputed. A workgroup takes 4 RG keys of a KV head and walks the
// columns (query, head of the group), 4 CG a time.
//   0 do [B, T, Q, D] in   1 q [B, T, Q, D] in   2 k [B, T, H, D] in   3 v [B, T, H, D] in
//   4 stat, f32: lse [B, T, Q], delta stat_delta elements further in   5 dk [B, T, H, D] in, out   6 dv [B, T, H, D] in, out
//   push: B, T, Q, H, D, tiles (of keys), parts (of D), stat_delta, scale, accumulate (1: add to dk, dv)
//   workgroup WG = RG * CG; groups tiles * B * H * parts; shared memory: attn.glsl + 32 CG; no subgroup use
#include "common.glsl"
#include "attn.glsl"
shared uint col_row[4 * CG]; // (b, t, head) of a column, or NONE
shared uint col_t[4 * CG];   // its t, less first
READ(0, act_t, d_o);
READ(1, act_t, q);
READ(2, act_t, k);
READ(3, act_t, v);
READ(4, float, stat);
BOTH(5, act_t, dk);
BOTH(6, act_t, dv);
PUSH { uint off[8]; uint B, T, Q, H, D, tiles, parts, stat_delta; float scale; uint accumulate; } p;

#define KEY(r) ((b * p.T + first + (r)) * p.H + h)
#define K_AT(r, d) (first + (r) < p.T && (d) < p.D ? load_act(k[p.off[2] + KEY(r) * p.D + (d)]) : 0.0)
#define V_AT(r, d) (first + (r) < p.T && (d) < p.D ? load_act(v[p.off[3] + KEY(r) * p.D + (d)]) : 0.0)
#define Q_AT(c, d) (col_row[c] != NONE && (d) < p.D ? load_act(q[p.off[1] + col_row[c] * p.D + (d)]) : 0.0)
#define DO_AT(c, d) (col_row[c] != NONE && (d) < p.D ? load_act(d_o[p.off[0] + col_row[c] * p.D + (d)]) : 0.0)
#define DK(r, d) (p.off[5] + KEY(r) * p.D + (d))
#define DV(r, d) (p.off[6] + KEY(r) * p.D + (d))
#define STORE_DKV(r, d, i, c) \
    if (inside && first + (r) < p.T && (d) < p.D) { \
        dk[DK(r, d)] = store_act((p.accumulate != 0u ? load_act(dk[DK(r, d)]) : 0.0) + p.scale * acc_k[i].c); \
        dv[DV(r, d)] = store_act((p.accumulate != 0u ? load_act(dv[DV(r, d)]) : 0.0) + acc_v[i].c); \
    }

void main() {
    uint part = GROUP % p.parts, group = GROUP / p.parts, heads = p.B * p.H, tile = group / heads, G = p.Q / p.H;
    bool inside = tile < p.tiles;
    uint first = inside ? tile * 4u * RG : 0u, b = group % heads / p.H, h = group % p.H, columns = inside ? (p.T - first) * G : 0u;
    vec4 acc_k[4 * CHUNKS], acc_v[4 * CHUNKS], s[4], ds[4];
    [[unroll]] for (uint i = 0u; i < 4u * CHUNKS; i++) {
        acc_k[i] = vec4(0.0);
        acc_v[i] = vec4(0.0);
    }
    for (uint n0 = 0u; n0 < columns; n0 += 4u * CG) {
        barrier();
        for (uint i = LANE; i < 4u * CG; i += WG) {
            uint n = n0 + i, t = first + n / G;
            col_t[i] = t - first;
            col_row[i] = n < columns ? (b * p.T + t) * p.Q + h * G + n % G : NONE;
        }
        [[unroll]] for (uint j = 0u; j < 4u; j++) {
            s[j] = vec4(0.0);
            ds[j] = vec4(0.0);
        }
        barrier();
        DOTS(s, K_AT, Q_AT, p.D)
        DOTS(ds, V_AT, DO_AT, p.D)
        [[unroll]] for (uint j = 0u; j < 4u; j++) {
            uint row = col_row[4u * CX + j], t = col_t[4u * CX + j];
            vec4 w = vec4(0.0), dw = vec4(0.0);
            if (row != NONE) {
                w = exp(p.scale * s[j] - stat[p.off[4] + row]);
                dw = w * (ds[j] - stat[p.off[4] + p.stat_delta + row]);
            }
            s[j] = where_from(t, 4u * RY, w, vec4(0.0));
            ds[j] = where_from(t, 4u * RY, dw, vec4(0.0));
        }
        PUT(s)
        UPDATE(acc_v, DO_AT, part * CHUNKS)
        barrier();
        PUT(ds)
        UPDATE(acc_k, Q_AT, part * CHUNKS)
    }
    EACH(part * CHUNKS, STORE_DKV)
}
