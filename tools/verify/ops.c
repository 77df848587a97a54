/* Runs cases: every operation on a device against the CPU. */
#include "clock.h"
#include "verify.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* -- running ---------------------------------------------------------------------------------------------------------- */

/* Writes the images, runs the call (recorded: through a program), reads everything back. */
static ssa_status run_on(ssa_context *ctx, verify_job *job, bool on_device, bool recorded) {
    ssa_tensor t[SSA_MAX_OPERANDS];
    ssa_program *program = NULL;
    for (int i = 0; i < job->info.count; i++) {
        verify_operand *o = &job->operand[i];
        t[i] = on_device ? o->dev : o->cpu;
        if (o->alias < 0) SSA_TRY(ssa_write(ctx, ssa_view(t[i], -o->before, o->total), o->image));
    }
    if (recorded) {
        SSA_TRY(ssa_record_begin(ctx));
        ssa_status s = ssa_run(ctx, job->c->op, job->info.count, t, &job->c->attr), end = ssa_record_end(ctx, &program);
        if (!s) s = end;
        if (!s) s = ssa_replay(ctx, program);
        if (!s) s = ssa_wait(ctx);
        ssa_program_free(ctx, program);
        if (s) return s;
    } else
        SSA_TRY(ssa_run(ctx, job->c->op, job->info.count, t, &job->c->attr));
    for (int i = 0; i < job->info.count; i++) {
        verify_operand *o = &job->operand[i];
        if (o->alias < 0) SSA_TRY(ssa_read(ctx, ssa_view(t[i], -o->before, o->total), on_device ? o->got : o->want));
    }
    return SSA_OK;
}

static bool same(const verify_operand *o, const char *a, const char *b, int64_t i) {
    size_t size = ssa_dtype_size(o->dtype), at = (size_t)i * size;
    if (!memcmp(a + at, b + at, size)) return true;
    double x = verify_get(a, o->dtype, i), y = verify_get(b, o->dtype, i);
    return x != x && y != y; /* a NaN may lose its payload where 16-bit types are widened */
}

/* Guards of every operand and the whole of the inputs are what they were. */
static bool untouched(const verify_job *job, char *reason, size_t size) {
    for (int i = 0; i < job->info.count; i++) {
        const verify_operand *o = &job->operand[i];
        bool written = o->info.out;
        for (int k = 0; k < job->info.count; k++) written |= job->operand[k].alias == i;
        if (o->alias >= 0) continue;
        for (int64_t k = 0; k < o->total; k++) {
            bool inside = k >= o->before && k < o->before + o->elements;
            if ((inside && written) || same(o, o->image, o->got, k)) continue;
            if (inside)
                snprintf(reason, size, "input %s was written: element %lld", o->info.name, (long long)(k - o->before));
            else if (k < o->before)
                snprintf(reason, size, "wrote %lld elements in front of %s", (long long)(o->before - k), o->info.name);
            else
                snprintf(reason, size, "wrote element %lld of %s, which has %lld", (long long)(k - o->before), o->info.name, (long long)o->elements);
            return false;
        }
    }
    return true;
}

static verify_row new_row(const verify_runner *r, const verify_job *job, int output) {
    return (verify_row){.mode = r->mode,
                        .op = job->info.name,
                        .text = job->c->text,
                        .device = ssa_context_device(r->dev),
                        .variant = r->options.variant,
                        .output = job->operand[output].info.name,
                        .dtype = job->act,
                        .ulp = -1,
                        .device_wide = -1,
                        .cpu_wide = -1};
}

static void report_all(verify_runner *r, const verify_job *job, verify_status status, const char *reason) {
    for (int i = job->info.inputs; i < job->info.count; i++) {
        verify_row row = new_row(r, job, i);
        row.status = status;
        snprintf(row.reason, sizeof row.reason, "%s", reason);
        r->callback(r->user, &row);
    }
}

/* A failure of the device becomes rows; only a lost device ends the run. */
static ssa_status report_error(verify_runner *r, const verify_job *job, ssa_status s) {
    report_all(r, job, s == SSA_ERR_UNSUPPORTED ? VERIFY_UNSUPPORTED : VERIFY_FAILED, ssa_context_error(r->dev)->text);
    if (s == SSA_ERR_DEVICE_LOST) return ssa_fail(r->err, s, "%s", ssa_context_error(r->dev)->text);
    ssa_error_clear(ssa_context_error(r->dev));
    return SSA_OK;
}

