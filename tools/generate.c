/* ssa generate: continues a prompt. The window is the context length; positions behind the text are masked by causality. */
#include "command.h"
#include "model_source.h"
#include "output.h"
#include "progress.h"
#include "signals.h"
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct { int32_t token; float p; } candidate;

static int by_probability(const void *a, const void *b) {
    const candidate *x = a, *y = b;
    return x->p != y->p ? (x->p < y->p) - (x->p > y->p) : (x->token > y->token) - (x->token < y->token);
}

/* Draws a token: temperature, then the top_k most probable, then the smallest set of them whose mass reaches top_p. u in [0, 1). */
static int32_t draw(const float *logits, int64_t V, double temperature, int64_t top_k, double top_p, double u, candidate *c) {
    float best = logits[0];
    for (int64_t v = 0; v < V; v++) best = fmaxf(best, logits[v]);
    double sum = 0, mass = 0;
    for (int64_t v = 0; v < V; v++) {
        c[v] = (candidate){(int32_t)v, temperature > 0 ? (float)exp((double)(logits[v] - best) / temperature) : logits[v]};
        sum += (double)c[v].p;
    }
    qsort(c, (size_t)V, sizeof *c, by_probability);
    if (temperature <= 0) return c[0].token;
    int64_t n = top_k > 0 && top_k < V ? top_k : V, kept = 0;
    sum = 0;
    for (int64_t i = 0; i < n; i++) sum += (double)c[i].p;
    while (kept < n && mass < top_p * sum) mass += (double)c[kept++].p;
    if (kept == 0) return c[0].token;
    u *= mass;
    for (int64_t i = 0; i < kept; i++)
        if ((u -= (double)c[i].p) < 0) return c[i].token;
    return c[kept - 1].token;
}

typedef struct {
    const char *device, *path, *prompt, *prompt_ids, *mode, *dtype_name;
    int64_t     tokens, seq, top_k, seed, threads;
    double      temperature, top_p;
    model_source source;
    ssa_dtype   dtype;
    bool        ids; /* the text is token ids */
} generate_options;

/* Ids with commas between, each below V; *out is malloc'ed with room for `more`. */
static ssa_status read_ids(const char *list, int64_t V, int64_t more, int32_t **out, int64_t *count, ssa_error *err) {
    *count = 0;
    *out = calloc(strlen(list) + (size_t)more + 1, sizeof **out);
    if (!*out) return ssa_fail(err, SSA_ERR_MEMORY, "out of memory for the prompt");
    for (const char *at = list;; at++) {
        char     *end;
        errno = 0;
        long long id = strtoll(at, &end, 10);
        if (end == at || *at < '0' || *at > '9' || (*end && *end != ',')) return ssa_fail(err, SSA_ERR_INPUT, "--prompt-ids %s is not a list of token ids like 1,2,3", list);
        if (errno || id >= V) return ssa_fail(err, SSA_ERR_INPUT, "--prompt-ids: token %.*s is beyond the model's vocabulary of %lld", (int)(end - at), at, (long long)V);
        (*out)[(*count)++] = (int32_t)id;
        if (!*end) return SSA_OK;
        at = end;
    }
}

/* The prompt's tokens, with room for what is generated and a window behind them. */
static ssa_status read_prompt(const generate_options *o, int32_t **text, int64_t *n, ssa_error *err) {
    int64_t V = o->source.config.vocab_size, more = o->tokens + o->seq;
    if (o->ids) return read_ids(o->prompt_ids, V, more, text, n, err);
    *n = (int64_t)strlen(o->prompt);
    *text = calloc((size_t)(*n + more), sizeof **text);
    if (!*text) return ssa_fail(err, SSA_ERR_MEMORY, "out of memory for the text");
    if (*n < 1) return ssa_fail(err, SSA_ERR_INPUT, "the prompt is empty");
    for (int64_t i = 0; i < *n; i++) (*text)[i] = (unsigned char)o->prompt[i];
    return SSA_OK;
}

static void print_tokens(const generate_options *o, const int32_t *tokens, int64_t n, bool first) {
    for (int64_t i = 0; i < n; i++)
        if (o->ids) printf("%s%d", first && !i ? "" : " ", tokens[i]); else putchar(tokens[i]);
}

/* text: n tokens, and room for more. Nothing is printed before the first logits are there. */
static ssa_status go_on(ssa_model *m, const generate_options *o, int32_t *text, int64_t n, ssa_error *err) {
    int64_t    V = o->source.config.vocab_size, T = o->seq, drawn = o->ids ? V : 256; /* bytes: a larger vocabulary is padding */
    int32_t   *targets = malloc((size_t)T * sizeof *targets);
    float     *logits = malloc((size_t)V * sizeof *logits);
    candidate *c = malloc((size_t)V * sizeof *c);
    ssa_status s = targets && logits && c ? SSA_OK : ssa_fail(err, SSA_ERR_MEMORY, "out of memory for the text");
    for (int64_t i = 0; i < T && !s; i++) targets[i] = -1;
    for (int64_t i = 0; i < o->tokens && !s && !requested.stop && !output_lost(); i++, n++) {
        int64_t first = n > T ? n - T : 0; /* the last T tokens are seen */
        progress_phase("token %lld of %lld", (long long)i + 1, (long long)o->tokens);
        s = ssa_model_set_batch(m, text + first, targets);
        if (!s) s = ssa_model_logits(m, strcmp(o->mode, "full") ? SSA_MAIN_SPARSE : SSA_MAIN_FULL, n - 1 - first, 1, logits);
        if (s) break;
        if (!i) print_tokens(o, text, n, true);
        text[n] = draw(logits, drawn, o->temperature, o->top_k, o->top_p, ssa_uniform((uint64_t)o->seed, SSA_STREAM_SAMPLE, (uint64_t)i), c);
        print_tokens(o, text + n, 1, false);
        fflush(stdout);
    }
    if (!s) putchar('\n'); else ssa_fail(err, s, "%s", ssa_context_error(ssa_model_context(m))->text);
    free(targets);
    free(logits);
    free(c);
    return s;
}

