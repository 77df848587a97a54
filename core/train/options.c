/* Training options: one table for flags, config files and trainer.json; presets. */
#include "io/inside.h"
#include "train.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define AT(member)       offsetof(ssa_train_options, member)
#define STRING(name, m, help) {name, SSA_OPT_STRING, AT(m), 0, sizeof(((ssa_train_options *)0)->m), NULL, help}

static const ssa_option table[] = {
    STRING("preset", preset, "quickstart, 10m, 30m, 300m or 1b: sets everything below"),
    STRING("data", data, "text, llm.c .bin shards, a folder of them, a pattern ('train_*.bin'), or several with commas"),
    STRING("val_data", val_data, "validation data, named likewise (default: the last part of --data)"),
    STRING("out", out, "folder of the run: log.jsonl and checkpoints"),
    STRING("init_from", init_from, "start from the weights of this checkpoint folder"),
    {"dtype", SSA_OPT_CHOICE, AT(dtype), 0, 0, "f32 bf16 f16", "storage of weights and activations, f32 or bf16 (f16 loses gradients); master weights stay f32"},
    {"batch", SSA_OPT_I64, AT(batch), 1, 1e6, NULL, "rows a micro-batch"},
    {"seq", SSA_OPT_I64, AT(seq), 2, 1e7, NULL, "tokens a row"},
    {"accum", SSA_OPT_INT, AT(accum), 1, 1e6, NULL, "micro-batches a step"},
    {"steps", SSA_OPT_I64, AT(steps), 1, 1e9, NULL, "length of the run and of its learning-rate schedule"},
    {"stop_at", SSA_OPT_I64, AT(stop_at), 0, 1e9, NULL, "save and leave after this step (0: run to the end)"},
    {"warmup", SSA_OPT_I64, AT(warmup), 0, 1e9, NULL, "steps of linear warm-up"},
    {"lr", SSA_OPT_DOUBLE, AT(lr), 0, 1e3, NULL, "peak learning rate"},
    {"min_lr", SSA_OPT_DOUBLE, AT(min_lr), 0, 1e3, NULL, "learning rate at the end of the cosine"},
    {"weight_decay", SSA_OPT_DOUBLE, AT(weight_decay), 0, 1e3, NULL, "AdamW's, on matrices only"},
    {"clip", SSA_OPT_DOUBLE, AT(clip), 0, 1e9, NULL, "largest gradient norm (0: no clipping)"},
    {"beta1", SSA_OPT_DOUBLE, AT(beta1), 0, 0.999999, NULL, "AdamW's"},
    {"beta2", SSA_OPT_DOUBLE, AT(beta2), 0, 0.999999, NULL, "AdamW's"},
    {"eps", SSA_OPT_DOUBLE, AT(eps), 1e-30, 1, NULL, "AdamW's"},
    {"val_fraction", SSA_OPT_DOUBLE, AT(val_fraction), 0, 0.9, NULL, "share of the rows kept for validation"},
    {"eval_every", SSA_OPT_I64, AT(eval_every), 0, 1e9, NULL, "steps between evaluations under both modes (0: only at the end)"},
    {"eval_rows", SSA_OPT_I64, AT(eval_rows), 0, 1e9, NULL, "validation rows an evaluation uses (0: all)"},
    {"save_every", SSA_OPT_I64, AT(save_every), 0, 1e9, NULL, "steps between checkpoints (0: only at the end)"},
    {"save_minutes", SSA_OPT_DOUBLE, AT(save_minutes), 0, 1e6, NULL, "a checkpoint at the latest after so many minutes, too (0: by steps alone)"},
    {"keep", SSA_OPT_INT, AT(keep), 1, 1e6, NULL, "newest checkpoints kept, beside the one with the lowest sparse validation loss"},
    {"log_every", SSA_OPT_I64, AT(log_every), 1, 1e9, NULL, "steps between progress lines"},
    {"seed", SSA_OPT_U64, AT(seed), 0, 9007199254740991.0, NULL, "of weights, data order and coins"},
    {"allow_changes", SSA_OPT_BOOL, AT(allow_changes), 0, 0, NULL, "with --resume: go on although data or options are not the run's"},
    {"recompute", SSA_OPT_BOOL, AT(recompute), 0, 0, NULL, "recompute layers in the backward pass to save memory"},
    {"layers", SSA_OPT_INT, AT(model.n_layers), 1, 1000, NULL, "transformer layers"},
    {"hidden", SSA_OPT_I64, AT(model.hidden_size), 1, 1e6, NULL, "hidden size"},
    {"ffn", SSA_OPT_I64, AT(model.intermediate_size), 1, 1e6, NULL, "intermediate size of the MLP"},
    {"heads", SSA_OPT_INT, AT(model.n_heads), 1, 10000, NULL, "query heads"},
    {"kv_heads", SSA_OPT_INT, AT(model.n_kv_heads), 1, 10000, NULL, "KV heads"},
    {"head_dim", SSA_OPT_INT, AT(model.head_dim), 2, 256, NULL, "head dimension (even)"},
    {"vocab", SSA_OPT_I64, AT(model.vocab_size), 0, 1e7, NULL, "vocabulary, which the ids of shards are checked against (0: the data's)"},
    {"tie", SSA_OPT_BOOL, AT(model.tie_word_embeddings), 0, 0, NULL, "tie the output projection to the embedding"},
    {"rope_theta", SSA_OPT_DOUBLE, AT(model.rope_theta), 1, 1e12, NULL, "base of the rotary frequencies"},
    {"rope_factor", SSA_OPT_DOUBLE, AT(model.rope_factor), 0, 1e6, NULL, "llama3 rotary scaling (0: none)"},
    {"rope_low_freq_factor", SSA_OPT_DOUBLE, AT(model.rope_low_freq_factor), 0, 1e6, NULL, "of the scaling"},
    {"rope_high_freq_factor", SSA_OPT_DOUBLE, AT(model.rope_high_freq_factor), 0, 1e6, NULL, "of the scaling"},
    {"rope_original_length", SSA_OPT_I64, AT(model.rope_original_length), 0, 1e9, NULL, "of the scaling"},
    {"block_size", SSA_OPT_INT, AT(model.block_size), 1, 4096, NULL, "tokens a block"},
    {"top_k", SSA_OPT_INT, AT(model.top_k), 1, 1024, NULL, "blocks a query attends, its own included"},
    {"attention", SSA_OPT_CHOICE, AT(model.attention), 0, 0, "ssa full", "system: ssa (full and sparse stream, aligned) or full (trained dense)"},
    {"gate", SSA_OPT_BOOL, AT(model.gated), 0, 0, NULL, "a sigmoid gate on each head (a plain Llama has none)"},
    {"score", SSA_OPT_CHOICE, AT(model.score), 0, 0, "softmax dot", "block score: softmax per head summed over the group (code), or dot product (paper)"},
    {"select", SSA_OPT_CHOICE, AT(model.select), 0, 0, "exact compat", "top-k: exact, or the released kernel's rule"},
    {"share_per_head", SSA_OPT_BOOL, AT(model.share_per_head), 0, 0, NULL, "each query head selects its own blocks instead of sharing within the group"},
    {"align_gated", SSA_OPT_BOOL, AT(model.align_gated), 0, 0, NULL, "align gated outputs (code) rather than ungated ones (paper)"},
    {"loss", SSA_OPT_CHOICE, AT(model.loss), 0, 0, "smoothl1 l2", "alignment loss"},
    {"alpha", SSA_OPT_FLOAT, AT(model.alpha), 0, 1e6, NULL, "weight of the alignment loss (0: only the main stream)"},
    {"p_full", SSA_OPT_FLOAT, AT(model.p_full), 0, 1, NULL, "probability that the full stream is the main one"},
};
enum { TABLE_COUNT = sizeof table / sizeof *table };

