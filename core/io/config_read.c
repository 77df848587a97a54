/* config.json, reading: every key is honoured, known to change nothing, or refused with its value. */
#include "io/config_inside.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SHOW(s) io_show(s).text

/* -- values --------------------------------------------------------------------------------------------------------------- */

ssa_status config_find(const config_reader *r, const char *key, bool needed, const cJSON **out) {
    *out = cJSON_GetObjectItemCaseSensitive(r->json, key);
    if (cJSON_IsNull(*out)) *out = NULL;
    if (!*out && needed) return ssa_fail(r->err, SSA_ERR_INPUT, "%s: %s is missing", SHOW(r->path), key);
    return SSA_OK;
}

ssa_status config_mistyped(const config_reader *r, const char *key, const cJSON *value, const char *wanted) {
    return ssa_fail(r->err, SSA_ERR_INPUT, "%s: %s is %s where %s is needed", SHOW(r->path), key, io_json_kind(value), wanted);
}

ssa_status config_unsupported(const config_reader *r, const char *key, const cJSON *value, const char *why) {
    char *text = cJSON_IsString(value) ? strdup(value->valuestring) : io_json_print(value, false);
    ssa_fail(r->err, SSA_ERR_INPUT, "%s: %s %s is not supported%s%s", SHOW(r->path), SHOW(key), text ? SHOW(text) : io_json_kind(value),
             *why ? ", " : "", why);
    free(text);
    return SSA_ERR_INPUT;
}

ssa_status config_whole(const config_reader *r, const char *key, bool needed, int64_t *out) {
    const cJSON *value;
    SSA_TRY(config_find(r, key, needed, &value));
    if (!value) return SSA_OK;
    if (!cJSON_IsNumber(value)) return config_mistyped(r, key, value, "a whole number");
    if (!io_json_whole(value, out))
        return ssa_fail(r->err, SSA_ERR_INPUT, "%s: %s %.17g is not a whole number of 0 or more", SHOW(r->path), key, value->valuedouble);
    return SSA_OK;
}

ssa_status config_double(const config_reader *r, const char *key, bool needed, double *out) {
    const cJSON *value;
    SSA_TRY(config_find(r, key, needed, &value));
    if (!value) return SSA_OK;
    if (!cJSON_IsNumber(value)) return config_mistyped(r, key, value, "a number");
    if (!isfinite(value->valuedouble)) return ssa_fail(r->err, SSA_ERR_INPUT, "%s: %s is too large a number", SHOW(r->path), key);
    *out = value->valuedouble;
    return SSA_OK;
}

/* One of two words; *out gets its index. */
static ssa_status read_word(const config_reader *r, const config_key *k, int *out) {
    const cJSON *value;
    SSA_TRY(config_find(r, k->name, false, &value));
    if (!value) return SSA_OK;
    if (!cJSON_IsString(value)) return config_mistyped(r, k->name, value, "a string");
    for (int i = 0; i < 2; i++) {
        if (strcmp(value->valuestring, k->words[i])) continue;
        *out = i;
        return SSA_OK;
    }
    return ssa_fail(r->err, SSA_ERR_INPUT, "%s: %s %s is unknown, it is %s or %s", SHOW(r->path), k->name, SHOW(value->valuestring), k->words[0],
                    k->words[1]);
}

/* A key that is a field; the field keeps its value where the key is absent. */
static ssa_status read_field(const config_reader *r, const config_key *k, ssa_model_config *c) {
    void        *at = (char *)c + k->offset;
    int64_t      whole;
    double       number;
    int          word;
    const cJSON *value;
    switch (k->kind) {
    case KEY_WHOLE: return config_whole(r, k->name, k->needed, at);
    case KEY_INT:
        whole = *(int *)at;
        SSA_TRY(config_whole(r, k->name, k->needed, &whole));
        if (whole > INT32_MAX)
            return ssa_fail(r->err, SSA_ERR_INPUT, "%s: %s %lld is out of range 0..%d", SHOW(r->path), k->name, (long long)whole, INT32_MAX);
        *(int *)at = (int)whole;
        return SSA_OK;
    case KEY_DOUBLE: return config_double(r, k->name, k->needed, at);
    case KEY_FLOAT:
        number = (double)*(float *)at;
        SSA_TRY(config_double(r, k->name, k->needed, &number));
        *(float *)at = (float)number;
        return SSA_OK;
    case KEY_BOOL:
        SSA_TRY(config_find(r, k->name, k->needed, &value));
        if (value && !cJSON_IsBool(value)) return config_mistyped(r, k->name, value, "true or false");
        if (value) *(bool *)at = cJSON_IsTrue(value);
        return SSA_OK;
    case KEY_WORD: return read_word(r, k, at);
    case KEY_WORD_BOOL:
        word = *(bool *)at;
        SSA_TRY(read_word(r, k, &word));
        *(bool *)at = word;
        return SSA_OK;
    default: return SSA_OK; /* no field */
    }
}

