/* The step loop. */
#include "context.h"
#include "attention/attention.h"
#include "io/inside.h"
#include "train.h"
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

typedef struct trainer {
    ssa_context             *ctx;
    const ssa_train_options *o;
    ssa_model               *model;
    train_data               data;
    int32_t                 *inputs, *targets; /* one micro-batch */
    train_log                log;
    FILE                    *progress;
    ssa_train_result        *result;
    ssa_error               *err;
    double                   flops; /* of a step */
    double                   started, saved; /* when; saved: the last checkpoint, or the start */
    int64_t                  first;          /* step before the first one done here */
    int64_t                  at;             /* step at hand */
    run_best                 best;
    const ssa_train_requests *requests;
    sig_atomic_t             saves; /* of the requests to save, those that are done */
    int                      lock;
} trainer;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* A failure inside the context, as the run's failure. */
static ssa_status from_context(trainer *t, ssa_status s) { return s ? ssa_fail(t->err, s, "%s", ssa_context_error(t->ctx)->text) : SSA_OK; }
#define CTX(call) SSA_TRY(from_context(t, (call)))

/* A checkpoint is worth having if the model still computes a loss, in both modes: weights may be finite and too large for that.
 * The batch is the one at hand. */
static ssa_status save(trainer *t, int64_t step) {
    double unused;
    for (int main = 0; main < 2; main++) CTX(ssa_model_eval(t->model, (ssa_stream)main, &unused));
    context_tell(t->ctx, false, "saving step %lld", (long long)step);
    checkpoint_state state = {.options = t->o, .data = &t->data, .step = step, .best = t->best};
    SSA_TRY(checkpoint_write(t->ctx, t->model, &state, t->result->checkpoint, sizeof t->result->checkpoint, t->err));
    t->saved = now();
    if (t->progress) fprintf(t->progress, "saved %s%s\n", t->result->checkpoint, t->best.step == step ? " (the best so far)" : ""), fflush(t->progress);
    return SSA_OK;
}

/* The data has failed and the model has not: what was trained until `step` is saved. Returns the failure. */
static ssa_status rescue(trainer *t, int64_t step, ssa_status failure) {
    if (t->result->step == step && step > t->first) save(t, step);
    return failure;
}

/* -- evaluation ---------------------------------------------------------------------------------------------------------- */

static ssa_status evaluate(trainer *t, int64_t step) {
    const ssa_train_options *o = t->o;
    ssa_train_result        *r = t->result;
    double                  *to[2] = {&r->val_full, &r->val_sparse};
    for (int main = 0; main < 2; main++) {
        ssa_status s = ssa_train_evaluate(t->model, &t->data.val, o->eval_rows, main, to[main], t->err);
        if (s) return ssa_context_error(t->ctx)->status ? s : rescue(t, step, s);
    }
    r->val_rows = ssa_rows_used(&t->data.val, o->eval_rows);
    if (t->progress)
        fprintf(t->progress, "step %lld/%lld  validation: full %.4f  sparse %.4f  (%lld rows of %lld tokens)\n", (long long)step, (long long)o->steps, r->val_full, r->val_sparse,
                (long long)r->val_rows, (long long)o->seq), fflush(t->progress);
    if (!t->best.step || r->val_sparse < t->best.loss) t->best = (run_best){step, r->val_sparse};
    cJSON *line = cJSON_CreateObject();
    cJSON_AddNumberToObject(line, "step", (double)step);
    cJSON_AddNumberToObject(line, "val_full", r->val_full);
    cJSON_AddNumberToObject(line, "val_sparse", r->val_sparse);
    cJSON_AddNumberToObject(line, "rows", (double)r->val_rows);
    cJSON_AddNumberToObject(line, "tokens", (double)(r->val_rows * o->seq));
    return log_line(&t->log, line, t->err);
}

/* -- a step ---------------------------------------------------------------------------------------------------------------- */

/* The main stream of a micro-batch: what the attention system trains, by a coin where it trains both. */
static ssa_stream coin(const ssa_train_options *o, int64_t micro_batch) {
    const attention_system *system = attention_system_of(&o->model);
    if (!system->trains(&o->model, SSA_MAIN_SPARSE)) return SSA_MAIN_FULL;
    if (!system->trains(&o->model, SSA_MAIN_FULL)) return SSA_MAIN_SPARSE;
    return ssa_uniform(o->seed, SSA_STREAM_COIN, (uint64_t)micro_batch) < (double)o->model.p_full ? SSA_MAIN_FULL : SSA_MAIN_SPARSE;
}