static ssa_status generate(ssa_context *ctx, const generate_options *o, ssa_error *err) {
    ssa_model *m = NULL;
    int32_t   *text = NULL;
    int64_t    n = 0;
    ssa_status s = read_prompt(o, &text, &n, err);
    if (!s && (s = ssa_model_open(ctx, o->source.folder, 1, o->seq, o->dtype, 0, false, &m))) ssa_fail(err, s, "%s", ssa_context_error(ctx)->text);
    if (!s) s = go_on(m, o, text, n, err);
    free(text);
    ssa_model_free(m);
    return s;
}

/* What was not given is the run's. */
static ssa_status complete(generate_options *o, ssa_error *err) {
    if (!o->path) return ssa_fail(err, SSA_ERR_INPUT, "generate needs --checkpoint DIR");
    if (strcmp(o->mode, "sparse") && strcmp(o->mode, "full")) return ssa_fail(err, SSA_ERR_INPUT, "--mode is %s, neither sparse nor full", o->mode);
    SSA_TRY(model_source_open(o->path, &o->source, err));
    const ssa_train_record *run = &o->source.run;
    if (o->prompt && o->prompt_ids) return ssa_fail(err, SSA_ERR_INPUT, "--prompt and --prompt-ids are two prompts; one is needed");
    if (o->prompt && !o->source.bytes)
        return ssa_fail(err, SSA_ERR_INPUT, "%s is a model of token ids (vocabulary %lld), not of bytes: give them with --prompt-ids 1,2,3", o->source.folder, (long long)o->source.config.vocab_size);
    o->ids = o->prompt_ids || !o->source.bytes;
    if (!o->ids && o->source.config.vocab_size < 256)
        return ssa_fail(err, SSA_ERR_INPUT, "the model's vocabulary of %lld has not the 256 bytes a prompt is made of", (long long)o->source.config.vocab_size);
    if (o->ids && !o->prompt_ids) o->prompt_ids = "0";
    if (!o->ids && !o->prompt) o->prompt = "In the beginning";
    if (!o->seq) o->seq = run->known ? run->options.seq : 256;
    o->dtype = run->known ? run->options.dtype : SSA_F32;
    return o->dtype_name ? parse_dtype(o->dtype_name, &o->dtype, err) : SSA_OK;
}

int command_generate(int argc, char **argv) {
    ssa_error        err = {0};
    ssa_context     *ctx;
    generate_options o = {.device = "auto", .mode = "sparse", .tokens = 200, .temperature = 0.8, .top_p = 1, .seed = 1};
    const flag       flags[] = {
        {"--checkpoint", FLAG_FILE, &o.path, 0, 0, "folder with config.json and weights (needed)"},
        {"--prompt", FLAG_STRING, &o.prompt, 0, 0, "text to continue, for a model of bytes (default \"In the beginning\")"},
        {"--prompt-ids", FLAG_STRING, &o.prompt_ids, 0, 0, "token ids to continue, e.g. 1,2,3; ids are printed (default for a model of token ids: 0)"},
        {"--tokens", FLAG_I64, &o.tokens, 1, 1e7, "tokens to write (default 200)"},
        {"--mode", FLAG_STRING, &o.mode, 0, 0, "sparse (default) or full attention"},
        {"--temperature", FLAG_DOUBLE, &o.temperature, 0, 100, "0 takes the most probable token (default 0.8)"},
        {"--top-k", FLAG_I64, &o.top_k, 0, 1e7, "draw among the K most probable tokens (default 0: all)"},
        {"--top-p", FLAG_DOUBLE, &o.top_p, 0, 1, "draw among the most probable tokens of this mass (default 1)"},
        {"--seq", FLAG_I64, &o.seq, 2, 1e7, "context length (default: the run's, or 256)"},
        {"--seed", FLAG_I64, &o.seed, 0, 9e15, "of the draws (default 1)"},
        {"--device", FLAG_STRING, &o.device, 0, 0, "cpu, vulkan, vulkan:N, opencl, opencl:N, auto (default)"},
        {"--threads", FLAG_I64, &o.threads, 0, 128, "of the CPU device (default 0: OMP_NUM_THREADS, else all processors)"},
        {"--dtype", FLAG_STRING, &o.dtype_name, 0, 0, "f32, bf16 or f16 (default: the run's, or f32)"},
    };
    if (flags_parse(argc, argv, "generate --checkpoint DIR [options]", flags, sizeof flags / sizeof *flags, NULL, NULL, &err) || complete(&o, &err)) return complain(&err);
    progress_opening();
    if (ssa_open(o.device, &(ssa_open_options){.threads = (int)o.threads, .activity = progress_activity}, &ctx, &err)) return complain(&err);
    progress_begin("preparing the model");
    tell_remark(ctx, stderr);
    signals_catch("this token", false);
    generate(ctx, &o, &err);
    ssa_close(ctx);
    return err.status ? complain(&err) : requested.stop ? EXIT_INTERRUPTED : 0;
}
