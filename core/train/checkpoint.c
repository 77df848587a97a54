/* Checkpoints: OUT/step-000060/ with config.json, model.safetensors, optimizer.safetensors and trainer.json. The folder is
 * written under a temporary name and renamed when it is complete, so a checkpoint is whole or not there. The first three files
 * hold nothing but the model, so equal training gives equal bytes. */
#include "io/inside.h"
#include "io/temporary.h"
#include "train.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *const files[] = {"config.json", "model.safetensors", "optimizer.safetensors", "trainer.json"};

static void add_choice(void *array, const char *line) { cJSON_AddItemToArray(array, cJSON_CreateString(line)); }

/* "dir/name" as a path for one call. */
static ssa_status with_path(const char *dir, const char *name, ssa_error *err, char **path) {
    *path = io_join(dir, name);
    return *path ? SSA_OK : ssa_fail(err, SSA_ERR_MEMORY, "out of memory for the path of %s", name);
}

static ssa_status write_trainer(ssa_context *ctx, const checkpoint_state *c, const char *path, ssa_error *err) {
    cJSON *json = cJSON_CreateObject(), *options = options_to_json(c->options);
    cJSON_AddNumberToObject(json, "step", (double)c->step);
    cJSON_AddStringToObject(json, "device", ssa_context_device(ctx));
    cJSON_AddStringToObject(json, "description", ssa_context_description(ctx));
    if (c->best.step) {
        cJSON *b = cJSON_AddObjectToObject(json, "best");
        cJSON_AddNumberToObject(b, "step", (double)c->best.step);
        cJSON_AddNumberToObject(b, "val_sparse", c->best.loss);
    }
    ssa_status s = ssa_choices_get(ctx, add_choice, cJSON_AddArrayToObject(json, "choices"));
    cJSON_AddItemToObject(json, "options", options);
    cJSON_AddItemToObject(json, "data", identity_to_json(c->data->tokens));
    if (c->data->val_tokens) cJSON_AddItemToObject(json, "val_data", identity_to_json(c->data->val_tokens));
    char *text = s ? NULL : io_json_print(json, true);
    cJSON_Delete(json);
    if (s) return s;
    if (!text) return ssa_fail(err, SSA_ERR_MEMORY, "out of memory for trainer.json");
    s = ssa_file_write(path, text, strlen(text), err);
    free(text);
    return s;
}

static ssa_status write_files(ssa_context *ctx, ssa_model *m, const checkpoint_state *c, const char *dir, ssa_error *err) {
    ssa_status s = ssa_config_write(dir, ssa_model_config_of(m), err);
    for (int i = 1; i < 4 && !s; i++) {
        char *path;
        s = with_path(dir, files[i], err, &path);
        if (!s) s = i == 1 ? ssa_model_save(m, path, SSA_F32) : i == 2 ? ssa_model_save_optimizer(m, path) : write_trainer(ctx, c, path, err);
        free(path);
    }
    return s;
}

ssa_status checkpoint_write(ssa_context *ctx, ssa_model *m, const checkpoint_state *c, char *path, size_t capacity, ssa_error *err) {
    const char *out = c->options->out;
    char name[32];
    snprintf(name, sizeof name, RUN_STEP, (long long)c->step);
    char *temporary = io_temporary_folder(out, name);
    if (!temporary) return ssa_fail(err, SSA_ERR_RUNTIME, "cannot make a checkpoint folder in %s: %s", io_show(out).text, strerror(errno));
    ssa_status s = write_files(ctx, m, c, temporary, err);
    if (s) ssa_fail(err, s, "%s", ssa_context_error(ctx)->text); /* where the model's own error is the first */
    char *final = io_join(out, name);
    if (!s && !final) s = ssa_fail(err, SSA_ERR_MEMORY, "out of memory for the path of %s", name);
    if (!s) run_discard(out, name); /* the same step again, after a resume: its bytes are the same */
    if (!s && rename(temporary, final)) s = ssa_fail(err, SSA_ERR_RUNTIME, "cannot rename %s: %s", io_show(temporary).text, strerror(errno));
    if (s) run_discard(out, strrchr(temporary, '/') + 1);
    else snprintf(path, capacity, "%s", final);
    free(temporary);
    free(final);
    if (s) return s;
    int fd = open(out, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0) {
        fsync(fd);
        close(fd);
    }
    if (c->best.step == c->step) SSA_TRY(run_link_best(out, c->step, err));
    return run_prune(out, c->options->keep, c->step, c->best.step, err);
}

