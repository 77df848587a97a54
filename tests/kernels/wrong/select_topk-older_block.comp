#version 450
// WRONG: of equal scores the older block
// select_topk: slot 0 is the current block c = t / block_size; then, slot by slot, the best block below the last one taken:
// higher score first (NaN as infinity), equal scores: the newer block; -1 when there is none. With halves, of the current
// superblock (block_size blocks, c included) at most block_size / 2 are taken and as many of the blocks before; in the first all.
//   0 score [B, rows, S, stride] in, f32   1 idx [B, T, S, K] out, int
//   push: B, T, S, K, t0, rows, stride, block_size, halves
//   workgroup WG; groups B * rows * S; shared memory 8 * WG bytes; no subgroup use
#include "common.glsl"
layout(constant_id = 0) const uint WG = 64;
layout(local_size_x_id = 0) in;
shared int best_score[WG];
shared int best_block[WG];
READ(0, float, score);
WRITE(1, int, idx);
PUSH { uint off[8]; uint B, T, S, K, t0, rows, stride, block_size, halves; } p;

// The order of scores as integers: the same as that of the floats, -0 like 0, NaN like infinity, so that a block with NaN is taken and seen.
#define NO_NUMBER 0x7f800001 // beyond infinity
int rank(float x) {
    int i = floatBitsToInt(x), size = i & 0x7fffffff;
    return size > 0x7f800000 ? 0x7f800000 : i < 0 ? -size : size;
}

void main() {
    uint row = GROUP / p.S, t = p.t0 + row % p.rows, b = row / p.rows, sel = GROUP % p.S;
    bool inside = b < p.B;
    uint scores = p.off[0] + GROUP * p.stride, slots = p.off[1] + ((b * p.T + t) * p.S + sel) * p.K;
    uint c = inside ? t / p.block_size : 0u, border = p.halves != 0u ? c / p.block_size * p.block_size : 0u; // the superblock's first
    uint near = border > 0u ? max(p.block_size / 2u, 1u) - 1u : p.K, far = border > 0u ? p.block_size / 2u : 0u, slot = 1u;
    int last_score = NO_NUMBER, last_block = 0x7fffffff;
    bool found = inside;
    while (found && slot < p.K) { // the same for the whole workgroup
        int s = -NO_NUMBER, block = -1;
        for (uint i = (far > 0u ? 0u : border) + LANE; i < (near > 0u ? c : border); i += WG) { // ascending: a tie goes to the newer
            int x = rank(score[scores + i]);
            if (x > s && (x < last_score || (x == last_score && int(i) > last_block))) {
                s = x;
                block = int(i);
            }
        }
        barrier();
        best_score[LANE] = s;
        best_block[LANE] = block;
        barrier();
        for (uint n = WG / 2u; n > 0u; n /= 2u) {
            if (LANE < n) {
                int x = best_score[LANE + n], i = best_block[LANE + n];
                if (x > best_score[LANE] || (x == best_score[LANE] && i < best_block[LANE])) {
                    best_score[LANE] = x;
                    best_block[LANE] = i;
                }
            }
            barrier();
        }
        last_score = best_score[0];
        last_block = best_block[0];
        found = last_block >= 0;
        if (found) {
            if (LANE == 0u) idx[slots + slot] = last_block;
            if (uint(last_block) >= border) near--;
            else far--;
            slot++;
        }
    }
    if (inside) {
        if (LANE == 0u) idx[slots] = int(c);
        for (uint i = slot + LANE; i < p.K; i += WG) idx[slots + i] = -1;
    }
}
