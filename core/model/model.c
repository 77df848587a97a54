/* The model as a whole: memory planned once, programs recorded once, then micro-batches, steps and evaluations replay them. */
#include "model.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define RUN(op, operands, ...) SSA_TRY(SSA_CALL(m->ctx, op, operands, __VA_ARGS__))

/* -- memory -------------------------------------------------------------------------------------------------------------- */

static ssa_status make(ssa_model *m, ssa_tensor *t, ssa_dtype dtype, int rank, const int64_t *shape) {
    SSA_TRY(ssa_tensor_create(m->ctx, dtype, rank, shape, t));
    m->activation_bytes += t->buffer->bytes;
    return SSA_OK;
}
#define MAKE(tensor, dtype, ...) SSA_TRY(make(m, &(tensor), (dtype), (int)(sizeof((int64_t[]){__VA_ARGS__}) / 8), (int64_t[]){__VA_ARGS__}))

typedef struct { int64_t B, T, R, C, F, Q, H, D, N, K, S; } sizes;

static sizes sizes_of(const ssa_model *m) {
    const ssa_model_config *c = &m->config;
    sizes s = {.B = m->options.batch, .T = m->options.seq, .R = rows_of(m), .C = c->hidden_size, .F = c->intermediate_size, .Q = c->n_heads, .H = c->n_kv_heads, .D = c->head_dim};
    s.N = (s.T + c->block_size - 1) / c->block_size;
    s.K = c->top_k < s.N ? c->top_k : s.N;
    s.S = c->share_per_head ? s.Q : s.H;
    return s;
}

static ssa_status make_layer(ssa_model *m, layer_acts *a) {
    sizes     s = sizes_of(m);
    ssa_dtype t = m->options.dtype;
    MAKE(a->z1, t, s.R, s.C);
    MAKE(a->rstd1, SSA_F32, s.R);
    MAKE(a->q, t, s.B, s.T, s.Q, s.D);
    MAKE(a->k, t, s.B, s.T, s.H, s.D);
    MAKE(a->v, t, s.B, s.T, s.H, s.D);
    MAKE(a->zg, t, s.B, s.T, 3 * s.Q);
    MAKE(a->o_full, t, s.B, s.T, s.Q, s.D);
    a->o_sparse = a->o_full;
    if (m->both) MAKE(a->o_sparse, t, s.B, s.T, s.Q, s.D);
    MAKE(a->stat, SSA_F32, 4, s.B, s.T, s.Q);
    MAKE(a->idx, SSA_I32, s.B, s.T, s.S, s.K);
    MAKE(a->x_mid, t, s.R, s.C);
    MAKE(a->z2, t, s.R, s.C);
    MAKE(a->rstd2, SSA_F32, s.R);
    MAKE(a->gate, t, s.R, s.F);
    MAKE(a->up, t, s.R, s.F);
    return SSA_OK;
}

