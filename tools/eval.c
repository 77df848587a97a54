/* ssa eval */
#include "command.h"
#include "output.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    const char *device, *checkpoint, *data, *top_k, *dtype;
    int64_t     batch, seq, rows;
    double      val_fraction;
    bool        all, json;
} eval_options;

/* Mean attention sparsity over all positions and over those beyond the receptive field (where it is not 1 by construction). */
static ssa_status sparsity(ssa_context *ctx, ssa_model *m, const ssa_rows *rows, int main, double *all, double *beyond, ssa_error *err) {
    const ssa_model_config *c = ssa_model_config_of(m);
    int64_t                 B = ssa_model_options_of(m)->batch, T = rows->seq, field = (int64_t)c->top_k * c->block_size;
    int32_t                *inputs = malloc((size_t)(B * T) * 4), *targets = malloc((size_t)(B * T) * 4);
    double                 *by_position = malloc((size_t)T * sizeof *by_position), sum = 0, late = 0;
    ssa_status              s = inputs && targets && by_position ? SSA_OK : ssa_fail(err, SSA_ERR_MEMORY, "out of memory for an evaluation batch");
    for (int64_t b = 0; b < B && !s; b++) s = ssa_rows_get(rows, b % rows->count, inputs + b * T, targets + b * T, err);
    if (!s) s = ssa_model_set_batch(m, inputs, targets);
    if (!s) s = ssa_model_sparsity(m, main, by_position);
    if (s) ssa_fail(err, s, "%s", ssa_context_error(ctx)->text);
    for (int64_t t = 0; t < T && !s; t++) {
        sum += by_position[t];
        if (t >= field) late += by_position[t];
    }
    *all = sum / (double)T;
    *beyond = T > field ? late / (double)(T - field) : NAN;
    free(inputs);
    free(targets);
    free(by_position);
    return s;
}

static ssa_status one_budget(ssa_context *ctx, const eval_options *o, const ssa_rows *rows, ssa_dtype dtype, int top_k, bool first, double full, double *full_out, ssa_error *err) {
    ssa_model *m;
    double     sparse, all[2], beyond[2];
    if (ssa_model_open(ctx, o->checkpoint, o->batch, rows->seq, dtype, top_k, true, &m)) return ssa_fail(err, ssa_context_error(ctx)->status, "%s", ssa_context_error(ctx)->text);
    const ssa_model_config *c = ssa_model_config_of(m);
    int64_t                 n = o->rows && o->rows < rows->count ? o->rows : rows->count;
    ssa_status s = first ? ssa_train_evaluate(m, rows, n, SSA_MAIN_FULL, full_out, err) : SSA_OK;
    if (first) full = *full_out;
    if (!s) s = ssa_train_evaluate(m, rows, n, SSA_MAIN_SPARSE, &sparse, err);
    for (int main = 0; main < 2 && !s; main++) s = sparsity(ctx, m, rows, main, &all[main], &beyond[main], err);
    if (s) ssa_fail(err, s, "%s", ssa_context_error(ctx)->text);
    else if (o->json) {
        printf("%s{\"top_k\":%d,\"block_size\":%d,\"rows\":%lld,\"full\":%.6f,\"sparse\":%.6f,\"sparsity_sparse\":%.6f,\"sparsity_full\":%.6f", first ? "[" : ",\n ", c->top_k, c->block_size,
               (long long)n, full, sparse, all[1], all[0]);
        if (!isnan(beyond[0])) printf(",\"sparsity_sparse_beyond\":%.6f,\"sparsity_full_beyond\":%.6f", beyond[1], beyond[0]);
        printf("}");
    } else {
        if (first)
            printf("%lld rows of %lld tokens. Losses in nats a token; sparsity: attention mass on the selected blocks, sparse / full mode,\n"
                   "over all positions, and over those beyond the receptive field (top_k x block_size)\n\n"
                   "%6s %6s %10s %10s %11s %11s %16s %16s\n", (long long)n, (long long)rows->seq, "top_k", "field", "full loss", "perplexity", "sparse loss", "perplexity", "sparsity, all", "beyond field");
        printf("%6d %6d %10.4f %10.3f %11.4f %11.3f    %.4f / %.4f", c->top_k, c->top_k * c->block_size, full, exp(full), sparse, exp(sparse), all[1], all[0]);
        if (isnan(beyond[0])) printf("%17s\n", "-"); else printf("   %.4f / %.4f\n", beyond[1], beyond[0]);
    }
    fflush(stdout);
    ssa_model_free(m);
    return s;
}

