// cast: y = x, rounded to the type of y.
//   0 x [n] in   1 y [n] out, of type ACT2
//   push: n
//   workgroup WG, EACH elements a work-item; no local memory; no subgroup use
#include "common.h"
typedef struct { uint off[8]; uint n; } push;
__kernel __attribute__((reqd_work_group_size(WG, 1, 1)))
void cast(__global const act_t *x, __global act2_t *y, const push p) {
    for (uint k = 0u; k < EACH; k++) {
        uint i = (GROUP * EACH + k) * WG + LANE;
        if (i >= p.n) break;
        store_act2(y, p.off[1] + i, load_act(x, p.off[0] + i));
    }
}
