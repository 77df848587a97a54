/* The model as a whole: memory planned once, programs recorded once, then micro-batches and steps replay them. */
#include "model.h"
#include "finite.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static ssa_status write_rope_table(ssa_model *m) {
    float *table = malloc((size_t)(m->options.seq * m->config.head_dim) * sizeof *table);
    if (!table) return ssa_fail(ssa_context_error(m->ctx), SSA_ERR_MEMORY, "out of memory for the rotary table");
    rope_table(&m->config, m->options.seq, table);
    ssa_status s = ssa_write(m->ctx, m->cos_sin, table);
    free(table);
    return s;
}

ssa_status ssa_check_training_dtype(ssa_dtype dtype, ssa_error *err) {
    if (dtype != SSA_F16) return SSA_OK;
    return ssa_fail(err, SSA_ERR_INPUT, "dtype f16 cannot be trained in: without dynamic loss scaling its range loses the gradients; train in bf16 or f32 (f16 is for eval and generate)");
}

ssa_status ssa_model_create(ssa_context *ctx, const ssa_model_config *config, const ssa_model_options *options, ssa_model **out) {
    ssa_model *m = calloc(1, sizeof *m);
    if (!m) return ssa_fail(ssa_context_error(ctx), SSA_ERR_MEMORY, "out of memory for a model");
    m->ctx = ctx;
    m->config = *config;
    m->options = *options;
    ssa_status s = model_allocate(m);
    if (!s) s = model_prepare(m);
    if (!s) s = model_record(m);
    if (!s) s = write_rope_table(m);
    if (s) ssa_model_free(m); else *out = m;
    return s;
}

void ssa_model_free(ssa_model *m) {
    if (!m) return;
    ssa_context *ctx = m->ctx;
    ssa_wait(ctx);
    for (int main = 0; main < 2; main++) {
        for (int later = 0; later < 2; later++) ssa_program_free(ctx, m->train[main][later]);
        ssa_program_free(ctx, m->eval[main]);
        ssa_program_free(ctx, m->hidden[main]);
    }
    ssa_program_free(ctx, m->update);
    model_release(m);
    free(m);
}

const ssa_model_config  *ssa_model_config_of(const ssa_model *m) { return &m->config; }
const ssa_model_options *ssa_model_options_of(const ssa_model *m) { return &m->options; }
ssa_context             *ssa_model_context(const ssa_model *m) { return m->ctx; }

/* -- a micro-batch and a step ------------------------------------------------------------------------------------------ */

/* Positions sorted by token, stably: a counting sort, tokens outside the vocabulary in front or behind. */
static void sort_tokens(ssa_model *m, const int32_t *tokens) {
    int64_t R = rows_of(m), V = m->config.vocab_size, *start = m->host_start;
    memset(start, 0, (size_t)(V + 3) * sizeof *start);
#define BUCKET(token) ((token) < 0 ? 0 : (token) >= V ? V + 1 : (token) + 1)
    for (int64_t r = 0; r < R; r++) start[BUCKET(tokens[r]) + 1]++;
    for (int64_t b = 0; b <= V + 1; b++) start[b + 1] += start[b];
    for (int64_t r = 0; r < R; r++) m->host_order[start[BUCKET(tokens[r])]++] = (int32_t)r;
#undef BUCKET
}

ssa_status ssa_model_set_batch(ssa_model *m, const int32_t *inputs, const int32_t *targets) {
    SSA_TRY(ssa_write(m->ctx, m->inputs, inputs));
    SSA_TRY(ssa_write(m->ctx, m->targets, targets));
    if (!m->options.training) return SSA_OK;
    sort_tokens(m, inputs);
    return ssa_write(m->ctx, m->order, m->host_order);
}

ssa_status ssa_model_train(ssa_model *m, ssa_stream main, bool later) {
    ssa_error *err = ssa_context_error(m->ctx);
    if (!m->options.training) return ssa_fail(err, SSA_ERR_INPUT, "the model was made for inference");
    if (!m->attention.system->trains(&m->config, main))
        return ssa_fail(err, SSA_ERR_INPUT, "%s attention is not trained through its %s stream", m->attention.system->name, main == SSA_MAIN_FULL ? "full" : "sparse");
    return ssa_replay(m->ctx, m->train[main][later]);
}

ssa_status ssa_model_update(ssa_model *m, int64_t step, float lr) {
    float values[8] = {lr, (float)(1 / (1 - pow((double)m->options.beta1, (double)step))), (float)(1 / (1 - pow((double)m->options.beta2, (double)step)))};
    SSA_TRY(ssa_write(m->ctx, m->step, values));
    m->updated = true;
    return ssa_replay(m->ctx, m->update);
}

ssa_status ssa_model_losses(ssa_model *m, ssa_losses *out) {
    float      v[8];
    ssa_error *err = ssa_context_error(m->ctx);
    bool       aligns = m->attention.both && m->attention.system->losses[0];
    SSA_TRY(ssa_read(m->ctx, m->scalars, v));
    SSA_TRY(check_finite(err, "the cross-entropy", (double)v[SCALAR_CE]));
    if (aligns) SSA_TRY(check_finite(err, "the alignment loss", (double)v[SCALAR_ALIGN]));
    if (m->updated) SSA_TRY(check_finite(err, "the gradient norm", v[SCALAR_FACTOR] < 0 ? NAN : (double)v[SCALAR_NORM]));
    *out = (ssa_losses){.ce = v[SCALAR_CE], .align = aligns ? v[SCALAR_ALIGN] : 0, .norm = v[SCALAR_NORM], .factor = v[SCALAR_FACTOR]};
    return SSA_OK;
}
