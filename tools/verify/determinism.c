/* The same bits every time: each operation twice, and a short training twice; then both once more while other work keeps the
 * device busy, which changes the order in which workgroups run. */
#include "session.h"
#include <ftw.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { STEPS = 20 };

static void rename_row(void *user, const verify_row *row) {
    verify_row r = *row;
    r.mode = "determinism";
    session_row(user, &r);
}

/* -- other work ---------------------------------------------------------------------------------------------------------------- */

/* Matrix products without end; what the child started below does. Says "." once it has begun. */
int mode_busy(const char *device) {
    enum { N = 192, CALLS = 8 };
    ssa_context *ctx;
    ssa_tensor   a, b, c;
    ssa_program *program;
    ssa_error    err = {0};
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (ssa_open(device, NULL, &ctx, &err)) return 1;
    float *zeros = calloc(N * N, sizeof *zeros);
    bool bad = !zeros || ssa_tensor_new(ctx, SSA_F32, &a, N, N) || ssa_tensor_new(ctx, SSA_F32, &b, N, N) || ssa_tensor_new(ctx, SSA_F32, &c, N, N) ||
               ssa_write(ctx, a, zeros) || ssa_write(ctx, b, zeros) || ssa_record_begin(ctx);
    for (int i = 0; i < CALLS && !bad; i++) bad = SSA_CALL(ctx, SSA_MATMUL, SSA_T(a, b, c), .trans_b = i & 1);
    if (bad || ssa_record_end(ctx, &program)) return 1;
    for (int64_t i = 0; !ssa_replay(ctx, program) && !ssa_wait(ctx); i++)
        if (!i && write(STDOUT_FILENO, ".", 1) != 1) return 1;
    return 1;
}

typedef struct child { pid_t pid; } child;

/* A process of its own: two contexts in one would share a driver's queue and locks. */
static bool start_other_work(const char *device, child *c) {
    int  ends[2];
    char ready = 0;
    if (pipe(ends)) return false;
    fflush(stdout);
    c->pid = fork();
    if (c->pid == 0) {
        dup2(ends[1], STDOUT_FILENO);
        close(ends[0]);
        close(ends[1]);
        execl("/proc/self/exe", "ssa", "verify", "busy", device, (char *)NULL);
        _exit(127);
    }
    close(ends[1]);
    bool there = c->pid > 0 && read(ends[0], &ready, 1) == 1 && ready == '.'; /* it ends, so does this: no hang */
    close(ends[0]);
    if (!there && c->pid > 0) waitpid(c->pid, NULL, 0);
    return there;
}

static void stop_other_work(const child *c) {
    kill(c->pid, SIGKILL);
    waitpid(c->pid, NULL, 0);
}

/* -- a training ----------------------------------------------------------------------------------------------------------------- */

static int remove_one(const char *path, const struct stat *info, int type, struct FTW *at) {
    (void)info, (void)type, (void)at;
    return remove(path);
}

static ssa_status write_data(const char *dir, char *path, size_t size, ssa_error *err) {
    uint64_t random = 7;
    snprintf(path, size, "%s/text", dir);
    FILE *f = fopen(path, "w");
    for (int i = 0; f && i < 30000; i++) fputc("etaoin shrdlu\n"[verify_random(&random) % 14], f);
    return f && !fclose(f) ? SSA_OK : ssa_fail(err, SSA_ERR_RUNTIME, "%s cannot be written", path);
}

static ssa_status train(ssa_context *ctx, const char *dir, const char *data, int run, char *weights, size_t size, ssa_error *err) {
    static const char *const settings[][2] = {{"layers", "2"},    {"hidden", "32"},    {"ffn", "48"},   {"heads", "2"},      {"kv_heads", "1"},
                                              {"head_dim", "16"}, {"block_size", "8"}, {"top_k", "2"},  {"seq", "40"},       {"batch", "2"},
                                              {"warmup", "2"},    {"eval_rows", "2"},  {"steps", "20"}, {"save_every", "20"}};
    ssa_train_options o;
    ssa_train_result  result = {0};
    char              out[SSA_PATH_CAPACITY];
    SSA_TRY(ssa_train_preset("quickstart", &o, err));
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++) SSA_TRY(ssa_train_set(&o, settings[i][0], settings[i][1], err));
    snprintf(out, sizeof out, "%s/run%d", dir, run);
    SSA_TRY(ssa_train_set(&o, "data", data, err));
    SSA_TRY(ssa_train_set(&o, "out", out, err));
    SSA_TRY(ssa_train(ctx, &o, NULL, NULL, NULL, &result, err));
    snprintf(weights, size, "%s/model.safetensors", result.checkpoint);
    return SSA_OK;
}

