/* What a run was made of, in trainer.json, and whether a resumed run is made of the same: the content of its data, and every option that
 * decides the bits. A run that continues is promised to continue bit for bit, so a difference is an error that names it. */
#include "io/tokens.h"
#include "train.h"
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