static ssa_status make_all(ssa_model *m) {
    sizes     s = sizes_of(m);
    int       L = m->config.n_layers;
    ssa_dtype t = m->options.dtype;
    bool      training = m->options.training;
    m->x = calloc((size_t)L + 1, sizeof *m->x);
    m->acts_count = training && !m->options.recompute ? L : 1;
    m->acts = calloc((size_t)m->acts_count, sizeof *m->acts);
    m->host_order = malloc((size_t)s.R * sizeof *m->host_order);
    if (!m->x || !m->acts || !m->host_order) return ssa_fail(ssa_context_error(m->ctx), SSA_ERR_MEMORY, "out of memory for the model's tables");
    MAKE(m->inputs, SSA_I32, s.R);
    MAKE(m->targets, SSA_I32, s.R);
    MAKE(m->order, SSA_I32, s.R);
    MAKE(m->cos_sin, SSA_F32, s.T, s.D);
    for (int l = 0; l <= L; l++) {
        if (training || l < 2) MAKE(m->x[l], t, s.R, s.C);
        else m->x[l] = m->x[l & 1]; /* inference: two take turns */
    }
    for (int i = 0; i < m->acts_count; i++) SSA_TRY(make_layer(m, &m->acts[i]));
    MAKE(m->h, t, s.R, s.C);
    MAKE(m->rstd, SSA_F32, s.R);
    MAKE(m->rows, SSA_F32, s.R);
    MAKE(m->kbar, SSA_F32, s.B, s.N, s.H, s.D);
    MAKE(m->y, t, s.B, s.T, s.Q, s.D);
    MAKE(m->t, t, s.R, s.C);
    MAKE(m->act, t, s.R, s.F);
    MAKE(m->scalars, SSA_F32, 8);
    if (!training) return SSA_OK;
    MAKE(m->step, SSA_F32, 8);
    MAKE(m->lists, SSA_I32, s.B, s.S, s.N + 1 + s.T * s.K);
    MAKE(m->dx, t, s.R, s.C);
    MAKE(m->dz, t, s.R, s.C);
    MAKE(m->dq, t, s.B, s.T, s.Q, s.D);
    MAKE(m->dk, t, s.B, s.T, s.H, s.D);
    MAKE(m->dv, t, s.B, s.T, s.H, s.D);
    MAKE(m->dzg, t, s.B, s.T, 3 * s.Q);
    MAKE(m->do_full, t, s.B, s.T, s.Q, s.D);
    m->do_sparse = m->do_full;
    if (m->both) MAKE(m->do_sparse, t, s.B, s.T, s.Q, s.D);
    MAKE(m->dgate, t, s.R, s.F);
    MAKE(m->dup, t, s.R, s.F);
    return SSA_OK;
}

/* -- what the programs are made of ----------------------------------------------------------------------------------------- */

static float ce_scale(const ssa_model *m) { return 1.0f / ((float)m->options.targets * (float)m->options.accum); }

/* tokens -> x[0] -> ... -> x[L] -> h = norm(x[L]) */
static ssa_status forward(ssa_model *m, int main, bool value, bool later) {
    int L = m->config.n_layers;
    RUN(SSA_EMBEDDING, SSA_T(m->inputs, weight(m, m->embed), m->x[0]), .value = 0);
    for (int l = 0; l < L; l++) SSA_TRY(layer_forward(m, l, main, value, later));
    RUN(SSA_RMSNORM, SSA_T(m->x[L], weight(m, m->final_norm), m->h, m->rstd), .eps = m->config.rms_norm_eps);
    return SSA_OK;
}

static ssa_status micro_batch(ssa_model *m, int main, bool later) {
    int  L = m->config.n_layers;
    bool tied = m->head == m->embed;
    SSA_TRY(forward(m, main, m->both, later));
    RUN(SSA_LM_LOSS_GRAD, SSA_T(m->h, weight(m, m->head), m->targets, m->rows, m->dz, grad(m, m->head)), .scale = ce_scale(m), .accumulate = later);
    RUN(SSA_SUM, SSA_T(m->rows, ssa_view(m->scalars, SCALAR_CE, 1)), .scale = ce_scale(m), .accumulate = later);
    RUN(SSA_RMSNORM_BWD, SSA_T(m->dz, m->x[L], weight(m, m->final_norm), m->rstd, m->dx, grad(m, m->final_norm)), .accumulate = later);
    for (int l = L - 1; l >= 0; l--) SSA_TRY(layer_backward(m, l, main, later));
    RUN(SSA_EMBEDDING_BWD, SSA_T(m->inputs, m->order, m->dx, grad(m, m->embed)), .accumulate = later || tied);
    return SSA_OK;
}