const ssa_option *ssa_train_option_table(int *count) {
    *count = TABLE_COUNT;
    return table;
}

/* Index of a word in "a b c"; -1: not there. */
static int choice(const char *choices, const char *word) {
    size_t n = strlen(word);
    for (int i = 0;; i++) {
        size_t length = strcspn(choices, " ");
        if (length == n && n && !memcmp(choices, word, n)) return i;
        if (!choices[length]) return -1;
        choices += length + 1;
    }
}

#define SHOW(s) io_show(s).text /* values come from files too: what stands in a sentence is fit for it */

static ssa_status bad(ssa_error *err, const ssa_option *p, const char *value) {
    if (p->kind == SSA_OPT_BOOL) return ssa_fail(err, SSA_ERR_INPUT, "%s is %s, neither true nor false", p->name, SHOW(value));
    if (p->kind == SSA_OPT_CHOICE) return ssa_fail(err, SSA_ERR_INPUT, "%s is %s, not one of: %s", p->name, SHOW(value), p->choices);
    if (p->kind == SSA_OPT_STRING) return ssa_fail(err, SSA_ERR_INPUT, "%s is longer than %d characters", p->name, (int)p->max - 1);
    return ssa_fail(err, SSA_ERR_INPUT, "%s %s is out of range %.12g..%.12g", p->name, SHOW(value), p->min, p->max);
}

