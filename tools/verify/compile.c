/* ssa verify compile: every kernel variant that the cases ask for through the device's compiler, without running any. Spilled
 * registers, and arrays that the compiler keeps in memory, are failures unless an exceptions file names them with a reason. */
#include "compile.h"
#include "clock.h"
#include "report_file.h"
#include "session.h"
#include <regex.h>
#include <stdlib.h>
#include <string.h>

/* -- exceptions -------------------------------------------------------------------------------------------------------------- */

/* Lines "PATTERN -- REASON": an extended regular expression over "DEVICE: KERNEL ACT ACT2 CONSTANTS"; # starts a comment. */
typedef struct exception {
    regex_t pattern;
    char   *reason;
} exception;

typedef struct exceptions { exception *at; int count; } exceptions;

static ssa_status read_exceptions(const char *path, exceptions *out, ssa_error *err) {
    char  *line = NULL;
    size_t size = 0;
    FILE  *f = fopen(path, "r");
    if (!f) return ssa_fail(err, SSA_ERR_INPUT, "exceptions file %s cannot be read", path);
    ssa_status s = SSA_OK;
    for (int number = 1; !s && getline(&line, &size, f) > 0; number++) {
        line[strcspn(line, "\n")] = 0;
        char *reason = strstr(line, " -- ");
        if (!line[strspn(line, " ")] || line[0] == '#') continue;
        exception *grown = realloc(out->at, (size_t)(out->count + 1) * sizeof *grown);
        if (!grown) {
            s = ssa_fail(err, SSA_ERR_MEMORY, "out of memory for exceptions");
            break;
        }
        out->at = grown;
        if (reason) *reason = 0;
        if (!reason || regcomp(&grown[out->count].pattern, line, REG_EXTENDED | REG_NOSUB))
            s = ssa_fail(err, SSA_ERR_INPUT, "%s:%d: not PATTERN -- REASON with a regular expression", path, number);
        else if (!(grown[out->count++].reason = strdup(reason + 4))) s = ssa_fail(err, SSA_ERR_MEMORY, "out of memory for exceptions");
    }
    free(line);
    fclose(f);
    return s;
}

static void free_exceptions(exceptions *e) {
    for (int i = 0; i < e->count; i++) {
        regfree(&e->at[i].pattern);
        free(e->at[i].reason);
    }
    free(e->at);
}

/* -- the walk ---------------------------------------------------------------------------------------------------------------- */

typedef struct compile_run {
    ssa_context *ctx;
    exceptions   exceptions;
    cJSON       *rows, *cases;
    reason_list  reasons; /* why cases cannot be lowered, each printed once */
    bool         quiet;
    void       (*activity)(void *user, bool detail, const char *what);
    int          variants, failed, excepted, unsupported, failed_cases, skipped_cases;
    double       seconds; /* in the driver's compiler */
} compile_run;

