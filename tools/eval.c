/* ssa eval */
#include "command.h"
#include "model_source.h"
#include "output.h"
#include "progress.h"
#include <cjson/cJSON.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    const char *device, *path, *data, *top_k, *dtype_name;
    int64_t     threads, batch, seq, rows;
    double      val_fraction;
    bool        all, json;
    model_source source; /* what is evaluated */
    ssa_dtype   dtype;
} eval_options;

/* What every number is of. */
typedef struct {
    const eval_options *o;
    const char         *device;
    ssa_held_out        data;
    int64_t             count; /* rows, the first of data.rows */
} evaluation;

/* What is measured of one budget of blocks; [2]: under full and under sparse attention. */
typedef struct {
    int     top_k, block_size;
    double  loss[2];
    double  sparsity[2], beyond[2]; /* over all positions; over those beyond the receptive field, where it is not 1 by construction */
    int64_t positions_beyond;       /* of a row; 0: there are none */
} measured;

static ssa_status measure(ssa_context *ctx, const eval_options *o, const ssa_rows *rows, int64_t count, int top_k, const measured *before, measured *out, ssa_error *err) {
    ssa_model *m;
    int64_t    T = rows->seq;
    if (ssa_model_open(ctx, o->source.folder, o->batch, T, o->dtype, top_k, true, &m)) return ssa_fail(err, ssa_context_error(ctx)->status, "%s", ssa_context_error(ctx)->text);
    const ssa_model_config *c = ssa_model_config_of(m);
    int64_t                 field = (int64_t)c->top_k * c->block_size;
    *out = (measured){.top_k = c->top_k, .block_size = c->block_size, .positions_beyond = T > field ? T - field : 0};
    double    *by_position = malloc((size_t)T * sizeof *by_position);
    ssa_status s = by_position ? SSA_OK : ssa_fail(err, SSA_ERR_MEMORY, "out of memory for attention sparsity");
    for (int main = 0; main < 2 && !s; main++) {
        if (main == SSA_MAIN_FULL && before) out->loss[main] = before->loss[main]; /* full attention knows no budget */
        else s = ssa_train_evaluate(m, rows, count, main, &out->loss[main], err);
        if (!s) s = ssa_train_sparsity(m, rows, count, main, by_position, err);
        for (int64_t t = 0; t < T && !s; t++) {
            out->sparsity[main] += by_position[t] / (double)T;
            if (t >= field) out->beyond[main] += by_position[t] / (double)out->positions_beyond;
        }
    }
    free(by_position);
    ssa_model_free(m);
    return s;
}
static const char *data_name(const evaluation *e) {
    const ssa_train_options *run = &e->o->source.run.options;
    return e->o->data ? e->o->data : run->val_data[0] ? run->val_data : run->data;
}

static cJSON *as_json(const measured *r, const evaluation *e) {
    const eval_options *o = e->o;
    cJSON              *json = cJSON_CreateObject();
    cJSON_AddStringToObject(json, "checkpoint", o->source.folder);
    if (o->source.run.known) cJSON_AddNumberToObject(json, "step", (double)o->source.run.step); else cJSON_AddNullToObject(json, "step");
    cJSON_AddStringToObject(json, "device", e->device);
    cJSON_AddStringToObject(json, "dtype", ssa_dtype_name(o->dtype));
    cJSON_AddStringToObject(json, "data", data_name(e));
    cJSON_AddStringToObject(json, "split", e->data.split);
    if (!strcmp(e->data.split, "val_fraction")) cJSON_AddNumberToObject(json, "val_fraction", e->data.val_fraction);
    cJSON_AddBoolToObject(json, "trained_on", e->data.trained_on);
    cJSON_AddNumberToObject(json, "batch", (double)o->batch);
    cJSON_AddNumberToObject(json, "seq", (double)o->seq);
    cJSON_AddNumberToObject(json, "first_row", (double)e->data.rows.first);
    cJSON_AddNumberToObject(json, "rows", (double)e->count);
    cJSON_AddNumberToObject(json, "tokens", (double)(e->count * o->seq));
    cJSON_AddNumberToObject(json, "top_k", r->top_k);
    cJSON_AddNumberToObject(json, "block_size", r->block_size);
    cJSON_AddNumberToObject(json, "full", r->loss[SSA_MAIN_FULL]);
    cJSON_AddNumberToObject(json, "sparse", r->loss[SSA_MAIN_SPARSE]);
    cJSON_AddNumberToObject(json, "sparsity_sparse", r->sparsity[SSA_MAIN_SPARSE]);
    cJSON_AddNumberToObject(json, "sparsity_full", r->sparsity[SSA_MAIN_FULL]);
    if (!r->positions_beyond) return json;
    cJSON_AddNumberToObject(json, "tokens_beyond", (double)(e->count * r->positions_beyond));
    cJSON_AddNumberToObject(json, "sparsity_sparse_beyond", r->beyond[SSA_MAIN_SPARSE]);
    cJSON_AddNumberToObject(json, "sparsity_full_beyond", r->beyond[SSA_MAIN_FULL]);
    return json;
}

