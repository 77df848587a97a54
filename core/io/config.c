/* config.json of a Hugging Face folder: the authors' keys, and ours under names beginning with ssa_. */
#include "io/inside.h"
#include "ssa/config.h"
#include "ssa/ops.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FAIL(...) return ssa_fail(err, SSA_ERR_INPUT, __VA_ARGS__)
#define SHOW(s)   io_show(s).text

/* Values of our keys that are words; index = enum or bool. */
static const char *const score_words[] = {[SSA_SCORE_SOFTMAX] = "softmax", [SSA_SCORE_DOT] = "dot"};
static const char *const select_words[] = {[SSA_SELECT_EXACT] = "exact", [SSA_SELECT_COMPAT] = "compat"};
static const char *const loss_words[] = {[SSA_LOSS_SMOOTHL1] = "smoothl1", [SSA_LOSS_L2] = "l2"};
static const char *const share_words[] = {"group", "head"};
static const char *const align_words[] = {"ungated", "gated"};

void ssa_config_default(ssa_model_config *c) {
    *c = (ssa_model_config){
        .block_size = 16,
        .top_k = 16,
        .rms_norm_eps = 1e-5f,
        .rope_theta = 500000,
        .max_position_embeddings = 131072,
        .tie_word_embeddings = true,
        .initializer_range = 0.02f,
        .score = SSA_SCORE_SOFTMAX,
        .select = SSA_SELECT_EXACT,
        .loss = SSA_LOSS_SMOOTHL1,
        .align_gated = true,
        .alpha = 10,
        .p_full = 0.5f,
    };
}

/* -- reading ------------------------------------------------------------------------------------------------------------ */

typedef struct reader {
    const char  *path;
    const cJSON *json;
    ssa_error   *err;
} reader;

/* The value of a key; NULL where it is absent or null, which is an error if it is needed. */
static ssa_status find(const reader *r, const char *key, bool needed, const cJSON **out) {
    *out = cJSON_GetObjectItemCaseSensitive(r->json, key);
    if (cJSON_IsNull(*out)) *out = NULL;
    if (!*out && needed) return ssa_fail(r->err, SSA_ERR_INPUT, "%s: %s is missing", SHOW(r->path), key);
    return SSA_OK;
}

static ssa_status mistyped(const reader *r, const char *key, const cJSON *value, const char *wanted) {
    return ssa_fail(r->err, SSA_ERR_INPUT, "%s: %s is %s where %s is needed", SHOW(r->path), key, io_json_kind(value), wanted);
}

/* A whole number; *out keeps its value where the key is absent and not needed. */
static ssa_status read_whole(const reader *r, const char *key, bool needed, int64_t *out) {
    const cJSON *value;
    SSA_TRY(find(r, key, needed, &value));
    if (!value) return SSA_OK;
    if (!cJSON_IsNumber(value)) return mistyped(r, key, value, "a whole number");
    if (!io_json_whole(value, out))
        return ssa_fail(r->err, SSA_ERR_INPUT, "%s: %s %.17g is not a whole number of 0 or more", SHOW(r->path), key, value->valuedouble);
    return SSA_OK;
}

static ssa_status read_int(const reader *r, const char *key, bool needed, int *out) {
    int64_t value = *out;
    SSA_TRY(read_whole(r, key, needed, &value));
    if (value > INT32_MAX)
        return ssa_fail(r->err, SSA_ERR_INPUT, "%s: %s %lld is out of range 0..%d", SHOW(r->path), key, (long long)value, INT32_MAX);
    *out = (int)value;
    return SSA_OK;
}

static ssa_status read_double(const reader *r, const char *key, bool needed, double *out) {
    const cJSON *value;
    SSA_TRY(find(r, key, needed, &value));
    if (!value) return SSA_OK;
    if (!cJSON_IsNumber(value)) return mistyped(r, key, value, "a number");
    if (!isfinite(value->valuedouble)) return ssa_fail(r->err, SSA_ERR_INPUT, "%s: %s is too large a number", SHOW(r->path), key);
    *out = value->valuedouble;
    return SSA_OK;
}

