/* The sparse stream: blocks are scored by the means of their keys, each query attends its own block and the best earlier ones
 * (ssa_spec 1.3 to 1.5: Mao et al. 2026, after MoBA and NSA).
 *   kbar = block means;  idx = top-k of the scores;  o[t] = softmax attention over the tokens j <= t of the blocks idx[t] */
#include "attention.h"

ssa_status sparse_forward(const attention *a, const attention_kept *kept) {
    const ssa_model_config *c = a->config;
    ATTENTION_RUN(SSA_BLOCK_MEAN, SSA_T(kept->k, a->kbar), .block_size = c->block_size);
    ATTENTION_RUN(SSA_SELECT, SSA_T(kept->q, a->kbar, kept->idx), .score = c->score, .select = c->select, .block_size = c->block_size,
                  .top_k = c->top_k, .scale = a->scale);
    return SSA_CALL(a->ctx, SSA_ATTN_SPARSE, SSA_T(kept->q, kept->k, kept->v, kept->idx, kept->o_sparse, attention_stat(a, kept, SSA_MAIN_SPARSE)),
                    .scale = a->scale, .block_size = c->block_size);
}

ssa_status sparse_backward(const attention *a, const attention_kept *kept, ssa_tensor d_o, const attention_grads *g, bool accumulate) {
    ATTENTION_RUN(SSA_SPARSE_LISTS, SSA_T(kept->idx, a->lists), .block_size = a->config->block_size);
    return SSA_CALL(a->ctx, SSA_ATTN_SPARSE_BWD,
                    SSA_T(d_o, kept->q, kept->k, kept->v, kept->idx, a->lists, attention_stat(a, kept, SSA_MAIN_SPARSE), g->dq, g->dk, g->dv),
                    .scale = a->scale, .block_size = a->config->block_size, .accumulate = accumulate);
}
