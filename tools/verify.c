/* ssa verify: is a device right? One mode after another on one device after another; rows go to the console and into the reports. */
#include "clock.h"
#include "command.h"
#include "help.h"
#include "output.h"
#include "progress.h"
#include "signals.h"
#include "verify/compile.h"
#include "verify/report_file.h"
#include "verify/session.h"
#include <glob.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct arguments {
    const char *device, *json, *csv, *html, *as, *dtype;
    int64_t     seed, cases, only_case;
    bool        quick, full, list;
    const char *rest[32];
    int         rests;
} arguments;

/* weight: what share of `all`'s time a mode gets; 0: not part of `all`. A software driver spends most of it compiling for `ops`. */
typedef struct mode {
    const char *name;
    ssa_status (*run)(session *s, const char *device, ssa_error *err);
    double      weight;
    const char *help;
} mode;

static const mode modes[] = {
    {"ops", mode_ops, 12, "every operation at odd shapes, dtypes and kernel variants against the CPU"},
    {"exact", mode_exact, 3, "inputs whose sums are representable: bit for bit as on the CPU"},
    {"grad", mode_grad, 1, "the CPU's gradients against finite differences in f64, a device's against the CPU's"},
    {"golden", mode_golden, 2, "PATH...: outputs of the authors' own code, replayed"},
    {"determinism", mode_determinism, 6, "each operation and a short training twice, also beside other work: the same bits"},
    {"stress", mode_stress, 2, "random cases; --cases N, and --case K repeats one"},
    {"kernel", mode_kernel, 0, "FILE --as NAME: your kernel (.comp, .spv, .cl) in the place of ours, checked and timed"},
};
enum { MODES = sizeof modes / sizeof *modes };

static ssa_status parse(int argc, char **argv, const char *name, arguments *a, session *s, ssa_error *err) {
    char       line[160];
    double     budget = NAN;
    int64_t    threads = 0;
    const flag flags[] = {
        {"--device", FLAG_STRING, &a->device, 0, 0, "cpu, vulkan, vulkan:N, opencl, opencl:N, auto (default; kernel: the file's API), several with commas, or all"},
        {"--threads", FLAG_I64, &threads, 0, 128, "of the CPU (default 0: OMP_NUM_THREADS, else all processors)"},
        {"--filter", FLAG_STRING, &s->options.filter, 0, 0, "regular expression over \"op dtype case\""},
        {"--dtype", FLAG_STRING, &a->dtype, 0, 0, "f32, bf16 or f16 alone"},
        {"--quick", FLAG_BOOL, &a->quick, 0, 0, "the smaller cases (default)"},
        {"--full", FLAG_BOOL, &a->full, 0, 0, "the larger cases too"},
        {"--budget", FLAG_DOUBLE, &budget, 0, 1e9, "seconds; what does not fit is reported as skipped (all: 330; 0: no limit)"},
        {"--seconds", FLAG_DOUBLE, &budget, 0, 1e9, "the same"},
        {"--seed", FLAG_I64, &a->seed, 0, 9e15, "of the data and of stress (default 1)"},
        {"--cases", FLAG_I64, &a->cases, 1, 1e9, "stress: how many cases"},
        {"--case", FLAG_I64, &a->only_case, 0, 1e12, "stress: this case alone"},
        {"--as", FLAG_STRING, &a->as, 0, 0, "kernel: the name of the kernel that the file takes the place of"},
        {"--list", FLAG_BOOL, &a->list, 0, 0, "kernel: the kernels there are, each with the operations that launch it"},
        {"--first", FLAG_BOOL, &s->first, 0, 0, "stop at the first row that failed; kernel: time nothing"},
        {"--limits", FLAG_STRING, &s->limits, 0, 0, "a smaller device: shared=16384,range=134217728,groups=65535,push=128,subgroup=0,..."},
        {"--json", FLAG_FILE, &a->json, 0, 0, "file for everything"},
        {"--csv", FLAG_FILE, &a->csv, 0, 0, "file for the rows as a table"},
        {"--html", FLAG_FILE, &a->html, 0, 0, "file for a page with the matrix of devices, operations and variants"},
    };
    snprintf(line, sizeof line, "verify %s [options]", name);
    if (argc > (int)(sizeof a->rest / sizeof *a->rest)) return ssa_fail(err, SSA_ERR_INPUT, "verify %s: %d arguments are too many", name, argc);
    SSA_TRY(flags_parse(argc, argv, line, flags, sizeof flags / sizeof *flags, a->rest, &a->rests, err));
    s->everything = !strcmp(name, "all");
    s->budget = isnan(budget) ? (s->everything && !a->full ? 330 : 0) : budget;
    s->options.full = a->full;
    s->options.stop = &s->stop;
    s->options.seed = (uint64_t)a->seed;
    s->only_case = a->only_case;
    s->cases = a->cases ? a->cases : s->everything ? (a->full ? 1000 : 60) : (a->full ? 5000 : 300);
    if (a->full && a->quick) return ssa_fail(err, SSA_ERR_INPUT, "--quick and --full exclude each other");
    if (a->dtype) {
        ssa_dtype d;
        SSA_TRY(parse_dtype(a->dtype, &d, err));
        s->options.dtypes = 1u << d;
    }
    regex_t filter;
    if (s->options.filter && regcomp(&filter, s->options.filter, REG_EXTENDED | REG_NOSUB))
        return ssa_fail(err, SSA_ERR_INPUT, "filter \"%s\" is not a regular expression", s->options.filter);
    if (s->options.filter) regfree(&filter);
    snprintf(line, sizeof line, "%d", (int)threads);
    if (threads) setenv("OMP_NUM_THREADS", line, 1); /* read by every context, those of other work's processes too */
    if (s->limits) setenv("SSA_LIMITS", s->limits, 1); /* read by every device that is opened from here on */
    return SSA_OK;
}

