/* Kernel variants: what a device can be made to run besides what it chooses. Each is forced by an environment variable that the
 * device reads when it is opened (the matrix product's: when it meets the first one). */
#include "session.h"
#include <stdlib.h>
#include <string.h>

typedef struct variant {
    const char *name, *api; /* api: a prefix of the device's name */
    const char *variable, *value;
    unsigned    dtypes;     /* 0: all */
    const char *ops;        /* regular expression; NULL: all */
    bool        other;      /* beside the device's first pass, which covers everything */
} variant;

enum { HALVES = 1u << SSA_F16 | 1u << SSA_BF16 };

/* A new variant of a kernel: a line here. The first of a device's lines is how it runs by itself; OpenCL's is pinned to our own
 * matrix product, since measuring would decide otherwise from run to run. */
static const variant variants[] = {
    {"portable", "vulkan", NULL, NULL, 0, NULL, false},
    {"portable", "opencl", "SSA_GEMM", "own", 0, NULL, false},
    {"AVX2", "cpu", NULL, NULL, 0, NULL, false},
    {"portable", "cpu", "SSA_CPU_PORTABLE", "1", 1u << SSA_F32, NULL, true},
    {"widened", "vulkan", "SSA_LIMITS", "storage16=0", HALVES, NULL, true},
    {"widened", "opencl", "SSA_LIMITS", "storage16=0", HALVES, NULL, true},
    {"narrow", "vulkan", "SSA_LIMITS", "invocations=128", 1u << SSA_F32, "^(sum|sumsq)$", true},
    {"narrow", "opencl", "SSA_LIMITS", "invocations=128", 1u << SSA_F32, "^(sum|sumsq)$", true},
    {"clblast", "opencl", "SSA_GEMM", "clblast", 1u << SSA_F32, "^(matmul|lm_loss|lm_loss_grad)$", true},
};

/* Sets a variable (limits are added to those in force) and tells what it was: the caller's to free. */
static char *set(const variant *v) {
    const char *old = getenv(v->variable);
    char       *kept = old ? strdup(old) : NULL, text[256];
    bool        both = kept && *kept && !strcmp(v->variable, "SSA_LIMITS");
    snprintf(text, sizeof text, "%s%s%s", both ? kept : "", both ? "," : "", v->value);
    setenv(v->variable, text, 1);
    return kept;
}

static void restore(const variant *v, char *kept) {
    if (kept) setenv(v->variable, kept, 1);
    else unsetenv(v->variable);
    free(kept);
}

static bool has_storage16(const session *s, const char *device) {
    const cJSON *o;
    cJSON_ArrayForEach(o, s->records)
        if (!strcmp(report_text(o, "device"), device)) return cJSON_IsTrue(cJSON_GetObjectItem(cJSON_GetObjectItem(o, "limits"), "storage16"));
    return false;
}

typedef struct chosen { int clblast, own, wrong; } chosen;

static void count_choice(void *user, const char *line) {
    chosen *c = user;
    if (!strncmp(line, "wrong", 5)) c->wrong++;
    else if (strstr(line, " clblast")) c->clblast++;
    else c->own++;
}

/* A forced CLBlast that is absent, or wrong and so refused, must not pass for one that was checked. */
static void tell_clblast(session *s, ssa_context *ctx, const char *name) {
    chosen c = {0};
    ssa_choices_get(ctx, count_choice, &c);
    if (s->deadline > 0 && session_left(s) < 1e-6 && !c.clblast) return; /* it had no time to be asked */
    if (!c.clblast) session_note(s, "device", "CLBlast", name, VERIFY_UNSUPPORTED, "CLBlast is not installed, or no case asked for it");
    else if (c.wrong)
        session_note(s, "device", "CLBlast", name, VERIFY_UNSUPPORTED, "CLBlast is wrong, or fails, for %d shapes; our own kernel ran", c.wrong);
}