/* Keeps the bytes of a run of `got`, to be compared with the next one. */
static bool equal_bits(const verify_job *job, char *const *earlier, int *operand, int64_t *element) {
    for (int i = 0; i < job->info.count; i++) {
        const verify_operand *o = &job->operand[i];
        size_t size = ssa_dtype_size(o->dtype);
        if (o->alias >= 0 || !memcmp(earlier[i], o->got, (size_t)o->total * size)) continue;
        for (*element = 0; !memcmp(earlier[i] + (size_t)*element * size, o->got + (size_t)*element * size, size);) ++*element;
        /* the tail of the lists is undefined, but poisoned alike before both runs: it must still be equal */
        *element -= o->before;
        *operand = i;
        return false;
    }
    return true;
}

static bool keep(const verify_job *job, char **earlier) {
    for (int i = 0; i < job->info.count; i++) {
        const verify_operand *o = &job->operand[i];
        size_t bytes = (size_t)o->total * ssa_dtype_size(o->dtype);
        if (o->alias >= 0) continue;
        if (!earlier[i] && !(earlier[i] = malloc(bytes))) return false;
        memcpy(earlier[i], o->got, bytes);
    }
    return true;
}

/* FNV-1a over what the device wrote: reports of two builds or kernels can be held against each other bit for bit. */
static uint64_t hash_output(const verify_operand *o) {
    size_t   size = ssa_dtype_size(o->dtype);
    uint64_t h = 0xcbf29ce484222325u;
    for (size_t i = (size_t)o->before * size; i < (size_t)(o->before + o->elements) * size; i++) h = (h ^ (unsigned char)o->got[i]) * 0x100000001b3u;
    return h;
}

static ssa_status compare_with_cpu(verify_runner *r, verify_job *job) {
    char *earlier[SSA_MAX_OPERANDS] = {0};
    char reason[640] = "";
    int operand = 0;
    int64_t element = 0;
    ssa_status s = run_on(r->cpu, job, false, false);
    if (s) {
        snprintf(reason, sizeof reason, "the CPU refuses: %s", ssa_context_error(r->cpu)->text);
        ssa_error_clear(ssa_context_error(r->cpu));
        report_all(r, job, VERIFY_FAILED, reason);
        return SSA_OK;
    }
    s = run_on(r->dev, job, true, false);
    if (s) return report_error(r, job, s);
    if (!untouched(job, reason, sizeof reason)) {
        report_all(r, job, VERIFY_FAILED, reason);
        return SSA_OK;
    }
    verify_row row[SSA_MAX_OPERANDS];
    if (r->options.wide && verify_wide(job)) ssa_error_clear(ssa_context_error(r->cpu)); /* two columns less */
    for (int i = job->info.inputs; i < job->info.count; i++) {
        row[i] = new_row(r, job, i);
        r->compare(job, i, &row[i]);
        row[i].bits = hash_output(&job->operand[i]);
    }
    if (keep(job, earlier)) {
        s = run_on(r->dev, job, true, true);
        if (!s && !equal_bits(job, earlier, &operand, &element)) {
            int at = operand < job->info.inputs ? job->info.inputs : operand;
            row[at].status = VERIFY_FAILED;
            snprintf(row[at].reason, sizeof row[at].reason, "a second run, recorded and replayed, gave other bits in %s, element %lld",
                     job->info.operand[operand].name, (long long)element);
        }
    }
    for (int i = 0; i < SSA_MAX_OPERANDS; i++) free(earlier[i]);
    if (s) return report_error(r, job, s);
    for (int i = job->info.inputs; i < job->info.count; i++) r->callback(r->user, &row[i]);
    if (r->finished) r->finished(r, job);
    return SSA_OK;
}

static ssa_status compare_repeats(verify_runner *r, verify_job *job) {
    char *earlier[SSA_MAX_OPERANDS] = {0};
    char reason[640] = "";
    ssa_status s = SSA_OK;
    for (int i = 0; i < r->times && !s && !*reason; i++) {
        int operand = 0;
        int64_t element = 0;
        if (r->before) r->before(r->user, i);
        s = run_on(r->dev, job, true, false);
        if (!s && i && !equal_bits(job, earlier, &operand, &element))
            snprintf(reason, sizeof reason, "run %d gave other bits in %s, element %lld", i + 1, job->info.operand[operand].name, (long long)element);
        if (!s && !i && !keep(job, earlier)) s = SSA_ERR_MEMORY;
    }
    for (int i = 0; i < SSA_MAX_OPERANDS; i++) free(earlier[i]);
    if (s) return report_error(r, job, s);
    report_all(r, job, *reason ? VERIFY_FAILED : VERIFY_OK, reason);
    return SSA_OK;
}

/* -- the walk --------------------------------------------------------------------------------------------------------- */

static bool interrupted(const verify_runner *r) { return r->options.interrupt && *r->options.interrupt; }