static ssa_status set(ssa_train_options *o, const ssa_option *p, const char *value, ssa_error *err) {
    void *at = (char *)o + p->offset;
    if (p->kind == SSA_OPT_STRING) {
        if (strlen(value) >= (size_t)p->max) return bad(err, p, value);
        strcpy(at, value);
        return SSA_OK;
    }
    if (p->kind == SSA_OPT_CHOICE || p->kind == SSA_OPT_BOOL) {
        int i = choice(p->kind == SSA_OPT_BOOL ? "false true" : p->choices, value);
        if (i < 0 && p->kind == SSA_OPT_BOOL) i = choice("0 1", value);
        if (i < 0) return bad(err, p, value);
        if (p->kind == SSA_OPT_BOOL) *(bool *)at = i; else *(int *)at = i;
        return SSA_OK;
    }
    bool whole = p->kind == SSA_OPT_INT || p->kind == SSA_OPT_I64 || p->kind == SSA_OPT_U64;
    double d;
    if (!ssa_number_read(value, &d)) return ssa_fail(err, SSA_ERR_INPUT, "%s is %s where a number is needed", p->name, SHOW(value));
    if (whole && d != floor(d)) return ssa_fail(err, SSA_ERR_INPUT, "%s is %s where a whole number is needed", p->name, SHOW(value));
    if (d < p->min || d > p->max) return bad(err, p, value);
    switch (p->kind) {
    case SSA_OPT_INT: *(int *)at = (int)d; break;
    case SSA_OPT_I64: *(int64_t *)at = (int64_t)d; break;
    case SSA_OPT_U64: *(uint64_t *)at = (uint64_t)d; break;
    case SSA_OPT_FLOAT: *(float *)at = (float)d; break;
    default: *(double *)at = d; break;
    }
    return SSA_OK;
}

ssa_status ssa_train_set(ssa_train_options *o, const char *name, const char *value, ssa_error *err) {
    for (int i = 0; i < TABLE_COUNT; i++)
        if (!strcmp(table[i].name, name)) return set(o, &table[i], value, err);
    return ssa_fail(err, SSA_ERR_INPUT, "there is no option %s", SHOW(name));
}

const char *ssa_train_get(const ssa_train_options *o, const ssa_option *p, char text[SSA_NUMBER_SIZE]) {
    const void *at = (const char *)o + p->offset;
    switch (p->kind) {
    case SSA_OPT_STRING: return at;
    case SSA_OPT_INT: snprintf(text, SSA_NUMBER_SIZE, "%d", *(const int *)at); break;
    case SSA_OPT_I64: snprintf(text, SSA_NUMBER_SIZE, "%lld", (long long)*(const int64_t *)at); break;
    case SSA_OPT_U64: snprintf(text, SSA_NUMBER_SIZE, "%llu", (unsigned long long)*(const uint64_t *)at); break;
    case SSA_OPT_FLOAT: return ssa_number_print(text, (double)*(const float *)at, true);
    case SSA_OPT_DOUBLE: return ssa_number_print(text, *(const double *)at, false);
    case SSA_OPT_BOOL: return *(const bool *)at ? "true" : "false";
    case SSA_OPT_CHOICE: {
        const char *word = p->choices;
        for (int k = *(const int *)at; k > 0; k--) word += strcspn(word, " ") + 1;
        snprintf(text, SSA_NUMBER_SIZE, "%.*s", (int)strcspn(word, " "), word);
    }
    }
    return text;
}

