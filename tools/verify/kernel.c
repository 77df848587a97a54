/* A user's kernel in the place of one of ours: same bindings and parameters, checked against the CPU over every case whose
 * operation launches that kernel, and timed beside ours on the same cases. */
#include "clock.h"
#include "session.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NAMES = 96, REPEATS = 5, SHOWN = 12 };

typedef struct bench {
    session     *s;
    ssa_context *ours, *theirs;
    const char  *name;               /* of the kernel */
    bool         used;               /* by the case at hand */
    char         seen[NAMES][48];    /* kernels met so far, for the complaint about an unknown name */
    int          names, cases;
    double       time[2], total[2];  /* ours, theirs: ns of the case at hand; sums */
    bool         timed[2];
    bool         check_only;         /* ours neither runs nor is timed */
    bool         other;              /* one of other_ways: what it does not support has been told or is no matter */
    bool         ours_runs;          /* the case at hand, on our kernel */
    cJSON       *timings;
} bench;

static void note_kernel(void *user, const char *kernel) {
    bench *b = user;
    if (!strcmp(kernel, b->name)) b->used = true;
    for (int i = 0; i < b->names; i++)
        if (!strcmp(b->seen[i], kernel)) return;
    if (b->names < NAMES) snprintf(b->seen[b->names++], sizeof b->seen[0], "%s", kernel);
}

/* Whether the case's operation launches the kernel: a dry lowering on operands without contents. */
static bool uses(bench *b, const verify_case *c, ssa_dtype act) {
    b->used = false;
    kernels_of_case(b->ours, c, act, note_kernel, b);
    return b->used;
}

static double profiled(ssa_context *ctx, const char *op) {
    ssa_profile_row rows[SSA_OP_COUNT + 8];
    int             count = 0;
    double          ns = 0;
    if (ssa_profile_read(ctx, rows, SSA_OP_COUNT + 8, &count)) return 0;
    for (int i = 0; i < count && i < SSA_OP_COUNT + 8; i++)
        if (!strcmp(rows[i].op, op)) ns += rows[i].ns;
    return ns;
}

/* Device time of the operation, the smallest of REPEATS; the clock on the wall where the driver has no timestamps. */
static void time_job(verify_runner *r, verify_job *job) {
    bench       *b = r->user;
    int          which = r->dev == b->theirs;
    if (job->c->f32 || job->c->data == DATA_NOT_FINITE) return; /* what it takes says nothing of the sizes that matter */
    ssa_tensor   t[SSA_MAX_OPERANDS];
    ssa_program *program = NULL;
    double       best = INFINITY;
    for (int i = 0; i < job->info.count; i++) t[i] = job->operand[i].dev;
    bool bad = ssa_record_begin(r->dev);
    if (!bad) bad = ssa_run(r->dev, job->c->op, job->info.count, t, &job->c->attr);
    bad = ssa_record_end(r->dev, &program) || bad || ssa_replay(r->dev, program) || ssa_wait(r->dev);
    profiled(r->dev, job->info.name); /* forgets what ran before */
    for (int i = 0; i < REPEATS && !bad; i++) {
        double start = clock_now();
        bad = ssa_replay(r->dev, program) || ssa_wait(r->dev);
        double wall = 1e9 * (clock_now() - start), ns = profiled(r->dev, job->info.name);
        best = fmin(best, ns > 0 ? ns : wall);
    }
    ssa_program_free(r->dev, program);
    ssa_error_clear(ssa_context_error(r->dev));
    b->timed[which] = !bad;
    b->time[which] = best;
}

static void ours_row(void *user, const verify_row *row) { ((bench *)user)->ours_runs &= row->status == VERIFY_OK; }

/* What the device does not support of theirs while it supports ours is theirs to mend: it does not build, or wants too much. */
static void theirs_row(void *user, const verify_row *row) {
    bench     *b = user;
    verify_row r = *row;
    if (r.status == VERIFY_UNSUPPORTED && b->other) return;
    if (r.status == VERIFY_UNSUPPORTED && b->ours_runs) r.status = VERIFY_FAILED;
    session_row(b->s, &r);
}