/* Shapes of real models beside those of the conformance suite: lowering chooses other tiles and splits for them. */
static ssa_status add_large(verify_case_list *list, ssa_error *err) {
    static const char *const products[] = {"G=1 M=4096 N=4096 K=4096", "G=1 M=512 N=512 K=65536", "G=1 M=1 N=4096 K=4096", "G=32 M=512 N=512 K=128"};
    static const char *const attention[] = {"B=2 T=4096 Q=32 H=8 S=8 D=64", "B=1 T=4096 Q=32 H=2 S=2 D=128", "B=1 T=2048 Q=16 H=16 S=16 D=96",
                                            "B=1 T=2048 Q=8 H=4 S=4 D=256"};
    char sizes[128];
    for (size_t i = 0; i < sizeof products / sizeof *products; i++)
        for (int k = 0; k < 16; k++) {
            ssa_attrs a = {.trans_a = k & 1, .trans_b = k & 2, .accumulate = k & 4};
            SSA_TRY(verify_case_add(list, SSA_MATMUL, products[i], &a, k & 8 ? SSA_F32 : VERIFY_SAME_DTYPE, err));
        }
    for (size_t i = 0; i < sizeof attention / sizeof *attention; i++) {
        SSA_TRY(verify_case_add(list, SSA_ATTN_FULL, attention[i], &(ssa_attrs){0}, VERIFY_SAME_DTYPE, err));
        SSA_TRY(verify_case_add(list, SSA_ATTN_FULL_BWD, attention[i], &(ssa_attrs){.accumulate = true}, VERIFY_SAME_DTYPE, err));
        for (int block = 16; block <= 64; block *= 4) {
            ssa_attrs a = {.block_size = block, .top_k = 16};
            snprintf(sizes, sizeof sizes, "%s K=16", attention[i]);
            SSA_TRY(verify_case_add(list, SSA_BLOCK_MEAN, attention[i], &(ssa_attrs){.block_size = block}, VERIFY_SAME_DTYPE, err));
            SSA_TRY(verify_case_add(list, SSA_SELECT, attention[i], &a, VERIFY_SAME_DTYPE, err));
            a.top_k = 0;
            SSA_TRY(verify_case_add(list, SSA_ATTN_SPARSE, sizes, &a, VERIFY_SAME_DTYPE, err));
            SSA_TRY(verify_case_add(list, SSA_SPARSE_LISTS, sizes, &a, VERIFY_SAME_DTYPE, err));
            SSA_TRY(verify_case_add(list, SSA_ATTN_SPARSE_BWD, sizes, &a, VERIFY_SAME_DTYPE, err));
        }
    }
    SSA_TRY(verify_case_add(list, SSA_LM_LOSS, "R=8192 C=2048 V=128256", &(ssa_attrs){0}, VERIFY_SAME_DTYPE, err));
    SSA_TRY(verify_case_add(list, SSA_LM_LOSS_GRAD, "R=8192 C=2048 V=128256", &(ssa_attrs){.scale = 1}, VERIFY_SAME_DTYPE, err));
    SSA_TRY(verify_case_add(list, SSA_RMSNORM, "R=8192 C=4096", &(ssa_attrs){.eps = 1e-5f}, VERIFY_SAME_DTYPE, err));
    SSA_TRY(verify_case_add(list, SSA_RMSNORM_BWD, "R=8192 C=4096", &(ssa_attrs){0}, VERIFY_SAME_DTYPE, err));
    return verify_case_add(list, SSA_EMBEDDING_BWD, "R=8192 V=128256 C=2048", &(ssa_attrs){0}, VERIFY_SAME_DTYPE, err);
}

/* On a device that only compiles, operands are numbers. */
static ssa_status lower_case(ssa_context *ctx, const verify_case *c, ssa_dtype act) {
    case_operands o;
    ssa_status    s = case_operands_create(ctx, c, act, &o);
    if (!s) s = ssa_run(ctx, c->op, o.count, o.t, &c->attr);
    case_operands_free(ctx, &o);
    return s;
}