static ssa_status read_float(const reader *r, const char *key, float *out) {
    double value = (double)*out;
    SSA_TRY(read_double(r, key, false, &value));
    *out = (float)value;
    return SSA_OK;
}

static ssa_status read_bool(const reader *r, const char *key, bool *out) {
    const cJSON *value;
    SSA_TRY(find(r, key, false, &value));
    if (!value) return SSA_OK;
    if (!cJSON_IsBool(value)) return mistyped(r, key, value, "true or false");
    *out = cJSON_IsTrue(value);
    return SSA_OK;
}

/* One of two words; *out gets its index. */
static ssa_status read_word(const reader *r, const char *key, const char *const words[2], int *out) {
    const cJSON *value;
    SSA_TRY(find(r, key, false, &value));
    if (!value) return SSA_OK;
    if (!cJSON_IsString(value)) return mistyped(r, key, value, "a string");
    for (int i = 0; i < 2; i++) {
        if (strcmp(value->valuestring, words[i])) continue;
        *out = i;
        return SSA_OK;
    }
    return ssa_fail(r->err, SSA_ERR_INPUT, "%s: %s %s is unknown, it is %s or %s", SHOW(r->path), key, SHOW(value->valuestring), words[0], words[1]);
}

static ssa_status read_word_bool(const reader *r, const char *key, const char *const words[2], bool *out) {
    int value = *out;
    SSA_TRY(read_word(r, key, words, &value));
    *out = value;
    return SSA_OK;
}

/* rope_scaling of type llama3. Newer folders have everything of RoPE, theta too, in rope_parameters. */
static ssa_status read_rope(const reader *r, ssa_model_config *c) {
    const char *key = "rope_scaling";
    const cJSON *object;
    SSA_TRY(read_double(r, "rope_theta", false, &c->rope_theta));
    SSA_TRY(find(r, key, false, &object));
    if (!object) SSA_TRY(find(r, key = "rope_parameters", false, &object));
    if (!object) return SSA_OK;
    if (!cJSON_IsObject(object)) return mistyped(r, key, object, "an object");
    reader inner = {r->path, object, r->err};
    SSA_TRY(read_double(&inner, "rope_theta", false, &c->rope_theta));
    const cJSON *type;
    SSA_TRY(find(&inner, "rope_type", false, &type));
    if (!type) SSA_TRY(find(&inner, "type", false, &type)); /* its older name */
    if (!cJSON_IsString(type)) return ssa_fail(r->err, SSA_ERR_INPUT, "%s: rope_type of %s is %s where a string is needed", SHOW(r->path), key,
                                               io_json_kind(type));
    if (!strcmp(type->valuestring, "default")) return SSA_OK;
    if (strcmp(type->valuestring, "llama3"))
        return ssa_fail(r->err, SSA_ERR_INPUT, "%s: rope_type %s is not supported, only llama3 and default are", SHOW(r->path),
                        SHOW(type->valuestring));
    SSA_TRY(read_double(&inner, "factor", true, &c->rope_factor));
    SSA_TRY(read_double(&inner, "low_freq_factor", true, &c->rope_low_freq_factor));
    SSA_TRY(read_double(&inner, "high_freq_factor", true, &c->rope_high_freq_factor));
    SSA_TRY(read_whole(&inner, "original_max_position_embeddings", true, &c->rope_original_length));
    if (c->rope_factor == 0) return ssa_fail(r->err, SSA_ERR_INPUT, "%s: factor 0 of %s is out of range", SHOW(r->path),
                                             key); /* 0 means none to us */
    return SSA_OK;
}