static ssa_status update(ssa_model *m) {
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

static ssa_status evaluate(ssa_model *m, int main) {
    SSA_TRY(forward(m, main, false, false));
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
#define RECORD(program, built)              \
    do {                                    \
        SSA_TRY(ssa_record_begin(m->ctx));  \
        SSA_TRY(record(m, (built), &(program))); \
    } while (0)

static ssa_status record_all(ssa_model *m) {
    for (int main = 0; main < 2; main++) {
        for (int later = 0; later < 2 && m->options.training; later++)
            if (!later || m->options.accum > 1) RECORD(m->train[main][later], micro_batch(m, main, later));
        RECORD(m->eval[main], evaluate(m, main));
        RECORD(m->hidden[main], forward(m, main, false, false));
    }
    if (m->options.training) RECORD(m->update, update(m));
    return SSA_OK;
}

static ssa_status set_up(ssa_model *m, bool with_programs) {
    ssa_error *err = ssa_context_error(m->ctx);
    SSA_TRY(ssa_config_check(&m->config, err));
    if (m->options.batch < 1) return ssa_fail(err, SSA_ERR_INPUT, "batch %lld is out of range 1..", (long long)m->options.batch);
    if (m->options.seq < 2) return ssa_fail(err, SSA_ERR_INPUT, "sequence length %lld is out of range 2..", (long long)m->options.seq);
    if (m->options.seq > m->config.max_position_embeddings)
        return ssa_fail(err, SSA_ERR_INPUT, "sequence length %lld is beyond max_position_embeddings %lld", (long long)m->options.seq, (long long)m->config.max_position_embeddings);
    if (m->options.batch > INT32_MAX / m->options.seq) return ssa_fail(err, SSA_ERR_INPUT, "batch %lld x sequence %lld is beyond 2^31 tokens", (long long)m->options.batch, (long long)m->options.seq);
    if (m->options.accum == 0) m->options.accum = 1;
    if (m->options.targets == 0) m->options.targets = rows_of(m);
    m->both = m->options.training ? m->config.alpha > 0 : m->options.both_streams;
    SSA_TRY(params_declare(m));
    SSA_TRY(params_allocate(m));
    SSA_TRY(make_all(m));
    return with_programs ? record_all(m) : SSA_OK;
}

ssa_status ssa_model_create(ssa_context *ctx, const ssa_model_config *config, const ssa_model_options *options, ssa_model **out) {
    ssa_model *m = calloc(1, sizeof *m);
    if (!m) return ssa_fail(ssa_context_error(ctx), SSA_ERR_MEMORY, "out of memory for a model");
    m->ctx = ctx;
    m->config = *config;
    m->options = *options;
    ssa_status s = set_up(m, true);
    if (!s) {
        float *table = malloc((size_t)(m->options.seq * config->head_dim) * sizeof *table);
        if (!table) s = ssa_fail(ssa_context_error(ctx), SSA_ERR_MEMORY, "out of memory for the rotary table");
        else {
            rope_table(&m->config, m->options.seq, table);
            s = ssa_write(ctx, m->cos_sin, table);
            free(table);
        }
    }
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
    if (m->segments && m->params) params_free(m);
    ssa_tensor *singles[] = {&m->inputs, &m->targets, &m->order, &m->cos_sin, &m->h, &m->rstd, &m->rows, &m->kbar, &m->lists, &m->y, &m->t, &m->act,
                             &m->dx, &m->dz, &m->dq, &m->dk, &m->dv, &m->dzg, &m->do_full, &m->dgate, &m->dup, &m->scalars, &m->step};
    if (m->do_sparse.buffer != m->do_full.buffer) ssa_tensor_free(ctx, &m->do_sparse);
    for (size_t i = 0; i < sizeof singles / sizeof *singles; i++) ssa_tensor_free(ctx, singles[i]);
    for (int l = 0; m->x && l <= m->config.n_layers; l++)
        if (m->options.training || l < 2) ssa_tensor_free(ctx, &m->x[l]);
    for (int i = 0; m->acts && i < m->acts_count; i++) {
        layer_acts *a = &m->acts[i];
        ssa_tensor *own[] = {&a->z1, &a->rstd1, &a->q, &a->k, &a->v, &a->zg, &a->stat, &a->idx, &a->x_mid, &a->z2, &a->rstd2, &a->gate, &a->up};
        if (a->o_sparse.buffer != a->o_full.buffer) ssa_tensor_free(ctx, &a->o_sparse);
        ssa_tensor_free(ctx, &a->o_full);
        for (size_t k = 0; k < sizeof own / sizeof *own; k++) ssa_tensor_free(ctx, own[k]);
    }
    free(m->x);
    free(m->acts);
    free(m->host_order);
    free(m);
}

const ssa_model_config  *ssa_model_config_of(const ssa_model *m) { return &m->config; }
const ssa_model_options *ssa_model_options_of(const ssa_model *m) { return &m->options; }

/* -- a micro-batch and a step ---------------------------------------------------------------------------------------------- */

/* Positions sorted by token, stably: a counting sort, tokens outside the vocabulary in front or behind. */
static ssa_status sort_tokens(ssa_model *m, const int32_t *tokens) {
    int64_t  R = rows_of(m), V = m->config.vocab_size;
    int64_t *start = calloc((size_t)V + 3, sizeof *start);
    if (!start) return ssa_fail(ssa_context_error(m->ctx), SSA_ERR_MEMORY, "out of memory to sort a batch");
#define BUCKET(token) ((token) < 0 ? 0 : (token) >= V ? V + 1 : (token) + 1)
    for (int64_t r = 0; r < R; r++) start[BUCKET(tokens[r]) + 1]++;
    for (int64_t b = 0; b <= V + 1; b++) start[b + 1] += start[b];
    for (int64_t r = 0; r < R; r++) m->host_order[start[BUCKET(tokens[r])]++] = (int32_t)r;
#undef BUCKET
    free(start);
    return SSA_OK;
}

ssa_status ssa_model_set_batch(ssa_model *m, const int32_t *inputs, const int32_t *targets) {
    SSA_TRY(ssa_write(m->ctx, m->inputs, inputs));
    SSA_TRY(ssa_write(m->ctx, m->targets, targets));
    if (!m->options.training) return SSA_OK;
    SSA_TRY(sort_tokens(m, inputs));
    return ssa_write(m->ctx, m->order, m->host_order);
}

ssa_status ssa_model_train(ssa_model *m, int main, bool later) {
    if (!m->options.training) return ssa_fail(ssa_context_error(m->ctx), SSA_ERR_INPUT, "the model was made for inference");
    return ssa_replay(m->ctx, m->train[main][later]);
}

ssa_status ssa_model_update(ssa_model *m, int64_t step, float lr) {
    float values[8] = {lr, (float)(1 / (1 - pow((double)m->options.beta1, (double)step))), (float)(1 / (1 - pow((double)m->options.beta2, (double)step)))};
    SSA_TRY(ssa_write(m->ctx, m->step, values));
    return ssa_replay(m->ctx, m->update);
}

ssa_status ssa_model_losses(ssa_model *m, ssa_losses *out) {
    float v[8];
    SSA_TRY(ssa_read(m->ctx, m->scalars, v));
    *out = (ssa_losses){.ce = v[SCALAR_CE], .align = m->both ? v[SCALAR_ALIGN] : 0, .norm = v[SCALAR_NORM], .factor = v[SCALAR_FACTOR]};
    return SSA_OK;
}

/* -- inference --------------------------------------------------------------------------------------------------------------- */

ssa_status ssa_model_eval(ssa_model *m, int main, double *ce_sum) {
    float v[8];
    SSA_TRY(ssa_replay(m->ctx, m->eval[main]));
    SSA_TRY(ssa_read(m->ctx, m->scalars, v));
    *ce_sum = (double)v[SCALAR_CE];
    return SSA_OK;
}

ssa_status ssa_model_logits(ssa_model *m, int main, int64_t first, int64_t count, float *logits) {
    int64_t    C = m->config.hidden_size, V = m->config.vocab_size;
    ssa_tensor out;
    if (first < 0 || count < 1 || first + count > rows_of(m))
        return ssa_fail(ssa_context_error(m->ctx), SSA_ERR_INPUT, "logits of rows %lld..%lld of %lld", (long long)first, (long long)(first + count - 1), (long long)rows_of(m));
    SSA_TRY(ssa_replay(m->ctx, m->hidden[main]));
    SSA_TRY(ssa_tensor_new(m->ctx, SSA_F32, &out, count, V));
    ssa_status s = SSA_CALL(m->ctx, SSA_MATMUL, SSA_T(ssa_view(m->h, first * C, count, C), weight(m, m->head), out), .trans_b = true);
    if (!s) s = ssa_read(m->ctx, out, logits);
    ssa_tensor_free(m->ctx, &out);
    return s;
}

ssa_status ssa_model_sparsity(ssa_model *m, int main, double *sparsity) {
    int64_t B = m->options.batch, T = m->options.seq, Q = m->config.n_heads, n = B * T * Q;
    if (!m->both) return ssa_fail(ssa_context_error(m->ctx), SSA_ERR_INPUT, "sparsity needs a model that computes both streams");
    float *stat = malloc((size_t)n * 4 * sizeof *stat);
    if (!stat) return ssa_fail(ssa_context_error(m->ctx), SSA_ERR_MEMORY, "out of memory for attention statistics");
    ssa_status s = SSA_CALL(m->ctx, SSA_EMBEDDING, SSA_T(m->inputs, weight(m, m->embed), m->x[0]), .value = 0);
    memset(sparsity, 0, (size_t)T * sizeof *sparsity);
    for (int l = 0; l < m->config.n_layers && !s; l++) {
        s = layer_forward(m, l, main, false, false);
        if (!s) s = ssa_read(m->ctx, acts_of(m, l)->stat, stat);
        for (int64_t i = 0; i < n && !s; i++) sparsity[i / Q % T] += exp((double)stat[2 * n + i] - (double)stat[i]);
    }
    for (int64_t t = 0; t < T; t++) sparsity[t] /= (double)(B * Q * m->config.n_layers);
    free(stat);
    return s;
}

/* -- planning ---------------------------------------------------------------------------------------------------------------- */

/* Creates the model on a planning context and counts. */
static ssa_status plan_once(ssa_context *ctx, const ssa_model_config *config, const ssa_model_options *options, ssa_model_plan *out) {
    ssa_context *plan;
    ssa_error   *err = ssa_context_error(ctx);
    SSA_TRY(ssa_plan_open(ctx, &plan, err));
    ssa_model *m = calloc(1, sizeof *m);
    if (!m) {
        ssa_close(plan);
        return ssa_fail(err, SSA_ERR_MEMORY, "out of memory for a plan");
    }
    m->ctx = plan;
    m->config = *config;
    m->options = *options;
    ssa_status s = set_up(m, false);
    if (!s) {
        ssa_plan_of(plan)->flops = 0;
        s = options->training ? micro_batch(m, SSA_MAIN_SPARSE, false) : evaluate(m, SSA_MAIN_SPARSE);
        ssa_plan_of(plan)->flops *= m->options.accum;
        if (!s && options->training) s = update(m);
    }
    if (!s)
        *out = (ssa_model_plan){.parameters = ssa_model_param_elements(m), .flops_step = ssa_plan_of(plan)->flops, .weights = m->weight_bytes, .optimizer = m->optimizer_bytes,
                                .activations = m->activation_bytes, .scratch = ssa_plan_of(plan)->scratch_bytes,
                                .total = m->weight_bytes + m->optimizer_bytes + m->activation_bytes + ssa_plan_of(plan)->scratch_bytes};
    else ssa_fail(err, s, "%s", ssa_context_error(plan)->text);
    ssa_model_free(m);
    ssa_close(plan);
    return s;
}

ssa_status ssa_model_make_plan(ssa_context *ctx, const ssa_model_config *config, const ssa_model_options *options, ssa_model_plan *out) {
    SSA_TRY(plan_once(ctx, config, options, out));
    uint64_t memory = ssa_context_memory(ctx);
    int64_t  fits = 0, beyond = 0;
    ssa_model_options o = *options;
    /* Doubling from 1 until a batch does not fit, then halving the gap. A plan that fails (a buffer too large) does not fit. */
    for (o.batch = 1; o.batch <= 65536; o.batch *= 2) {
        ssa_model_plan p;
        ssa_error      before = *ssa_context_error(ctx);
        ssa_status     s = plan_once(ctx, config, &o, &p);
        *ssa_context_error(ctx) = before;
        if (s || (memory && p.total > memory)) { beyond = o.batch; break; }
        fits = o.batch;
    }
    while (beyond - fits > 1) {
        ssa_model_plan p;
        ssa_error      before = *ssa_context_error(ctx);
        o.batch = (fits + beyond) / 2;
        ssa_status s = plan_once(ctx, config, &o, &p);
        *ssa_context_error(ctx) = before;
        if (s || (memory && p.total > memory)) beyond = o.batch; else fits = o.batch;
    }
    out->largest_batch = fits;
    return SSA_OK;
}
