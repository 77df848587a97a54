/* Rotary embedding: one invocation a pair (d, D/2 + d). */
#include "chunk.h"

/* `rows` tokens from row `first` of x, of which `period` in turn use the rows of cos_sin from `position` on. */
static ssa_status rotate(lowering *l, const ssa_call *call, int64_t first, int64_t rows, int64_t period, int64_t position) {
    int64_t    D = DIM('D'), width = DIM('Q') * D, pairs = rows * width / 2;
    ssa_tensor x = ssa_view(call->t[0], first * width, rows, width), y = ssa_view(call->t[2], first * width, rows, width);
    return launch(l, &(launch_desc){.kernel = "rope", .act = x.dtype, .groups = {elementwise_groups(l, "rope", pairs)},
                                    .bind = {RD(x), RD(ssa_view(call->t[1], position * D, period, D)), WR(y)},
                                    PUSH(U(pairs), U(period), U(DIM('Q')), U(D / 2), U(call->attr.inverse)), .flops = 6.0 * (double)pairs,
                                    .bytes = 4.0 * (double)(pairs * element_bytes(l, x.dtype))});
}

ssa_status lower_rope(lowering *l, const ssa_call *call) {
    int64_t B = DIM('B'), T = DIM('T'), D = DIM('D');
    int64_t rows = binding_elements(l, call->t[0].dtype) / (DIM('Q') * D), tokens = binding_elements(l, SSA_F32) / D;
    if (B * T <= rows && T <= tokens) return rotate(l, call, 0, B * T, T, call->attr.position);
    int64_t most = max_i64(1, min_i64(rows, tokens));
    for (int64_t b = 0; b < B; b++)
        for (int64_t t = 0; t < T; t += most) {
            int64_t n = min_i64(most, T - t);
            SSA_TRY(rotate(l, call, b * T + t, n, n, call->attr.position + t));
        }
    return SSA_OK;
}
