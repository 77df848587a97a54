/* Kernel variants: what a device can be made to run besides what it chooses by itself. Ways of running the whole device are lines here;
 * the variants of single kernels come from the library's own list (ssa_variants), each is forced in turn. */
#include "clock.h"
#include "session.h"
#include <regex.h>
#include <stdlib.h>
#include <string.h>

enum { HALVES = 1u << SSA_F16 | 1u << SSA_BF16, MOST_LINES = 64 };

typedef struct variant {
    char        name[64];
    const char *api;        /* a prefix of the device's name */
    const char *limits;     /* ssa_open_options.limits; NULL: as it is */
    char        forced[64]; /* ssa_open_options.variants; "": none */
    unsigned    dtypes;     /* 0: all */
    char        ops[256];   /* regular expression; "": all */
    bool        other;      /* beside the device's first pass, which covers everything */
} variant;

static const variant ways[] = {
    {"portable", "vulkan", NULL, "", 0, "", false},
    {"portable", "opencl", NULL, "", 0, "", false},
    {"AVX2", "cpu", NULL, "", 0, "", false},
    {"portable", "cpu", NULL, "cpu=portable", 1u << SSA_F32, "", true},
    {"widened", "vulkan", "storage16=0", "", HALVES, "", true},
    {"widened", "opencl", "storage16=0", "", HALVES, "", true},
    {"clblast", "opencl", NULL, "matmul=clblast", 1u << SSA_F32, "^(matmul|lm_loss|lm_loss_grad)$", true},
};

/* -- the library's list ------------------------------------------------------------------------------------------------------ */

typedef struct variant_lines { variant at[MOST_LINES]; int count; const char *device; } variant_lines;

typedef struct user_search { const char *source; bool found; } user_search;
static void is_it(void *user, const char *kernel) {
    user_search *u = user;
    u->found |= !strcmp(kernel, u->source);
}

/* "^(matmul|lm_loss)$": the operations that launch a kernel, by one case of each. */
static ssa_status users_of(ssa_context *ctx, const char *source, char *ops, size_t size, ssa_error *err) {
    verify_case_list cases = {0};
    size_t           used = 0;
    ssa_op           last = SSA_OP_COUNT;
    SSA_TRY(verify_cases(&cases, err));
    for (int i = 0; i < cases.count; i++) {
        user_search u = {.source = source};
        if (cases.at[i].op == last || !verify_dtype_applies(&cases.at[i], SSA_F32)) continue;
        if (kernels_of_case(ctx, &cases.at[i], SSA_F32, is_it, &u) || !u.found) continue;
        last = cases.at[i].op;
        if (used < size) used += (size_t)snprintf(ops + used, size - used, "%s%s", used ? "|" : "^(", ssa_op_name(last));
    }
    if (used && used < size) snprintf(ops + used, size - used, ")$");
    free(cases.at);
    return SSA_OK;
}

typedef struct listing { variant_lines *lines; char source[MOST_LINES][64]; } listing;

/* Every line that does not run by itself anyway, as far as the device can run it. */
static void take_line(void *user, const char *kernel, const char *name, const char *source, bool runs, const char *why) {
    listing       *l = user;
    variant_lines *lines = l->lines;
    if (!runs || !strcmp(why, "default") || lines->count == MOST_LINES) return; /* the default has had the first pass */
    variant *v = &lines->at[lines->count];
    *v = (variant){.api = lines->device, .dtypes = 1u << SSA_F32, .other = true};
    snprintf(v->name, sizeof v->name, "%s=%s", kernel, name);
    snprintf(v->forced, sizeof v->forced, "%s=%s", kernel, name);
    snprintf(l->source[lines->count++], sizeof l->source[0], "%s", source);
}

