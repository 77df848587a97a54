/* Weights from files: every tensor is used, known to change nothing, or refused by name; types matter where a tensor is used. */
#include "suite.h"
#include <stdarg.h>
#include <string.h>

enum { V = 32, C = 8, F = 12, Q = 2, D = 4, MOST = 40 };

/* A file being made: one layer's tensors, then what a test adds. */
typedef struct list {
    struct { char name[96], type[8]; int rank; int64_t shape[5], bytes; unsigned char *data; } t[MOST];
    int n;
} list;

static char         path[64];
static ssa_context *ctx;
static ssa_model   *model;

static void *add(list *l, const char *name, const char *type, int size, int rank, ...) {
    int64_t bytes = size;
    va_list shape;
    ck_assert_int_lt(l->n, MOST);
    va_start(shape, rank);
    snprintf(l->t[l->n].name, sizeof l->t->name, "%s", name);
    snprintf(l->t[l->n].type, sizeof l->t->type, "%s", type);
    l->t[l->n].rank = rank;
    for (int i = 0; i < rank; i++) bytes *= l->t[l->n].shape[i] = va_arg(shape, int);
    va_end(shape);
    l->t[l->n].bytes = bytes;
    return l->t[l->n++].data = calloc(1, (size_t)bytes);
}

/* The numbers of parameter i: multiples of 1/64 below 1 in size, which every type here holds exactly. */
static double number(int i, int64_t e) { return (double)((e * 7 + i * 5) % 61 - 30) / 64; }

static void add_numbers(list *l, const char *name, int rank, int rows, int columns, bool wide) {
    int   i = l->n;
    void *data = add(l, name, wide ? "F64" : "F32", wide ? 8 : 4, rank, rows, columns);
    for (int64_t e = 0; e < (int64_t)rows * (rank > 1 ? columns : 1); e++) {
        if (wide) ((double *)data)[e] = number(i, e);
        else ((float *)data)[e] = (float)number(i, e);
    }
}

static void add_model(list *l, bool wide) {
    static const struct { const char *name; int rows, columns; } layer[] = {
        {"input_layernorm", C, 0}, {"self_attn.q_proj", Q * D, C}, {"self_attn.k_proj", D, C}, {"self_attn.v_proj", D, C}, {"self_attn.g_proj", 3 * Q, C},
        {"self_attn.o_proj", C, Q * D}, {"post_attention_layernorm", C, 0}, {"mlp.gate_proj", F, C}, {"mlp.up_proj", F, C}, {"mlp.down_proj", C, F}};
    *l = (list){0};
    add_numbers(l, "model.embed_tokens.weight", 2, V, C, wide);
    for (size_t i = 0; i < sizeof layer / sizeof *layer; i++) {
        char name[96];
        snprintf(name, sizeof name, "model.layers.0.%s.weight", layer[i].name);
        add_numbers(l, name, layer[i].columns ? 2 : 1, layer[i].rows, layer[i].columns, wide);
    }
    add_numbers(l, "model.norm.weight", 1, C, 0, wide);
}

static void write_list(list *l) {
    char    *header;
    size_t   bytes;
    int64_t  at = 0;
    FILE    *h = open_memstream(&header, &bytes), *f = fopen(path, "wb");
    for (int i = 0; i < l->n; i++) {
        fprintf(h, "%s\"%s\":{\"dtype\":\"%s\",\"shape\":[", i ? "," : "{", l->t[i].name, l->t[i].type);
        for (int d = 0; d < l->t[i].rank; d++) fprintf(h, d ? ",%d" : "%d", (int)l->t[i].shape[d]);
        fprintf(h, "],\"data_offsets\":[%d,%d]}", (int)at, (int)(at + l->t[i].bytes));
        at += l->t[i].bytes;
    }
    fputs("}", h);
    ck_assert_int_eq(fclose(h), 0);
    uint64_t n = bytes;
    ck_assert(f && fwrite(&n, 8, 1, f) == 1 && fwrite(header, 1, bytes, f) == bytes);
    for (int i = 0; i < l->n; i++) {
        ck_assert_uint_eq(fwrite(l->t[i].data, 1, (size_t)l->t[i].bytes, f), (size_t)l->t[i].bytes);
        free(l->t[i].data);
    }
    ck_assert_int_eq(fclose(f), 0);
    free(header);
}

static void start(bool tied, bool training) {
    ssa_error        err = {0};
    ssa_model_config c;
    strcpy(path, "/tmp/ssa_test_weights_XXXXXX");
    int fd = mkstemp(path);
    ck_assert_int_ge(fd, 0);
    close(fd);
    ssa_config_default(&c);
    c.vocab_size = V, c.hidden_size = C, c.intermediate_size = F, c.n_layers = 1, c.n_heads = Q, c.n_kv_heads = 1, c.head_dim = D;
    c.block_size = 4, c.top_k = 2, c.tie_word_embeddings = tied;
    ck_assert_msg(!ssa_open("cpu", NULL, &ctx, &err), "%s", err.text);
    ck_assert_msg(!ssa_model_create(ctx, &c, &(ssa_model_options){.batch = 1, .seq = 8, .training = training}, &model), "%s", ssa_context_error(ctx)->text);
}

