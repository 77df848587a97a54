/* The attention systems by name; sizes, memory, and what a single stream does whatever the system. */
#include "attention.h"
#include <math.h>

extern const attention_system attention_full, attention_ssa;

static const attention_system *const systems[] = {[SSA_ATTENTION_SSA] = &attention_ssa, [SSA_ATTENTION_FULL] = &attention_full};

const attention_system *attention_system_of(const ssa_model_config *c) { return systems[c->attention]; }

int attention_projections(const ssa_model_config *c, attention_projection out[ATTENTION_MAX_PROJECTIONS]) {
    if (!c->gated) return 0;
    out[0] = (attention_projection){"self_attn.g_proj", 3 * (int64_t)c->n_heads}; /* column 3q + 1 is head q's; the others are NSA's */
    return 1;
}

/* sigmoid(40) is 1 in every float: exp(-40) is below half a unit of the last place of 1. */
static const float OPEN_GATE = 40;

/* -- memory ---------------------------------------------------------------------------------------------------------- */

ssa_status attention_create(attention *a, tensor_list *owner, const ssa_model_config *c, int64_t batch, int64_t seq, ssa_dtype dtype,
                            bool training, bool both, int accum, ssa_tensor losses) {
    int64_t blocks = (seq + c->block_size - 1) / c->block_size;
    *a = (attention){.system = attention_system_of(c), .ctx = owner->ctx, .config = c, .B = batch, .T = seq, .Q = c->n_heads, .H = c->n_kv_heads,
                     .D = c->head_dim, .N = blocks, .K = c->top_k < blocks ? c->top_k : blocks, .S = c->share_per_head ? c->n_heads : c->n_kv_heads,
                     .dtype = dtype, .losses = losses, .scale = 1.0f / sqrtf((float)c->head_dim), .terms = c->n_layers * accum};
    a->both = training ? a->system->aligns(c) : both;
    SSA_TRY(TENSORS_MAKE(owner, a->kbar, SSA_F32, a->B, a->N, a->H, a->D));
    if (training) SSA_TRY(TENSORS_MAKE(owner, a->lists, SSA_I32, a->B, a->S, a->N + 1 + a->T * a->K));
    if (!c->gated) { /* the kernels know gates only: these are open, exactly 1 and without a gradient */
        SSA_TRY(TENSORS_MAKE(owner, a->open, dtype, a->B, a->T, 3 * a->Q));
        ATTENTION_RUN(SSA_FILL, SSA_T(a->open), .value = OPEN_GATE);
        if (training) SSA_TRY(TENSORS_MAKE(owner, a->d_open, dtype, a->B, a->T, 3 * a->Q));
    }
    if (training && a->both) SSA_TRY(TENSORS_MAKE(owner, a->d_other, dtype, a->B, a->T, a->Q, a->D));
    return SSA_OK;
}

ssa_status attention_keep(const attention *a, tensor_list *owner, attention_kept *kept) {
    attention_projection projection[ATTENTION_MAX_PROJECTIONS];
    SSA_TRY(TENSORS_MAKE(owner, kept->q, a->dtype, a->B, a->T, a->Q, a->D));
    SSA_TRY(TENSORS_MAKE(owner, kept->k, a->dtype, a->B, a->T, a->H, a->D));
    SSA_TRY(TENSORS_MAKE(owner, kept->v, a->dtype, a->B, a->T, a->H, a->D));
    for (int i = 0, n = attention_projections(a->config, projection); i < n; i++)
        SSA_TRY(TENSORS_MAKE(owner, kept->projection[i], a->dtype, a->B, a->T, projection[i].width));
    SSA_TRY(TENSORS_MAKE(owner, kept->o_full, a->dtype, a->B, a->T, a->Q, a->D));
    kept->o_sparse = kept->o_full;
    if (a->both) SSA_TRY(TENSORS_MAKE(owner, kept->o_sparse, a->dtype, a->B, a->T, a->Q, a->D));
    SSA_TRY(TENSORS_MAKE(owner, kept->stat, SSA_F32, 4, a->B, a->T, a->Q));
    return TENSORS_MAKE(owner, kept->idx, SSA_I32, a->B, a->T, a->S, a->K);
}

ssa_tensor attention_stat(const attention *a, const attention_kept *kept, ssa_stream stream) {
    int64_t rows = a->B * a->T * a->Q;
    return ssa_view(kept->stat, stream == SSA_MAIN_FULL ? 0 : 2 * rows, 2, a->B, a->T, a->Q);
}

/* -- a single stream ------------------------------------------------------------------------------------------------- */

ssa_status streams_forward(const attention *a, const attention_kept *kept, ssa_stream main) {
    if (a->both || main == SSA_MAIN_FULL) SSA_TRY(dense_forward(a, kept));
    if (a->both || main == SSA_MAIN_SPARSE) SSA_TRY(sparse_forward(a, kept));
    return SSA_OK;
}

ssa_tensor gate_of(const attention *a, const attention_kept *kept) { return a->config->gated ? kept->projection[0] : a->open; }
ssa_tensor d_gate_of(const attention *a, const attention_grads *g) { return a->config->gated ? g->dprojection[0] : a->d_open; }

ssa_status gated_output(const attention *a, const attention_kept *kept, ssa_stream main, ssa_tensor *y) {
    ssa_tensor o = main == SSA_MAIN_FULL ? kept->o_full : kept->o_sparse;
    if (a->config->gated) return SSA_CALL(a->ctx, SSA_GATE, SSA_T(o, gate_of(a, kept), *y), .value = 0);
    *y = o;
    return SSA_OK;
}

ssa_status single_backward(const attention *a, const attention_kept *kept, ssa_stream main, const attention_grads *g) {
    ssa_tensor o = main == SSA_MAIN_FULL ? kept->o_full : kept->o_sparse, d_o = g->dy; /* in place */
    ATTENTION_RUN(SSA_GATE_BWD, SSA_T(g->dy, o, gate_of(a, kept), d_o, d_gate_of(a, g), attention_stat(a, kept, main)), .value = 0);
    return main == SSA_MAIN_FULL ? dense_backward(a, kept, d_o, g, false) : sparse_backward(a, kept, d_o, g, false);
}