static ssa_status one_step(trainer *t, int64_t step, ssa_losses *losses, int *full_count) {
    const ssa_train_options *o = t->o;
    *full_count = 0;
    for (int a = 0; a < o->accum; a++) {
        int64_t micro = (step - 1) * o->accum + a;
        if (o->accum > 1) context_tell(t->ctx, false, "step %lld of %lld, micro-batch %d of %d", (long long)step, (long long)o->steps, a + 1, o->accum);
        else context_tell(t->ctx, false, "step %lld of %lld", (long long)step, (long long)o->steps);
        ssa_stream main = coin(o, micro);
        *full_count += main == SSA_MAIN_FULL;
        for (int64_t b = 0; b < o->batch; b++) {
            int64_t row = ssa_rows_shuffled(&t->data.train, o->seed, micro * o->batch + b);
            ssa_status s = ssa_rows_get(&t->data.train, row, t->inputs + b * o->seq, t->targets + b * o->seq, t->err);
            if (s) return rescue(t, step - 1, s);
        }
        CTX(ssa_model_set_batch(t->model, t->inputs, t->targets));
        CTX(ssa_model_train(t->model, main, a > 0));
    }
    CTX(ssa_model_update(t->model, step, (float)ssa_train_lr(o, step)));
    CTX(ssa_model_losses(t->model, losses)); /* what is not finite ends the run here: nothing of it is logged or saved */
    return SSA_OK;
}

static ssa_status report(trainer *t, int64_t step, const ssa_losses *l, int full_count) {
    const ssa_train_options *o = t->o;
    train_pace p = pace_of(o, t->first, step, now() - t->started, t->flops);
    char mode[32] = "sparse"; /* of the stream whose cross-entropy it is */
    if (full_count == o->accum) strcpy(mode, "full");
    else if (full_count) snprintf(mode, sizeof mode, "full in %d of %d", full_count, o->accum);
    if (t->progress && (step % o->log_every == 0 || step == t->first + 1 || step == o->steps)) pace_print(t->progress, o, step, l, mode, &p);
    cJSON *line = cJSON_CreateObject();
    cJSON_AddNumberToObject(line, "step", (double)step);
    cJSON_AddNumberToObject(line, "ce", (double)l->ce);
    cJSON_AddNumberToObject(line, "align", (double)l->align);
    cJSON_AddNumberToObject(line, "norm", (double)l->norm);
    cJSON_AddNumberToObject(line, "lr", ssa_train_lr(o, step));
    cJSON_AddNumberToObject(line, "full", (double)full_count / o->accum);
    cJSON_AddNumberToObject(line, "tokens", (double)(o->batch * o->seq * o->accum));
    cJSON_AddNumberToObject(line, "tokens_seen", p.tokens_seen);
    cJSON_AddNumberToObject(line, "elapsed_s", round(1000 * p.elapsed) / 1000);
    if (isfinite(p.tokens_per_s)) cJSON_AddNumberToObject(line, "tokens_per_s", floor(p.tokens_per_s));
    if (isfinite(p.flops_per_s)) cJSON_AddNumberToObject(line, "flops_per_s", floor(p.flops_per_s));
    return log_line(&t->log, line, t->err);
}

static bool asked_to_stop(const trainer *t) { return t->requests && t->requests->stop; }

/* Whether a checkpoint is due after this step, apart from the end: by steps, by time, by request, or because it is the best so far. */
static bool save_due(trainer *t, int64_t step) {
    const ssa_train_options *o = t->o;
    sig_atomic_t             asked = t->requests ? t->requests->save : 0;
    bool due = (o->save_every && step % o->save_every == 0) || (o->save_minutes > 0 && now() - t->saved >= 60 * o->save_minutes) || asked != t->saves ||
               t->best.step == step;
    t->saves = asked;
    return due;
}

