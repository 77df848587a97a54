/* Options as they were given, whichever way: flags and config files make one list, and the list becomes options by one path. */
#include "io/inside.h"
#include "train.h"
#include <stdlib.h>
#include <string.h>

typedef struct setting {
    ssa_settings_layer layer;
    char              *name, *value;
    char              *file; /* NULL: a flag */
} setting;

struct ssa_settings {
    setting *list;
    int      count;
};

ssa_settings *ssa_settings_new(void) { return calloc(1, sizeof(ssa_settings)); }

static void release(setting *s) {
    free(s->name);
    free(s->value);
    free(s->file);
}

void ssa_settings_free(ssa_settings *s) {
    if (!s) return;
    for (int i = 0; i < s->count; i++) release(&s->list[i]);
    free(s->list);
    free(s);
}

static ssa_status add(ssa_settings *s, ssa_settings_layer layer, const char *file, const char *name, const char *value, ssa_error *err) {
    setting *more = realloc(s->list, (size_t)(s->count + 1) * sizeof *more), *n = more ? &more[s->count] : NULL;
    if (more) s->list = more;
    if (n) *n = (setting){layer, strdup(name), strdup(value), file ? strdup(file) : NULL};
    if (!n || !n->name || !n->value || (file && !n->file)) {
        if (n) release(n);
        return ssa_fail(err, SSA_ERR_MEMORY, "out of memory for options");
    }
    for (char *c = n->name; *c; c++)
        if (*c == '-') *c = '_';
    s->count++;
    return SSA_OK;
}

ssa_status ssa_settings_add(ssa_settings *s, const char *name, const char *value, ssa_error *err) { return add(s, SSA_SETTINGS_FLAGS, NULL, name, value, err); }

ssa_status ssa_settings_read(ssa_settings *s, ssa_settings_layer layer, const char *path, ssa_error *err) {
    char  *text;
    size_t bytes;
    cJSON *json;
    SSA_TRY(ssa_file_read(path, 1 << 20, &text, &bytes, err));
    ssa_status status = io_json_parse(path, text, bytes, &json, err);
    free(text);
    if (status) return status;
    for (const cJSON *item = json->child; item && !status; item = item->next) {
        char        number[SSA_NUMBER_SIZE];
        const char *value = option_text(item, number);
        status = value ? add(s, layer, path, item->string, value, err)
                       : ssa_fail(err, SSA_ERR_INPUT, "%s: %s is neither a number, a string nor true or false", io_show(path).text, io_show(item->string).text);
    }
    cJSON_Delete(json);
    return status;
}

/* The last one of the highest layer; -1: there is none. */
static int winner(const ssa_settings *s, const char *name) {
    int best = -1;
    for (int i = 0; i < s->count; i++)
        if (!strcmp(s->list[i].name, name) && (best < 0 || s->list[i].layer >= s->list[best].layer)) best = i;
    return best;
}

void ssa_settings_drop(ssa_settings *s, ssa_settings_layer layer) {
    int kept = 0;
    for (int i = 0; i < s->count; i++) {
        if (s->list[i].layer == layer) release(&s->list[i]);
        else s->list[kept++] = s->list[i];
    }
    s->count = kept;
}

const char *ssa_settings_get(const ssa_settings *s, const char *name) {
    int i = winner(s, name);
    return i < 0 ? NULL : s->list[i].value;
}

static ssa_status named(const setting *s, const ssa_error *inner, ssa_error *err) {
    return s->file ? ssa_fail(err, inner->status, "%s: %s", io_show(s->file).text, inner->text) : ssa_fail(err, inner->status, "--%s", inner->text);
}

ssa_status ssa_settings_apply(const ssa_settings *s, const char *const *others, ssa_train_options *o, ssa_error *err) {
    ssa_error inner = {0};
    int       preset = winner(s, "preset"), from = winner(s, "init_from");
    if (preset >= 0 && ssa_train_preset(s->list[preset].value, o, &inner)) return ssa_fail(err, inner.status, "%s", inner.text);
    if (from >= 0) {
        char checkpoint[SSA_PATH_CAPACITY];
        SSA_TRY(ssa_checkpoint_find(s->list[from].value, checkpoint, sizeof checkpoint, err));
        SSA_TRY(ssa_config_read(checkpoint, &o->model, err));
        SSA_TRY(ssa_train_set(o, "init_from", checkpoint, err));
    }
    for (ssa_settings_layer layer = SSA_SETTINGS_DEFAULTS; layer <= SSA_SETTINGS_FLAGS; layer++)
        for (int i = 0; i < s->count; i++) {
            const setting *at = &s->list[i];
            bool           other = !strcmp(at->name, "preset") || !strcmp(at->name, "init_from");
            for (int k = 0; others && others[k]; k++) other |= !strcmp(at->name, others[k]);
            if (at->layer == layer && !other && ssa_train_set(o, at->name, at->value, &inner)) return named(at, &inner, err);
        }
    if (winner(s, "warmup") < 0 && o->warmup > o->steps) o->warmup = (o->steps + 9) / 10; /* a preset's, for its own length */
    return SSA_OK;
}

ssa_status ssa_train_read_config(ssa_train_options *o, const char *path, ssa_error *err) {
    ssa_settings *s = ssa_settings_new();
    ssa_status    status = s ? ssa_settings_read(s, SSA_SETTINGS_FILES, path, err) : ssa_fail(err, SSA_ERR_MEMORY, "out of memory for options");
    if (!status) status = ssa_settings_apply(s, NULL, o, err);
    ssa_settings_free(s);
    return status;
}
