/* What a run was made of, in trainer.json, and whether a resumed run is made of the same: the content of its data, and every option that
 * decides the bits. A run that continues is promised to continue bit for bit, so a difference is an error that names it. */
#include "io/tokens.h"
#include "train.h"
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* -- the data, as JSON ------------------------------------------------------------------------------------------------------- */

cJSON *identity_to_json(const ssa_tokens *t) {
    ssa_tokens_id id;
    cJSON        *json = cJSON_CreateObject(), *files;
    ssa_tokens_identify(t, &id);
    cJSON_AddStringToObject(json, "kind", id.bytes ? "bytes" : "tokens");
    cJSON_AddNumberToObject(json, "tokens", (double)id.tokens);
    cJSON_AddNumberToObject(json, "vocabulary", (double)id.vocabulary);
    cJSON_AddStringToObject(json, "hash", id.hash);
    files = cJSON_AddArrayToObject(json, "files");
    for (int i = 0; i < t->n; i++) {
        char   hash[33], *path = realpath(t->pieces[i].path, NULL);
        cJSON *file = cJSON_CreateObject();
        io_piece_hash(&t->pieces[i], hash);
        cJSON_AddStringToObject(file, "path", path ? path : t->pieces[i].path);
        cJSON_AddNumberToObject(file, "bytes", (double)t->pieces[i].bytes);
        cJSON_AddStringToObject(file, "hash", hash);
        cJSON_AddItemToArray(files, file);
        free(path);
    }
    return json;
}

/* Absent: all zero. */
static ssa_status from_json(const cJSON *json, const char *path, ssa_tokens_id *out, ssa_error *err) {
    memset(out, 0, sizeof *out);
    if (!json) return SSA_OK;
    const char *kind = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(json, "kind")), *hash = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(json, "hash"));
    if (!kind || (strcmp(kind, "bytes") && strcmp(kind, "tokens")) || !hash || strlen(hash) != 32 || !io_json_whole(cJSON_GetObjectItemCaseSensitive(json, "tokens"), &out->tokens) ||
        !io_json_whole(cJSON_GetObjectItemCaseSensitive(json, "vocabulary"), &out->vocabulary))
        return ssa_fail(err, SSA_ERR_INPUT, "%s: what it says of the data is not what a run writes", io_show(path).text);
    out->bytes = !strcmp(kind, "bytes");
    out->files = cJSON_GetArraySize(cJSON_GetObjectItemCaseSensitive(json, "files"));
    memcpy(out->hash, hash, sizeof out->hash);
    return SSA_OK;
}

ssa_status ssa_train_record_read(const char *checkpoint, ssa_train_record *out, ssa_error *err) {
    cJSON *json;
    char  *path = io_join(checkpoint, "trainer.json");
    memset(out, 0, sizeof *out);
    if (!path) return ssa_fail(err, SSA_ERR_MEMORY, "no memory to read trainer.json");
    out->known = !access(path, F_OK);
    ssa_status s = out->known ? checkpoint_read_options(checkpoint, &out->options, &out->step, err) : SSA_OK;
    if (out->known && !s) s = checkpoint_read_json(checkpoint, &json, err);
    if (out->known && !s) {
        s = from_json(cJSON_GetObjectItemCaseSensitive(json, "data"), path, &out->data, err);
        if (!s) s = from_json(cJSON_GetObjectItemCaseSensitive(json, "val_data"), path, &out->val_data, err);
        cJSON_Delete(json);
    }
    free(path);
    return s;
}

bool ssa_train_on_bytes(const ssa_train_record *run, int64_t vocab_size) { return run->data.tokens ? run->data.bytes : vocab_size == 256; }

ssa_status identity_trained_on(const char *checkpoint, const ssa_tokens *t, char *file, size_t capacity, ssa_error *err) {
    cJSON *json;
    SSA_TRY(checkpoint_read_json(checkpoint, &json, err));
    const cJSON *files = cJSON_GetObjectItemCaseSensitive(cJSON_GetObjectItemCaseSensitive(json, "data"), "files");
    file[0] = 0;
    for (const cJSON *f = files ? files->child : NULL; f && !file[0]; f = f->next) {
        const char *was = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(f, "hash"));
        for (int i = 0; i < t->n && was && !file[0]; i++) {
            char hash[33];
            io_piece_hash(&t->pieces[i], hash);
            if (!strcmp(hash, was)) snprintf(file, capacity, "%s", io_show(t->pieces[i].path).text);
        }
    }
    cJSON_Delete(json);
    return SSA_OK;
}

/* -- what differs ------------------------------------------------------------------------------------------------------------ */

/* A list for one sentence; what does not fit is counted. */
typedef struct differences {
    char   text[330];
    size_t n;
    int    more;
} differences;

__attribute__((format(printf, 2, 3))) static void add(differences *d, const char *format, ...) {
    va_list args;
    va_start(args, format);
    size_t room = sizeof d->text - d->n;
    int    comma = snprintf(d->text + d->n, room, "%s", d->n ? ", " : "");
    int    n = (size_t)comma < room ? vsnprintf(d->text + d->n + comma, room - (size_t)comma, format, args) : (int)room;
    va_end(args);
    if ((size_t)(comma + n) < room) {
        d->n += (size_t)(comma + n);
        return;
    }
    d->text[d->n] = 0;
    d->more++;
}

/* Options that a run may change on its way and still give the same bits: where things lie, how often they are looked at and saved, and
 * what was there only to begin. The data's content is compared instead of its name. Any other option decides the bits. */