static void keep_time(bench *b, const verify_case *c, ssa_dtype act) {
    if (!b->timed[0] || !b->timed[1]) return;
    cJSON *o = cJSON_CreateObject();
    cJSON_AddStringToObject(o, "op", ssa_op_name(c->op));
    cJSON_AddStringToObject(o, "dtype", ssa_dtype_name(act));
    cJSON_AddStringToObject(o, "case", c->text);
    cJSON_AddStringToObject(o, "device", ssa_context_device(b->ours));
    cJSON_AddNumberToObject(o, "ours_ns", b->time[0]);
    cJSON_AddNumberToObject(o, "yours_ns", b->time[1]);
    cJSON_AddItemToArray(b->timings, o);
    for (int i = 0; i < 2; i++) b->total[i] += b->time[i];
}

/* The cases of a list that launch the kernel: ours, for the time and for whether it runs at all, then yours against the CPU. */
static ssa_status walk_list(bench *b, verify_runner *theirs, verify_runner *ours, const verify_case_list *list) {
    static const ssa_dtype dtypes[] = {SSA_F32, SSA_F16, SSA_BF16};
    ssa_status             s = SSA_OK;
    for (int i = 0; i < list->count && !s; i++)
        for (int d = 0; d < 3 && !s; d++) {
            const verify_case *c = &list->at[i];
            if (!(theirs->options.dtypes >> dtypes[d] & 1) || !verify_dtype_applies(c, dtypes[d]) || !uses(b, c, dtypes[d])) continue;
            b->cases++;
            b->timed[0] = b->timed[1] = false;
            b->ours_runs = true;
            if (theirs->finished) s = verify_runner_case(ours, c, dtypes[d], i + d);
            if (!s) s = verify_runner_case(theirs, c, dtypes[d], i + d);
            if (!s) keep_time(b, c, dtypes[d]);
        }
    return s;
}

/* Every case; then those that can be exact once more with data that makes them so, to the bit. */
static ssa_status walk(bench *b, const verify_options *options, ssa_error *err) {
    verify_runner theirs = {
        .mode = "kernel", .dev = b->theirs, .options = *options, .callback = theirs_row, .user = b, .err = err,
        .finished = b->check_only ? NULL : time_job};
    verify_runner    ours = theirs;
    verify_case_list list = {0}, exact = {0};
    ours.dev = b->ours;
    ours.callback = ours_row;
    ours.options.wide = false;
    SSA_TRY(verify_runner_open(&theirs));
    ssa_status s = verify_runner_open(&ours);
    if (!s) s = verify_cases(&list, err);
    if (!s) s = walk_list(b, &theirs, &ours, &list);
    if (!s) s = verify_exact_cases(&exact, err);
    for (int i = 0; i < exact.count; i++) {
        size_t used = strlen(exact.at[i].text);
        snprintf(exact.at[i].text + used, sizeof exact.at[i].text - used, " exact");
    }
    verify_runner_exact(&theirs);
    theirs.finished = NULL;
    if (!s) s = walk_list(b, &theirs, &ours, &exact);
    free(list.at);
    free(exact.at);
    verify_runner_close(&ours);
    verify_runner_close(&theirs);
    return s;
}

static int longer(const void *a, const void *b) {
    double x = report_number(*(cJSON *const *)a, "ours_ns"), y = report_number(*(cJSON *const *)b, "ours_ns");
    return (x < y) - (x > y);
}

/* The cases that take longest, then the sum. */
static void print_times(const bench *b) {
    int     count = cJSON_GetArraySize(b->timings), i = 0;
    cJSON **row = calloc((size_t)count + 1, sizeof *row), *o;
    if (!row || !count) {
        free(row);
        return;
    }
    cJSON_ArrayForEach(o, b->timings) row[i++] = o;
    qsort(row, (size_t)count, sizeof *row, longer);
    printf("  %10s %10s %7s  of the whole operation, microseconds\n", "ours", "yours", "");
    for (i = 0; i < count && i < SHOWN; i++) {
        double ours = report_number(row[i], "ours_ns"), yours = report_number(row[i], "yours_ns");
        printf("  %10.1f %10.1f %6.2fx  %s %s %s\n", ours / 1e3, yours / 1e3, ours / yours, report_text(row[i], "op"), report_text(row[i], "dtype"),
               report_text(row[i], "case"));
    }
    printf("  %10.1f %10.1f %6.2fx  all %d cases\n", b->total[0] / 1e3, b->total[1] / 1e3, b->total[0] / b->total[1], count);
    free(row);
}

static ssa_status unknown(bench *b, ssa_error *err) {
    char   names[380] = "";
    size_t used = 0;
    for (int i = 0; i < b->names && used + 50 < sizeof names; i++)
        used += (size_t)snprintf(names + used, sizeof names - used, "%s%s", i ? " " : "", b->seen[i]);
    return ssa_fail(err, SSA_ERR_INPUT, "no case launches a kernel %.40s; there are %s", b->name, names);
}

