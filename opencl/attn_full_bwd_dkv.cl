// attn_full_bwd_dkv: dk (+)= scale sum ds q, dv (+)= sum p do, over the later queries and the group's heads in a fixed order;
// p = exp(scale q.k - lse) and ds = p (do.v - delta) recomputed. A workgroup takes 4 RG keys of a KV head and walks the
// columns (query, head of the group), 4 CG a time.
//   0 do [B, T, Q, D] in   1 q [B, T, Q, D] in   2 k [B, T, H, D] in   3 v [B, T, H, D] in
//   4 stat, f32: lse [B, T, Q], delta stat_delta elements further in   5 dk [B, T, H, D] in, out   6 dv [B, T, H, D] in, out
//   push: B, T, Q, H, D, tiles (of keys), parts (of D), stat_delta, scale, accumulate (1: add to dk, dv)
//   workgroup WG = RG * CG; groups tiles * B * H * parts; local memory: attn.h + 32 CG; no subgroup use
#include "common.h"
#include "attn.h"
typedef struct { uint off[8]; uint B, T, Q, H, D, tiles, parts, stat_delta; float scale; uint accumulate; } push;

#define KEY(r) ((b * p.T + first + (r)) * p.H + h)
#define K_AT(r, d) (first + (r) < p.T && (d) < p.D ? load_act(k, p.off[2] + KEY(r) * p.D + (d)) : 0.0f)
#define V_AT(r, d) (first + (r) < p.T && (d) < p.D ? load_act(v, p.off[3] + KEY(r) * p.D + (d)) : 0.0f)
#define Q_AT(c, d) (col_row[c] != NONE && (d) < p.D ? load_act(q, p.off[1] + col_row[c] * p.D + (d)) : 0.0f)
#define DO_AT(c, d) (col_row[c] != NONE && (d) < p.D ? load_act(d_o, p.off[0] + col_row[c] * p.D + (d)) : 0.0f)
#define DK(r, d) (p.off[5] + KEY(r) * p.D + (d))
#define DV(r, d) (p.off[6] + KEY(r) * p.D + (d))
#define STORE_DKV(r, d, i, c) \
    if (inside && first + (r) < p.T && (d) < p.D) { \
        store_act(dk, DK(r, d), (p.accumulate != 0u ? load_act(dk, DK(r, d)) : 0.0f) + p.scale * acc_k[i].c); \
        store_act(dv, DV(r, d), (p.accumulate != 0u ? load_act(dv, DV(r, d)) : 0.0f) + acc_v[i].c); \
    }

__kernel NARROW __attribute__((reqd_work_group_size(WG, 1, 1)))
void attn_full_bwd_dkv(__global const act_t *d_o, __global const act_t *q, __global const act_t *k, __global const act_t *v,
                       __global const float *stat, __global act_t *dk, __global act_t *dv, const push p) {
    ATTN_LOCAL
    __local uint col_row[4 * CG]; // (b, t, head) of a column, or NONE
    __local uint col_t[4 * CG];   // its t, less first
    uint part = GROUP % p.parts, group = GROUP / p.parts, heads = p.B * p.H, tile = group / heads, G = p.Q / p.H;
    bool inside = tile < p.tiles;
    uint first = inside ? tile * 4u * RG : 0u, b = group % heads / p.H, h = group % p.H, columns = inside ? (p.T - first) * G : 0u;
    float4 acc_k[4 * CHUNKS], acc_v[4 * CHUNKS], s[4], ds[4];
    UNROLL for (uint i = 0u; i < 4u * CHUNKS; i++) {
        acc_k[i] = (float4)(0.0f);
        acc_v[i] = (float4)(0.0f);
    }
    for (uint n0 = 0u; n0 < columns; n0 += 4u * CG) {
        BARRIER;
        NO_UNROLL for (uint i = LANE; i < 4u * CG; i += WG) {
            uint n = n0 + i, t = first + n / G;
            col_t[i] = t - first;
            col_row[i] = n < columns ? (b * p.T + t) * p.Q + h * G + n % G : NONE;
        }
        UNROLL for (uint j = 0u; j < 4u; j++) {
            s[j] = (float4)(0.0f);
            ds[j] = (float4)(0.0f);
        }
        BARRIER;
        DOTS(s, K_AT, Q_AT, p.D)
        DOTS(ds, V_AT, DO_AT, p.D)
        UNROLL for (uint j = 0u; j < 4u; j++) {
            uint row = col_row[4u * CX + j], t = col_t[4u * CX + j];
            float4 w = (float4)(0.0f), dw = (float4)(0.0f);
            if (row != NONE) {
                w = exp(p.scale * s[j] - stat[p.off[4] + row]);
                dw = w * (ds[j] - stat[p.off[4] + p.stat_delta + row]);
            }
            s[j] = where_from(t, 4u * RY, w, (float4)(0.0f));
            ds[j] = where_from(t, 4u * RY, dw, (float4)(0.0f));
        }
        PUT(s)
        UPDATE(acc_v, DO_AT, part * CHUNKS)
        BARRIER;
        PUT(ds)
        UPDATE(acc_k, Q_AT, part * CHUNKS)
    }
    EACH(part * CHUNKS, STORE_DKV)
}
