/* What a model runs: the calls of a micro-batch, of the update and of an evaluation; recorded once, replayed from then on. */
#include "model.h"

static float ce_scale(const ssa_model *m) { return 1.0f / ((float)m->options.targets * (float)m->options.accum); }

ssa_status model_forward(ssa_model *m, layer_pass pass) {
    int L = m->config.n_layers;
    RUN(SSA_EMBEDDING, SSA_T(m->inputs, weight(m, m->embed), m->x[0]), .value = 0);
    for (int l = 0; l < L; l++) SSA_TRY(layer_forward(m, l, pass));
    RUN(SSA_RMSNORM, SSA_T(m->x[L], weight(m, m->final_norm), m->h, m->rstd), .eps = m->config.rms_norm_eps);
    return SSA_OK;
}

ssa_status model_micro_batch(ssa_model *m, layer_pass pass) {
    int        L = m->config.n_layers;
    bool       tied = m->head == m->embed;
    ssa_tensor dh = m->rc[1];
    SSA_TRY(model_forward(m, pass));
    RUN(SSA_LM_LOSS_GRAD, SSA_T(m->h, weight(m, m->head), m->targets, m->rows, dh, grad(m, m->head)), .scale = ce_scale(m), .accumulate = pass.accumulate);
    RUN(SSA_SUM, SSA_T(m->rows, ssa_view(m->scalars, SCALAR_CE, 1)), .scale = ce_scale(m), .accumulate = pass.accumulate);
    RUN(SSA_RMSNORM_BWD, SSA_T(dh, m->x[L], weight(m, m->final_norm), m->rstd, m->dx, grad(m, m->final_norm)), .accumulate = pass.accumulate);
    for (int l = L - 1; l >= 0; l--) SSA_TRY(layer_backward(m, l, pass));
    RUN(SSA_EMBEDDING_BWD, SSA_T(m->inputs, m->order, m->dx, grad(m, m->embed)), .accumulate = pass.accumulate || tied);
    return SSA_OK;
}

ssa_status model_optimizer(ssa_model *m) {
    const ssa_model_options *o = &m->options;
    ssa_tensor               sumsq = ssa_view(m->scalars, SCALAR_SUMSQ, 1), clip = ssa_view(m->scalars, SCALAR_NORM, 2);
    for (int i = 0; i < m->segment_count; i++) RUN(SSA_SUMSQ, SSA_T(m->segments[i].grad, sumsq), .accumulate = i > 0);
    RUN(SSA_CLIP, SSA_T(sumsq, clip), .max_norm = o->max_norm);
    for (int i = 0; i < m->segment_count; i++) {
        segment *s = &m->segments[i];
        RUN(SSA_ADAMW, SSA_T(s->grad, m->step, clip, s->master, s->m, s->v, s->weight), .beta1 = o->beta1, .beta2 = o->beta2, .eps = o->eps,
            .weight_decay = s->decay ? o->weight_decay : 0);
    }
    return SSA_OK;
}

ssa_status model_evaluation(ssa_model *m, ssa_stream main) {
    SSA_TRY(model_forward(m, (layer_pass){.main = main}));
    RUN(SSA_LM_LOSS, SSA_T(m->h, weight(m, m->head), m->targets, m->rows), .value = 0);
    RUN(SSA_SUM, SSA_T(m->rows, ssa_view(m->scalars, SCALAR_CE, 1)), .scale = 1);
    return SSA_OK;
}

static ssa_status record(ssa_model *m, ssa_status built, ssa_program **out) {
    ssa_program *p = NULL;
    ssa_status   ended = ssa_record_end(m->ctx, &p);
    if (built || ended) {
        ssa_program_free(m->ctx, p);
        return built ? built : ended;
    }
    *out = p;
    return SSA_OK;
}
#define RECORD(program, built)                   \
    do {                                         \
        SSA_TRY(ssa_record_begin(m->ctx));       \
        SSA_TRY(record(m, (built), &(program))); \
    } while (0)

/* Shows the device every call of every program, so that it can choose kernels before any is recorded. */
static ssa_status show_all(ssa_model *m) {
    const attention_system *system = m->attention.system;
    for (int stream = 0; stream < 2; stream++) {
        ssa_stream main = (ssa_stream)stream;
        if (m->options.training && system->trains(&m->config, main)) SSA_TRY(model_micro_batch(m, (layer_pass){.main = main, .losses = true}));
        SSA_TRY(model_evaluation(m, main));
    }
    return m->options.training ? model_optimizer(m) : SSA_OK;
}

ssa_status model_prepare(ssa_model *m) {
    SSA_TRY(ssa_prepare_begin(m->ctx));
    ssa_status shown = show_all(m), ended = ssa_prepare_end(m->ctx);
    return shown ? shown : ended;
}

ssa_status model_record(ssa_model *m) {
    const attention_system *system = m->attention.system;
    for (int stream = 0; stream < 2; stream++) {
        ssa_stream main = (ssa_stream)stream;
        bool       trained = m->options.training && system->trains(&m->config, main);
        for (int later = 0; later < 2 && trained; later++)
            if (!later || m->options.accum > 1)
                RECORD(m->train[main][later], model_micro_batch(m, (layer_pass){.main = main, .losses = true, .accumulate = later}));
        RECORD(m->eval[main], model_evaluation(m, main));
        RECORD(m->hidden[main], model_forward(m, (layer_pass){.main = main}));
    }
    if (m->options.training) RECORD(m->update, model_optimizer(m));
    return SSA_OK;
}
