/* SwiGLU forward and backward, element by element. */
#include "chunk.h"

ssa_status lower_swiglu(lowering *l, const ssa_call *call) {
    ssa_tensor gate = call->t[0], up = call->t[1], y = call->t[2];
    int64_t    E = DIM('E'), most = binding_elements(l, y.dtype);
    for (int64_t i = 0; i < E; i += most) {
        int64_t n = min_i64(most, E - i);
        SSA_TRY(launch(l, &(launch_desc){.kernel = "swiglu", .act = y.dtype, .groups = {elementwise_groups(l, "swiglu", n)},
                                         .bind = {RD(ssa_view(gate, i, n)), RD(ssa_view(up, i, n)), WR(ssa_view(y, i, n))}, PUSH(U(n)),
                                         .flops = 6.0 * (double)n, .bytes = 3.0 * (double)(n * element_bytes(l, y.dtype))}));
    }
    return SSA_OK;
}

ssa_status lower_swiglu_bwd(lowering *l, const ssa_call *call) {
    ssa_tensor dy = call->t[0], gate = call->t[1], up = call->t[2], dgate = call->t[3], dup = call->t[4];
    int64_t    E = DIM('E'), most = binding_elements(l, dy.dtype);
    for (int64_t i = 0; i < E; i += most) {
        int64_t n = min_i64(most, E - i);
        SSA_TRY(launch(l, &(launch_desc){.kernel = "swiglu_bwd", .act = dy.dtype, .groups = {elementwise_groups(l, "swiglu_bwd", n)},
                                         .bind = {RD(ssa_view(dy, i, n)), RD(ssa_view(gate, i, n)), RD(ssa_view(up, i, n)), WR(ssa_view(dgate, i, n)),
                                                  WR(ssa_view(dup, i, n))},
                                         PUSH(U(n)), .flops = 12.0 * (double)n, .bytes = 5.0 * (double)(n * element_bytes(l, dy.dtype))}));
    }
    return SSA_OK;
}