/* The modes, then the options that they share. */
static int help(void) {
    arguments a = {0};
    session   s = {0};
    char     *argv[] = {"--help"};
    ssa_error err = {0};
    help_usage("verify MODE [--device NAME,...|all] [options]");
    for (int i = 0; i < MODES; i++) help_word(modes[i].name, modes[i].help);
    help_word("all", "all of these but kernel, within --budget seconds");
    help_word("compile", "every kernel variant through the driver's compiler, without running any");
    help_word("compare", "A.json B.json: what changed between two reports");
    help_word("page", "A.json ... --html FILE: several reports on one page");
    help_text("Exit status: 0 everything that ran is right, and something did on each device; 1 something failed, or nothing was\n"
              "verified; 2 bad input; 3 ended early by a signal, with the reports of what was done.");
    parse(1, argv, "MODE", &a, &s, &err);
    return 1;
}

/* What a mode takes besides options. */
static ssa_status take_rest(const char *name, const arguments *a, session *s, glob_t *found, ssa_error *err) {
    if (a->list && (strcmp(name, "kernel") || a->rests)) return ssa_fail(err, SSA_ERR_INPUT, "--list is for verify kernel, without a file");
    if (a->list) return SSA_OK;
    if (!strcmp(name, "kernel")) {
        if (a->rests != 1 || !a->as) return ssa_fail(err, SSA_ERR_INPUT, "verify kernel needs one file and --as NAME (--list names the kernels)");
        s->kernel_file = a->rest[0];
        s->kernel_as = a->as;
        return kernel_api(a->rest[0]) ? SSA_OK : ssa_fail(err, SSA_ERR_INPUT, "%s is not .comp (GLSL), .spv (SPIR-V) or .cl (OpenCL C)", a->rest[0]);
    }
    if (!strcmp(name, "golden")) {
        for (int i = 0; i < a->rests; i++) s->golden[s->goldens++] = a->rest[i];
        return s->goldens ? SSA_OK : ssa_fail(err, SSA_ERR_INPUT, "verify golden needs a model folder or a kernel file");
    }
    if (a->rests) return ssa_fail(err, SSA_ERR_INPUT, "what is %s? `ssa verify --help` lists the modes", a->rest[0]);
    if (!s->everything) return SSA_OK;
    glob("tests/golden/*.safetensors", 0, NULL, found); /* in the source folder */
    glob("tests/golden/*_nsa", GLOB_APPEND, NULL, found);
    if (found->gl_pathc > sizeof s->golden / sizeof *s->golden) return ssa_fail(err, SSA_ERR_INPUT, "tests/golden holds %zu files, at most %zu are taken at once", found->gl_pathc, sizeof s->golden / sizeof *s->golden);
    for (size_t i = 0; i < found->gl_pathc; i++) s->golden[s->goldens++] = found->gl_pathv[i];
    return SSA_OK;
}

/* The CPU needs a fraction of a software driver's time. */
static double weight_of(const mode *m, const char *device) { return m->weight * (strcmp(device, "cpu") ? 1 : 0.3); }

