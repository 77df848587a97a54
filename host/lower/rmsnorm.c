/* RMSNorm forward and backward: one workgroup a row; dw by partial sums over fixed row ranges, added in order. */
#include "chunk.h"

enum { MAX_PARTS = 64 };

ssa_status lower_rmsnorm(lowering *l, const ssa_call *call) {
    int64_t    R = DIM('R'), C = DIM('C');
    ssa_tensor x = call->t[0], w = call->t[1], y = call->t[2], rstd = call->t[3];
    int64_t    rows = max_i64(1, binding_elements(l, x.dtype) / C);
    for (int64_t r = 0; r < R; r += rows) {
        int64_t n = min_i64(rows, R - r);
        SSA_TRY(launch(l, &(launch_desc){.kernel = "rmsnorm", .act = x.dtype, .groups = {n},
                                         .bind = {RD(ssa_view(x, r * C, n, C)), RD(w), WR(ssa_view(y, r * C, n, C)), WR(ssa_view(rstd, r, n))},
                                         PUSH(U(n), U(C), F(call->attr.eps)), .flops = 4.0 * (double)(n * C), .bytes = 8.0 * (double)(n * C)}));
    }
    return SSA_OK;
}

/* dw needs a sum over all rows: `parts` workgroups a column strip sum their rows into scratch [parts, C], a second kernel
 * adds the parts in order. No atomics, so the bits do not depend on timing. dw first: dx may overwrite dy. */
ssa_status lower_rmsnorm_bwd(lowering *l, const ssa_call *call) {
    int64_t    R = DIM('R'), C = DIM('C'), parts = min_i64(ceil_div(R, 16), MAX_PARTS);
    ssa_tensor dy = call->t[0], x = call->t[1], w = call->t[2], rstd = call->t[3], dx = call->t[4], dw = call->t[5], part;
    int64_t    rows = max_i64(1, binding_elements(l, x.dtype) / C);
    SSA_TRY(scratch(l, SSA_F32, parts * C, &part));
    for (int64_t r = 0; r < R; r += rows) {
        int64_t n = min_i64(rows, R - r);
        SSA_TRY(launch(l, &(launch_desc){.kernel = "rmsnorm_bwd_part", .act = x.dtype, .groups = {ceil_div(C, wg_of(l, "rmsnorm_bwd_part")), parts},
                                         .bind = {RD(ssa_view(dy, r * C, n, C)), RD(ssa_view(x, r * C, n, C)), RD(ssa_view(rstd, r, n)), WR(part)},
                                         PUSH(U(n), U(C), U(parts)), .flops = 3.0 * (double)(n * C), .bytes = 8.0 * (double)(n * C)}));
        SSA_TRY(launch(l, &(launch_desc){.kernel = "sum_parts", .groups = {ceil_div(C, wg_of(l, "sum_parts"))}, .bind = {RD(part), RW(dw)},
                                         PUSH(U(parts), U(C), U(call->attr.accumulate || r > 0)), .flops = (double)(parts * C), .bytes = 4.0 * (double)(parts * C)}));
    }
    for (int64_t r = 0; r < R; r += rows) {
        int64_t n = min_i64(rows, R - r);
        SSA_TRY(launch(l, &(launch_desc){.kernel = "rmsnorm_bwd", .act = x.dtype, .groups = {n},
                                         .bind = {RD(ssa_view(dy, r * C, n, C)), RD(ssa_view(x, r * C, n, C)), RD(w), RD(ssa_view(rstd, r, n)), RW(ssa_view(dx, r * C, n, C))},
                                         PUSH(U(n), U(C), U(call->attr.residual)), .flops = 8.0 * (double)(n * C), .bytes = 12.0 * (double)(n * C)}));
    }
    return SSA_OK;
}