static bool may_change(const char *option) {
    static const char *const names[] = {"preset", "data", "val_data", "out", "init_from", "stop_at", "eval_every", "eval_rows", "save_every", "save_minutes", "keep", "log_every", "recompute",
                                        "allow_changes"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (!strcmp(option, names[i])) return true;
    return false;
}

static void compare_options(differences *d, const ssa_train_options *was, const ssa_train_options *is) {
    cJSON *a = options_to_json(was), *b = options_to_json(is);
    for (const cJSON *x = a->child; x; x = x->next) {
        const cJSON *y = cJSON_GetObjectItemCaseSensitive(b, x->string);
        char *old = cJSON_PrintUnformatted(x), *new = cJSON_PrintUnformatted(y);
        if (!may_change(x->string) && old && new && strcmp(old, new)) add(d, "%s %s instead of %s", x->string, new, old);
        cJSON_free(old);
        cJSON_free(new);
    }
    cJSON_Delete(a);
    cJSON_Delete(b);
}

/* Names the first file that is not what it was. */
static void compare_data(differences *d, const char *name, const cJSON *json, const ssa_tokens_id *was, const ssa_tokens *t) {
    ssa_tokens_id is = {0};
    if (t) ssa_tokens_identify(t, &is);
    if (was->tokens == is.tokens && !strcmp(was->hash, is.hash) && was->vocabulary == is.vocabulary) return;
    if (!t) add(d, "no %s", name);
    else if (!was->tokens) add(d, "a %s that it does not have", name);
    else if (was->vocabulary != is.vocabulary) add(d, "%s with a vocabulary of %lld instead of %lld", name, (long long)is.vocabulary, (long long)was->vocabulary);
    if (!t || !was->tokens || was->vocabulary != is.vocabulary) return;
    const cJSON *file = cJSON_GetObjectItemCaseSensitive(json, "files");
    file = file ? file->child : NULL;
    for (int i = 0; i < t->n && file; i++, file = file->next) {
        char        hash[33];
        const char *old = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(file, "hash")), *path = t->pieces[i].path;
        int64_t     bytes;
        io_piece_hash(&t->pieces[i], hash);
        if (old && !strcmp(old, hash)) continue;
        if (io_json_whole(cJSON_GetObjectItemCaseSensitive(file, "bytes"), &bytes) && bytes != t->pieces[i].bytes)
            add(d, "%s %s with %lld bytes instead of %lld", name, io_show(path).text, (long long)t->pieces[i].bytes, (long long)bytes);
        else add(d, "%s %s with other content", name, io_show(path).text);
        return;
    }
    add(d, "%s of %d files instead of %d", name, is.files, was->files);
}

ssa_status identity_check(const char *checkpoint, const ssa_train_options *o, const train_data *data, FILE *progress, ssa_error *err) {
    ssa_train_record was;
    differences      d = {0};
    cJSON           *json;
    SSA_TRY(ssa_train_record_read(checkpoint, &was, err));
    if (was.data.tokens && was.data.bytes != ssa_tokens_are_bytes(data->tokens))
        return ssa_fail(err, SSA_ERR_INPUT, "%s was trained on %s, %s holds %s", io_show(checkpoint).text, was.data.bytes ? "bytes of text" : "token ids", io_show(o->data).text,
                        was.data.bytes ? "token ids" : "bytes of text");
    SSA_TRY(checkpoint_read_json(checkpoint, &json, err));
    if (!was.data.tokens) add(&d, "data that its trainer.json does not tell of");
    else {
        compare_data(&d, "data", cJSON_GetObjectItemCaseSensitive(json, "data"), &was.data, data->tokens);
        compare_data(&d, "val_data", cJSON_GetObjectItemCaseSensitive(json, "val_data"), &was.val_data, data->val_tokens);
    }
    cJSON_Delete(json);
    compare_options(&d, &was.options, o);
    if (!d.n) return SSA_OK;
    char more[32] = "";
    if (d.more) snprintf(more, sizeof more, " and %d more", d.more);
    if (!o->allow_changes)
        return ssa_fail(err, SSA_ERR_INPUT, "%s would not go on as it began, with %s%s; --allow-changes lets it", io_show(checkpoint).text, d.text, more);
    if (progress) fprintf(progress, "not the run that %s began: it goes on with %s%s\n", checkpoint, d.text, more);
    return SSA_OK;
}

/* -- weights from another run -------------------------------------------------------------------------------------------------- */

ssa_status identity_of_weights(const ssa_train_options *o, const train_data *data, FILE *progress, ssa_error *err) {
    ssa_train_record from;
    ssa_tokens_id    id, val = {0};
    SSA_TRY(ssa_train_record_read(o->init_from, &from, err));
    ssa_tokens_identify(data->tokens, &id);
    if (data->val_tokens) ssa_tokens_identify(data->val_tokens, &val);
    bool bytes = ssa_train_on_bytes(&from, o->model.vocab_size);
    if (id.bytes != bytes)
        return ssa_fail(err, SSA_ERR_INPUT, "%s is a model of %s, %s holds %s", io_show(o->init_from).text, bytes ? "bytes" : "token ids", io_show(o->data).text,
                        id.bytes ? "bytes of text" : "token ids");
    if (!progress || !from.data.tokens) return SSA_OK;
    bool same = !strcmp(from.data.hash, id.hash), own = val.tokens && !strcmp(from.data.hash, val.hash);
    bool moved = same && !val.tokens && data->val.first * o->seq < trained_until(&from, from.data.tokens);
    if (own || moved) fprintf(progress, "warning: %s was trained on rows that validate here; the validation loss will be too good\n", o->init_from);
    return SSA_OK;
}
