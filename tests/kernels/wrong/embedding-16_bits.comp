#version 450
// WRONG: token ids are cut to 16 bits
// embedding: y[r] = w[tokens[r]] for the tokens within one chunk of the vocabulary; one workgroup a row.
// The first chunk (first = 0) also zeroes the rows whose token is outside 0..V-1; other rows stay as they are.
//   0 tokens [R] in, i32   1 w [count, C] in, the chunk   2 y [R, C] out
//   push: R, C, V, first (token of the chunk's row 0), count
//   workgroup WG; no shared memory; no subgroup use
#include "common.glsl"
layout(constant_id = 0) const uint WG = 64;
layout(local_size_x_id = 0) in;
READ(0, int, tokens);
READ(1, act_t, w);
WRITE(2, act_t, y);
PUSH { uint off[8]; uint R, C, V, first, count; } p;

void main() {
    uint r = GROUP;
    if (r >= p.R) return;
    uint v = uint(tokens[p.off[0] + r]) & 0xffffu; // a negative token becomes a large one
    if (v >= p.first && v - p.first < p.count) {
        for (uint c = LANE; c < p.C; c += WG) y[p.off[2] + r * p.C + c] = store_act(load_act(w[p.off[1] + (v - p.first) * p.C + c]));
    } else if (v >= p.V && p.first == 0u) {
        for (uint c = LANE; c < p.C; c += WG) y[p.off[2] + r * p.C + c] = store_act(ZERO);
    }
}
