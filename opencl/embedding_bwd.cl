// embedding_bwd: dw[v] (+)= sum of dy[r] over the rows r with tokens[r] = v, ascending; one workgroup a token and WG channels.
// order lists all rows sorted by token; the rows of a token are one run of it, found by bisection.
//   0 tokens [R] in, i32   1 order [R] in, i32   2 dy [rows, C] in, rows first_row .. of all   3 dw [count, C] in, out, f32
//   push: R, C, first (token of dw's row 0), count, first_row, rows, accumulate (1: add to dw)
//   workgroup WG; groups count * ceil(C / WG); no local memory; no subgroup use
#include "common.h"
typedef struct { uint off[8]; uint R, C, first, count, first_row, rows, accumulate; } push;
__kernel __attribute__((reqd_work_group_size(WG, 1, 1)))
void embedding_bwd(__global const int *tokens, __global const int *order, __global const act_t *dy, __global float *dw, const push p) {
    uint strips = (p.C + WG - 1u) / WG, row = GROUP / strips, c = GROUP % strips * WG + LANE;
    if (row >= p.count || c >= p.C) return;
    int v = (int)(p.first + row);
    uint low = 0u, high = p.R; // the first place in order whose token is not below v
    while (low < high) {
        uint middle = (low + high) / 2u;
        if (tokens[p.off[0] + (uint)(order[p.off[1] + middle])] < v) low = middle + 1u;
        else high = middle;
    }
    float sum = p.accumulate != 0u ? dw[p.off[3] + row * p.C + c] : 0.0f;
    for (uint i = low; i < p.R; i++) {
        uint r = (uint)(order[p.off[1] + i]);
        if (tokens[p.off[0] + r] != v) break;
        if (r >= p.first_row && r - p.first_row < p.rows) sum += load_act(dy, p.off[2] + (r - p.first_row) * p.C + c);
    }
    dw[p.off[3] + row * p.C + c] = sum;
}
