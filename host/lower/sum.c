/* Sums in a fixed order: workgroup k sums elements k * SPAN .. into a partial sum, one workgroup adds those. */
#include "chunk.h"

enum { SPAN = 8192 };

ssa_status lower_reduce(lowering *l, ssa_tensor x, ssa_tensor y, bool square, float scale, bool accumulate) {
    int64_t    E = ssa_numel(&x), most = binding_elements(l, SSA_F32) / SPAN * SPAN, parts = ceil_div(E, SPAN);
    ssa_tensor part;
    if (most == 0) most = binding_elements(l, SSA_F32);
    if (most < SPAN) parts = ceil_div(E, most);
    SSA_TRY(scratch(l, SSA_F32, parts, &part));
    for (int64_t i = 0, k = 0; i < E; i += most) {
        int64_t n = min_i64(most, E - i), groups = ceil_div(n, SPAN);
        SSA_TRY(launch(l, &(launch_desc){.kernel = "sum", .groups = {groups},
                                         .bind = {RD(ssa_view(x, i, n)), WR(ssa_view(part, k, groups))}, PUSH(U(n), U(SPAN), U(square)),
                                         .flops = (square ? 2.0 : 1.0) * (double)n, .bytes = 4.0 * (double)n}));
        k += groups;
    }
    return launch(l, &(launch_desc){.kernel = "sum_total", .groups = {1}, .bind = {RD(part), RW(y)},
                                    PUSH(U(parts), F(scale), U(accumulate)), .flops = (double)parts, .bytes = 4.0 * (double)parts});
}

ssa_status lower_sum(lowering *l, const ssa_call *call) {
    return lower_reduce(l, call->t[0], call->t[1], false, call->attr.scale, call->attr.accumulate);
}

ssa_status lower_sumsq(lowering *l, const ssa_call *call) { return lower_reduce(l, call->t[0], call->t[1], true, 1, call->attr.accumulate); }
