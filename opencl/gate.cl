// gate: y = o * sigmoid(z[3 row + 1]), a row being a token's head; one work-item an element.
//   0 o [rows, D] in   1 z [rows, 3] in   2 y [rows, D] out
//   push: rows, D
//   workgroup WG; no local memory; no subgroup use
#include "common.h"
typedef struct { uint off[8]; uint rows, D; } push;

__kernel __attribute__((reqd_work_group_size(WG, 1, 1)))
void gate(__global const act_t *o, __global const act_t *z, __global act_t *y, const push p) {
    uint e = GROUP * WG + LANE, r = e / p.D;
    if (r >= p.rows) return;
    float g = logistic(load_act(z, p.off[1] + 3u * r + 1u));
    store_act(y, p.off[2] + e, load_act(o, p.off[0] + e) * g);
}
