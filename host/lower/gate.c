/* Head gate forward and backward over rows of head_dim, a row being a token's head. */
#include "attn.h"

/* Rows a binding holds; z has three elements a row. */
static int64_t rows_that_fit(const lowering *l, int64_t D, ssa_dtype dtype) { return max_i64(1, binding_elements(l, dtype) / max_i64(D, 3)); }

ssa_status lower_gate(lowering *l, const ssa_call *call) {
    ssa_tensor o = call->t[0], z = call->t[1], y = call->t[2];
    int64_t    R = DIM('B') * DIM('T') * DIM('Q'), D = DIM('D'), most = rows_that_fit(l, D, o.dtype);
    for (int64_t r = 0; r < R; r += most) {
        int64_t n = min_i64(most, R - r);
        SSA_TRY(launch(l, &(launch_desc){.kernel = "gate", .act = o.dtype, .groups = {ceil_div(n * D, wg_of(l, "gate"))},
                                         .bind = {RD(ssa_view(o, r * D, n * D)), RD(ssa_view(z, 3 * r, 3 * n)), WR(ssa_view(y, r * D, n * D))},
                                         PUSH(U(n), U(D)),
                                         .flops = (double)(n * D), .bytes = 2.0 * (double)(n * D * element_bytes(l, o.dtype))}));
    }
    return SSA_OK;
}

ssa_status lower_gate_bwd(lowering *l, const ssa_call *call) {
    ssa_tensor dy = call->t[0], o = call->t[1], z = call->t[2], d_o = call->t[3], dz = call->t[4], stat = call->t[5];
    int64_t    R = DIM('B') * DIM('T') * DIM('Q'), D = DIM('D'), most = rows_that_fit(l, D, o.dtype);
    int64_t    rows = rows_a_group(l, "gate_bwd");
    for (int64_t r = 0; r < R; r += most) {
        int64_t n = min_i64(most, R - r);
        SSA_TRY(launch(l, &(launch_desc){.kernel = "gate_bwd", .act = o.dtype,
                                         .groups = {ceil_div(n, rows)},
                                         .bind = {RD(ssa_view(dy, r * D, n * D)), RD(ssa_view(o, r * D, n * D)), RD(ssa_view(z, 3 * r, 3 * n)),
                                                  WR(ssa_view(d_o, r * D, n * D)), WR(ssa_view(dz, 3 * r, 3 * n)), WR(ssa_view(stat, R + r, n))},
                                         PUSH(U(n), U(D)), .flops = 3.0 * (double)(n * D),
                                         .bytes = 3.0 * (double)(n * D * element_bytes(l, o.dtype))}));
    }
    return SSA_OK;
}
