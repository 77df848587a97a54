/* Weights and moments in files. Every tensor of a file is one of the model's, known to change nothing, or refused by name: what is
 * read is then all that the file has to say. */
#include "finite.h"
#include "io/inside.h"
#include "model.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ERROR ssa_context_error(m->ctx)

static const ssa_param_kind moment_kinds[] = {SSA_PARAM_M, SSA_PARAM_V};
static const char *const    moment_prefixes[] = {"m.", "v."};
enum { PREFIX = 2 }; /* their length */

/* -- reading --------------------------------------------------------------------------------------------------------------- */

/* Finds a parameter in a file and checks its type and shape. */
static ssa_status find(ssa_model *m, const ssa_safetensors *st, const char *name, const ssa_param *p, const ssa_file_tensor **out) {
    const ssa_file_tensor *t = ssa_safetensors_find(st, name);
    if (!t && !strcmp(name, "lm_head.weight"))
        return ssa_fail(ERROR, SSA_ERR_INPUT, "the checkpoint has no tensor lm_head.weight, which tie_word_embeddings false (also where it is absent) needs");
    if (!t) return ssa_fail(ERROR, SSA_ERR_INPUT, "the checkpoint has no tensor %s", name);
    if (t->rank != p->rank || t->shape[0] != p->shape[0] || (p->rank == 2 && t->shape[1] != p->shape[1]))
        return ssa_fail(ERROR, SSA_ERR_INPUT, "the checkpoint's %s has %d dimensions, %lld x %lld, the model's has %d, %lld x %lld", name, t->rank,
                        (long long)t->shape[0], (long long)(t->rank > 1 ? t->shape[1] : 1), p->rank, (long long)p->shape[0], (long long)p->shape[1]);
    if (t->dtype == SSA_I32 || t->dtype == SSA_DTYPE_COUNT)
        return ssa_fail(ERROR, SSA_ERR_INPUT, "the checkpoint's %s is %s where F32, BF16, F16 or F64 is needed", name, io_show(t->type).text);
    *out = t;
    return SSA_OK;
}

/* Buffers that torch stores beside the weights, as names end. They follow from config.json or from the length of a row. */
static const struct buffer { const char *end; bool mask; } buffers[] = {
    {".rotary_emb.inv_freq"}, {".rotary_emb.original_inv_freq"}, {".rotary_emb.cos_cached"}, {".rotary_emb.sin_cached"},
    {".position_ids"},        {".masked_bias"}, /* what a masked score is set to */
    {".attn.bias", true},     {".self_attn.bias", true}, {".attention.bias", true}, /* a causal mask if it is BOOL or U8 */
};

static bool ends_with(const char *s, const char *end) {
    size_t a = strlen(s), b = strlen(end);
    return a >= b && !strcmp(s + a - b, end);
}

/* Whether a mask [..., T, T] of bytes lets each row see what is not after it, and no more. */
static bool is_causal(const ssa_file_tensor *t) {
    if (strcmp(t->type, "BOOL") && strcmp(t->type, "U8")) return false;
    if (t->rank < 2 || t->rank > SSA_MAX_RANK || t->shape[t->rank - 1] != t->shape[t->rank - 2]) return false;
    int64_t              T = t->shape[t->rank - 1];
    const unsigned char *seen = t->data;
    for (int64_t i = 0; i < t->elements; i++)
        if ((seen[i] != 0) != (i % T <= i / T % T)) return false;
    return true;
}

static bool is_buffer(const ssa_file_tensor *t) {
    for (size_t i = 0; i < sizeof buffers / sizeof *buffers; i++)
        if (ends_with(t->name, buffers[i].end)) return !buffers[i].mask || is_causal(t);
    return false;
}