static ssa_status run_one(session *s, const char *device, const variant *v, bool wide_storage, session_run run, ssa_error *err) {
    ssa_context   *ctx;
    verify_options o = s->options;
    char          *kept = v->variable ? set(v) : NULL;
    ssa_status     status = session_context(s, device, NULL, &ctx, err);
    bool           cpu = !strcmp(device, "cpu");
    if (cpu && v->variable) restore(v, kept); /* the reference is to run as ever */
    if (ctx) {
        o.seconds = session_left(s);
        o.variant = v->name;
        o.ops = v->ops;
        unsigned dtypes = v->dtypes;
        /* f16 and bf16 widened differ only in how the host converts them. */
        if (s->everything && !s->options.full && !strcmp(v->name, "widened")) dtypes = 1u << SSA_BF16;
        if (v->dtypes) o.dtypes = (s->options.dtypes ? s->options.dtypes : 7) & dtypes;
        if (!o.dtypes && !v->dtypes) o.dtypes = 7;
        unsigned all = o.dtypes;
        if (cpu && !v->other && !strstr(ssa_context_description(ctx), "AVX2")) o.variant = "portable";
        /* The first pass in two: what runs on 16-bit buffers is a variant of its own. */
        if (!v->other && !cpu) {
            o.dtypes = all & 1u << SSA_F32;
            if (o.dtypes && o.dtypes != all) o.seconds /= 2;
            if (o.dtypes) status = run(s, ctx, &o, err);
            o.variant = wide_storage ? "storage16" : "widened";
            o.dtypes = all & HALVES;
            o.seconds = session_left(s);
        }
        if (!status && o.dtypes) status = run(s, ctx, &o, err);
        if (!status && !strcmp(v->name, "clblast")) tell_clblast(s, ctx, v->name);
        ssa_close(ctx);
    }
    if (!cpu && v->variable) restore(v, kept);
    if (status && status != SSA_ERR_INPUT) { /* the device is lost, or memory: a finding, and the next variant gets its turn */
        session_note(s, "device", "running", v->name, VERIFY_FAILED, "%s", err->text);
        ssa_error_clear(err);
        status = SSA_OK;
    }
    return status;
}

/* What a short run does without: CLBlast compiles for minutes on a CPU, anew in every context, so `ops` alone has it; widened
 * tensors run f32's kernels, which `exact` has had. */
static bool wanted(const session *s, const variant *v) {
    if (!s->everything || s->options.full || !strcmp(s->mode, "ops")) return true;
    return strcmp(v->name, "clblast") && strcmp(v->name, "widened");
}

/* A variant's share of the pass's time: the first, which is everything in f32 and in 16 bits, against the others. */
static double weight_of(const variant *v) { return v->other ? v->ops ? 0.5 : 1.5 : 4; }

ssa_status session_variants(session *s, const char *device, session_run run, ssa_error *err) {
    enum { COUNT = sizeof variants / sizeof *variants };
    bool   storage16 = has_storage16(s, device), mine[COUNT];
    double deadline = s->deadline, left = 0;
    for (int i = 0; i < COUNT; i++) {
        mine[i] = !strncmp(device, variants[i].api, strlen(variants[i].api)) && wanted(s, &variants[i]);
        if (mine[i]) left += weight_of(&variants[i]);
    }
    for (int i = 0; i < COUNT; i++) {
        const variant *v = &variants[i];
        if (!mine[i] || session_interrupted(s)) continue;
        if (deadline > 0) s->deadline = session_now() + (deadline - session_now()) * weight_of(v) / left;
        left -= weight_of(v);
        if (!strcmp(v->name, "widened") && !storage16)
            session_note(s, "device", "16-bit storage", "storage16", VERIFY_UNSUPPORTED,
                         "the device has no 16-bit buffers; bf16 and f16 are widened");
        else SSA_TRY(run_one(s, device, v, storage16, run, err));
    }
    s->deadline = deadline;
    return SSA_OK;
}
