/* Parameters: names and places, first values. */
#include "model.h"
#include "../context.h"
#include "pool.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PARAM_ALIGN = 128 }; /* elements: 256 bytes of a 16-bit type */
static const int64_t SEGMENT_BYTES = 1 << 30;

static int add(ssa_model *m, const char *name, int64_t rows, int64_t columns) {
    placed_param *p = &m->params[m->param_count];
    snprintf(p->info.name, sizeof p->info.name, "%s", name);
    p->info.rank = columns ? 2 : 1;
    p->info.shape[0] = rows;
    p->info.shape[1] = columns ? columns : 1;
    p->info.decay = columns != 0;
    return m->param_count++;
}

/* Names fit: the longest, with layer 4095 (ssa_config_check allows no more), has 54 characters. */
static int add_layer(ssa_model *m, int l, const char *name, int64_t rows, int64_t columns) {
    char full[sizeof m->params->info.name];
    snprintf(full, sizeof full, "model.layers.%d.%s.weight", l, name);
    return add(m, full, rows, columns);
}

/* Gives every parameter of one kind its place: behind the one before, in a new segment where that is full. */
static void place(ssa_model *m, bool decay) {
    int64_t limit = (int64_t)ssa_context_max_buffer(m->ctx) < SEGMENT_BYTES ? (int64_t)ssa_context_max_buffer(m->ctx) : SEGMENT_BYTES;
    bool    open = false;
    for (int i = 0; i < m->param_count; i++) {
        placed_param *p = &m->params[i];
        if (p->info.decay != decay) continue;
        int64_t n = (p->info.shape[0] * p->info.shape[1] + PARAM_ALIGN - 1) / PARAM_ALIGN * PARAM_ALIGN;
        if (!open || (m->segments[m->segment_count - 1].elements + n) * 4 > limit) {
            m->segments[m->segment_count++] = (segment){.decay = decay};
            open = true;
        }
        p->segment = m->segment_count - 1;
        p->offset = m->segments[p->segment].elements;
        m->segments[p->segment].elements += n;
    }
}

ssa_status params_declare(ssa_model *m) {
    const ssa_model_config *c = &m->config;
    int64_t C = c->hidden_size, F = c->intermediate_size, D = c->head_dim, Q = c->n_heads, H = c->n_kv_heads;
    attention_projection projection[ATTENTION_MAX_PROJECTIONS];
    m->projections = attention_projections(c, projection);
    size_t count = (size_t)c->n_layers * (size_t)(9 + m->projections) + 3;
    m->params = calloc(count, sizeof *m->params);
    m->segments = calloc(count, sizeof *m->segments);
    m->layer = calloc((size_t)c->n_layers, sizeof *m->layer);
    if (!m->params || !m->segments || !m->layer) return ssa_fail(ssa_context_error(m->ctx), SSA_ERR_MEMORY, "out of memory for the parameter table");
    m->embed = add(m, "model.embed_tokens.weight", c->vocab_size, C);
    for (int l = 0; l < c->n_layers; l++) {
        layer_params *p = &m->layer[l];
        p->attn_norm = add_layer(m, l, "input_layernorm", C, 0);
        p->q = add_layer(m, l, "self_attn.q_proj", Q * D, C);
        p->k = add_layer(m, l, "self_attn.k_proj", H * D, C);
        p->v = add_layer(m, l, "self_attn.v_proj", H * D, C);
        for (int i = 0; i < m->projections; i++) p->projection[i] = add_layer(m, l, projection[i].name, projection[i].width, C);
        p->o = add_layer(m, l, "self_attn.o_proj", C, Q * D);
        p->mlp_norm = add_layer(m, l, "post_attention_layernorm", C, 0);
        p->gate = add_layer(m, l, "mlp.gate_proj", F, C);
        p->up = add_layer(m, l, "mlp.up_proj", F, C);
        p->down = add_layer(m, l, "mlp.down_proj", C, F);
    }
    m->final_norm = add(m, "model.norm.weight", C, 0);
    m->head = c->tie_word_embeddings ? m->embed : add(m, "lm_head.weight", c->vocab_size, C);
    place(m, true);
    place(m, false);
    return SSA_OK;
}

static ssa_status zeros(tensor_list *owner, int64_t n, ssa_dtype dtype, ssa_tensor *out) {
    SSA_TRY(TENSORS_MAKE(owner, *out, dtype, n));
    return SSA_CALL(owner->ctx, SSA_FILL, SSA_T(*out), .value = 0); /* the gaps between parameters must be 0 for the norm */
}