/* Whether two tensors hold the same numbers, whatever they are stored as. */
static bool equal_values(const ssa_file_tensor *a, const ssa_file_tensor *b) {
    enum { PIECE = 1024 };
    float x[PIECE], y[PIECE];
    if (a->dtype == SSA_DTYPE_COUNT || b->dtype == SSA_DTYPE_COUNT || a->rank != b->rank || memcmp(a->shape, b->shape, (size_t)a->rank * sizeof *a->shape))
        return false;
    for (int64_t at = 0; at < a->elements; at += PIECE) {
        int64_t n = a->elements - at < PIECE ? a->elements - at : PIECE;
        ssa_to_f32(x, (const char *)a->data + (size_t)at * ssa_dtype_size(a->dtype), a->dtype, n);
        ssa_to_f32(y, (const char *)b->data + (size_t)at * ssa_dtype_size(b->dtype), b->dtype, n);
        if (memcmp(x, y, (size_t)n * sizeof *x)) return false;
    }
    return true;
}

static int by_name(const void *a, const void *b) { return strcmp(*(const char *const *)a, *(const char *const *)b); }

/* Refuses the first tensor of a file that is neither a parameter (moments: under one of their prefixes) nor known to be harmless. */
static ssa_status refuse_strangers(ssa_model *m, const ssa_safetensors *st, bool moments) {
    const ssa_file_tensor *t, *embed = &(ssa_file_tensor){.dtype = SSA_DTYPE_COUNT};
    const char           **names = malloc((size_t)m->param_count * sizeof *names);
    ssa_status             s = names ? SSA_OK : ssa_fail(ERROR, SSA_ERR_MEMORY, "out of memory for a list of tensors");
    for (int i = 0; i < m->param_count && names; i++) names[i] = m->params[i].info.name;
    if (names) qsort(names, (size_t)m->param_count, sizeof *names, by_name);
    if (!moments) embed = ssa_safetensors_find(st, m->params[m->embed].info.name);
    for (int i = 0; i < ssa_safetensors_count(st) && !s; i++) {
        t = ssa_safetensors_at(st, i);
        bool        prefixed = !strncmp(t->name, moment_prefixes[0], PREFIX) || !strncmp(t->name, moment_prefixes[1], PREFIX);
        const char *name = t->name + (moments && prefixed ? PREFIX : 0);
        bool        known = moments == (name != t->name) && bsearch(&name, names, (size_t)m->param_count, sizeof *names, by_name);
        if (known) continue;
        if (!moments) s = ssa_safetensors_load(st, t, ERROR);
        if (s || (!moments && is_buffer(t))) continue;
        if (moments || strcmp(t->name, "lm_head.weight"))
            s = ssa_fail(ERROR, SSA_ERR_INPUT, "the checkpoint has a tensor %s that the model does not use: it is of another model than config.json's",
                         io_show(t->name).text);
        else if ((s = ssa_safetensors_load(st, embed, ERROR))) continue;
        else if (!equal_values(t, embed)) /* tied, or it would be a parameter */
            s = ssa_fail(ERROR, SSA_ERR_INPUT, "the checkpoint has an lm_head.weight that differs from model.embed_tokens.weight, although "
                         "tie_word_embeddings is true");
    }
    free(names);
    return s;
}

static ssa_status upload(ssa_model *m, const ssa_safetensors *st, const ssa_file_tensor *t, ssa_tensor to) {
    float *values;
    SSA_TRY(ssa_safetensors_load(st, t, ERROR));
    SSA_TRY(params_array(m, t->elements, &values));
    ssa_to_f32(values, t->data, t->dtype, t->elements);
    ssa_safetensors_unload(st, t);
    ssa_status s = ssa_write_f32(m->ctx, to, values);
    free(values);
    return s;
}

ssa_status ssa_model_load(ssa_model *m, const ssa_safetensors *st) {
    const ssa_file_tensor *t;
    for (int i = 0; i < m->param_count; i++) SSA_TRY(find(m, st, m->params[i].info.name, &m->params[i].info, &t)); /* all, before any is changed */
    SSA_TRY(refuse_strangers(m, st, false));
    for (int i = 0; i < m->param_count; i++) {
        SSA_TRY(find(m, st, m->params[i].info.name, &m->params[i].info, &t));
        SSA_TRY(upload(m, st, t, params_home(m, i)));
    }
    return params_changed(m);
}