/* -- the allow-list -------------------------------------------------------------------------------------------------------- */

/* Whether a value is one of the JSON texts in "a|b"; of a list, whether all its elements are. */
static bool is_one_of(const cJSON *value, const char *list) {
    if (cJSON_IsArray(value)) {
        const cJSON *item;
        cJSON_ArrayForEach(item, value) if (cJSON_IsArray(item) || !is_one_of(item, list)) return false;
        return true;
    }
    char *text = io_json_print(value, false);
    bool  found = false;
    for (size_t n; text && *list && !found; list += n + (list[n] == '|')) {
        n = strcspn(list, "|");
        found = strlen(text) == n && !memcmp(text, list, n);
    }
    free(text);
    return found;
}

static ssa_status check_keys(const config_reader *r) {
    int               count;
    const config_key *table = config_key_table(&count);
    bool             *seen = calloc((size_t)count, sizeof *seen);
    const cJSON      *item;
    ssa_status        s = seen ? SSA_OK : ssa_fail(r->err, SSA_ERR_MEMORY, "no memory to read %s", SHOW(r->path));
    for (item = r->json->child; item && !s; item = item->next) {
        int k = 0;
        while (k < count && strcmp(table[k].name, item->string)) k++;
        if (k == count) s = config_unsupported(r, item->string, item, "the key is unknown and may change what the model computes");
        else if (seen[k]) s = ssa_fail(r->err, SSA_ERR_INPUT, "%s: %s appears twice", SHOW(r->path), item->string);
        else if (table[k].kind == KEY_ONLY && !cJSON_IsNull(item) && !is_one_of(item, table[k].only)) {
            char why[64];
            snprintf(why, sizeof why, "only %s is", table[k].only);
            s = config_unsupported(r, item->string, item, why);
        }
        if (!s) seen[k] = true;
    }
    free(seen);
    return s;
}

/* -- the class ------------------------------------------------------------------------------------------------------------- */

/* A class decides what an absent key means. The authors' LlamaNSAConfig is LlamaConfig of transformers and three keys more. */
typedef struct model_class {
    const char *architecture, *types[2]; /* the second one: folders written by earlier versions of this program */
    int         block_size, top_k;       /* 0: the class has none */
    int64_t     window;
    bool        gated;                   /* heads have a gate */
} model_class;

static const model_class classes[] = {
    {"LlamaNSAForCausalLM", {"llama-nsa", "llama_nsa"}, 64, 16, 512, true},
    {"LlamaForCausalLM", {"llama"}, 0, 0, 0, false},
};
enum { CLASSES = sizeof classes / sizeof *classes };

static ssa_status by_architecture(const config_reader *r, const model_class **out) {
    const cJSON *list, *item;
    SSA_TRY(config_find(r, "architectures", false, &list));
    if (list && !cJSON_IsArray(list)) return config_mistyped(r, "architectures", list, "a list");
    cJSON_ArrayForEach(item, list) {
        const model_class *found = NULL;
        for (int i = 0; i < CLASSES; i++)
            if (cJSON_IsString(item) && !strcmp(item->valuestring, classes[i].architecture)) found = &classes[i];
        if (!found || (*out && *out != found))
            return config_unsupported(r, "architectures", item, "only LlamaNSAForCausalLM or LlamaForCausalLM is");
        *out = found;
    }
    return SSA_OK;
}