ssa_status params_allocate(ssa_model *m) {
    bool narrow = m->options.dtype != SSA_F32;
    for (int i = 0; i < m->segment_count; i++) {
        segment *s = &m->segments[i];
        SSA_TRY(zeros(&m->weights, s->elements, m->options.dtype, &s->weight));
        if (!m->options.training) continue;
        s->master = s->weight;
        if (narrow) SSA_TRY(zeros(&m->optimizer, s->elements, SSA_F32, &s->master));
        SSA_TRY(zeros(&m->optimizer, s->elements, SSA_F32, &s->m));
        SSA_TRY(zeros(&m->optimizer, s->elements, SSA_F32, &s->v));
        SSA_TRY(zeros(&m->optimizer, s->elements, SSA_F32, &s->grad));
    }
    return SSA_OK;
}

int              ssa_model_param_count(const ssa_model *m) { return m->param_count; }
const ssa_param *ssa_model_param(const ssa_model *m, int i) { return &m->params[i].info; }

int64_t ssa_model_param_elements(const ssa_model *m) {
    int64_t n = 0;
    for (int i = 0; i < m->param_count; i++) n += m->params[i].info.shape[0] * m->params[i].info.shape[1];
    return n;
}

ssa_tensor ssa_model_param_tensor(const ssa_model *m, int i, ssa_param_kind kind) {
    const placed_param *p = &m->params[i];
    const segment      *s = &m->segments[p->segment];
    ssa_tensor          t = kind == SSA_PARAM_MASTER ? s->master : kind == SSA_PARAM_M ? s->m : kind == SSA_PARAM_V ? s->v : kind == SSA_PARAM_GRAD ? s->grad : s->weight;
    return ssa_view_shape(t, p->offset, p->info.rank, p->info.shape);
}

/* -- values ------------------------------------------------------------------------------------------------------------ */

ssa_status params_changed(ssa_model *m) {
    for (int i = 0; i < m->segment_count && m->options.training; i++) {
        segment *s = &m->segments[i];
        if (m->options.dtype != SSA_F32) SSA_TRY(SSA_CALL(m->ctx, SSA_CAST, SSA_T(s->master, s->weight), .value = 0));
        SSA_TRY(SSA_CALL(m->ctx, SSA_FILL, SSA_T(s->m), .value = 0));
        SSA_TRY(SSA_CALL(m->ctx, SSA_FILL, SSA_T(s->v), .value = 0));
    }
    return SSA_OK;
}

ssa_tensor params_home(const ssa_model *m, int i) { return ssa_model_param_tensor(m, i, m->options.training ? SSA_PARAM_MASTER : SSA_PARAM_WEIGHT); }

ssa_status params_array(ssa_model *m, int64_t n, float **out) {
    *out = malloc((size_t)n * sizeof **out);
    return *out ? SSA_OK : ssa_fail(ssa_context_error(m->ctx), SSA_ERR_MEMORY, "out of memory: %lld bytes for a parameter", (long long)n * 4);
}

/* Normal values, element by element from the generator's counter: the same whatever the threads. */
typedef struct { float *values; uint64_t seed, stream; double range; } drawing;

static void draw(const void *arg, pool_part part) {
    const drawing *d = arg;
    for (int64_t e = part.first; e < part.end; e++) d->values[e] = (float)(d->range * ssa_normal(d->seed, d->stream, (uint64_t)e));
}

static ssa_status init(ssa_model *m, uint64_t seed, pool *threads) {
    enum { BLOCK = 1 << 12 };
    for (int i = 0; i < m->param_count; i++) {
        int64_t    n = m->params[i].info.shape[0] * m->params[i].info.shape[1];
        float     *values;
        SSA_TRY(params_array(m, n, &values));
        bool matrix = m->params[i].info.decay;
        if (matrix) pool_run(threads, n, BLOCK, draw, &(drawing){values, seed, SSA_STREAM_WEIGHTS + (uint64_t)i, m->config.initializer_range});
        else for (int64_t e = 0; e < n; e++) values[e] = 1;
        ssa_status s = ssa_write_f32(m->ctx, params_home(m, i), values);
        free(values);
        SSA_TRY(s);
    }
    return params_changed(m);
}

ssa_status ssa_model_init(ssa_model *m, uint64_t seed) {
    pool *threads;
    SSA_TRY(pool_create(m->ctx->backend->threads, &threads, ssa_context_error(m->ctx)));
    ssa_status s = init(m, seed, threads);
    pool_destroy(threads);
    return s;
}