/* What would load and then compute something else. */
static ssa_status refuse_others(const reader *r) {
    static const char *const biases[] = {"attention_bias", "mlp_bias"};
    const cJSON *value;
    int64_t window = 0;
    SSA_TRY(find(r, "model_type", false, &value));
    if (value && !(cJSON_IsString(value) && !strncmp(value->valuestring, "llama", 5)))
        return ssa_fail(r->err, SSA_ERR_INPUT, "%s: model_type %s is not supported, only llama and llama_nsa are", SHOW(r->path),
                        cJSON_IsString(value) ? SHOW(value->valuestring) : io_json_kind(value));
    SSA_TRY(find(r, "hidden_act", false, &value));
    if (value && !(cJSON_IsString(value) && !strcmp(value->valuestring, "silu")))
        return ssa_fail(r->err, SSA_ERR_INPUT, "%s: hidden_act %s is not supported, only silu is", SHOW(r->path),
                        cJSON_IsString(value) ? SHOW(value->valuestring) : io_json_kind(value));
    for (int i = 0; i < 2; i++) {
        bool bias = false;
        SSA_TRY(read_bool(r, biases[i], &bias));
        if (bias) return ssa_fail(r->err, SSA_ERR_INPUT, "%s: %s true is not supported", SHOW(r->path), biases[i]);
    }
    SSA_TRY(read_whole(r, "window_size", false, &window));
    if (window) return ssa_fail(r->err, SSA_ERR_INPUT, "%s: window_size %lld is not supported, only 0: NSA's window branch is not there",
                                SHOW(r->path), (long long)window);
    return SSA_OK;
}

static ssa_status read_all(const reader *r, ssa_model_config *c) {
    SSA_TRY(refuse_others(r));
    SSA_TRY(read_whole(r, "vocab_size", true, &c->vocab_size));
    SSA_TRY(read_whole(r, "hidden_size", true, &c->hidden_size));
    SSA_TRY(read_whole(r, "intermediate_size", true, &c->intermediate_size));
    SSA_TRY(read_int(r, "num_hidden_layers", true, &c->n_layers));
    SSA_TRY(read_int(r, "num_attention_heads", true, &c->n_heads));
    c->n_kv_heads = c->n_heads;
    SSA_TRY(read_int(r, "num_key_value_heads", false, &c->n_kv_heads));
    c->head_dim = -1;
    SSA_TRY(read_int(r, "head_dim", false, &c->head_dim));
    if (c->head_dim < 0) {
        if (c->n_heads < 1 || c->hidden_size % c->n_heads || c->hidden_size / c->n_heads > INT32_MAX)
            return ssa_fail(r->err, SSA_ERR_INPUT, "%s: head_dim is missing and hidden_size %lld is not divisible by num_attention_heads %d",
                            SHOW(r->path),
                            (long long)c->hidden_size, c->n_heads);
        c->head_dim = (int)(c->hidden_size / c->n_heads);
    }
    SSA_TRY(read_int(r, "block_size", false, &c->block_size));
    SSA_TRY(read_int(r, "block_counts", false, &c->top_k));
    SSA_TRY(read_float(r, "rms_norm_eps", &c->rms_norm_eps));
    SSA_TRY(read_rope(r, c));
    SSA_TRY(read_whole(r, "max_position_embeddings", false, &c->max_position_embeddings));
    SSA_TRY(read_bool(r, "tie_word_embeddings", &c->tie_word_embeddings));
    SSA_TRY(read_float(r, "initializer_range", &c->initializer_range));
    SSA_TRY(read_word(r, "ssa_score", score_words, &c->score));
    SSA_TRY(read_word(r, "ssa_select", select_words, &c->select));
    SSA_TRY(read_word(r, "ssa_loss", loss_words, &c->loss));
    SSA_TRY(read_word_bool(r, "ssa_share", share_words, &c->share_per_head));
    SSA_TRY(read_word_bool(r, "ssa_align", align_words, &c->align_gated));
    SSA_TRY(read_float(r, "ssa_alpha", &c->alpha));
    return read_float(r, "ssa_p_full", &c->p_full);
}

ssa_status ssa_config_read(const char *dir, ssa_model_config *out, ssa_error *err) {
    ssa_error why = {0};
    cJSON *json = NULL;
    char *text = NULL, *path = io_join(dir, "config.json");
    size_t bytes;
    if (!path) return ssa_fail(err, SSA_ERR_MEMORY, "no memory to read config.json");
    ssa_config_default(out);
    ssa_status status = ssa_file_read(path, IO_JSON_LIMIT, &text, &bytes, err);
    if (!status) status = io_json_parse(path, text, bytes, &json, err);
    if (!status) status = read_all(&(reader){path, json, err}, out);
    if (!status && ssa_config_check(out, &why)) status = ssa_fail(err, SSA_ERR_INPUT, "%s: %s", SHOW(path), why.text);
    cJSON_Delete(json);
    free(text);
    free(path);
    return status;
}