/* -- as JSON ------------------------------------------------------------------------------------------------------------- */

const char *option_text(const cJSON *item, char number[SSA_NUMBER_SIZE]) {
    if (cJSON_IsString(item)) return item->valuestring;
    if (cJSON_IsBool(item)) return cJSON_IsTrue(item) ? "true" : "false";
    if (!cJSON_IsNumber(item)) return NULL;
    return ssa_number_print(number, item->valuedouble, false);
}

ssa_status options_from_json(ssa_train_options *o, const cJSON *json, const char *path, ssa_error *err) {
    if (!cJSON_IsObject(json)) return ssa_fail(err, SSA_ERR_INPUT, "%s is not a JSON object of options", SHOW(path));
    for (const cJSON *item = json->child; item; item = item->next) {
        char        number[SSA_NUMBER_SIZE];
        const char *value = option_text(item, number);
        if (!value) return ssa_fail(err, SSA_ERR_INPUT, "%s: %s is neither a number, a string nor true or false", SHOW(path), SHOW(item->string));
        ssa_error inner = {0};
        if (ssa_train_set(o, item->string, value, &inner)) return ssa_fail(err, SSA_ERR_INPUT, "%s: %s", SHOW(path), inner.text);
    }
    return SSA_OK;
}

/* cJSON's own digits are 15 and sometimes miss the last bit, and a resumed run would have another learning rate. */
static void add_number(cJSON *json, const char *name, double x, bool is_float) {
    char text[SSA_NUMBER_SIZE];
    cJSON_AddRawToObject(json, name, ssa_number_print(text, x, is_float));
}

cJSON *options_to_json(const ssa_train_options *o) {
    cJSON *json = cJSON_CreateObject();
    for (int i = 0; i < TABLE_COUNT; i++) {
        const ssa_option *p = &table[i];
        const void       *at = (const char *)o + p->offset;
        char              text[SSA_NUMBER_SIZE];
        switch (p->kind) {
        case SSA_OPT_STRING: cJSON_AddStringToObject(json, p->name, at); break;
        case SSA_OPT_INT: cJSON_AddNumberToObject(json, p->name, *(const int *)at); break;
        case SSA_OPT_I64: cJSON_AddNumberToObject(json, p->name, (double)*(const int64_t *)at); break;
        case SSA_OPT_U64: cJSON_AddNumberToObject(json, p->name, (double)*(const uint64_t *)at); break;
        case SSA_OPT_FLOAT: add_number(json, p->name, (double)*(const float *)at, true); break;
        case SSA_OPT_DOUBLE: add_number(json, p->name, *(const double *)at, false); break;
        case SSA_OPT_BOOL: cJSON_AddBoolToObject(json, p->name, *(const bool *)at); break;
        case SSA_OPT_CHOICE: cJSON_AddStringToObject(json, p->name, ssa_train_get(o, p, text)); break;
        }
    }
    return json;
}

/* -- presets --------------------------------------------------------------------------------------------------------------- */

typedef struct preset {
    const char *name;
    int         layers, heads, kv_heads, head_dim, top_k;
    int64_t     hidden, ffn, seq, batch;
    int         accum;
    int64_t     steps, warmup, eval_every, eval_rows, save_every;
    double      lr, min_lr;
    ssa_dtype   dtype;
} preset;

/* Blocks of 16 throughout, and top_k x 16 well under the sequence, or nothing sparse would be trained. 300m and 1b as in the
 * paper (ssa_spec 2), rows of 8192 and bf16 included; their batch is what fits one card, times accum. */
static const preset presets[] = {
    /* name        L   HQ  H  D  k  hidden ffn   T     B  acc steps   warm ev   rows save  lr    min   dtype */
    {"quickstart", 4,  4,  1, 32, 4,  128, 384,  256,  8, 1,  300,    30,  50,  64,  100,  3e-3, 3e-4, SSA_F32},
    {"10m",        9,  5,  1, 64, 8,  320, 896,  512,  16, 1, 2000,   100, 200, 128, 500,  1e-3, 1e-4, SSA_F32},
    {"30m",        11, 8,  1, 64, 16, 512, 1408, 1024, 16, 1, 5000,   200, 250, 128, 500,  1e-3, 1e-4, SSA_F32},
    {"300m",       16, 16, 1, 64, 16, 1024, 4096, 8192, 4, 96, 15900, 159, 100, 64,  100,  1e-3, 0,    SSA_BF16},
    {"1b",         16, 32, 2, 64, 16, 2048, 8192, 8192, 2, 192, 31800, 318, 100, 64, 100,  1e-3, 0,    SSA_BF16},
};