static void start_tied(void) { start(true, false); }
static void start_untied(void) { start(false, false); }
static void start_training(void) { start(true, true); }

static void finish(void) {
    ssa_model_free(model);
    ssa_close(ctx);
    unlink(path);
}

static ssa_status load(list *l, bool moments) {
    ssa_error        err = {0};
    ssa_safetensors *st;
    write_list(l);
    ck_assert_msg(!ssa_safetensors_open(path, &st, &err), "%s", err.text);
    ssa_error_clear(ssa_context_error(ctx));
    ssa_status s = moments ? ssa_model_load_optimizer(model, st) : ssa_model_load(model, st);
    ssa_safetensors_close(st);
    return s;
}

/* Loads, and finds the numbers in the model. */
static void loads(list *l) {
    float values[V * C];
    ck_assert_msg(!load(l, false), "%s", ssa_context_error(ctx)->text);
    for (int i = 0; i < ssa_model_param_count(model); i++) {
        ssa_tensor t = ssa_model_param_tensor(model, i, SSA_PARAM_WEIGHT);
        ck_assert_int_eq(ssa_read_f32(ctx, t, values), SSA_OK);
        for (int64_t e = 0; e < t.shape[0] * (t.rank > 1 ? t.shape[1] : 1); e++)
            ck_assert_msg((double)values[e] == number(i, e), "%s[%d] is %g", ssa_model_param(model, i)->name, (int)e, (double)values[e]);
    }
}

static void refused(list *l, const char *why) {
    ck_assert_int_eq(load(l, false), SSA_ERR_INPUT);
    ck_assert_msg(strstr(ssa_context_error(ctx)->text, why) != NULL, "\"%s\" lacks \"%s\"", ssa_context_error(ctx)->text, why);
}

START_TEST(strangers) {
    static const char *const names[] = {
        "model.layers.0.self_attn.q_proj.bias", "model.layers.0.self_attn.k_proj.bias", "model.layers.0.self_attn.v_proj.bias",
        "model.layers.0.self_attn.o_proj.bias", "model.layers.0.self_attn.g_proj.bias", "model.layers.0.mlp.up_proj.bias",
        "model.layers.0.self_attn.q_norm.weight", "model.layers.0.self_attn.k_norm.weight", "model.layers.0.self_attn.w_gate.weight",
        "model.layers.1.self_attn.q_proj.weight", "model.norm.bias", "lm_head.bias", "score.weight", "m.model.norm.weight",
        "model.layers.0.self_attn.q_proj.lora_A.weight", "model.layers.0.self_attn.q_proj.weight_scale", "rotary_emb.inv_freq2", "inv_freq"};
    list l;
    add_model(&l, false);
    loads(&l);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        for (int type = 0; type < 2; type++) {
            add_model(&l, false);
            if (type) add(&l, names[i], "I64", 8, 1, 4);
            else add(&l, names[i], "F32", 4, 1, 4);
            add(&l, "zzz", "F32", 4, 1, 1); /* the first is named */
            refused(&l, names[i]);
        }
    add_model(&l, false);
    add(&l, "two\\nlines", "F32", 4, 1, 1);
    refused(&l, "two?lines that the model does not use");
}
END_TEST

static void add_mask(list *l, const char *type, int T, int hole) {
    unsigned char *mask = add(l, "model.layers.0.self_attn.bias", type, 1, 4, 1, 1, T, T);
    for (int i = 0; i < T * T; i++) mask[i] = i % T <= i / T;
    if (hole >= 0) mask[hole] ^= 1;
}

START_TEST(harmless) {
    list l;
    add_model(&l, false);
    add(&l, "model.rotary_emb.inv_freq", "F32", 4, 1, D / 2);
    add(&l, "model.layers.0.self_attn.rotary_emb.inv_freq", "BF16", 2, 1, D / 2);
    add(&l, "model.layers.7.self_attn.rotary_emb.inv_freq", "F32", 4, 1, D / 2);
    add(&l, "model.position_ids", "I64", 8, 2, 1, 8);
    add(&l, "model.layers.0.self_attn.masked_bias", "BOOL", 1, 0);
    add_mask(&l, "BOOL", 8, -1);
    add(&l, "model.layers.0.rotary_emb.cos_cached", "F16", 2, 5, 1, 1, 1, 8, D); /* more dimensions than a tensor of ours has */
    loads(&l);
    add_model(&l, false);
    add_mask(&l, "U8", 5, -1);
    loads(&l);
    for (int hole = 0; hole < 25; hole += 3) { /* some other mask, which would change what is seen */
        add_model(&l, false);
        add_mask(&l, "BOOL", 5, hole);
        refused(&l, "self_attn.bias");
    }
    add_model(&l, false);
    add(&l, "model.layers.0.self_attn.bias", "F32", 4, 2, 4, 4);
    refused(&l, "self_attn.bias");
}
END_TEST

