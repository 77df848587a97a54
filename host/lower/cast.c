/* y = x in another dtype. */
#include "chunk.h"

ssa_status lower_convert(lowering *l, ssa_tensor x, ssa_tensor y) {
    int64_t E = ssa_numel(&y), most = min_i64(binding_elements(l, x.dtype), binding_elements(l, y.dtype));
    for (int64_t i = 0; i < E; i += most) {
        int64_t n = min_i64(most, E - i);
        SSA_TRY(launch(l, &(launch_desc){.kernel = "cast", .act = x.dtype, .act2 = y.dtype, .groups = {elementwise_groups(l, "cast", n)},
                                         .bind = {RD(ssa_view(x, i, n)), WR(ssa_view(y, i, n))}, PUSH(U(n)),
                                         .bytes = (double)(n * (element_bytes(l, x.dtype) + element_bytes(l, y.dtype)))}));
    }
    return SSA_OK;
}

ssa_status lower_cast(lowering *l, const ssa_call *call) { return lower_convert(l, call->t[0], call->t[1]); }
