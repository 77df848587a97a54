// add: y = x1 + x2.
//   0 x1 [n] in   1 x2 [n] in   2 y [n] out (may be x1)
//   push: n
//   workgroup WG, EACH elements a work-item; no local memory; no subgroup use
#include "common.h"
typedef struct { uint off[8]; uint n; } push;
__kernel __attribute__((reqd_work_group_size(WG, 1, 1)))
void add(__global const act_t *x1, __global const act_t *x2, __global act_t *y, const push p) {
    for (uint k = 0u; k < EACH; k++) {
        uint i = (GROUP * EACH + k) * WG + LANE;
        if (i >= p.n) break;
        store_act(y, p.off[2] + i, load_act(x1, p.off[0] + i) + load_act(x2, p.off[1] + i));
    }
}