START_TEST(tied_head) {
    list l;
    for (int wide = 0; wide < 2; wide++) {
        add_model(&l, false);
        void *head = add(&l, "lm_head.weight", wide ? "F64" : "F32", wide ? 8 : 4, 2, V, C);
        for (int64_t e = 0; e < V * C; e++) {
            if (wide) ((double *)head)[e] = number(0, e);
            else ((float *)head)[e] = (float)number(0, e);
        }
        loads(&l);
    }
    add_model(&l, false);
    float *head = add(&l, "lm_head.weight", "F32", 4, 2, V, C);
    for (int64_t e = 0; e < V * C; e++) head[e] = (float)number(0, e) + (e == V * C - 1 ? 0.5f : 0);
    refused(&l, "lm_head.weight that differs from model.embed_tokens.weight");
    add_model(&l, false);
    add(&l, "lm_head.weight", "I64", 8, 2, V, C);
    refused(&l, "lm_head.weight that differs");
    add_model(&l, false);
    add(&l, "lm_head.weight", "F32", 4, 2, C, V);
    refused(&l, "lm_head.weight that differs");
}
END_TEST

START_TEST(untied_head) {
    list l;
    add_model(&l, false);
    refused(&l, "no tensor lm_head.weight, which tie_word_embeddings false");
    add_model(&l, false);
    add_numbers(&l, "lm_head.weight", 2, V, C, false);
    loads(&l);
}
END_TEST

START_TEST(types) {
    list l;
    add_model(&l, true); /* F64 */
    loads(&l);
    add_model(&l, false);
    free(l.t[2].data);
    l.t[2].data = calloc(1, (size_t)(l.t[2].bytes *= 2));
    strcpy(l.t[2].type, "I64");
    refused(&l, "self_attn.q_proj.weight is I64 where F32, BF16, F16 or F64 is needed");
    add_model(&l, false);
    strcpy(l.t[2].type, "I32");
    refused(&l, "self_attn.q_proj.weight is I32");
    add_model(&l, false);
    l.t[2].rank = 5; /* 1 x 1 x 1 x 8 x 8 */
    memcpy(l.t[2].shape, (int64_t[]){1, 1, 1, Q * D, C}, sizeof l.t[2].shape);
    refused(&l, "self_attn.q_proj.weight has 5 dimensions");
    add_model(&l, false);
    l.n--;
    free(l.t[l.n].data);
    refused(&l, "no tensor model.norm.weight");
}
END_TEST

START_TEST(moments) {
    list l, both;
    for (int extra = 0; extra < 3; extra++) {
        both = (list){0};
        for (int k = 0; k < 2; k++) {
            add_model(&l, false);
            for (int i = 0; i < l.n; i++) {
                both.t[both.n] = l.t[i];
                snprintf(both.t[both.n++].name, sizeof l.t->name, "%s.%.80s", k ? "v" : "m", l.t[i].name);
            }
        }
        if (extra == 1) add(&both, "m.model.layers.1.self_attn.q_proj.weight", "F32", 4, 1, 4);
        if (extra == 2) add(&both, "model.norm.weight", "F32", 4, 1, C); /* without its prefix */
        ssa_status s = load(&both, true);
        ck_assert_msg(extra ? s == SSA_ERR_INPUT : s == SSA_OK, "%d: %s", extra, ssa_context_error(ctx)->text);
        if (extra) ck_assert_ptr_nonnull(strstr(ssa_context_error(ctx)->text, extra == 1 ? "m.model.layers.1." : "tensor model.norm.weight that"));
    }
}
END_TEST

static TCase *suite_case(Suite *s, const char *name, void (*before)(void)) {
    TCase *c = tcase_create(name);
    tcase_set_timeout(c, 60);
    tcase_add_checked_fixture(c, before, finish);
    suite_add_tcase(s, c);
    return c;
}

int main(void) {
    Suite *s = suite_create("weights");
    TCase *tied = suite_case(s, "tied", start_tied), *untied = suite_case(s, "untied", start_untied), *training = suite_case(s, "training", start_training);
    tcase_add_test(tied, strangers);
    tcase_add_test(tied, harmless);
    tcase_add_test(tied, tied_head);
    tcase_add_test(tied, types);
    tcase_add_test(untied, untied_head);
    tcase_add_test(training, moments);
    return run_suite(s);
}
