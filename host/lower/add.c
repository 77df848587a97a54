/* y = x1 + x2. */
#include "chunk.h"

ssa_status lower_add(lowering *l, const ssa_call *call) {
    ssa_tensor x1 = call->t[0], x2 = call->t[1], y = call->t[2];
    int64_t    E = DIM('E'), most = binding_elements(l, y.dtype);
    for (int64_t i = 0; i < E; i += most) {
        int64_t n = min_i64(most, E - i);
        SSA_TRY(launch(l, &(launch_desc){.kernel = "add", .act = y.dtype, .groups = {elementwise_groups(l, "add", n)},
                                         .bind = {RD(ssa_view(x1, i, n)), RD(ssa_view(x2, i, n)), WR(ssa_view(y, i, n))}, PUSH(U(n)),
                                         .flops = (double)n, .bytes = 3.0 * (double)(n * element_bytes(l, y.dtype))}));
    }
    return SSA_OK;
}
