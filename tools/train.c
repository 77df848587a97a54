/* ssa train */
#include "command.h"
#include "output.h"
#include "signals.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct { const char *device, *resume, *config; bool dry_run, profile, check; } extras;

static void help(void) {
    int               count;
    const ssa_option *table = ssa_train_option_table(&count);
    printf("usage: ssa train --data FILE --out DIR [options]\n       ssa train --resume DIR [options]\n\n"
           "SIGINT (Ctrl-C), SIGTERM and SIGHUP save after the step at hand and leave with status 3; SIGUSR1 saves and goes on.\n\n");
    printf("  --%-22s %s\n", "device NAME", "cpu, vulkan, vulkan:N, opencl, opencl:N, auto (default)");
    printf("  --%-22s %s\n", "resume DIR", "continue from a run's newest checkpoint, with that run's options");
    printf("  --%-22s %s\n", "config FILE", "options from a JSON object; flags override them");
    printf("  --%-22s %s\n", "dry-run", "print parameters, FLOPs a step and the memory plan, and leave");
    printf("  --%-22s %s\n", "profile", "print device time by operation at the end");
    printf("  --%-22s %s\n", "check", "run every operation on the CPU too and stop at the first that differs (slow)");
    ssa_train_options o;
    ssa_train_preset("quickstart", &o, NULL);
    for (int i = 0; i < count; i++) {
        char name[32];
        snprintf(name, sizeof name, "%s", table[i].name);
        for (char *c = name; *c; c++) if (*c == '_') *c = '-';
        printf("  --%-22s %s%s%s%s\n", name, table[i].help, table[i].choices ? " (" : "", table[i].choices ? table[i].choices : "", table[i].choices ? ")" : "");
    }
    exit(0);
}

static const char *const pairs[] = {"--device", "--resume", "--config"};

/* One pass over the arguments. first: only what decides the rest (preset, config, init-from, resume, device); otherwise the options. */
static ssa_status walk(int argc, char **argv, bool first, extras *x, ssa_train_options *o, const char **preset, const char **init_from, ssa_error *err) {
    for (int i = 0; i < argc; i++) {
        char        name[64];
        const char *value;
        if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h")) help();
        if (!flag_split(argc, argv, &i, name, sizeof name, &value)) return ssa_fail(err, SSA_ERR_INPUT, "what is %s? `ssa train --help` lists the options", argv[i]);
        bool separate = value && !strchr(argv[i], '=');
        if (!strcmp(name, "--dry-run")) { x->dry_run = true; continue; }
        if (!strcmp(name, "--profile")) { x->profile = true; continue; }
        if (!strcmp(name, "--check")) { x->check = true; continue; }
        const char **to[] = {&x->device, &x->resume, &x->config};
        int          extra = -1;
        for (int k = 0; k < 3; k++) if (!strcmp(name, pairs[k])) extra = k;
        char key[64];
        snprintf(key, sizeof key, "%s", name + 2);
        for (char *c = key; *c; c++) if (*c == '-') *c = '_';
        int               count, known = 0;
        const ssa_option *table = ssa_train_option_table(&count);
        const ssa_option *option = NULL;
        for (; known < count; known++) if (!strcmp(table[known].name, key)) option = &table[known];
        if (extra < 0 && !option) return ssa_fail(err, SSA_ERR_INPUT, "there is no option %s; `ssa train --help` lists them", name);
        if (option && option->kind == SSA_OPT_BOOL && (!value || (strcmp(value, "true") && strcmp(value, "false")))) {
            value = "true";
            separate = false;
        }
        if (!value) return ssa_fail(err, SSA_ERR_INPUT, "%s needs a value", name);
        if (separate) i++;
        if (extra >= 0) *to[extra] = value;
        else if (first && !strcmp(key, "preset")) *preset = value;
        else if (first && !strcmp(key, "init_from")) *init_from = value;
        else if (!first && strcmp(key, "preset")) {
            ssa_error inner = {0};
            if (ssa_train_set(o, key, value, &inner)) return ssa_fail(err, SSA_ERR_INPUT, "--%s", inner.text);
        }
    }
    return SSA_OK;
}

/* Preset, then config file, then the checkpoint to start from, then flags. */
static ssa_status options(int argc, char **argv, extras *x, ssa_train_options *o, char *checkpoint, size_t capacity, ssa_error *err) {
    const char *preset = NULL, *init_from = NULL;
    SSA_TRY(walk(argc, argv, true, x, o, &preset, &init_from, err));
    if (x->resume) {
        if (preset || init_from) return ssa_fail(err, SSA_ERR_INPUT, "--resume takes the run's own options; --preset and --init-from do not go with it");
        SSA_TRY(ssa_train_resume(x->resume, o, checkpoint, capacity, err));
    } else SSA_TRY(ssa_train_preset(preset ? preset : "quickstart", o, err));
    if (x->config) SSA_TRY(ssa_train_read_config(o, x->config, err));
    if (init_from) SSA_TRY(ssa_config_read(init_from, &o->model, err));
    return walk(argc, argv, false, x, o, &preset, &init_from, err);
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

int command_train(int argc, char **argv) {
    ssa_error         err = {0};
    extras            x = {.device = "auto"};
    ssa_train_options o;
    ssa_context      *ctx = NULL;
    ssa_train_result  result = {0};
    char              checkpoint[SSA_PATH_CAPACITY + 32] = "";
    if (options(argc, argv, &x, &o, checkpoint, sizeof checkpoint, &err)) return complain(&err);
    if (!x.dry_run && ssa_train_check(&o, &err)) return complain(&err);
    if (ssa_open(x.device, &(ssa_open_options){.profile = x.profile, .check = x.check}, &ctx, &err)) return complain(&err);
    if (x.dry_run) {
        dry_run(ctx, &o, &err);
    } else {
        output_is_progress();
        signals_catch("this step", true);
        if (x.check) printf("every operation is checked against the CPU\n");
        ssa_status s = ssa_train(ctx, &o, checkpoint[0] ? checkpoint : NULL, stdout, &requested, &result, &err);
        if (!s && x.profile) print_profile(ctx);
        if (!s && !result.stopped) printf("done: validation loss full %.4f, sparse %.4f nats a token; %s\n", result.val_full, result.val_sparse, result.checkpoint);
        if (!s && result.best_step) printf("best: sparse validation loss %.4f at step %lld; %s/best\n", result.best_sparse, (long long)result.best_step, o.out);
    }
    ssa_close(ctx);
    return err.status ? complain(&err) : result.interrupted ? EXIT_INTERRUPTED : 0;
}
