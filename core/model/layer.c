/* One transformer layer, forward and backward side by side.
 *
 *   z1 = norm(x);  q, k, v, gate logits = projections of z1;  q, k rotated
 *   o_full = dense attention, o_sparse = block-sparse attention, both from the same q, k, v;  y = gate * o_main
 *   x_mid = x + y Wo^T;  x_next = x_mid + mlp(norm(x_mid))
 *
 * Only the main stream goes on; the other meets it in the alignment loss, whose gradient enters both attentions. */
#include "model.h"
#include <math.h>

#define RUN(op, operands, ...) SSA_TRY(SSA_CALL(m->ctx, op, operands, __VA_ARGS__))

static float attention_scale(const ssa_model *m) { return 1.0f / sqrtf((float)m->config.head_dim); }

/* lse and delta of one stream: [2,B,T,Q] of the layer's [4,B,T,Q]. */
static ssa_tensor stat_of(const ssa_model *m, const layer_acts *a, int stream) {
    int64_t B = m->options.batch, T = m->options.seq, Q = m->config.n_heads;
    return ssa_view(a->stat, stream * 2 * B * T * Q, 2, B, T, Q);
}

static ssa_tensor matrix(ssa_tensor t, int64_t rows) { return ssa_view(t, 0, rows, ssa_numel(&t) / rows); }

ssa_status linear(ssa_model *m, ssa_tensor x, int param, ssa_tensor y) {
    return SSA_CALL(m->ctx, SSA_MATMUL, SSA_T(matrix(x, rows_of(m)), weight(m, param), matrix(y, rows_of(m))), .trans_b = true);
}

/* dW (+)= dy^T x, and dx (+)= dy W. */
static ssa_status linear_bwd(ssa_model *m, ssa_tensor dy, ssa_tensor x, int param, ssa_tensor dx, bool add_dx, bool later) {
    int64_t R = rows_of(m);
    RUN(SSA_MATMUL, SSA_T(matrix(dy, R), matrix(x, R), grad(m, param)), .trans_a = true, .accumulate = later);
    RUN(SSA_MATMUL, SSA_T(matrix(dy, R), weight(m, param), matrix(dx, R)), .accumulate = add_dx);
    return SSA_OK;
}

/* y = gate * o of the main stream; computed again in the backward pass rather than kept. */
static ssa_status gated_output(ssa_model *m, const layer_acts *a, int main) {
    return SSA_CALL(m->ctx, SSA_GATE, SSA_T(main == SSA_MAIN_FULL ? a->o_full : a->o_sparse, a->zg, m->y), .value = 0);
}

ssa_status layer_forward(ssa_model *m, int l, int main, bool value, bool later) {
    const ssa_model_config *c = &m->config;
    const layer_params     *p = &m->layer[l];
    layer_acts             *a = acts_of(m, l);
    ssa_tensor              x = m->x[l];
    int                     accum = m->options.accum;

    RUN(SSA_RMSNORM, SSA_T(x, weight(m, p->attn_norm), a->z1, a->rstd1), .eps = c->rms_norm_eps);
    SSA_TRY(linear(m, a->z1, p->q, a->q));
    SSA_TRY(linear(m, a->z1, p->k, a->k));
    SSA_TRY(linear(m, a->z1, p->v, a->v));
    SSA_TRY(linear(m, a->z1, p->g, a->zg));
    RUN(SSA_ROPE, SSA_T(a->q, m->cos_sin, a->q), .position = 0);
    RUN(SSA_ROPE, SSA_T(a->k, m->cos_sin, a->k), .position = 0);

    if (m->both || main == SSA_MAIN_FULL)
        RUN(SSA_ATTN_FULL, SSA_T(a->q, a->k, a->v, a->o_full, stat_of(m, a, SSA_MAIN_FULL)), .scale = attention_scale(m));
    if (m->both || main == SSA_MAIN_SPARSE) {
        RUN(SSA_BLOCK_MEAN, SSA_T(a->k, m->kbar), .block_size = c->block_size);
        RUN(SSA_SELECT, SSA_T(a->q, m->kbar, a->idx), .score = c->score, .select = c->select, .block_size = c->block_size, .top_k = c->top_k,
            .scale = attention_scale(m));
        RUN(SSA_ATTN_SPARSE, SSA_T(a->q, a->k, a->v, a->idx, a->o_sparse, stat_of(m, a, SSA_MAIN_SPARSE)), .scale = attention_scale(m),
            .block_size = c->block_size);
    }
    if (value) /* the mean over layers and micro-batches, in the scalars */
        RUN(SSA_ALIGN, SSA_T(a->o_full, a->o_sparse, a->zg, ssa_view(m->scalars, SCALAR_ALIGN, 1)), .scale = 1.0f / (float)(c->n_layers * accum),
            .loss = c->loss, .gated = c->align_gated, .accumulate = l > 0 || later);
    SSA_TRY(gated_output(m, a, main));
    SSA_TRY(linear(m, m->y, p->o, m->t));
    RUN(SSA_ADD, SSA_T(x, m->t, a->x_mid), .value = 0);

    RUN(SSA_RMSNORM, SSA_T(a->x_mid, weight(m, p->mlp_norm), a->z2, a->rstd2), .eps = c->rms_norm_eps);
    SSA_TRY(linear(m, a->z2, p->gate, a->gate));
    SSA_TRY(linear(m, a->z2, p->up, a->up));
    RUN(SSA_SWIGLU, SSA_T(a->gate, a->up, m->act), .value = 0);
    SSA_TRY(linear(m, m->act, p->down, m->t));
    RUN(SSA_ADD, SSA_T(a->x_mid, m->t, m->x[l + 1]), .value = 0);
    return SSA_OK;
}