static ssa_status lines_of(session *s, const char *device, variant_lines *lines, ssa_error *err) {
    ssa_context *ctx;
    listing     *l = calloc(1, sizeof *l);
    if (!l) return ssa_fail(err, SSA_ERR_MEMORY, "out of memory for the list of variants");
    *lines = (variant_lines){.device = device};
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++)
        if (!strncmp(device, ways[i].api, strlen(ways[i].api))) lines->at[lines->count++] = ways[i];
    int        first = lines->count;
    ssa_status status = session_context(s, device, NULL, &ctx, err);
    if (!status && ctx) {
        l->lines = lines;
        status = ssa_variants(ctx, take_line, l);
        for (int i = first; i < lines->count && !status; i++) status = users_of(ctx, l->source[i], lines->at[i].ops, sizeof lines->at[i].ops, err);
        ssa_close(ctx);
    }
    free(l);
    return status;
}

static bool has_storage16(const session *s, const char *device) {
    const cJSON *o;
    cJSON_ArrayForEach(o, s->records)
        if (!strcmp(report_text(o, "device"), device)) return cJSON_IsTrue(cJSON_GetObjectItem(cJSON_GetObjectItem(o, "limits"), "storage16"));
    return false;
}

static ssa_status run_one(session *s, const char *device, const variant *v, bool wide_storage, session_run run, ssa_error *err) {
    ssa_context   *ctx;
    verify_options o = s->options;
    ssa_open_options how = {.limits = v->limits, .variants = v->forced[0] ? v->forced : NULL, .tune = SSA_TUNE_OFF};
    ssa_status     status = session_context(s, device, &how, &ctx, err);
    bool           cpu = !strcmp(device, "cpu");
    if (ctx) {
        o.seconds = session_left(s);
        o.variant = v->name;
        o.ops = v->ops[0] ? v->ops : NULL;
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
        ssa_close(ctx);
    }
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
static double weight_of(const variant *v) { return v->other ? v->ops[0] ? 0.3 : 1.5 : 4; }

/* Whether the filter leaves a line anything to do. */
static bool has_cases(const session *s, const variant *v) {
    verify_case_list cases = {0};
    ssa_error        err = {0};
    regex_t          filter, ops;
    bool             found = false;
    if (!v->ops[0] || !s->options.filter) return true;
    if (verify_cases(&cases, &err) || regcomp(&filter, s->options.filter, REG_EXTENDED | REG_NOSUB)) return true;
    if (!regcomp(&ops, v->ops, REG_EXTENDED | REG_NOSUB)) {
        for (int i = 0; i < cases.count && !found; i++) {
            char text[600];
            if (regexec(&ops, ssa_op_name(cases.at[i].op), 0, NULL, 0)) continue;
            snprintf(text, sizeof text, "%s f32 %s", ssa_op_name(cases.at[i].op), cases.at[i].text);
            found = !regexec(&filter, text, 0, NULL, 0);
        }
        regfree(&ops);
    }
    regfree(&filter);
    free(cases.at);
    return found;
}

ssa_status session_variants(session *s, const char *device, session_run run, ssa_error *err) {
    bool           storage16 = has_storage16(s, device);
    double         deadline = s->deadline, left = 0;
    variant_lines *lines = malloc(sizeof *lines);
    ssa_status     status = lines ? lines_of(s, device, lines, err) : ssa_fail(err, SSA_ERR_MEMORY, "out of memory for the list of variants");
    for (int i = 0; !status && i < lines->count; i++)
        if (wanted(s, &lines->at[i]) && has_cases(s, &lines->at[i])) left += weight_of(&lines->at[i]);
    for (int i = 0; !status && i < lines->count; i++) {
        const variant *v = &lines->at[i];
        if (!wanted(s, v) || session_interrupted(s) || !has_cases(s, v)) continue;
        if (deadline > 0) s->deadline = clock_now() + (deadline - clock_now()) * weight_of(v) / left;
        left -= weight_of(v);
        if (!strcmp(v->name, "widened") && !storage16)
            session_note(s, "device", "16-bit storage", "storage16", VERIFY_UNSUPPORTED,
                         "the device has no 16-bit buffers; bf16 and f16 are widened");
        else status = run_one(s, device, v, storage16, run, err);
    }
    s->deadline = deadline;
    free(lines);
    return status;
}