static ssa_status same_file(const char *a, const char *b, long *differs_at, ssa_error *err) {
    FILE *f = fopen(a, "rb"), *g = fopen(b, "rb");
    long  at = 0;
    int   x = 0, y = 0;
    while (f && g && (x = getc(f)) == (y = getc(g)) && x != EOF) at++;
    bool opened = f && g;
    if (f) fclose(f);
    if (g) fclose(g);
    *differs_at = x == y ? -1 : at;
    return opened ? SSA_OK : ssa_fail(err, SSA_ERR_RUNTIME, "%s or %s cannot be read", a, b);
}

/* Trains twice, the second time beside other work if asked for; compares the weights' bytes. */
static ssa_status train_twice(session *s, const char *device, bool busy, ssa_error *err) {
    const char  *tmp = getenv("TMPDIR"), *text = busy ? "20 steps beside other work" : "20 steps twice";
    char         dir[SSA_PATH_CAPACITY - 32], data[SSA_PATH_CAPACITY], weights[2][SSA_PATH_CAPACITY + 64];
    ssa_context *ctx = NULL;
    child        other = {0};
    long         at = -1;
    if (snprintf(dir, sizeof dir, "%s/ssa-verify-XXXXXX", tmp && *tmp ? tmp : "/tmp") >= (int)sizeof dir || !mkdtemp(dir)) return ssa_fail(err, SSA_ERR_RUNTIME, "no folder %s can be made", dir);
    ssa_status status = write_data(dir, data, sizeof data, err);
    for (int run = 0; run < 2 && !status; run++) {
        bool beside = busy && run;
        if (beside && !start_other_work(device, &other)) {
            session_note(s, "train", text, NULL, VERIFY_SKIPPED, "the other work does not start");
            break;
        }
        status = session_context(s, device, NULL, &ctx, err);
        if (!status && ctx) status = train(ctx, dir, data, run, weights[run], sizeof weights[run], err);
        ssa_close(ctx);
        if (beside) stop_other_work(&other);
        if (status || !ctx) break;
        if (run) status = same_file(weights[0], weights[1], &at, err);
        if (!run || status) continue;
        if (at < 0) session_note(s, "train", text, NULL, VERIFY_OK, "%s", "");
        else session_note(s, "train", text, NULL, VERIFY_FAILED, "model.safetensors differs from byte %ld on", at);
    }
    nftw(dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    if (!status) return SSA_OK;
    session_note(s, "train", text, NULL, status == SSA_ERR_UNSUPPORTED ? VERIFY_UNSUPPORTED : VERIFY_FAILED, "%s", err->text);
    ssa_error_clear(err);
    return SSA_OK;
}

/* -- the mode ------------------------------------------------------------------------------------------------------------------- */

static ssa_status repeat_ops(session *s, ssa_context *ctx, const char *variant, double seconds, ssa_error *err) {
    verify_options o = s->options;
    o.seconds = seconds;
    o.variant = variant;
    if (s->everything && !o.full && !o.dtypes) o.dtypes = 1u << SSA_F32; /* 16-bit operands run the same kernels; `ops` runs all twice */
    return verify_repeat(ctx, &o, 2, NULL, rename_row, s, err);
}

static bool training_wanted(const session *s) {
    regex_t filter;
    if (!s->options.filter) return true;
    if (regcomp(&filter, s->options.filter, REG_EXTENDED | REG_NOSUB)) return true; /* the operations' walk has complained */
    bool wanted = !regexec(&filter, "train f32 20 steps", 0, NULL, 0);
    regfree(&filter);
    return wanted;
}

ssa_status mode_determinism(session *s, const char *device, ssa_error *err) {
    ssa_context *ctx;
    child        other;
    SSA_TRY(session_context(s, device, NULL, &ctx, err));
    if (!ctx) return SSA_OK;
    double     left = session_left(s);
    ssa_status status = repeat_ops(s, ctx, "alone", left / 3, err);
    if (!status && start_other_work(device, &other)) {
        status = repeat_ops(s, ctx, "beside other work", left / 3, err);
        stop_other_work(&other);
    } else if (!status)
        session_note(s, "device", "beside other work", NULL, VERIFY_SKIPPED, "the other work does not start");
    ssa_close(ctx);
    for (int busy = 0; busy < 2 && !status && training_wanted(s); busy++) {
        if (session_over(s))
            session_note(s, "train", busy ? "beside other work" : "twice", NULL, VERIFY_SKIPPED, session_interrupted(s) ? "interrupted" : "the time budget is spent");
        else status = train_twice(s, device, busy, err);
    }
    return status;
}