/* -- checking ----------------------------------------------------------------------------------------------------------- */

ssa_status ssa_config_check(const ssa_model_config *c, ssa_error *err) {
    const struct { const char *name; int64_t value, low, high; } sizes[] = {
        {"vocab_size", c->vocab_size, 2, INT32_MAX},
        {"hidden_size", c->hidden_size, 1, 1 << 20},
        {"intermediate_size", c->intermediate_size, 1, 1 << 24},
        {"num_hidden_layers", c->n_layers, 1, 4096},
        {"num_attention_heads", c->n_heads, 1, 4096},
        {"num_key_value_heads", c->n_kv_heads, 1, 4096},
        {"head_dim", c->head_dim, 2, 256},
        {"block_size", c->block_size, 1, 4096},
        {"top_k", c->top_k, 1, 1024},
        {"max_position_embeddings", c->max_position_embeddings, 1, INT32_MAX},
        {"score", c->score, SSA_SCORE_SOFTMAX, SSA_SCORE_DOT},
        {"select", c->select, SSA_SELECT_EXACT, SSA_SELECT_COMPAT},
        {"loss", c->loss, SSA_LOSS_SMOOTHL1, SSA_LOSS_L2},
    };
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        if (sizes[i].value < sizes[i].low || sizes[i].value > sizes[i].high)
            FAIL("%s %lld is out of range %lld..%lld", sizes[i].name, (long long)sizes[i].value, (long long)sizes[i].low, (long long)sizes[i].high);
    if (c->head_dim % 2) FAIL("head_dim %d is odd, rotary embedding needs an even one", c->head_dim);
    if (c->n_heads % c->n_kv_heads) FAIL("num_attention_heads %d is not divisible by num_key_value_heads %d", c->n_heads, c->n_kv_heads);
    if (c->select == SSA_SELECT_COMPAT && c->top_k > c->block_size / 2 && c->top_k != c->block_size)
        FAIL("top_k %d with select compat must be at most half of block_size %d, or equal to it", c->top_k, c->block_size);

    /* Written so that a NaN fails too. */
    if (!(c->rms_norm_eps > 0 && c->rms_norm_eps <= 1)) FAIL("rms_norm_eps %g is out of range: it must be above 0 and at most 1",
                                                             (double)c->rms_norm_eps);
    if (!(c->rope_theta > 0 && c->rope_theta <= 1e30)) FAIL("rope_theta %g is out of range: it must be above 0 and at most 1e30", c->rope_theta);
    if (!(c->initializer_range >= 0 && c->initializer_range <= 100)) FAIL("initializer_range %g is out of range 0..100",
                                                                          (double)c->initializer_range);
    if (!(c->alpha >= 0 && c->alpha <= 1e30f)) FAIL("alpha %g is out of range 0..1e30", (double)c->alpha);
    if (!(c->p_full >= 0 && c->p_full <= 1)) FAIL("p_full %g is out of range 0..1", (double)c->p_full);
    if (c->rope_factor == 0) return SSA_OK;
    if (!(c->rope_factor >= 1 && c->rope_factor <= 1e6)) FAIL("rope factor %g is out of range 1..1e6", c->rope_factor);
    if (!(c->rope_low_freq_factor > 0 && c->rope_low_freq_factor < c->rope_high_freq_factor && c->rope_high_freq_factor <= 1e6))
        FAIL("low_freq_factor %g and high_freq_factor %g are out of range: they must be above 0, the first below the second, at most 1e6",
             c->rope_low_freq_factor, c->rope_high_freq_factor);
    if (c->rope_original_length < 1 || c->rope_original_length > INT32_MAX)
        FAIL("original_max_position_embeddings %lld is out of range 1..%d", (long long)c->rope_original_length, INT32_MAX);
    return SSA_OK;
}

/* -- writing ------------------------------------------------------------------------------------------------------------ */