static ssa_status walk(compile_run *r, const char *filter, double budget, ssa_error *err) {
    const double     started = clock_now();
    static const ssa_dtype dtypes[] = {SSA_F32, SSA_F16, SSA_BF16};
    verify_case_list       list;
    regex_t                pattern;
    char                   name[256];
    if (filter && regcomp(&pattern, filter, REG_EXTENDED | REG_NOSUB))
        return ssa_fail(err, SSA_ERR_INPUT, "filter \"%s\" is not a regular expression", filter);
    ssa_status s = verify_cases(&list, err);
    if (!s) s = add_large(&list, err);
    for (int i = 0; i < list.count && !s; i++)
        for (int d = 0; d < 3 && !s; d++) {
            const verify_case *c = &list.at[i];
            snprintf(name, sizeof name, "%s %s %s", ssa_op_name(c->op), ssa_dtype_name(dtypes[d]), c->text);
            if (!verify_dtype_applies(c, dtypes[d]) || (filter && regexec(&pattern, name, 0, NULL, 0))) continue;
            if (budget > 0 && clock_now() - started > budget) {
                r->skipped_cases++;
                continue;
            }
            if (r->activity) {
                char phase[320];
                snprintf(phase, sizeof phase, "%s, case %d of %d", name, i + 1, list.count);
                r->activity(NULL, false, phase);
            }
            ssa_status one = lower_case(r->ctx, c, dtypes[d]);
            if (!one) continue;
            bool unsupported = one == SSA_ERR_UNSUPPORTED;
            ssa_error *why = ssa_context_error(r->ctx);
            if (reasons_add(&r->reasons, unsupported ? VERIFY_UNSUPPORTED : VERIFY_FAILED, why->text))
                printf("%s: %s: %s\n", unsupported ? "unsupported" : "FAILED", name, why->text);
            cJSON *row = cJSON_CreateObject();
            cJSON_AddStringToObject(row, "case", name);
            cJSON_AddStringToObject(row, "status", unsupported ? "unsupported" : "failed");
            cJSON_AddStringToObject(row, "reason", why->text);
            cJSON_AddItemToArray(r->cases, row);
            if (unsupported) r->unsupported++; else r->failed_cases++;
            if (one == SSA_ERR_DEVICE_LOST) s = ssa_fail(err, one, "%s", why->text);
            ssa_error_clear(why);
        }
    free(list.at);
    if (filter) regfree(&pattern);
    return s;
}

/* -- the report -------------------------------------------------------------------------------------------------------------- */

static void say(char *line, size_t size, const char *what, double value) {
    size_t used = strlen(line);
    if (value >= 0) snprintf(line + used, size - used, "%s%s %.10g", used ? ", " : "", what, value);
}

static void put(cJSON *row, const char *name, double value) {
    if (value >= 0) cJSON_AddNumberToObject(row, name, value);
}

static void report(void *user, const ssa_compiled *k) {
    compile_run *r = user;
    char         name[1200], facts[256] = "", reason[1000] = "";
    const char  *status = "ok";
    snprintf(name, sizeof name, "%s %s %s %s", k->kernel, k->act, k->act2, k->constants);
    r->variants++;
    r->seconds += k->seconds;
    say(facts, sizeof facts, "registers", k->registers);
    say(facts, sizeof facts, "spills", k->spills);
    say(facts, sizeof facts, "scratch", k->scratch_bytes);
    say(facts, sizeof facts, "shared", k->shared_bytes);
    say(facts, sizeof facts, "code", k->code_bytes);
    say(facts, sizeof facts, "occupancy", k->occupancy);
    if (k->failure) snprintf(reason, sizeof reason, "%s", k->failure);
    else if (k->spills > 0) snprintf(reason, sizeof reason, "%g registers are spilled", k->spills);
    else if (k->scratch_bytes > 0) snprintf(reason, sizeof reason, "%g bytes a lane are kept in memory", k->scratch_bytes);
    if (reason[0]) {
        char with_device[2100];
        status = "failed";
        snprintf(with_device, sizeof with_device, "%s: %s", ssa_context_description(r->ctx), name);
        for (int i = 0; i < r->exceptions.count && !strcmp(status, "failed"); i++)
            if (!regexec(&r->exceptions.at[i].pattern, with_device, 0, NULL, 0)) {
                size_t used = strlen(reason);
                status = "excepted";
                snprintf(reason + used, sizeof reason - used, " (%s)", r->exceptions.at[i].reason);
            }
        if (!strcmp(status, "failed")) r->failed++; else r->excepted++;
    }
    if (!r->quiet || reason[0])
        printf("%s %s: %s%s%s\n", strcmp(status, "failed") ? status : "FAILED", name, facts[0] ? facts : "no statistics", reason[0] ? "; " : "",
               reason);
    cJSON *row = cJSON_CreateObject(), *all;
    cJSON_AddStringToObject(row, "kernel", k->kernel);
    cJSON_AddStringToObject(row, "act", k->act);
    cJSON_AddStringToObject(row, "act2", k->act2);
    cJSON_AddStringToObject(row, "constants", k->constants);
    if (k->subgroup) cJSON_AddNumberToObject(row, "subgroup", k->subgroup);
    cJSON_AddStringToObject(row, "status", status);
    cJSON_AddStringToObject(row, "reason", reason);
    put(row, "registers", k->registers);
    put(row, "spills", k->spills);
    put(row, "scratch_bytes", k->scratch_bytes);
    put(row, "shared_bytes", k->shared_bytes);
    put(row, "code_bytes", k->code_bytes);
    put(row, "occupancy", k->occupancy);
    all = cJSON_AddObjectToObject(row, "statistics");
    for (int i = 0; i < k->values; i++) cJSON_AddNumberToObject(all, k->value[i].name, k->value[i].value);
    cJSON_AddItemToArray(r->rows, row);
}

