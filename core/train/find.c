/* Where a checkpoint is, from the name of its folder or of its run's. */
#include "io/inside.h"
#include "train.h"
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool holds(const char *folder, const char *name) {
    char *path = io_join(folder, name);
    bool  there = path && !access(path, F_OK);
    free(path);
    return there;
}

ssa_status ssa_checkpoint_find(const char *path, char *checkpoint, size_t capacity, ssa_error *err) {
    int64_t step;
    if (holds(path, "config.json")) {
        if ((size_t)snprintf(checkpoint, capacity, "%s", path) >= capacity) return ssa_fail(err, SSA_ERR_INPUT, "the path %s is longer than %zu characters", io_show(path).text, capacity - 1);
        return SSA_OK;
    }
    SSA_TRY(checkpoint_newest(path, checkpoint, capacity, &step, err));
    return checkpoint[0] ? SSA_OK : ssa_fail(err, SSA_ERR_INPUT, "%s holds neither a model (config.json) nor checkpoints of a run", io_show(path).text);
}

/* Of a checkpoint's folder, the run's: above it, unless it has another name than a run gives; then it has been taken out of its run. */
static ssa_status run_of(const char *checkpoint, char *run, size_t capacity, ssa_error *err) {
    char *path = realpath(checkpoint, NULL), *slash = path ? strrchr(path, '/') : NULL;
    bool  ours = slash && run_step_of(slash + 1) >= 0;
    if (ours) *slash = 0;
    int n = snprintf(run, capacity, "%s", ours ? path : "");
    free(path);
    return (size_t)n < capacity ? SSA_OK : ssa_fail(err, SSA_ERR_INPUT, "the path %s is longer than %zu characters", io_show(checkpoint).text, capacity - 1);
}

ssa_status ssa_train_resume(const char *path, ssa_train_options *o, char *checkpoint, size_t capacity, ssa_error *err) {
    int64_t step;
    char    run[SSA_PATH_CAPACITY];
    if (holds(path, "trainer.json")) {
        if ((size_t)snprintf(checkpoint, capacity, "%s", path) >= capacity) return ssa_fail(err, SSA_ERR_INPUT, "the path %s is longer than %zu characters", io_show(path).text, capacity - 1);
        SSA_TRY(run_of(path, run, sizeof run, err));
    } else {
        SSA_TRY(checkpoint_newest(path, checkpoint, capacity, &step, err));
        if (!checkpoint[0]) return ssa_fail(err, SSA_ERR_INPUT, "%s holds no checkpoint to resume from", io_show(path).text);
        if ((size_t)snprintf(run, sizeof run, "%s", path) >= sizeof run) return ssa_fail(err, SSA_ERR_INPUT, "the path %s is longer than %zu characters", io_show(path).text, sizeof run - 1);
    }
    SSA_TRY(checkpoint_read_options(checkpoint, o, &step, err));
    SSA_TRY(ssa_train_set(o, "out", run, err)); /* the folder may have been moved */
    o->stop_at = 0;
    return SSA_OK;
}