/* The shortest digits that read back as the same number, always with a point or an exponent, as Python writes floats. */
static void put_number(FILE *f, const char *key, double x, bool is_float, const char *end) {
    char text[40];
    for (int digits = is_float ? 6 : 15; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, x);
        double back = strtod(text, NULL);
        if (is_float ? (float)back == (float)x : back == x) break;
    }
    for (char *p = text; *p; p++)
        if (*p == ',') *p = '.'; /* the program's locale may have another decimal point, JSON has not */
    fprintf(f, "  \"%s\": %s%s%s", key, text, strpbrk(text, ".e") ? "" : ".0", end);
}

static void put_all(FILE *f, const ssa_model_config *c) {
    fputs("{\n  \"architectures\": [\"LlamaNSAForCausalLM\"],\n  \"model_type\": \"llama_nsa\",\n  \"hidden_act\": \"silu\",\n", f);
    put_number(f, "initializer_range", (double)c->initializer_range, true, ",\n");
    fprintf(f, "  \"max_position_embeddings\": %lld,\n", (long long)c->max_position_embeddings);
    put_number(f, "rms_norm_eps", (double)c->rms_norm_eps, true, ",\n");
    put_number(f, "rope_theta", c->rope_theta, false, ",\n");
    if (c->rope_factor != 0) {
        fputs("  \"rope_scaling\": {\n    \"rope_type\": \"llama3\",\n", f);
        fputs("  ", f);
        put_number(f, "factor", c->rope_factor, false, ",\n");
        fputs("  ", f);
        put_number(f, "low_freq_factor", c->rope_low_freq_factor, false, ",\n");
        fputs("  ", f);
        put_number(f, "high_freq_factor", c->rope_high_freq_factor, false, ",\n");
        fprintf(f, "    \"original_max_position_embeddings\": %lld\n  },\n", (long long)c->rope_original_length);
    }
    fprintf(f, "  \"tie_word_embeddings\": %s,\n", c->tie_word_embeddings ? "true" : "false");
    fputs("  \"attention_bias\": false,\n  \"mlp_bias\": false,\n  \"attention_dropout\": 0.0,\n  \"window_size\": 0,\n  \"use_cache\": false,\n", f);
    fprintf(f, "  \"vocab_size\": %lld,\n  \"hidden_size\": %lld,\n  \"intermediate_size\": %lld,\n", (long long)c->vocab_size,
            (long long)c->hidden_size,
            (long long)c->intermediate_size);
    fprintf(f, "  \"num_hidden_layers\": %d,\n  \"num_attention_heads\": %d,\n  \"num_key_value_heads\": %d,\n", c->n_layers, c->n_heads,
            c->n_kv_heads);
    fprintf(f, "  \"head_dim\": %d,\n  \"block_size\": %d,\n  \"block_counts\": %d,\n", c->head_dim, c->block_size, c->top_k);
    fprintf(f, "  \"ssa_score\": \"%s\",\n  \"ssa_select\": \"%s\",\n  \"ssa_share\": \"%s\",\n", score_words[c->score], select_words[c->select],
            share_words[c->share_per_head]);
    fprintf(f, "  \"ssa_align\": \"%s\",\n  \"ssa_loss\": \"%s\",\n", align_words[c->align_gated], loss_words[c->loss]);
    put_number(f, "ssa_alpha", (double)c->alpha, true, ",\n");
    put_number(f, "ssa_p_full", (double)c->p_full, true, "\n}\n");
}

ssa_status ssa_config_write(const char *dir, const ssa_model_config *c, ssa_error *err) {
    char *text = NULL, *path;
    size_t bytes;
    SSA_TRY(ssa_config_check(c, err)); /* what is written can be read back */
    FILE *f = open_memstream(&text, &bytes);
    if (!f) return ssa_fail(err, SSA_ERR_MEMORY, "no memory to write config.json");
    put_all(f, c);
    bool failed = ferror(f);
    failed |= fclose(f) != 0;
    path = io_join(dir, "config.json");
    ssa_status status = failed || !path ? ssa_fail(err, SSA_ERR_MEMORY, "no memory to write config.json") : ssa_file_write(path, text, bytes, err);
    free(path);
    free(text);
    return status;
}