static ssa_status write_json(compile_run *r, const char *path, ssa_error *err) {
    cJSON *top = cJSON_CreateObject(), *summary;
    cJSON_AddStringToObject(top, "mode", "compile");
    cJSON_AddStringToObject(top, "device", ssa_context_device(r->ctx));
    cJSON_AddStringToObject(top, "description", ssa_context_description(r->ctx));
    summary = cJSON_AddObjectToObject(top, "summary");
    cJSON_AddNumberToObject(summary, "ok", r->variants - r->failed - r->excepted);
    cJSON_AddNumberToObject(summary, "failed", r->failed + r->failed_cases);
    cJSON_AddNumberToObject(summary, "excepted", r->excepted);
    cJSON_AddNumberToObject(summary, "unsupported", r->unsupported);
    cJSON_AddNumberToObject(summary, "skipped", r->skipped_cases);
    cJSON_AddItemToObject(top, "cases", cJSON_Duplicate(r->cases, true));
    cJSON_AddItemToObject(top, "variants", cJSON_Duplicate(r->rows, true));
    char      *text = cJSON_Print(top);
    ssa_status s = text ? report_write(path, text, strlen(text), err) : ssa_fail(err, SSA_ERR_MEMORY, "out of memory for %s", path);
    cJSON_free(text);
    cJSON_Delete(top);
    return s;
}

ssa_status mode_compile(ssa_context *ctx, const compile_options *o, bool *failed, ssa_error *err) {
    compile_run r = {.ctx = ctx, .quiet = o->quiet, .activity = o->activity, .rows = cJSON_CreateArray(), .cases = cJSON_CreateArray()};
    ssa_status  s = o->exceptions ? read_exceptions(o->exceptions, &r.exceptions, err) : SSA_OK;
    if (!s) s = walk(&r, o->filter, o->seconds, err);
    if (!s && (s = ssa_compile_report(ctx, report, &r))) ssa_fail(err, s, "%s", ssa_context_error(ctx)->text);
    if (!s && o->json) s = write_json(&r, o->json, err);
    if (!s)
        printf("%d variants, %d failed, %d excepted; %d cases failed, %d unsupported, %d skipped; %.1f s in the driver's compiler\n", r.variants,
               r.failed, r.excepted, r.failed_cases, r.unsupported, r.skipped_cases, r.seconds);
    *failed = r.failed || r.failed_cases;
    if (!s && !*failed && r.variants == r.excepted)
        s = ssa_fail(err, SSA_ERR_UNSUPPORTED, "nothing was verified on %s: no variant is ok", ssa_context_device(ctx));
    reasons_clear(&r.reasons);
    cJSON_Delete(r.rows);
    cJSON_Delete(r.cases);
    free_exceptions(&r.exceptions);
    return s;
}
