#version 450
// fill: y = a bit pattern, of 4 bytes where ACT is 0 (f32, i32), else of 2.
//   0 y [n] out, word_t
//   push: n, bits
//   workgroup WG, EACH elements an invocation; no shared memory; no subgroup use
#include "common.glsl"
layout(constant_id = 0) const uint WG = 128;
layout(constant_id = 1) const uint EACH = 4;
layout(local_size_x_id = 0) in;
#if ACT == 0
#define word_t uint
#else
#define word_t uint16_t
#endif
WRITE(0, word_t, y);
PUSH { uint off[8]; uint n, bits; } p;

void main() {
    for (uint k = 0u; k < EACH; k++) {
        uint i = (GROUP * EACH + k) * WG + LANE;
        if (i >= p.n) break;
        y[p.off[0] + i] = word_t(p.bits);
    }
}
