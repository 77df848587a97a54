/* Embedding forward and backward. Rows of activations and of the table are chunked to what a binding may span. */
#include "chunk.h"

/* A pass over the vocabulary's chunks writes the rows whose token lies in the chunk; the first also zeroes the rows whose
 * token lies nowhere. */
ssa_status lower_embedding(lowering *l, const ssa_call *call) {
    ssa_tensor tokens = call->t[0], w = call->t[1], y = call->t[2];
    int64_t    R = DIM('R'), V = DIM('V'), C = DIM('C'), most = max_i64(1, binding_elements(l, y.dtype) / C);
    for (int64_t r = 0; r < R; r += most)
        for (int64_t v = 0; v < V; v += most) {
            int64_t n = min_i64(most, R - r), m = min_i64(most, V - v);
            SSA_TRY(launch(l, &(launch_desc){.kernel = "embedding", .act = y.dtype, .groups = {n},
                                             .bind = {RD(ssa_view(tokens, r, n)), RD(ssa_view(w, v * C, m, C)), RW(ssa_view(y, r * C, n, C))},
                                             PUSH(U(n), U(C), U(V), U(v), U(m)), .bytes = 2.0 * (double)(n * C * element_bytes(l, y.dtype))}));
        }
    return SSA_OK;
}

/* One workgroup a token and strip of WG channels; it finds the token's run in `order` by bisection. Chunks of dy are taken in
 * ascending order, all but the first accumulate. */
ssa_status lower_embedding_bwd(lowering *l, const ssa_call *call) {
    ssa_tensor tokens = call->t[0], order = call->t[1], dy = call->t[2], dw = call->t[3];
    int64_t    R = DIM('R'), V = DIM('V'), C = DIM('C'), strips = ceil_div(C, wg_of(l, "embedding_bwd"));
    int64_t    rows = max_i64(1, binding_elements(l, dy.dtype) / C), words = max_i64(1, binding_elements(l, SSA_F32) / C);
    for (int64_t v = 0; v < V; v += words)
        for (int64_t r = 0; r < R; r += rows) {
            int64_t m = min_i64(words, V - v), n = min_i64(rows, R - r);
            SSA_TRY(launch(l, &(launch_desc){.kernel = "embedding_bwd", .act = dy.dtype, .groups = {m * strips},
                                             .bind = {RD(tokens), RD(order), RD(ssa_view(dy, r * C, n, C)), RW(ssa_view(dw, v * C, m, C))},
                                             PUSH(U(R), U(C), U(v), U(m), U(r), U(n), U(call->attr.accumulate || r > 0)), .flops = (double)(n * C),
                                             .bytes = (double)(n * C * element_bytes(l, dy.dtype) + 4 * m * C)}));
        }
    return SSA_OK;
}
