// fill: y = a bit pattern, of 4 bytes where ACT is 0 (f32, i32), else of 2.
//   0 y [n] out, word_t
//   push: n, bits
//   workgroup WG, EACH elements a work-item; no local memory; no subgroup use
#include "common.h"
typedef struct { uint off[8]; uint n, bits; } push;
#if ACT == 0
typedef uint word_t;
#else
typedef ushort word_t;
#endif

__kernel __attribute__((reqd_work_group_size(WG, 1, 1)))
void fill(__global word_t *y, const push p) {
    for (uint k = 0u; k < EACH; k++) {
        uint i = (GROUP * EACH + k) * WG + LANE;
        if (i >= p.n) break;
        y[p.off[0] + i] = (word_t)p.bits;
    }
}