bool verify_runner_late(const verify_runner *r) { return interrupted(r) || (r->options.seconds > 0 && clock_now() - r->started > r->options.seconds); }

static void tell(const verify_runner *r, const char *name) {
    char text[400];
    if (!r->options.activity) return;
    snprintf(text, sizeof text, "%s on %s%s%s: %s", r->mode, ssa_context_device(r->dev), r->options.variant ? ", " : "", r->options.variant ? r->options.variant : "", name);
    r->options.activity(NULL, false, text);
}

ssa_status verify_runner_case(verify_runner *r, const verify_case *c, ssa_dtype act, int64_t number) {
    verify_job job;
    char name[256];
    snprintf(name, sizeof name, "%s %s %s", ssa_op_name(c->op), ssa_dtype_name(act), c->text);
    if (r->options.stop && *r->options.stop) return SSA_OK;
    if ((c->full && !r->options.full) || (c->f32 && r->options.small) || !verify_dtype_applies(c, act)) return SSA_OK;
    if (r->filtered && regexec(&r->filter, name, 0, NULL, 0)) return SSA_OK;
    if (r->only_ops && regexec(&r->ops, ssa_op_name(c->op), 0, NULL, 0)) return SSA_OK;
    ssa_status s = verify_job_init(r, &job, c, act, number);
    bool late = verify_runner_late(r);
    if (!late) tell(r, name);
    if (!s && late) report_all(r, &job, VERIFY_SKIPPED, interrupted(r) ? "interrupted" : "the time budget is spent");
    if (!s && !late) s = verify_fill(&job, r->err);
    if (!s && !late && r->prepare) r->prepare(&job);
    if (!s && !late) {
        ssa_status created = verify_job_create(r, &job);
        if (created)
            s = report_error(r, &job, created);
        else
            s = r->times ? compare_repeats(r, &job) : compare_with_cpu(r, &job);
    }
    verify_job_free(r, &job);
    return s;
}

static ssa_status compile_filter(verify_runner *r, const char *text, regex_t *out, bool *there) {
    if (!text) return SSA_OK;
    if (regcomp(out, text, REG_EXTENDED | REG_NOSUB)) return ssa_fail(r->err, SSA_ERR_INPUT, "filter \"%s\" is not a regular expression", text);
    *there = true;
    return SSA_OK;
}

ssa_status verify_runner_open(verify_runner *r) {
    if (!r->compare) r->compare = verify_compare;
    SSA_TRY(compile_filter(r, r->options.filter, &r->filter, &r->filtered));
    ssa_status s = compile_filter(r, r->options.ops, &r->ops, &r->only_ops);
    if (!s) s = ssa_open("cpu", NULL, &r->cpu, r->err);
    if (s) verify_runner_close(r);
    r->started = clock_now();
    return s;
}

void verify_runner_close(verify_runner *r) {
    ssa_close(r->cpu);
    if (r->filtered) regfree(&r->filter);
    if (r->only_ops) regfree(&r->ops);
    r->cpu = NULL;
    r->filtered = r->only_ops = false;
}

int verify_rounds(const verify_runner *r) { return r->options.seconds > 0 ? 7 : 1; }

static ssa_status walk(verify_runner *r) {
    static const ssa_dtype dtypes[] = {SSA_F32, SSA_F16, SSA_BF16};
    verify_case_list list;
    unsigned wanted = r->options.dtypes ? r->options.dtypes : 1u << SSA_F32 | 1u << SSA_F16 | 1u << SSA_BF16;
    SSA_TRY(verify_runner_open(r));
    ssa_status s = verify_cases(&list, r->err);
    if (!s) {
        int rounds = verify_rounds(r);
        for (int round = 0; round < rounds && !s; round++)
            for (int i = round; i < list.count && !s; i += rounds)
                for (int d = 0; d < 3 && !s; d++)
                    if (wanted >> dtypes[d] & 1) s = verify_runner_case(r, &list.at[i], dtypes[d], i + d);
        free(list.at);
    }
    verify_runner_close(r);
    return s;
}

ssa_status verify_ops(ssa_context *ctx, const verify_options *options, verify_callback callback, void *user, ssa_error *err) {
    verify_runner r = {.mode = "ops", .dev = ctx, .callback = callback, .user = user, .err = err};
    if (options) r.options = *options;
    return walk(&r);
}

ssa_status verify_repeat(ssa_context *ctx, const verify_options *options, int times, void (*before)(void *user, int i), verify_callback callback,
                         void *user, ssa_error *err) {
    verify_runner r = {.mode = "repeat", .dev = ctx, .callback = callback, .user = user, .err = err, .times = times, .before = before};
    if (options) r.options = *options;
    return walk(&r);
}