const char *ssa_train_preset_names(void) { return "quickstart, 10m, 30m, 300m, 1b"; }

ssa_status ssa_train_preset(const char *name, ssa_train_options *o, ssa_error *err) {
    for (size_t i = 0; i < sizeof presets / sizeof *presets; i++) {
        const preset *p = &presets[i];
        if (strcmp(p->name, name)) continue;
        memset(o, 0, sizeof *o);
        ssa_config_default(&o->model);
        snprintf(o->preset, sizeof o->preset, "%s", name);
        o->model.n_layers = p->layers;
        o->model.n_heads = p->heads;
        o->model.n_kv_heads = p->kv_heads;
        o->model.head_dim = p->head_dim;
        o->model.hidden_size = p->hidden;
        o->model.intermediate_size = p->ffn;
        o->model.block_size = 16;
        o->model.top_k = p->top_k;
        o->model.vocab_size = 0;
        o->dtype = p->dtype;
        o->seq = p->seq;
        o->batch = p->batch;
        o->accum = p->accum;
        o->steps = p->steps;
        o->warmup = p->warmup;
        o->eval_every = p->eval_every;
        o->eval_rows = p->eval_rows;
        o->save_every = p->save_every;
        o->lr = p->lr;
        o->min_lr = p->min_lr;
        o->weight_decay = 0.1;
        o->clip = 1;
        o->beta1 = 0.9;
        o->beta2 = 0.95;
        o->eps = 1e-8;
        o->val_fraction = 0.05;
        o->save_minutes = 30;
        o->keep = 3;
        o->log_every = 10;
        o->seed = 42;
        return SSA_OK;
    }
    return ssa_fail(err, SSA_ERR_INPUT, "there is no preset %s; there are %s", SHOW(name), ssa_train_preset_names());
}

ssa_status ssa_train_check(const ssa_train_options *o, ssa_error *err) {
    if (!o->data[0]) return ssa_fail(err, SSA_ERR_INPUT, "no data: name a text file or token shards with --data");
    if (!o->out[0]) return ssa_fail(err, SSA_ERR_INPUT, "no folder for the run: name one with --out");
    /* Room for /.step-NNNNNNNNN.PID.RANDOM.tmp/.optimizer.safetensors.PID.RANDOM.tmp: not to be found out at the first checkpoint. */
    if (strlen(o->out) > SSA_PATH_CAPACITY - 160)
        return ssa_fail(err, SSA_ERR_INPUT, "out is a path of %zu characters; with the files in it, at most %d are possible", strlen(o->out), SSA_PATH_CAPACITY - 160);
    if (o->min_lr > o->lr) return ssa_fail(err, SSA_ERR_INPUT, "min_lr %g is above lr %g", o->min_lr, o->lr);
    if (o->warmup > o->steps) return ssa_fail(err, SSA_ERR_INPUT, "warmup %lld is longer than the run of %lld steps", (long long)o->warmup, (long long)o->steps);
    if (o->stop_at > o->steps) return ssa_fail(err, SSA_ERR_INPUT, "stop_at %lld is beyond the run of %lld steps", (long long)o->stop_at, (long long)o->steps);
    SSA_TRY(ssa_check_training_dtype(o->dtype, err));
    ssa_model_config c = o->model;
    if (c.vocab_size == 0) c.vocab_size = 256; /* the data's, known once it is open */
    return ssa_config_check(&c, err);
}

double ssa_train_lr(const ssa_train_options *o, int64_t step) {
    if (step <= o->warmup) return o->lr * (double)step / (double)o->warmup;
    if (o->steps <= o->warmup) return o->lr;
    double part = (double)(step - o->warmup) / (double)(o->steps - o->warmup);
    return o->min_lr + (o->lr - o->min_lr) * (1 + cos(3.14159265358979323846 * part)) / 2;
}
