/* Block keys: one invocation an element of kbar. */
#include "attn.h"

ssa_status lower_block_mean(lowering *l, const ssa_call *call) {
    int64_t    B = DIM('B'), T = DIM('T'), N = DIM('N'), C = DIM('H') * DIM('D'), block = min_i64(call->attr.block_size, T);
    ssa_tensor k = call->t[0], kbar = call->t[1];
    int64_t    most = min_i64(batches(l, B, T * C, k.dtype), batches(l, B, N * C, SSA_F32));
    for (int64_t b = 0; b < B; b += most) {
        int64_t n = min_i64(most, B - b);
        SSA_TRY(launch(l, &(launch_desc){.kernel = "block_mean", .act = k.dtype, .groups = {ceil_div(n * N * C, wg_of(l, "block_mean"))},
                                         .bind = {RD(batch(k, b, n, T * C)), WR(batch(kbar, b, n, N * C))}, PUSH(U(n), U(T), U(C), U(N), U(block)),
                                         .flops = (double)(n * T * C), .bytes = (double)(n * T * C * element_bytes(l, k.dtype))}));
    }
    return SSA_OK;
}