static ssa_status run_modes(session *s, const char *name, char device[][32], int devices, ssa_error *err) {
    double left = 0;
    for (int d = 0; d < devices; d++)
        for (int i = 0; i < MODES; i++) left += weight_of(&modes[i], device[d]);
    for (int d = 0; d < devices; d++) {
        int ok = 0;
        for (int i = 0; i < MODES; i++) {
            double weight = weight_of(&modes[i], device[d]);
            if ((s->everything ? !weight : strcmp(name, modes[i].name)) || session_interrupted(s)) continue;
            session_begin(s, modes[i].name, device[d], s->everything ? weight / left : 1.0 / (devices - d));
            ssa_status status = modes[i].run(s, device[d], err);
            if (status == SSA_ERR_INPUT) return status;
            if (status) session_note(s, "device", "running", NULL, VERIFY_FAILED, "%s", err->text);
            ssa_error_clear(err);
            ok += session_end(s);
            left -= weight;
        }
        if (!ok)
            ssa_fail(&s->unverified, SSA_ERR_UNSUPPORTED, "nothing was verified on %s: no row is ok%s", device[d],
                     s->total[VERIFY_UNSUPPORTED] + s->total[VERIFY_SKIPPED] ? ", for the reasons above" : "");
    }
    return SSA_OK;
}

/* A kernel is for one API: without --device its first device (a software driver too), with `all` its devices alone. */
static ssa_status kernel_devices(session *s, const char *names, char device[SESSION_DEVICES][32], int *count, ssa_error *err) {
    const char *api = kernel_api(s->kernel_file);
    int         kept = 0;
    SSA_TRY(session_devices(s, strcmp(names, "auto") ? names : api, device, count, err));
    for (int i = 0; i < *count; i++) {
        if (!strncmp(device[i], api, strlen(api))) memmove(device[kept++], device[i], sizeof device[i]);
        else if (strcmp(names, "all")) return ssa_fail(err, SSA_ERR_INPUT, "%s is a kernel for %s, and %s runs none of those", s->kernel_file, api, device[i]);
    }
    *count = kept;
    return kept ? SSA_OK : ssa_fail(err, SSA_ERR_INPUT, "%s is a kernel for %s, and there is no such device", s->kernel_file, api);
}

static ssa_status write_reports(session *s, const arguments *a, ssa_error *err) {
    const cJSON *report = s->report;
    if (a->json) SSA_TRY(report_json(report, a->json, err));
    if (a->csv) SSA_TRY(report_csv(report, a->csv, err));
    return a->html ? report_html(&report, 1, a->html, err) : SSA_OK;
}

/* Before minutes of work: whether the reports could be written after them. */
static ssa_status check_reports(const arguments *a, ssa_error *err) {
    const char *const path[] = {a->json, a->csv, a->html};
    for (int i = 0; i < 3; i++)
        if (path[i]) SSA_TRY(report_check(path[i], err));
    return SSA_OK;
}

static void finish(session *s) {
    double seconds = clock_now() - s->started;
    cJSON *summary = cJSON_AddObjectToObject(s->report, "summary");
    for (int i = 0; i < 4; i++) cJSON_AddNumberToObject(summary, verify_status_name(i), s->total[i]);
    cJSON_AddNumberToObject(s->report, "seconds", round(10 * seconds) / 10);
    if (session_interrupted(s)) cJSON_AddBoolToObject(s->report, "interrupted", true);
    printf("%d ok, %d failed, %d unsupported, %d skipped in %.0f s\n", s->total[VERIFY_OK], s->total[VERIFY_FAILED], s->total[VERIFY_UNSUPPORTED],
           s->total[VERIFY_SKIPPED], seconds);
}

static int verify(const char *name, int argc, char **argv) {
    ssa_error  err = {0};
    arguments  a = {.device = "auto", .seed = 1, .only_case = -1};
    session    s = {.options.interrupt = &requested.stop, .options.activity = progress_activity};
    glob_t     found = {0};
    char       device[SESSION_DEVICES][32];
    int        devices = 0;
    ssa_status status = parse(argc, argv, name, &a, &s, &err);
    if (!status) status = take_rest(name, &a, &s, &found, &err);
    progress_opening();
    if (!status && a.list) {
        status = kernels_list(a.device, &err);
        return status ? complain(&err) : 0;
    }
    if (!status) status = session_open(&s, &err);
    if (!status && s.kernel_file) status = kernel_devices(&s, a.device, device, &devices, &err);
    else if (!status) status = session_devices(&s, a.device, device, &devices, &err);
    progress_begin("beginning");
    if (!status) status = check_reports(&a, &err);
    if (a.json || a.csv || a.html) output_is_progress(); /* the reports are what was asked for */
    if (!status && !strcmp(a.device, "auto") && !strcmp(device[0], "cpu"))
        printf("auto is the cpu here: no kernel of a GPU is verified; --device vulkan or opencl takes a software driver too\n");
    signals_catch("this case", false);
    if (!status) status = run_modes(&s, name, device, devices, &err);
    if (!status) finish(&s);
    if (!status) status = write_reports(&s, &a, &err);
    int rows = s.total[0] + s.total[1] + s.total[2] + s.total[3];
    if (!status && !rows && !session_interrupted(&s)) status = ssa_fail(&err, SSA_ERR_INPUT, "no case passes the filter %s", s.options.filter ? s.options.filter : "");
    bool interrupted = session_interrupted(&s);
    if (!status && !s.total[VERIFY_FAILED] && !interrupted) {
        err = s.unverified;
        status = err.status;
    }
    session_close(&s);
    globfree(&found);
    return status ? complain(&err) : s.total[VERIFY_FAILED] ? 1 : interrupted ? EXIT_INTERRUPTED : 0;
}

