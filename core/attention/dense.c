/* The full stream: dense causal attention with grouped queries.
 *   o[t] = sum_{j<=t} softmax_j(scale q_t . k_j) v_j */
#include "attention.h"

ssa_status dense_forward(const attention *a, const attention_kept *kept) {
    return SSA_CALL(a->ctx, SSA_ATTN_FULL, SSA_T(kept->q, kept->k, kept->v, kept->o_full, attention_stat(a, kept, SSA_MAIN_FULL)), .scale = a->scale);
}

ssa_status dense_backward(const attention *a, const attention_kept *kept, ssa_tensor d_o, const attention_grads *g, bool accumulate) {
    return SSA_CALL(a->ctx, SSA_ATTN_FULL_BWD, SSA_T(d_o, kept->q, kept->k, kept->v, attention_stat(a, kept, SSA_MAIN_FULL), g->dq, g->dk, g->dv),
                    .scale = a->scale, .accumulate = accumulate);
}