static ssa_status loop(trainer *t) {
    const ssa_train_options *o = t->o;
    int64_t                  last = o->stop_at ? o->stop_at : o->steps, step = t->first;
    t->started = t->saved = now();
    while (step < last && !asked_to_stop(t)) {
        ssa_losses losses;
        int        full_count;
        t->at = ++step;
        SSA_TRY(one_step(t, step, &losses, &full_count));
        SSA_TRY(report(t, step, &losses, full_count));
        t->result->step = step;
        bool evaluation = (o->eval_every && step % o->eval_every == 0) || step == o->steps;
        /* Who asks to stop may not wait for an evaluation: what is done is on the disk before it. */
        if (evaluation && asked_to_stop(t)) SSA_TRY(save(t, step));
        if (evaluation) SSA_TRY(evaluate(t, step));
        if (save_due(t, step) || step == last || asked_to_stop(t)) SSA_TRY(save(t, step));
    }
    t->result->best_step = t->best.step;
    t->result->best_sparse = t->best.loss;
    t->result->stopped = step < o->steps;
    t->result->interrupted = step < last;
    if (t->progress && t->result->interrupted && step > t->first)
        fprintf(t->progress, "interrupted after step %lld; continue with --resume %s\n", (long long)step, o->out), fflush(t->progress);
    else if (t->progress && t->result->interrupted) fprintf(t->progress, "interrupted before step %lld; nothing was done\n", (long long)step + 1), fflush(t->progress);
    return SSA_OK;
}

/* The loop, and where it failed if it did. */
static ssa_status steps(trainer *t) {
    ssa_error inner = {0}, *err = t->err;
    t->err = &inner;
    ssa_status s = loop(t);
    t->err = err;
    return s ? ssa_fail(err, s, "%s (step %lld; the last good checkpoint is %s)", inner.text, (long long)t->at, t->result->checkpoint[0] ? t->result->checkpoint : "none") : SSA_OK;
}

/* -- before the loop --------------------------------------------------------------------------------------------------------- */

static ssa_status check_memory(trainer *t, const ssa_train_options *o, const ssa_model_options *mo) {
    ssa_model_plan plan;
    SSA_TRY(memory_check(t->ctx, o, mo, &plan, t->err));
    t->flops = plan.flops_step;
    if (t->progress)
        fprintf(t->progress, "%s (%s): %.2f M parameters, %.3g GFLOP a step, %.1f MiB of memory\n", ssa_context_device(t->ctx), ssa_context_description(t->ctx),
                (double)plan.parameters / 1e6, plan.flops_step / 1e9, (double)plan.total / (1 << 20));
    return SSA_OK;
}

/* Whether the checkpoint lies in the run's own folder. */
static bool of_this_run(const char *dir, const char *checkpoint) {
    struct stat run, above;
    char       *parent = io_join(checkpoint, "..");
    bool        same = parent && !stat(parent, &above) && !stat(dir, &run) && run.st_dev == above.st_dev && run.st_ino == above.st_ino;
    free(parent);
    return same;
}

/* The folder, taken for this process; what is decided by what it holds is decided under its lock. */
static ssa_status take_folder(trainer *t, const char *dir, const char *checkpoint) {
    char    newest[sizeof t->result->checkpoint];
    int64_t step;
    bool    locked;
    SSA_TRY(run_make(dir, t->err));
    if (access(dir, W_OK | X_OK)) return ssa_fail(t->err, SSA_ERR_INPUT, "cannot write into the folder %s: %s", io_show(dir).text, strerror(errno));
    SSA_TRY(run_lock(dir, &t->lock, &locked, t->err));
    if (locked) run_sweep(dir);
    else if (t->progress) fprintf(t->progress, "%s: this file system has no locks: nothing keeps a second process out of the run\n", dir);
    if (checkpoint && of_this_run(dir, checkpoint)) return run_set_aside(dir, t->first, t->best.step, t->progress, t->err);
    SSA_TRY(checkpoint_newest(dir, newest, sizeof newest, &step, t->err));
    if (newest[0])
        return ssa_fail(t->err, SSA_ERR_INPUT, "%s already holds a run (%s): continue it with --resume, or name another --out", io_show(dir).text, io_show(newest).text);
    return SSA_OK;
}