/* The class that architectures and model_type name; LlamaNSAForCausalLM where neither is there. */
static ssa_status find_class(const config_reader *r, const model_class **out) {
    const cJSON       *type;
    const model_class *by_type = NULL;
    *out = NULL;
    SSA_TRY(by_architecture(r, out));
    SSA_TRY(config_find(r, "model_type", false, &type));
    for (int i = 0; i < CLASSES; i++)
        for (int k = 0; k < 2 && cJSON_IsString(type) && classes[i].types[k]; k++)
            if (!strcmp(type->valuestring, classes[i].types[k])) by_type = &classes[i];
    if (type && !by_type) return config_unsupported(r, "model_type", type, "only llama-nsa and llama are");
    if (*out && by_type && *out != by_type)
        return ssa_fail(r->err, SSA_ERR_INPUT, "%s: architectures %s and model_type %s contradict each other", SHOW(r->path), (*out)->architecture,
                        type->valuestring);
    if (!*out) *out = by_type ? by_type : &classes[0];
    return SSA_OK;
}

static void class_defaults(const model_class *class, ssa_model_config *c) {
    ssa_config_default(c);
    c->rms_norm_eps = 1e-6f;
    c->rope_theta = 10000;
    c->max_position_embeddings = 2048;
    c->tie_word_embeddings = false;
    c->initializer_range = 0.02f;
    c->block_size = class->block_size;
    c->top_k = class->top_k;
    c->gated = class->gated;
    c->n_kv_heads = c->head_dim = -1; /* follow from others */
}

/* NSA's window branch is not there, so the window must be 0, be it in the file or the class's. */
static ssa_status check_window(const config_reader *r, const model_class *class) {
    const cJSON *value;
    int64_t      window = class->window;
    SSA_TRY(config_find(r, "window_size", false, &value));
    SSA_TRY(config_whole(r, "window_size", false, &window));
    if (value && window) return config_unsupported(r, "window_size", value, "only 0 is: NSA's window branch is not there");
    if (window)
        return ssa_fail(r->err, SSA_ERR_INPUT, "%s: window_size is missing, which means %lld in %s and is not supported; a model without NSA's window "
                        "branch says 0", SHOW(r->path), (long long)window, class->architecture);
    return SSA_OK;
}

/* -- the whole ------------------------------------------------------------------------------------------------------------- */

static ssa_status read_all(const config_reader *r, ssa_model_config *c) {
    int                count;
    const config_key  *table = config_key_table(&count);
    const model_class *class;
    SSA_TRY(find_class(r, &class));
    SSA_TRY(check_keys(r));
    SSA_TRY(check_window(r, class));
    class_defaults(class, c);
    for (int i = 0; i < count; i++) SSA_TRY(read_field(r, &table[i], c));
    SSA_TRY(config_read_rope(r, c));
    if (c->n_kv_heads < 0) c->n_kv_heads = c->n_heads;
    if (c->head_dim < 0) {
        if (c->n_heads < 1 || c->hidden_size % c->n_heads || c->hidden_size / c->n_heads > INT32_MAX)
            return ssa_fail(r->err, SSA_ERR_INPUT, "%s: head_dim is missing and hidden_size %lld is not divisible by num_attention_heads %d",
                            SHOW(r->path), (long long)c->hidden_size, c->n_heads);
        c->head_dim = (int)(c->hidden_size / c->n_heads);
    }
    if (!class->block_size) { /* no default to take: a selection must be named */
        int64_t ignored;
        SSA_TRY(config_whole(r, "block_size", true, &ignored));
        SSA_TRY(config_whole(r, "block_counts", true, &ignored));
    }
    return SSA_OK;
}

ssa_status ssa_config_read(const char *dir, ssa_model_config *out, ssa_error *err) {
    ssa_error why = {0};
    cJSON *json = NULL;
    char *text = NULL, *path = io_join(dir, "config.json");
    size_t bytes;
    if (!path) return ssa_fail(err, SSA_ERR_MEMORY, "no memory to read config.json");
    ssa_status status = ssa_file_read(path, IO_JSON_LIMIT, &text, &bytes, err);
    if (!status) status = io_json_parse(path, text, bytes, &json, err);
    if (!status) status = read_all(&(config_reader){path, json, err}, out);
    if (!status && ssa_config_check(out, &why)) status = ssa_fail(err, SSA_ERR_INPUT, "%s: %s", SHOW(path), why.text);
    cJSON_Delete(json);
    free(text);
    free(path);
    return status;
}