ssa_status checkpoint_newest(const char *run, char *path, size_t capacity, int64_t *step, ssa_error *err) {
    int      count;
    int64_t *steps;
    path[0] = 0;
    SSA_TRY(run_list(run, &steps, &count, err));
    if (count > 0) *step = steps[count - 1];
    free(steps);
    if (count > 0 && (size_t)snprintf(path, capacity, "%s/" RUN_STEP, run, (long long)*step) >= capacity)
        return ssa_fail(err, SSA_ERR_INPUT, "the path %s is longer than %zu characters", io_show(run).text, capacity - 1);
    return SSA_OK;
}

ssa_status checkpoint_read_json(const char *dir, cJSON **json, ssa_error *err) {
    char  *path, *text = NULL;
    size_t bytes;
    SSA_TRY(with_path(dir, "trainer.json", err, &path));
    ssa_status s = ssa_file_read(path, IO_JSON_LIMIT, &text, &bytes, err);
    if (!s) s = io_json_parse(path, text, bytes, json, err);
    free(text);
    free(path);
    return s;
}

ssa_status checkpoint_read_options(const char *dir, ssa_train_options *o, int64_t *step, ssa_error *err) {
    cJSON  *json;
    int64_t value;
    char   *path;
    SSA_TRY(checkpoint_read_json(dir, &json, err));
    ssa_status s = with_path(dir, "trainer.json", err, &path);
    memset(o, 0, sizeof *o);
    ssa_config_default(&o->model);
    if (!s && (!io_json_whole(cJSON_GetObjectItemCaseSensitive(json, "step"), &value) || value > 1000000000))
        s = ssa_fail(err, SSA_ERR_INPUT, "%s has no step", io_show(path).text);
    if (!s) s = options_from_json(o, cJSON_GetObjectItemCaseSensitive(json, "options"), path, err);
    if (!s) *step = value;
    free(path);
    cJSON_Delete(json);
    return s;
}

ssa_status checkpoint_read_best(const char *dir, run_best *best, ssa_error *err) {
    cJSON *json;
    *best = (run_best){0};
    SSA_TRY(checkpoint_read_json(dir, &json, err));
    const cJSON *b = cJSON_GetObjectItemCaseSensitive(json, "best"), *loss = cJSON_GetObjectItemCaseSensitive(b, "val_sparse");
    int64_t      step;
    if (io_json_whole(cJSON_GetObjectItemCaseSensitive(b, "step"), &step) && cJSON_IsNumber(loss)) *best = (run_best){step, loss->valuedouble};
    cJSON_Delete(json);
    return SSA_OK;
}

ssa_status checkpoint_restore_choices(ssa_context *ctx, const char *dir, ssa_error *err) {
    cJSON *json;
    SSA_TRY(checkpoint_read_json(dir, &json, err));
    ssa_status  s = SSA_OK;
    const char *of = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(json, "description"));
    bool        same = of && !strcmp(of, ssa_context_description(ctx)); /* another device measures for itself */
    for (const cJSON *c = same ? cJSON_GetObjectItemCaseSensitive(json, "choices") : NULL, *line = c ? c->child : NULL; line && !s; line = line->next)
        if (cJSON_IsString(line)) s = ssa_choices_set(ctx, line->valuestring);
    cJSON_Delete(json);
    return s;
}

ssa_status checkpoint_load(ssa_model *m, const char *dir, bool with_optimizer, ssa_error *err) {
    ssa_safetensors *st;
    SSA_TRY(ssa_safetensors_open(dir, &st, err));
    ssa_status s = ssa_model_load(m, st);
    ssa_safetensors_close(st);
    if (s || !with_optimizer) return s;
    char *path;
    SSA_TRY(with_path(dir, "optimizer.safetensors", err, &path));
    s = ssa_safetensors_open(path, &st, err);
    free(path);
    if (s) return s;
    s = ssa_model_load_optimizer(m, st);
    ssa_safetensors_close(st);
    return s;
}
