/* A model's memory: every tensor is made once, before anything runs. */
#include "model.h"
#include <stdlib.h>

#define MAKE(tensor, dtype, ...) SSA_TRY(TENSORS_MAKE(&m->activations, tensor, dtype, __VA_ARGS__))

static ssa_status make_layer(ssa_model *m, layer_acts *a) {
    int64_t   R = rows_of(m), C = m->config.hidden_size, F = m->config.intermediate_size;
    ssa_dtype t = m->options.dtype;
    MAKE(a->z1, t, R, C);
    MAKE(a->rstd1, SSA_F32, R);
    SSA_TRY(attention_keep(&m->attention, &m->activations, &a->attention));
    MAKE(a->x_mid, t, R, C);
    MAKE(a->z2, t, R, C);
    MAKE(a->rstd2, SSA_F32, R);
    MAKE(a->gate, t, R, F);
    MAKE(a->up, t, R, F);
    return SSA_OK;
}

static ssa_status make_gradients(ssa_model *m) {
    const attention     *at = &m->attention;
    int64_t              R = rows_of(m), C = m->config.hidden_size, F = m->config.intermediate_size;
    ssa_dtype            t = m->options.dtype;
    attention_projection projection[ATTENTION_MAX_PROJECTIONS];
    attention_projections(&m->config, projection);
    MAKE(m->step, SSA_F32, 8);
    MAKE(m->dx, t, R, C);
    MAKE(m->rc[1], t, R, C);
    for (int i = 1; i < 3; i++) MAKE(m->rf[i], t, R, F);
    for (int i = 1; i < 3; i++) MAKE(m->query[i], t, at->B, at->T, at->Q, at->D);
    for (int i = 0; i < 2; i++) MAKE(m->key[i], t, at->B, at->T, at->H, at->D);
    for (int i = 0; i < m->projections; i++) MAKE(m->projection[i], t, at->B, at->T, projection[i].width);
    return SSA_OK;
}

static ssa_status make_all(ssa_model *m) {
    int64_t   R = rows_of(m), C = m->config.hidden_size;
    int       L = m->config.n_layers;
    ssa_dtype t = m->options.dtype;
    bool      training = m->options.training;
    m->x = calloc((size_t)L + 1, sizeof *m->x);
    m->acts_count = training && !m->options.recompute ? L : 1;
    m->acts = calloc((size_t)m->acts_count, sizeof *m->acts);
    m->host_order = malloc((size_t)R * sizeof *m->host_order);
    m->host_start = malloc((size_t)(m->config.vocab_size + 3) * sizeof *m->host_start);
    if (!m->x || !m->acts || !m->host_order || !m->host_start) return ssa_fail(ssa_context_error(m->ctx), SSA_ERR_MEMORY, "out of memory for the model's tables");
    MAKE(m->inputs, SSA_I32, R);
    MAKE(m->targets, SSA_I32, R);
    MAKE(m->order, SSA_I32, R);
    MAKE(m->scalars, SSA_F32, 8);
    SSA_TRY(attention_create(&m->attention, &m->activations, &m->config, m->options.batch, m->options.seq, t, training, m->options.both_streams,
                             m->options.accum, ssa_view(m->scalars, SCALAR_ALIGN, 1)));
    MAKE(m->cos_sin, SSA_F32, m->options.seq, m->config.head_dim);
    for (int l = 0; l <= L; l++) {
        if (training || l < 2) MAKE(m->x[l], t, R, C);
        else m->x[l] = m->x[l & 1]; /* inference: two take turns */
    }
    for (int i = 0; i < m->acts_count; i++) SSA_TRY(make_layer(m, &m->acts[i]));
    MAKE(m->h, t, R, C);
    MAKE(m->rstd, SSA_F32, R);
    MAKE(m->rows, SSA_F32, R);
    MAKE(m->query[0], t, m->attention.B, m->attention.T, m->attention.Q, m->attention.D);
    MAKE(m->rc[0], t, R, C);
    MAKE(m->rf[0], t, R, m->config.intermediate_size);
    return training ? make_gradients(m) : SSA_OK;
}

ssa_status model_allocate(ssa_model *m) {
    ssa_error *err = ssa_context_error(m->ctx);
    m->weights.ctx = m->optimizer.ctx = m->activations.ctx = m->ctx;
    SSA_TRY(ssa_config_check(&m->config, err));
    if (m->options.training) SSA_TRY(ssa_check_training_dtype(m->options.dtype, err));
    if (m->options.batch < 1) return ssa_fail(err, SSA_ERR_INPUT, "batch %lld is out of range 1..", (long long)m->options.batch);
    if (m->options.seq < 2) return ssa_fail(err, SSA_ERR_INPUT, "sequence length %lld is out of range 2..", (long long)m->options.seq);
    if (m->options.seq > m->config.max_position_embeddings)
        return ssa_fail(err, SSA_ERR_INPUT, "sequence length %lld is beyond max_position_embeddings %lld", (long long)m->options.seq, (long long)m->config.max_position_embeddings);
    if (m->options.batch > INT32_MAX / m->options.seq) return ssa_fail(err, SSA_ERR_INPUT, "batch %lld x sequence %lld is beyond 2^31 tokens", (long long)m->options.batch, (long long)m->options.seq);
    if (m->options.accum == 0) m->options.accum = 1;
    if (m->options.targets == 0) m->options.targets = rows_of(m);
    SSA_TRY(params_declare(m));
    SSA_TRY(params_allocate(m));
    return make_all(m);
}

void model_release(ssa_model *m) {
    tensors_free(&m->weights);
    tensors_free(&m->optimizer);
    tensors_free(&m->activations);
    free(m->segments);
    free(m->params);
    free(m->layer);
    free(m->x);
    free(m->acts);
    free(m->host_order);
    free(m->host_start);
}