static char *read_file(const char *path, size_t *bytes, ssa_error *err) {
    FILE *f = fopen(path, "rb");
    char *text = NULL;
    long  size = -1;
    if (f && !fseek(f, 0, SEEK_END)) size = ftell(f);
    if (size > 0 && !fseek(f, 0, SEEK_SET)) text = malloc((size_t)size + 1);
    if (text) text[*bytes = fread(text, 1, (size_t)size, f)] = 0;
    if (f) fclose(f);
    if (!text) ssa_fail(err, SSA_ERR_INPUT, "kernel file %s cannot be read, or is empty", path);
    return text;
}

const char *kernel_api(const char *path) {
    const char *dot = strrchr(path, '.');
    if (!dot) return NULL;
    return !strcmp(dot, ".cl") ? "opencl" : !strcmp(dot, ".comp") || !strcmp(dot, ".glsl") || !strcmp(dot, ".spv") ? "vulkan" : NULL;
}

/* Other ways to run the same code, where what the first one hides may show; f32 is enough. */
typedef struct other_way { const char *variant, *lanes, *limits; } other_way;
static const other_way other_ways[] = {
    /* lanes counted from the workgroup's end (kernel_lanes_reversed): a missing barrier may show in one order alone */
    {"reversed", "reversed", NULL},
    /* bindings and grids of a small device: work comes in pieces that begin somewhere, grids are folded and overshoot */
    {"small", "", "range=16384,groups=29"},
};

static ssa_status walk_other(bench *b, const other_way *way, const char *device, ssa_open_options open, verify_options options, ssa_error *err) {
    const char *lanes = getenv("SSA_LANES");
    char       *kept = lanes ? strdup(lanes) : NULL;
    ssa_status  s = SSA_OK;
    if (options.dtypes & 1u << SSA_F32 && !(options.stop && *options.stop)) {
        options.dtypes = 1u << SSA_F32;
        options.variant = way->variant;
        options.seconds = session_left(b->s);
        open.limits = way->limits;
        b->check_only = b->other = true;
        setenv("SSA_LANES", way->lanes, 1);
        ssa_close(b->theirs);
        s = session_context(b->s, device, &open, &b->theirs, err);
        if (!s && b->theirs) s = walk(b, &options, err);
        if (kept) setenv("SSA_LANES", kept, 1);
        else unsetenv("SSA_LANES");
    }
    free(kept);
    return s;
}

ssa_status mode_kernel(session *s, const char *device, ssa_error *err) {
    size_t         bytes = 0;
    verify_options options = s->options;
    bench          b = {.s = s, .name = s->kernel_as, .check_only = s->first};
    char *code = read_file(s->kernel_file, &bytes, err);
    if (!code) return SSA_ERR_INPUT;
    /* SPIR-V has its storage type compiled in. */
    if (!options.dtypes) options.dtypes = strstr(s->kernel_file, ".spv") ? 1u << SSA_F32 : 7;
    const char *slash = strrchr(s->kernel_file, '/');
    options.variant = slash ? slash + 1 : s->kernel_file;
    options.wide = true;
    options.seconds = session_left(s);
    ssa_status status = session_context(s, device, &(ssa_open_options){.profile = true}, &b.ours, err);
    const ssa_open_options theirs = {.profile = true, .kernel_name = b.name, .kernel_code = code, .kernel_bytes = bytes};
    if (!status && b.ours) status = session_context(s, device, &theirs, &b.theirs, err);
    if (!status && b.theirs) {
        b.timings = cJSON_CreateArray();
        status = walk(&b, &options, err);
        if (!status && !b.cases) status = unknown(&b, err);
        if (!status) print_times(&b);
        for (size_t i = 0; i < sizeof other_ways / sizeof *other_ways && !status; i++) status = walk_other(&b, &other_ways[i], device, theirs, options, err);
        cJSON *all = cJSON_GetObjectItem(s->report, "timings"), *o;
        if (!all) all = cJSON_AddArrayToObject(s->report, "timings");
        while ((o = cJSON_DetachItemFromArray(b.timings, 0))) cJSON_AddItemToArray(all, o);
        cJSON_Delete(b.timings);
    }
    ssa_close(b.theirs);
    ssa_close(b.ours);
    free(code);
    return status;
}