static ssa_status evaluate(ssa_context *ctx, eval_options *o, ssa_error *err) {
    ssa_model_config config;
    ssa_dtype        dtype;
    ssa_tokens      *tokens = NULL;
    ssa_rows         train, val;
    double           full = 0;
    SSA_TRY(ssa_config_read(o->checkpoint, &config, err));
    SSA_TRY(parse_dtype(o->dtype, &dtype, err));
    SSA_TRY(ssa_tokens_open(o->data, &(ssa_tokens_options){.vocabulary = config.vocab_size}, &tokens, err));
    ssa_status s = SSA_OK;
    if (ssa_tokens_vocabulary(tokens) > config.vocab_size)
        s = ssa_fail(err, SSA_ERR_INPUT, "the data's vocabulary of %lld is larger than the model's %lld", (long long)ssa_tokens_vocabulary(tokens), (long long)config.vocab_size);
    if (!s && o->all) {
        val = (ssa_rows){.tokens = tokens, .seq = o->seq, .count = (ssa_tokens_count(tokens) - 1) / o->seq};
        if (val.count < 1) s = ssa_fail(err, SSA_ERR_INPUT, "%s has fewer than the %lld tokens of one row", o->data, (long long)o->seq + 1);
    } else if (!s) s = ssa_rows_split(tokens, o->seq, o->val_fraction, &train, &val, err);
    const char *budgets = o->top_k;
    for (bool first = true; !s && *budgets && !output_lost(); first = false) {
        char *end;
        long  k = strtol(budgets, &end, 10);
        if (end == budgets || (*end && *end != ',') || k < 0 || k > 1024) s = ssa_fail(err, SSA_ERR_INPUT, "--top-k %s is not a list of numbers from 0 to 1024 (0: the model's)", o->top_k);
        else s = one_budget(ctx, o, &val, dtype, (int)k, first, full, &full, err);
        budgets = *end ? end + 1 : end;
    }
    if (!s && o->json) printf("]\n");
    ssa_tokens_close(tokens);
    return s;
}

int command_eval(int argc, char **argv) {
    ssa_error    err = {0};
    ssa_context *ctx;
    eval_options o = {.device = "auto", .top_k = "0", .dtype = "f32", .batch = 8, .seq = 256, .val_fraction = 0.05};
    const flag   flags[] = {
        {"--checkpoint", FLAG_STRING, &o.checkpoint, 0, 0, "folder with config.json and weights (needed)"},
        {"--data", FLAG_STRING, &o.data, 0, 0, "text file or token shards (needed)"},
        {"--device", FLAG_STRING, &o.device, 0, 0, "cpu, vulkan, vulkan:N, opencl, opencl:N, auto (default)"},
        {"--top-k", FLAG_STRING, &o.top_k, 0, 0, "budgets of blocks to evaluate, e.g. 2,4,8 (default: the model's)"},
        {"--seq", FLAG_I64, &o.seq, 2, 1e7, "tokens a row (default 256)"},
        {"--batch", FLAG_I64, &o.batch, 1, 1e6, "rows at a time (default 8)"},
        {"--rows", FLAG_I64, &o.rows, 0, 1e12, "validation rows used (default: all)"},
        {"--val-fraction", FLAG_DOUBLE, &o.val_fraction, 0, 0.9, "share of the rows that is validation (default 0.05)"},
        {"--all", FLAG_BOOL, &o.all, 0, 0, "use all rows of the data, not only the validation part"},
        {"--dtype", FLAG_STRING, &o.dtype, 0, 0, "f32 (default), bf16 or f16"},
        {"--json", FLAG_BOOL, &o.json, 0, 0, "print JSON"},
    };
    if (flags_parse(argc, argv, "eval --checkpoint DIR --data FILE [options]", flags, sizeof flags / sizeof *flags, NULL, NULL, &err)) return complain(&err);
    if (!o.checkpoint || !o.data) {
        ssa_fail(&err, SSA_ERR_INPUT, "eval needs %s", o.checkpoint ? "--data FILE" : "--checkpoint DIR");
        return complain(&err);
    }
    if (ssa_open(o.device, NULL, &ctx, &err)) return complain(&err);
    evaluate(ctx, &o, &err);
    ssa_close(ctx);
    return err.status ? complain(&err) : 0;
}
