/* Golden files: a path is a model folder or a kernel file; what is found goes out line by line. Limits for f32: logits, outputs and
 * gradients NMSE 1e-10, parameters after two AdamW steps 1e-9, losses 2e-5 relative, block sets identical but for near ties. */
#include "golden_inside.h"
#include <stdlib.h>
#include <sys/stat.h>

ssa_status golden_from_context(const golden *g, ssa_context *ctx, ssa_status s) {
    return s ? ssa_fail(g->err, s, "%s: %s", g->path, ssa_context_error(ctx)->text) : SSA_OK;
}

void golden_line(golden *g, const char *what, const char *name, double error, double limit, const char *note) {
    bool ok = error <= limit; /* a NaN is not ok */
    if (g->each) g->each(g->user, what, name, error, limit, note);
    if (!ok && g->failed) ++*g->failed;
    if (g->out) fprintf(g->out, "  %-6s %-10s %-52s %.2e (limit %.0e)%s%s\n", ok ? "ok" : "FAILED", what, name, error, limit, *note ? " " : "", note);
}

ssa_status golden_find(const golden *g, const char *name, ssa_dtype dtype, const ssa_file_tensor **out) {
    *out = ssa_safetensors_find(g->st, name);
    if (!*out) return ssa_fail(g->err, SSA_ERR_INPUT, "%s has no tensor %s", g->path, name);
    if ((*out)->dtype != dtype)
        return ssa_fail(g->err, SSA_ERR_INPUT, "%s: %s is %s where %s is needed", g->path, name, ssa_dtype_name((*out)->dtype), ssa_dtype_name(dtype));
    return ssa_safetensors_load(g->st, *out, g->err);
}

void *golden_allocate(const golden *g, int64_t n, ssa_status *s) {
    void *p = malloc((size_t)n * 4);
    if (!p) *s = ssa_fail(g->err, SSA_ERR_MEMORY, "out of memory: %lld bytes for a golden tensor", (long long)n * 4);
    return p;
}

static ssa_status replay_path(golden *g) {
    struct stat info;
    if (stat(g->path, &info)) return ssa_fail(g->err, SSA_ERR_INPUT, "there is no file or folder %s", g->path);
    return S_ISDIR(info.st_mode) ? golden_model(g) : golden_kernel(g);
}

ssa_status verify_golden(ssa_context *ctx, const char *path, FILE *out, int *failed, ssa_error *err) {
    return replay_path(&(golden){.ctx = ctx, .path = path, .out = out, .failed = failed, .err = err});
}

ssa_status verify_golden_each(ssa_context *ctx, const char *path, golden_callback each, void *user, ssa_error *err) {
    return replay_path(&(golden){.ctx = ctx, .path = path, .err = err, .each = each, .user = user});
}
