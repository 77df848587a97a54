/* OUT/log.jsonl: one JSON object a line, in order of steps. */
#include "io/inside.h"
#include "train.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Keeps the lines up to a step; the file is replaced only if lines go. */
static ssa_status trim(const char *path, int64_t step, ssa_error *err) {
    char     *text;
    size_t    bytes, kept = 0;
    ssa_error none = {0};
    if (ssa_file_read(path, (size_t)1 << 32, &text, &bytes, &none)) return SSA_OK; /* no log yet */
    for (char *line = text; line < text + bytes;) {
        char  *end = memchr(line, '\n', (size_t)(text + bytes - line));
        size_t length = end ? (size_t)(end - line) + 1 : 0; /* a line cut short by a crash goes too */
        cJSON *json = length ? cJSON_ParseWithLength(line, length) : NULL;
        cJSON *at = cJSON_GetObjectItem(json, "step");
        bool   keep = json && cJSON_IsNumber(at) && at->valuedouble <= (double)step;
        cJSON_Delete(json);
        if (keep) {
            memmove(text + kept, line, length);
            kept += length;
        }
        if (!end) break;
        line = end + 1;
    }
    ssa_status s = kept < bytes ? ssa_file_write(path, text, kept, err) : SSA_OK;
    free(text);
    return s;
}

ssa_status log_open(train_log *log, const char *run, int64_t step, ssa_error *err) {
    log->path = io_join(run, "log.jsonl");
    if (!log->path) return ssa_fail(err, SSA_ERR_MEMORY, "out of memory for the log's path");
    SSA_TRY(trim(log->path, step, err));
    log->file = fopen(log->path, "ae");
    return log->file ? SSA_OK : ssa_fail(err, SSA_ERR_RUNTIME, "cannot write %s: %s", io_show(log->path).text, strerror(errno));
}

ssa_status log_line(train_log *log, cJSON *line, ssa_error *err) {
    char *text = io_json_print(line, false);
    cJSON_Delete(line);
    if (!text) return ssa_fail(err, SSA_ERR_MEMORY, "out of memory for a log line");
    int written = fprintf(log->file, "%s\n", text);
    free(text);
    if (written < 0 || fflush(log->file)) return ssa_fail(err, SSA_ERR_RUNTIME, "cannot write %s: %s", io_show(log->path).text, strerror(errno));
    return SSA_OK;
}

void log_close(train_log *log) {
    if (log->file) fclose(log->file);
    free(log->path);
    *log = (train_log){0};
}