static void print_head(const evaluation *e) {
    const eval_options *o = e->o;
    const ssa_held_out *d = &e->data;
    char                of[64] = "all rows";
    if (!strcmp(d->split, "val_data")) snprintf(of, sizeof of, "the run's validation data");
    if (!strcmp(d->split, "val_fraction")) snprintf(of, sizeof of, "its last rows, val_fraction %g", d->val_fraction);
    printf("%s: ", o->source.folder);
    if (o->source.run.known) printf("step %lld, ", (long long)o->source.run.step); else printf("no trainer.json, ");
    printf("%s on %s, batch %lld\n%s: %s%s; %lld of %lld rows from row %lld\n", ssa_dtype_name(o->dtype), e->device, (long long)o->batch, data_name(e), of,
           d->trained_on ? ", WHICH THE RUN TRAINED ON" : "", (long long)e->count, (long long)d->rows.count, (long long)d->rows.first);
    printf("%lld rows of %lld tokens. Losses in nats a token; sparsity: attention mass on the selected blocks, sparse / full mode, of the\n"
           "same rows: over all positions, and over those beyond the receptive field (top_k x block_size)\n\n"
           "%6s %6s %10s %10s %11s %11s %16s %16s\n", (long long)e->count, (long long)o->seq, "top_k", "field", "full loss", "perplexity", "sparse loss", "perplexity", "sparsity, all", "beyond field");
}

static void print(const measured *r) {
    printf("%6d %6d %10.4f %10.3f %11.4f %11.3f    %.4f / %.4f", r->top_k, r->top_k * r->block_size, r->loss[0], exp(r->loss[0]), r->loss[1], exp(r->loss[1]), r->sparsity[1], r->sparsity[0]);
    if (r->positions_beyond) printf("   %.4f / %.4f\n", r->beyond[1], r->beyond[0]); else printf("%17s\n", "-");
    fflush(stdout);
}

static ssa_status each_budget(ssa_context *ctx, const evaluation *e, ssa_error *err) {
    const eval_options *o = e->o;
    cJSON              *json = o->json ? cJSON_CreateArray() : NULL;
    measured            was, is;
    ssa_status          s = SSA_OK;
    const char         *budgets = o->top_k;
    for (bool first = true; !s && *budgets && !output_lost(); first = false) {
        char *end;
        long  k = strtol(budgets, &end, 10);
        if (end == budgets || (*end && *end != ',') || k < 0 || k > 1024) s = ssa_fail(err, SSA_ERR_INPUT, "--top-k %s is not a list of numbers from 0 to 1024 (0: the model's)", o->top_k);
        else s = measure(ctx, o, &e->data.rows, e->count, (int)k, first ? NULL : &was, &is, err);
        if (s) break;
        if (first && !o->json) print_head(e);
        if (o->json) cJSON_AddItemToArray(json, as_json(&is, e)); else print(&is);
        was = is;
        budgets = *end ? end + 1 : end;
    }
    char *text = !s && o->json ? cJSON_PrintUnformatted(json) : NULL;
    if (text) puts(text); else if (!s && o->json) s = ssa_fail(err, SSA_ERR_MEMORY, "out of memory for the results");
    free(text);
    cJSON_Delete(json);
    return s;
}

