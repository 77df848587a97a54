/* Alignment loss: partial sums in scratch, added in order; its backward in one pass over rows of head_dim. */
#include "attn.h"

enum { SPAN = 4096 }; /* elements a partial sum */

ssa_status lower_align(lowering *l, const ssa_call *call) {
    ssa_tensor full = call->t[0], sparse = call->t[1], z = call->t[2], value = call->t[3], part;
    int64_t    R = DIM('B') * DIM('T') * DIM('Q'), D = DIM('D'), most = max_i64(1, binding_elements(l, full.dtype) / max_i64(D, 3)), parts = 0;
    for (int64_t r = 0; r < R; r += most) parts += ceil_div(min_i64(most, R - r) * D, SPAN);
    SSA_TRY(scratch(l, SSA_F32, parts, &part));
    for (int64_t r = 0, first = 0; r < R; r += most) {
        int64_t n = min_i64(most, R - r), groups = ceil_div(n * D, SPAN);
        SSA_TRY(launch(l, &(launch_desc){.kernel = "align", .act = full.dtype, .groups = {groups},
                                         .bind = {RD(ssa_view(full, r * D, n * D)), RD(ssa_view(sparse, r * D, n * D)), RD(ssa_view(z, 3 * r, 3 * n)),
                                                  WR(ssa_view(part, first, groups))},
                                         PUSH(U(n * D), U(D), U(SPAN), U(call->attr.loss == SSA_LOSS_L2), U(call->attr.gated)),
                                         .flops = 5.0 * (double)(n * D),
                                         .bytes = 2.0 * (double)(n * D * element_bytes(l, full.dtype))}));
        first += groups;
    }
    return lower_reduce(l, part, value, false, R ? 2 * call->attr.scale / (float)(R * D) : 0, call->attr.accumulate);
}

/* stat is bound from the delta of the full stream to that of the sparse one. */
ssa_status lower_align_bwd(lowering *l, const ssa_call *call) {
    ssa_tensor dy = call->t[0], full = call->t[1], sparse = call->t[2], z = call->t[3], do_full = call->t[4], do_sparse = call->t[5];
    ssa_tensor dz = call->t[6], stat = call->t[7];
    int64_t    R = DIM('B') * DIM('T') * DIM('Q'), D = DIM('D'), most = max_i64(1, binding_elements(l, full.dtype) / max_i64(D, 3));
    int64_t    rows = rows_a_group(l, "align_bwd");
    for (int64_t r = 0; r < R; r += most) {
        int64_t n = min_i64(most, R - r);
        SSA_TRY(launch(l, &(launch_desc){.kernel = "align_bwd", .act = full.dtype,
                                         .groups = {ceil_div(n, rows)},
                                         .bind = {RD(ssa_view(dy, r * D, n * D)), RD(ssa_view(full, r * D, n * D)),
                                                  RD(ssa_view(sparse, r * D, n * D)),
                                                  RD(ssa_view(z, 3 * r, 3 * n)), WR(ssa_view(do_full, r * D, n * D)),
                                                  WR(ssa_view(do_sparse, r * D, n * D)),
                                                  WR(ssa_view(dz, 3 * r, 3 * n)), RW(ssa_view(stat, R + r, 2 * R + n))},
                                         PUSH(U(n), U(D), U(2 * R), F(call->attr.scale), U(call->attr.loss == SSA_LOSS_L2), U(call->attr.gated),
                                              U(call->attr.main == SSA_MAIN_SPARSE)),
                                         .flops = 12.0 * (double)(n * D), .bytes = 5.0 * (double)(n * D * element_bytes(l, full.dtype))}));
    }
    return SSA_OK;
}
