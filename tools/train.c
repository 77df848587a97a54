/* ssa train */
#include "command.h"
#include "output.h"
#include "progress.h"
#include "signals.h"
#include "train_options.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static void tell_warmup(const train_command *c) {
    ssa_train_options preset;
    ssa_error         none = {0};
    if (c->warmup_given || ssa_train_preset(c->options.preset, &preset, &none) || preset.warmup == c->options.warmup) return;
    printf("warmup is %lld: the %lld steps of the preset %s are more than the run's %lld\n", (long long)c->options.warmup, (long long)preset.warmup, c->options.preset, (long long)c->options.steps);
}

/* Every option as it is in the end, in the words of a config file. */
static void print_options(const ssa_train_options *o) {
    int               count;
    char              text[SSA_NUMBER_SIZE];
    const ssa_option *table = ssa_train_option_table(&count);
    printf("\n");
    for (int i = 0; i < count; i++) {
        const char *value = ssa_train_get(o, &table[i], text);
        printf("%-14s %s\n", table[i].name, *value ? value : "-");
    }
}

static ssa_status dry_run(ssa_context *ctx, ssa_train_options *o, ssa_error *err) {
    ssa_model_plan plan;
    if (o->model.vocab_size == 0 && o->data[0]) {
        ssa_tokens *t;
        SSA_TRY(ssa_tokens_open(o->data, &(ssa_tokens_options){.progress = stderr}, &t, err));
        o->model.vocab_size = ssa_tokens_vocabulary(t);
        ssa_tokens_close(t);
    } else if (o->model.vocab_size == 0) o->model.vocab_size = 256;
    ssa_model_options mo = {.batch = o->batch, .seq = o->seq, .dtype = o->dtype, .training = true, .recompute = o->recompute, .accum = o->accum, .max_norm = 1};
    if (ssa_model_make_plan(ctx, &o->model, &mo, &plan)) return ssa_fail(err, SSA_ERR_INPUT, "%s", ssa_context_error(ctx)->text);
    const double mib = 1 << 20;
    printf("device         %s (%s)\n", ssa_context_device(ctx), ssa_context_description(ctx));
    printf("parameters     %lld\n", (long long)plan.parameters);
    printf("tokens a step  %lld\n", (long long)(o->batch * o->seq * o->accum));
    printf("FLOPs a step   %.4g (selected blocks only)\n", plan.flops_step);
    printf("memory         %.1f MiB: weights %.1f, gradients and optimizer %.1f, activations %.1f, scratch %.1f; the device has %.1f MiB\n", (double)plan.total / mib,
           (double)plan.weights / mib, (double)plan.optimizer / mib, (double)plan.activations / mib, (double)plan.scratch / mib, (double)ssa_context_memory(ctx) / mib);
    printf("largest batch  %lld\n", (long long)plan.largest_batch);
    print_options(o);
    return SSA_OK;
}

static void print_profile(ssa_context *ctx) {
    ssa_profile_row rows[SSA_OP_COUNT];
    int             count;
    double          total = 0;
    if (ssa_profile_read(ctx, rows, SSA_OP_COUNT, &count) || !count) return;
    for (int i = 0; i < count; i++) total += rows[i].ns;
    printf("%-18s %10s %12s %7s\n", "operation", "launches", "ms", "share");
    for (int i = 0; i < count; i++) printf("%-18s %10llu %12.2f %6.1f%%\n", rows[i].op, (unsigned long long)rows[i].launches, rows[i].ns / 1e6, 100 * rows[i].ns / total);
}

/* --where: what a script needs to go on with the run. */
static ssa_status tell_where(const train_command *c, ssa_context *ctx, ssa_error *err) {
    size_t     size = strlen(c->options.out) + strlen(ssa_context_device(ctx)) + 3;
    char      *lines = malloc(size);
    if (!lines) return ssa_fail(err, SSA_ERR_MEMORY, "out of memory for %s", c->where);
    int        n = snprintf(lines, size, "%s\n%s\n", c->options.out, ssa_context_device(ctx));
    ssa_status s = ssa_file_write(c->where, lines, (size_t)n, err);
    free(lines);
    return s;
}

static void train(const train_command *c, ssa_context *ctx, ssa_train_result *r, ssa_error *err) {
    output_is_progress();
    signals_catch("this step", true);
    if (c->check) printf("every operation is checked against the CPU\n");
    if (ssa_train(ctx, &c->options, c->checkpoint[0] ? c->checkpoint : NULL, stdout, &requested, r, err)) return;
    if (c->profile) print_profile(ctx);
    if (!r->stopped)
        printf("done: validation loss full %.4f, sparse %.4f nats a token (%lld rows of %lld tokens); %s\n", r->val_full, r->val_sparse, (long long)r->val_rows, (long long)c->options.seq,
               r->checkpoint);
    if (r->best_step) printf("best: sparse validation loss %.4f at step %lld; %s/best\n", r->best_sparse, (long long)r->best_step, c->options.out);
    if (c->where[0] && r->checkpoint[0]) tell_where(c, ctx, err);
}

int command_train(int argc, char **argv) {
    ssa_error        err = {0};
    train_command    c;
    ssa_context     *ctx = NULL;
    ssa_train_result result = {0};
    if (train_options(argc, argv, &c, &err)) return complain(&err);
    if (!c.dry_run && ssa_train_check(&c.options, &err)) return complain(&err);
    progress_opening();
    if (ssa_open(c.device, &(ssa_open_options){.profile = c.profile, .check = c.check, .threads = c.threads, .activity = progress_activity}, &ctx, &err)) return complain(&err);
    progress_begin("starting");
    tell_remark(ctx, stdout);
    tell_warmup(&c);
    if (c.dry_run) dry_run(ctx, &c.options, &err); else train(&c, ctx, &result, &err);
    ssa_close(ctx);
    return err.status ? complain(&err) : result.interrupted ? EXIT_INTERRUPTED : 0;
}
