/* ssa eval */
#include "command.h"
#include "output.h"
#include <cjson/cJSON.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    const char *device, *checkpoint, *data, *top_k, *dtype;
    int64_t     batch, seq, rows;
    double      val_fraction;
    bool        all, json;
} eval_options;

/* What is measured of one budget of blocks; [2]: under full and under sparse attention. */
typedef struct {
    int     top_k, block_size;
    double  loss[2];
    double  sparsity[2], beyond[2]; /* over all positions; over those beyond the receptive field, where it is not 1 by construction */
    int64_t positions_beyond;       /* of a row; 0: there are none */
} measured;

static ssa_status measure(ssa_context *ctx, const eval_options *o, const ssa_rows *rows, int64_t count, ssa_dtype dtype, int top_k, const measured *before, measured *out, ssa_error *err) {
    ssa_model *m;
    int64_t    T = rows->seq;
    if (ssa_model_open(ctx, o->checkpoint, o->batch, T, dtype, top_k, true, &m)) return ssa_fail(err, ssa_context_error(ctx)->status, "%s", ssa_context_error(ctx)->text);
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
static cJSON *as_json(const measured *r, int64_t rows, int64_t seq) {
    cJSON *json = cJSON_CreateObject();
    cJSON_AddNumberToObject(json, "top_k", r->top_k);
    cJSON_AddNumberToObject(json, "block_size", r->block_size);
    cJSON_AddNumberToObject(json, "rows", (double)rows);
    cJSON_AddNumberToObject(json, "seq", (double)seq);
    cJSON_AddNumberToObject(json, "tokens", (double)(rows * seq));
    cJSON_AddNumberToObject(json, "full", r->loss[SSA_MAIN_FULL]);
    cJSON_AddNumberToObject(json, "sparse", r->loss[SSA_MAIN_SPARSE]);
    cJSON_AddNumberToObject(json, "sparsity_sparse", r->sparsity[SSA_MAIN_SPARSE]);
    cJSON_AddNumberToObject(json, "sparsity_full", r->sparsity[SSA_MAIN_FULL]);
    if (!r->positions_beyond) return json;
    cJSON_AddNumberToObject(json, "tokens_beyond", (double)(rows * r->positions_beyond));
    cJSON_AddNumberToObject(json, "sparsity_sparse_beyond", r->beyond[SSA_MAIN_SPARSE]);
    cJSON_AddNumberToObject(json, "sparsity_full_beyond", r->beyond[SSA_MAIN_FULL]);
    return json;
}

static void print(const measured *r, int64_t rows, int64_t seq, bool first) {
    if (first)
        printf("%lld rows of %lld tokens. Losses in nats a token; sparsity: attention mass on the selected blocks, sparse / full mode, of the\n"
               "same rows: over all positions, and over those beyond the receptive field (top_k x block_size)\n\n"
               "%6s %6s %10s %10s %11s %11s %16s %16s\n", (long long)rows, (long long)seq, "top_k", "field", "full loss", "perplexity", "sparse loss", "perplexity", "sparsity, all", "beyond field");
    printf("%6d %6d %10.4f %10.3f %11.4f %11.3f    %.4f / %.4f", r->top_k, r->top_k * r->block_size, r->loss[0], exp(r->loss[0]), r->loss[1], exp(r->loss[1]), r->sparsity[1], r->sparsity[0]);
    if (r->positions_beyond) printf("   %.4f / %.4f\n", r->beyond[1], r->beyond[0]); else printf("%17s\n", "-");
    fflush(stdout);
}

static ssa_status evaluate(ssa_context *ctx, eval_options *o, ssa_error *err) {
    ssa_model_config config;
    ssa_dtype        dtype;
    ssa_tokens      *tokens = NULL;
    ssa_rows         train, val;
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
    cJSON      *json = o->json ? cJSON_CreateArray() : NULL;
    measured    was, is;
    const char *budgets = o->top_k;
    int64_t     count = s ? 0 : ssa_rows_used(&val, o->rows);
    for (bool first = true; !s && *budgets && !output_lost(); first = false) {
        char *end;
        long  k = strtol(budgets, &end, 10);
        if (end == budgets || (*end && *end != ',') || k < 0 || k > 1024) s = ssa_fail(err, SSA_ERR_INPUT, "--top-k %s is not a list of numbers from 0 to 1024 (0: the model's)", o->top_k);
        else s = measure(ctx, o, &val, count, dtype, (int)k, first ? NULL : &was, &is, err);
        if (s) break;
        if (o->json) cJSON_AddItemToArray(json, as_json(&is, count, val.seq));
        else print(&is, count, val.seq, first);
        was = is;
        budgets = *end ? end + 1 : end;
    }
    char *text = !s && o->json ? cJSON_PrintUnformatted(json) : NULL;
    if (text) puts(text); else if (!s && o->json) s = ssa_fail(err, SSA_ERR_MEMORY, "out of memory for the results");
    free(text);
    cJSON_Delete(json);
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
