/* Checkpoints: OUT/step-000060/ with config.json, model.safetensors, optimizer.safetensors and trainer.json. The folder is
 * written under a hidden name and renamed when it is complete, so a checkpoint is whole or not there. The first three files
 * hold nothing but the model, so equal training gives equal bytes. */
#include "io/inside.h"
#include "train.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *const files[] = {"config.json", "model.safetensors", "optimizer.safetensors", "trainer.json"};

/* The step of "step-000060"; -1: another name. */
static int64_t step_of(const char *name) {
    char *end;
    if (strncmp(name, "step-", 5) || name[5] < '0' || name[5] > '9') return -1;
    long long step = strtoll(name + 5, &end, 10);
    return *end ? -1 : step;
}

static void remove_folder(const char *dir) {
    DIR *d = opendir(dir);
    char path[2048];
    for (struct dirent *e; d && (e = readdir(d));)
        if (strcmp(e->d_name, ".") && strcmp(e->d_name, "..")) {
            snprintf(path, sizeof path, "%s/%s", dir, e->d_name);
            unlink(path);
        }
    if (d) closedir(d);
    rmdir(dir);
}

static int by_step(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* The steps that have checkpoints, ascending; *count -1: the folder cannot be read. */
static int64_t *list(const char *run, int *count) {
    int64_t *steps = NULL;
    DIR     *d = opendir(run);
    *count = d ? 0 : -1;
    for (struct dirent *e; d && (e = readdir(d));) {
        int64_t step = step_of(e->d_name);
        char    path[2048];
        snprintf(path, sizeof path, "%s/%s/trainer.json", run, e->d_name);
        if (step < 0 || access(path, R_OK)) continue;
        int64_t *more = realloc(steps, (size_t)(*count + 1) * sizeof *steps);
        if (!more) break;
        steps = more;
        steps[(*count)++] = step;
    }
    if (d) closedir(d);
    if (steps) qsort(steps, (size_t)*count, sizeof *steps, by_step);
    return steps;
}

static void add_choice(void *array, const char *line) { cJSON_AddItemToArray(array, cJSON_CreateString(line)); }

static ssa_status write_files(ssa_context *ctx, ssa_model *m, const ssa_train_options *o, const train_data *data, int64_t step, const char *dir, ssa_error *err) {
    char path[1400];
    SSA_TRY(ssa_config_write(dir, ssa_model_config_of(m), err));
    snprintf(path, sizeof path, "%s/%s", dir, files[1]);
    SSA_TRY(ssa_model_save(m, path, SSA_F32));
    snprintf(path, sizeof path, "%s/%s", dir, files[2]);
    SSA_TRY(ssa_model_save_optimizer(m, path));
    cJSON *json = cJSON_CreateObject(), *options = options_to_json(o);
    cJSON_AddNumberToObject(json, "step", (double)step);
    cJSON_AddStringToObject(json, "device", ssa_context_device(ctx));
    cJSON_AddStringToObject(json, "description", ssa_context_description(ctx));
    ssa_status s = ssa_choices_get(ctx, add_choice, cJSON_AddArrayToObject(json, "choices"));
    cJSON_AddItemToObject(json, "options", options);
    cJSON_AddItemToObject(json, "data", identity_to_json(data->tokens));
    if (data->val_tokens) cJSON_AddItemToObject(json, "val_data", identity_to_json(data->val_tokens));
    char *text = s ? NULL : cJSON_Print(json);
    cJSON_Delete(json);
    if (s) return s;
    if (!text) return ssa_fail(err, SSA_ERR_MEMORY, "out of memory for trainer.json");
    snprintf(path, sizeof path, "%s/%s", dir, files[3]);
    s = ssa_file_write(path, text, strlen(text), err);
    free(text);
    return s;
}

ssa_status checkpoint_write(ssa_context *ctx, ssa_model *m, const ssa_train_options *o, const train_data *data, int64_t step, char *path, ssa_error *err) {
    char temporary[1200], final[1200];
    snprintf(temporary, sizeof temporary, "%s/.step-%06lld.tmp", o->out, (long long)step);
    snprintf(final, sizeof final, "%s/step-%06lld", o->out, (long long)step);
    remove_folder(temporary);
    if (mkdir(temporary, 0777)) return ssa_fail(err, SSA_ERR_RUNTIME, "cannot make the checkpoint folder %s: %s", temporary, strerror(errno));
    ssa_status s = write_files(ctx, m, o, data, step, temporary, err);
    if (s) {
        ssa_fail(err, s, "%s", ssa_context_error(ctx)->text); /* where the model's own error is the first */
        remove_folder(temporary);
        return s;
    }
    remove_folder(final); /* the same step again, after a resume: its bytes are the same */
    if (rename(temporary, final)) {
        ssa_fail(err, SSA_ERR_RUNTIME, "cannot rename %s: %s", temporary, strerror(errno));
        remove_folder(temporary);
        return SSA_ERR_RUNTIME;
    }
    int fd = open(o->out, O_RDONLY | O_DIRECTORY);
    if (fd >= 0) {
        fsync(fd);
        close(fd);
    }
    snprintf(path, 1200, "%s", final);
    int      count;
    int64_t *steps = list(o->out, &count);
    for (int i = 0; i < count - o->keep; i++) {
        char old[1200];
        snprintf(old, sizeof old, "%s/step-%06lld", o->out, (long long)steps[i]);
        if (steps[i] != step) remove_folder(old);
    }
    free(steps);
    return SSA_OK;
}

ssa_status checkpoint_newest(const char *run, char *path, size_t capacity, int64_t *step, ssa_error *err) {
    int      count;
    int64_t *steps = list(run, &count);
    path[0] = 0;
    if (count < 0) return ssa_fail(err, SSA_ERR_INPUT, "cannot read the folder %s: %s", run, strerror(errno));
    if (count > 0) {
        *step = steps[count - 1];
        snprintf(path, capacity, "%s/step-%06lld", run, (long long)*step);
    }
    free(steps);
    return SSA_OK;
}

ssa_status checkpoint_read_json(const char *dir, cJSON **out, ssa_error *err) {
    char   path[1400], *text;
    size_t bytes;
    snprintf(path, sizeof path, "%s/trainer.json", dir);
    SSA_TRY(ssa_file_read(path, IO_JSON_LIMIT, &text, &bytes, err));
    ssa_status s = io_json_parse(path, text, bytes, out, err);
    free(text);
    return s;
}

ssa_status checkpoint_read_options(const char *dir, ssa_train_options *o, int64_t *step, ssa_error *err) {
    char    path[1400];
    cJSON  *json;
    int64_t value;
    snprintf(path, sizeof path, "%s/trainer.json", dir);
    SSA_TRY(checkpoint_read_json(dir, &json, err));
    ssa_status   s;
    const cJSON *at = cJSON_GetObjectItemCaseSensitive(json, "step");
    memset(o, 0, sizeof *o);
    ssa_config_default(&o->model);
    if (!io_json_whole(at, &value) || value > 1000000000) s = ssa_fail(err, SSA_ERR_INPUT, "%s has no step", io_show(path).text);
    else s = options_from_json(o, cJSON_GetObjectItemCaseSensitive(json, "options"), path, err);
    if (!s) *step = value;
    cJSON_Delete(json);
    return s;
}

ssa_status checkpoint_restore_choices(ssa_context *ctx, const char *dir, ssa_error *err) {
    cJSON     *json;
    ssa_status s = SSA_OK;
    SSA_TRY(checkpoint_read_json(dir, &json, err));
    const char *of = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(json, "description"));
    bool        same = of && !strcmp(of, ssa_context_description(ctx)); /* another device measures for itself */
    for (const cJSON *c = same ? cJSON_GetObjectItemCaseSensitive(json, "choices") : NULL, *line = c ? c->child : NULL; line && !s; line = line->next)
        if (cJSON_IsString(line)) s = ssa_choices_set(ctx, line->valuestring);
    cJSON_Delete(json);
    return s;
}

ssa_status ssa_train_resume(const char *run, ssa_train_options *o, char *checkpoint, size_t capacity, ssa_error *err) {
    int64_t step;
    SSA_TRY(checkpoint_newest(run, checkpoint, capacity, &step, err));
    if (!checkpoint[0]) return ssa_fail(err, SSA_ERR_INPUT, "%s holds no checkpoint to resume from", run);
    SSA_TRY(checkpoint_read_options(checkpoint, o, &step, err));
    snprintf(o->out, sizeof o->out, "%s", run); /* the folder may have been moved */
    o->stop_at = 0;
    return SSA_OK;
}

ssa_status checkpoint_load(ssa_model *m, const char *dir, bool with_optimizer, ssa_error *err) {
    ssa_safetensors *st;
    SSA_TRY(ssa_safetensors_open(dir, &st, err));
    ssa_status s = ssa_model_load(m, st);
    ssa_safetensors_close(st);
    if (s || !with_optimizer) return s;
    char path[1400];
    snprintf(path, sizeof path, "%s/optimizer.safetensors", dir);
    SSA_TRY(ssa_safetensors_open(path, &st, err));
    s = ssa_model_load_optimizer(m, st);
    ssa_safetensors_close(st);
    return s;
}