ssa_status ssa_model_load_optimizer(ssa_model *m, const ssa_safetensors *st) {
    for (int pass = 0; pass < 2; pass++) { /* checks everything before anything is changed */
        for (int k = 0; k < 2; k++)
            for (int i = 0; i < m->param_count; i++) {
                char                   name[sizeof m->params->info.name + PREFIX];
                const ssa_file_tensor *t;
                snprintf(name, sizeof name, "%s%s", moment_prefixes[k], m->params[i].info.name);
                SSA_TRY(find(m, st, name, &m->params[i].info, &t));
                if (pass) SSA_TRY(upload(m, st, t, ssa_model_param_tensor(m, i, moment_kinds[k])));
            }
        if (!pass) SSA_TRY(refuse_strangers(m, st, true));
    }
    return SSA_OK;
}

/* -- writing --------------------------------------------------------------------------------------------------------------- */

/* A list of tensors to be written, with where each comes from. */
typedef struct { ssa_model *m; ssa_tensor *from; const ssa_file_tensor *list; ssa_dtype dtype; } fetch_state;

/* Delivers a tensor to be written. What is not finite is not: a file of it would pass for a good one. */
static ssa_status fetch(void *user, int i, void *host, ssa_error *err) {
    fetch_state *f = user;
    ssa_context *ctx = f->m->ctx;
    int64_t      n = ssa_numel(&f->from[i]);
    float       *values = host;
    if (f->dtype != SSA_F32) SSA_TRY(params_array(f->m, n, &values));
    ssa_status s = ssa_read_f32(ctx, f->from[i], values);
    if (f->dtype != SSA_F32 && !s) { /* back again: a narrower type overflows sooner */
        ssa_from_f32(host, f->dtype, values, n);
        ssa_to_f32(values, host, f->dtype, n);
    }
    if (s) ssa_fail(err, s, "%s", ssa_context_error(ctx)->text);
    else s = check_all_finite(err, f->list[i].name, values, n);
    if (f->dtype != SSA_F32) free(values);
    return s;
}

static ssa_status save(ssa_model *m, const char *path, ssa_dtype dtype, const ssa_param_kind *kinds, const char *const *prefixes, int kind_count) {
    int              count = m->param_count * kind_count;
    ssa_file_tensor *list = calloc((size_t)count, sizeof *list);
    ssa_tensor      *from = calloc((size_t)count, sizeof *from);
    char(*names)[sizeof m->params->info.name + 2] = calloc((size_t)count, sizeof *names);
    ssa_status s = list && from && names ? SSA_OK : ssa_fail(ssa_context_error(m->ctx), SSA_ERR_MEMORY, "out of memory for a list of tensors");
    for (int k = 0; k < kind_count && !s; k++)
        for (int i = 0; i < m->param_count; i++) {
            const ssa_param *p = &m->params[i].info;
            int              e = k * m->param_count + i;
            snprintf(names[e], sizeof names[e], "%s%s", prefixes[k], p->name);
            from[e] = ssa_model_param_tensor(m, i, kinds[k]);
            list[e] = (ssa_file_tensor){.name = names[e], .dtype = dtype, .rank = p->rank, .shape = {p->shape[0], p->shape[1]}, .elements = p->shape[0] * p->shape[1]};
        }
    fetch_state       state = {m, from, list, dtype};
    const char *const metadata[] = {"format", "pt", NULL}; /* what the Hugging Face loaders look for */
    if (!s) s = ssa_safetensors_write(path, list, count, metadata, fetch, &state, ssa_context_error(m->ctx));
    free(list);
    free(from);
    free(names);
    return s;
}

ssa_status ssa_model_save(ssa_model *m, const char *path, ssa_dtype dtype) {
    ssa_param_kind    kind = m->options.training ? SSA_PARAM_MASTER : SSA_PARAM_WEIGHT;
    const char *const prefix = "";
    return save(m, path, dtype, &kind, &prefix, 1);
}

ssa_status ssa_model_save_optimizer(ssa_model *m, const char *path) { return save(m, path, SSA_F32, moment_kinds, moment_prefixes, 2); }