/* --init-from: the weights are the checkpoint's, everything else is this run's. */
static ssa_status init_weights(trainer *t, const ssa_train_options *o, const char *checkpoint) {
    if (checkpoint) CTX(checkpoint_load(t->model, checkpoint, true, t->err));
    else if (o->init_from[0]) CTX(checkpoint_load(t->model, o->init_from, false, t->err));
    else CTX(ssa_model_init(t->model, o->seed));
    return SSA_OK;
}

static ssa_status run(trainer *t, ssa_train_options *o, const char *checkpoint) {
    ssa_train_options of_checkpoint;
    SSA_TRY(ssa_train_check(o, t->err));
    if (checkpoint) SSA_TRY(checkpoint_read_options(checkpoint, &of_checkpoint, &t->first, t->err));
    if (checkpoint) SSA_TRY(checkpoint_read_best(checkpoint, &t->best, t->err));
    t->result->step = t->first;
    if (t->first >= (o->stop_at ? o->stop_at : o->steps))
        return ssa_fail(t->err, SSA_ERR_INPUT, "%s is at step %lld already, nothing is left to do", checkpoint, (long long)t->first);
    context_tell(t->ctx, false, "reading %s", io_show(o->data).text);
    SSA_TRY(data_open(&t->data, o, t->progress, t->err));
    if (checkpoint) SSA_TRY(identity_check(checkpoint, o, &t->data, t->progress, t->err));
    else if (o->init_from[0]) SSA_TRY(identity_of_weights(o, &t->data, t->progress, t->err));
    ssa_model_options mo = {.batch = o->batch, .seq = o->seq, .dtype = o->dtype, .training = true, .recompute = o->recompute, .accum = o->accum, .beta1 = (float)o->beta1,
                            .beta2 = (float)o->beta2, .eps = (float)o->eps, .weight_decay = (float)o->weight_decay, .max_norm = (float)o->clip};
    SSA_TRY(check_memory(t, o, &mo));
    SSA_TRY(take_folder(t, o->out, checkpoint));
    t->inputs = malloc((size_t)(o->batch * o->seq) * sizeof *t->inputs);
    t->targets = malloc((size_t)(o->batch * o->seq) * sizeof *t->targets);
    if (!t->inputs || !t->targets) return ssa_fail(t->err, SSA_ERR_MEMORY, "out of memory for a batch");
    if (checkpoint) CTX(checkpoint_restore_choices(t->ctx, checkpoint, t->err));
    context_tell(t->ctx, false, "preparing the model");
    CTX(ssa_model_create(t->ctx, &o->model, &mo, &t->model));
    SSA_TRY(init_weights(t, o, checkpoint));
    if (checkpoint) snprintf(t->result->checkpoint, sizeof t->result->checkpoint, "%s", checkpoint);
    SSA_TRY(log_open(&t->log, o->out, t->first, t->err));
    return steps(t);
}

ssa_status ssa_train(ssa_context *ctx, const ssa_train_options *options, const char *checkpoint, FILE *progress, const ssa_train_requests *requests,
                     ssa_train_result *result, ssa_error *err) {
    ssa_train_options o = *options;
    trainer           t = {.ctx = ctx, .o = &o, .progress = progress, .result = result, .err = err, .requests = requests, .lock = -1};
    memset(result, 0, sizeof *result);
    ssa_status s = run(&t, &o, checkpoint);
    log_close(&t.log);
    run_unlock(&t.lock);
    ssa_model_free(t.model);
    data_close(&t.data);
    free(t.inputs);
    free(t.targets);
    return s;
}

/* -- a checkpoint for inference ------------------------------------------------------------------------------------------------ */

ssa_status ssa_model_open(ssa_context *ctx, const char *dir, int64_t batch, int64_t seq, ssa_dtype dtype, int top_k, bool both_streams, ssa_model **out) {
    ssa_error        *err = ssa_context_error(ctx);
    ssa_model_config  config;
    ssa_model_options mo = {.batch = batch, .seq = seq, .dtype = dtype, .both_streams = both_streams};
    SSA_TRY(ssa_config_read(dir, &config, err));
    if (top_k) config.top_k = top_k;
    SSA_TRY(ssa_model_create(ctx, &config, &mo, out));
    ssa_status s = checkpoint_load(*out, dir, false, err);
    if (s) {
        ssa_model_free(*out);
        *out = NULL;
    }
    return s;
}