/* dq, dk, dv from the gradients of both attention outputs (or of the main one alone). */
static ssa_status attention_backward(ssa_model *m, const layer_acts *a, int main) {
    const ssa_model_config *c = &m->config;
    float                   scale = attention_scale(m);
    bool                    full = m->both || main == SSA_MAIN_FULL, sparse = m->both || main == SSA_MAIN_SPARSE;
    if (full)
        RUN(SSA_ATTN_FULL_BWD, SSA_T(m->do_full, a->q, a->k, a->v, stat_of(m, a, SSA_MAIN_FULL), m->dq, m->dk, m->dv), .scale = scale);
    if (sparse) {
        RUN(SSA_SPARSE_LISTS, SSA_T(a->idx, m->lists), .block_size = c->block_size);
        RUN(SSA_ATTN_SPARSE_BWD, SSA_T(m->do_sparse, a->q, a->k, a->v, a->idx, m->lists, stat_of(m, a, SSA_MAIN_SPARSE), m->dq, m->dk, m->dv), .scale = scale,
            .block_size = c->block_size, .accumulate = full);
    }
    RUN(SSA_ROPE, SSA_T(m->dq, m->cos_sin, m->dq), .inverse = true);
    RUN(SSA_ROPE, SSA_T(m->dk, m->cos_sin, m->dk), .inverse = true);
    return SSA_OK;
}

ssa_status layer_backward(ssa_model *m, int l, int main, bool later) {
    const ssa_model_config *c = &m->config;
    const layer_params     *p = &m->layer[l];
    layer_acts             *a = acts_of(m, l);

    if (m->options.recompute) SSA_TRY(layer_forward(m, l, main, false, later));

    /* MLP. m->dx holds the gradient of x[l + 1]; along the residual path it passes unchanged. */
    RUN(SSA_SWIGLU, SSA_T(a->gate, a->up, m->act), .value = 0);
    SSA_TRY(linear_bwd(m, m->dx, m->act, p->down, m->dgate, false, later)); /* dgate holds the gradient of act */
    RUN(SSA_SWIGLU_BWD, SSA_T(m->dgate, a->gate, a->up, m->act, m->dup), .value = 0); /* act holds the gradient of gate */
    SSA_TRY(linear_bwd(m, m->act, a->z2, p->gate, m->dz, false, later));
    SSA_TRY(linear_bwd(m, m->dup, a->z2, p->up, m->dz, true, later));
    RUN(SSA_RMSNORM_BWD, SSA_T(m->dz, a->x_mid, weight(m, p->mlp_norm), a->rstd2, m->dx, grad(m, p->mlp_norm)), .accumulate = later, .residual = true);

    /* Attention. */
    SSA_TRY(gated_output(m, a, main));
    SSA_TRY(linear_bwd(m, m->dx, m->y, p->o, m->do_full, false, later)); /* do_full holds the gradient of y */
    if (m->both) {
        double elements = (double)rows_of(m) * c->n_heads * c->head_dim;
        RUN(SSA_ALIGN_BWD, SSA_T(m->do_full, a->o_full, a->o_sparse, a->zg, m->do_full, m->do_sparse, m->dzg, a->stat),
            .scale = (float)(c->alpha / (c->n_layers * elements * m->options.accum)), .loss = c->loss, .gated = c->align_gated, .main = main);
    } else { /* one stream: do_full and do_sparse are one tensor */
        RUN(SSA_GATE_BWD, SSA_T(m->do_full, a->o_full, a->zg, m->do_full, m->dzg, stat_of(m, a, main)), .value = 0);
    }
    SSA_TRY(attention_backward(m, a, main));
    SSA_TRY(linear_bwd(m, m->dq, a->z1, p->q, m->dz, false, later));
    SSA_TRY(linear_bwd(m, m->dk, a->z1, p->k, m->dz, true, later));
    SSA_TRY(linear_bwd(m, m->dv, a->z1, p->v, m->dz, true, later));
    SSA_TRY(linear_bwd(m, m->dzg, a->z1, p->g, m->dz, true, later));
    RUN(SSA_RMSNORM_BWD, SSA_T(m->dz, m->x[l], weight(m, p->attn_norm), a->rstd1, m->dx, grad(m, p->attn_norm)), .accumulate = later, .residual = true);
    return SSA_OK;
}