static ssa_status evaluate(ssa_context *ctx, const eval_options *o, ssa_error *err) {
    evaluation       e = {.o = o, .device = ssa_context_device(ctx)};
    ssa_held_out_ask ask = {.data = o->data, .seq = o->seq, .val_fraction = o->val_fraction, .all = o->all};
    SSA_TRY(ssa_held_out_open(o->source.folder, o->source.config.vocab_size, &ask, stderr, &e.data, err));
    e.count = ssa_rows_used(&e.data.rows, o->rows);
    ssa_status s = each_budget(ctx, &e, err);
    ssa_held_out_close(&e.data);
    return s;
}

/* What was not given is the run's. */
static ssa_status complete(eval_options *o, ssa_error *err) {
    if (!o->path) return ssa_fail(err, SSA_ERR_INPUT, "eval needs --checkpoint DIR");
    SSA_TRY(model_source_open(o->path, &o->source, err));
    const ssa_train_record *run = &o->source.run;
    if (!run->known && !o->data) return ssa_fail(err, SSA_ERR_INPUT, "eval needs --data FILE: %s has no trainer.json that names any", o->path);
    if (!o->seq) o->seq = run->known ? run->options.seq : 256;
    if (!o->batch) o->batch = run->known ? run->options.batch : 8;
    o->dtype = run->known ? run->options.dtype : SSA_F32;
    return o->dtype_name ? parse_dtype(o->dtype_name, &o->dtype, err) : SSA_OK;
}

int command_eval(int argc, char **argv) {
    ssa_error    err = {0};
    ssa_context *ctx;
    eval_options o = {.device = "auto", .top_k = "0", .val_fraction = -1};
    const flag   flags[] = {
        {"--checkpoint", FLAG_FILE, &o.path, 0, 0, "folder with config.json and weights, or of a run, whose newest it is then (needed)"},
        {"--data", FLAG_FILE, &o.data, 0, 0, "text or token shards (default: what the run validates on)"},
        {"--device", FLAG_STRING, &o.device, 0, 0, "cpu, vulkan, vulkan:N, opencl, opencl:N, auto (default)"},
        {"--threads", FLAG_I64, &o.threads, 0, 128, "of the CPU device (default 0: OMP_NUM_THREADS, else all processors)"},
        {"--top-k", FLAG_STRING, &o.top_k, 0, 0, "budgets of blocks to evaluate, e.g. 2,4,8 (default: the model's)"},
        {"--seq", FLAG_I64, &o.seq, 2, 1e7, "tokens a row (default: the run's, or 256)"},
        {"--batch", FLAG_I64, &o.batch, 1, 1e6, "rows at a time (default: the run's, or 8)"},
        {"--rows", FLAG_I64, &o.rows, 0, 1e12, "rows used, from the first (default: all)"},
        {"--val-fraction", FLAG_DOUBLE, &o.val_fraction, 0, 0.9, "only the last part of the data (default: what the run held out; of other data all)"},
        {"--all", FLAG_BOOL, &o.all, 0, 0, "all rows of the data, trained on or not"},
        {"--dtype", FLAG_STRING, &o.dtype_name, 0, 0, "f32, bf16 or f16 (default: the run's, or f32)"},
        {"--json", FLAG_BOOL, &o.json, 0, 0, "print JSON"},
    };
    if (flags_parse(argc, argv, "eval --checkpoint DIR [options]", flags, sizeof flags / sizeof *flags, NULL, NULL, &err) || complete(&o, &err)) return complain(&err);
    progress_opening();
    if (ssa_open(o.device, &(ssa_open_options){.threads = (int)o.threads, .activity = progress_activity}, &ctx, &err)) return complain(&err);
    progress_begin("preparing the model");
    tell_remark(ctx, stderr);
    evaluate(ctx, &o, &err);
    ssa_close(ctx);
    return err.status ? complain(&err) : 0;
}
