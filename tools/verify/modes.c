/* The modes that walk cases: ops, exact, grad, stress; and golden. */
#include "golden.h"
#include "session.h"
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static ssa_status run_ops(session *s, ssa_context *ctx, const verify_options *options, ssa_error *err) {
    verify_options o = *options;
    o.wide = true;
    return verify_ops(ctx, &o, session_row, s, err);
}
ssa_status mode_ops(session *s, const char *device, ssa_error *err) { return session_variants(s, device, run_ops, err); }

static ssa_status run_exact(session *s, ssa_context *ctx, const verify_options *options, ssa_error *err) {
    return verify_exact(ctx, options, session_row, s, err);
}
ssa_status mode_exact(session *s, const char *device, ssa_error *err) { return session_variants(s, device, run_exact, err); }

/* -- grad: the CPU against finite differences, a device's backward passes against the CPU's --------------------------------------- */

static void grad_row(void *user, const verify_row *row) {
    verify_row r = *row;
    bool       cpu = !strcmp(row->mode, "grad");
    r.mode = "grad";
    r.variant = cpu ? "finite differences" : row->variant;
    if (cpu) r.ulp = r.device_wide = r.cpu_wide = -1;
    session_row(user, &r);
}

static ssa_status run_grad(session *s, ssa_context *ctx, const verify_options *options, ssa_error *err) {
    verify_options o = *options;
    char           both[256];
    snprintf(both, sizeof both, "%s", o.ops ? o.ops : "_bwd$|_grad$|^rope$|^matmul$|^sparse_lists$");
    o.ops = both;
    o.wide = true;
    o.seed += 1000; /* other data than `ops` has */
    return verify_ops(ctx, &o, grad_row, s, err);
}

ssa_status mode_grad(session *s, const char *device, ssa_error *err) {
    if (!strcmp(device, "cpu")) return verify_grad(&s->options, grad_row, s, err);
    if (s->everything && !s->options.full) {
        session_note(s, "device", "backward operations", NULL, VERIFY_SKIPPED,
                     "`ops` has just compared them with the CPU's; --full does it again with other data");
        return SSA_OK;
    }
    return session_variants(s, device, run_grad, err);
}

/* -- stress ------------------------------------------------------------------------------------------------------------------- */

static ssa_status run_stress(session *s, ssa_context *ctx, const verify_options *options, ssa_error *err) {
    verify_options o = *options;
    o.wide = true; /* random data finds where terms cancel */
    return verify_stress(ctx, &o, s->only_case >= 0 ? s->only_case : 0, s->only_case >= 0 ? 1 : s->cases, session_row, s, err);
}

ssa_status mode_stress(session *s, const char *device, ssa_error *err) {
    ssa_context   *ctx;
    verify_options o = s->options;
    SSA_TRY(session_context(s, device, NULL, &ctx, err));
    if (!ctx) return SSA_OK;
    o.seconds = session_left(s);
    o.variant = "default";
    ssa_status status = run_stress(s, ctx, &o, err);
    ssa_close(ctx);
    return status;
}

/* -- golden ------------------------------------------------------------------------------------------------------------------- */

typedef struct golden_walk { session *s; const char *device, *file; } golden_walk;

static void golden_row(void *user, const char *what, const char *name, double error, double limit, const char *note) {
    golden_walk *w = user;
    char         text[200];
    snprintf(text, sizeof text, "%s %s", w->file, what);
    verify_row row = {.mode = "golden", .op = "golden", .text = text, .device = w->device, .variant = "default", .output = name, .error = error,
                      .limit = limit, .ulp = -1, .device_wide = -1, .cpu_wide = -1, .status = error <= limit ? VERIFY_OK : VERIFY_FAILED};
    if (row.status) snprintf(row.reason, sizeof row.reason, "%.3g is beyond %.3g%s%s", error, limit, *note ? ": " : "", note);
    else snprintf(row.reason, sizeof row.reason, "%s", note);
    if (!w->s->everything) printf("  %-6s %-10s %-52s %.2e (limit %.0e)%s%s\n", row.status ? "FAILED" : "ok", what, name, error, limit, *note ? " " : "", note);
    session_row(w->s, &row);
}

ssa_status mode_golden(session *s, const char *device, ssa_error *err) {
    ssa_context *ctx;
    if (!s->goldens) {
        session_note(s, "golden", "all", NULL, VERIFY_SKIPPED, "no golden files here: name them behind `verify golden`, or run in the source folder");
        return SSA_OK;
    }
    SSA_TRY(session_context(s, device, NULL, &ctx, err));
    ssa_status status = SSA_OK;
    for (int i = 0; i < s->goldens && ctx && !status; i++) {
        const char *slash = strrchr(s->golden[i], '/');
        golden_walk w = {s, device, slash && slash[1] ? slash + 1 : s->golden[i]};
        struct stat info;
        session_tell(s, "golden on %s: %s", device, w.file);
        bool        model = !stat(s->golden[i], &info) && S_ISDIR(info.st_mode);
        /* Ten training steps of a model take a software driver minutes. */
        if (model && s->everything && !s->options.full && strcmp(device, "cpu"))
            session_note(s, "golden", w.file, "default", VERIFY_SKIPPED, "a model's ten steps are for --full, or `ssa verify golden --device %s`",
                         device);
        else if (session_over(s))
            session_note(s, "golden", w.file, "default", VERIFY_SKIPPED, session_interrupted(s) ? "interrupted" : "the time budget is spent");
        else status = verify_golden_each(ctx, s->golden[i], golden_row, &w, err);
    }
    ssa_close(ctx);
    return status;
}