/* -- reports of earlier runs ----------------------------------------------------------------------------------------------------- */

static int reports(const char *name, int argc, char **argv) {
    ssa_error   err = {0};
    const char *path[32], *html = NULL;
    cJSON      *report[32] = {0};
    int         count = 0;
    bool        compare = !strcmp(name, "compare"), worse = false;
    const flag  flags[] = {{"--html", FLAG_FILE, &html, 0, 0, "page: the file to write"}};
    ssa_status  status = argc > 32 ? ssa_fail(&err, SSA_ERR_INPUT, "verify %s: %d arguments are too many", name, argc) : SSA_OK;
    if (!status)
        status = flags_parse(argc, argv, compare ? "verify compare A.json B.json" : "verify page A.json ... --html FILE", flags, !compare, path,
                             &count, &err);
    if (!status && (compare ? count != 2 : !count || !html))
        status = ssa_fail(&err, SSA_ERR_INPUT, compare ? "verify compare needs two reports" : "verify page needs reports and --html FILE");
    for (int i = 0; i < count && !status; i++) status = report_read(path[i], &report[i], &err);
    if (!status)
        status = compare ? compare_runs(report[0], report[1], stdout, &worse, &err) : report_html((const cJSON *const *)report, count, html, &err);
    for (int i = 0; i < 32; i++) cJSON_Delete(report[i]);
    return status ? complain(&err) : worse ? 1 : 0;
}

static int compile(int argc, char **argv) {
    ssa_error       err = {0};
    ssa_context    *ctx;
    const char     *device = "vulkan";
    compile_options o = {.activity = progress_activity};
    bool            failed = false;
    const flag      flags[] = {{"--device", FLAG_STRING, &device, 0, 0, "vulkan, vulkan:N (default vulkan)"},
                               {"--filter", FLAG_STRING, &o.filter, 0, 0, "regular expression over \"op dtype case\""},
                               {"--exceptions", FLAG_FILE, &o.exceptions, 0, 0, "file of lines PATTERN -- REASON: what may spill"},
                               {"--json", FLAG_FILE, &o.json, 0, 0, "file to write everything to"},
                               {"--seconds", FLAG_DOUBLE, &o.seconds, 0, 1e6, "time budget: cases beyond it are skipped (default 0: none)"},
                               {"--quiet", FLAG_BOOL, &o.quiet, 0, 0, "only variants that are not ok"}};
    const char *usage_line = "verify compile [--device vulkan:N] [--filter REGEX] [--exceptions FILE] [--json FILE] [--seconds N] [--quiet]";
    ssa_status  s = flags_parse(argc, argv, usage_line, flags, sizeof flags / sizeof *flags, NULL, NULL, &err);
    if (s) return complain(&err);
    progress_opening();
    s = ssa_open(device, &(ssa_open_options){.compile_only = true, .activity = progress_activity}, &ctx, &err);
    if (s) return complain(&err);
    printf("%s (%s)\n", ssa_context_device(ctx), ssa_context_description(ctx));
    progress_begin("lowering");
    s = mode_compile(ctx, &o, &failed, &err);
    ssa_close(ctx);
    return s ? complain(&err) : failed;
}

int command_verify(int argc, char **argv) {
    const char *name = argc > 0 ? argv[0] : "";
    if (!strcmp(name, "--help") || !strcmp(name, "-h")) return help();
    if (!strcmp(name, "compile")) return compile(argc - 1, argv + 1);
    if (!strcmp(name, "compare") || !strcmp(name, "page")) return reports(name, argc - 1, argv + 1);
    if (!strcmp(name, "busy") && argc == 2) return mode_busy(argv[1]);
    for (int i = 0; i < MODES; i++)
        if (!strcmp(name, modes[i].name)) return verify(name, argc - 1, argv + 1);
    if (!strcmp(name, "all")) return verify(name, argc - 1, argv + 1);
    ssa_error err = {0};
    if (*name) ssa_fail(&err, SSA_ERR_INPUT, "there is no mode %s; `ssa verify --help` lists them", name);
    else ssa_fail(&err, SSA_ERR_INPUT, "verify needs a mode; `ssa verify --help` lists them");
    return complain(&err);
}
