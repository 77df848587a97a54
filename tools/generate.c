/* ssa generate: continues a prompt. The window is the context length; positions behind the text are masked by causality. */
#include "command.h"
#include "output.h"
#include "signals.h"
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
    const char *device, *checkpoint, *prompt, *mode, *dtype;
    int64_t     tokens, seq, top_k, seed;
    double      temperature, top_p;
} generate_options;

static ssa_status generate(ssa_context *ctx, const generate_options *o, ssa_error *err) {
    ssa_dtype  dtype;
    ssa_model *m;
    bool       sparse = !strcmp(o->mode, "sparse");
    if (!sparse && strcmp(o->mode, "full")) return ssa_fail(err, SSA_ERR_INPUT, "--mode is %s, neither sparse nor full", o->mode);
    SSA_TRY(parse_dtype(o->dtype, &dtype, err));
    if (ssa_model_open(ctx, o->checkpoint, 1, o->seq, dtype, 0, false, &m)) return ssa_fail(err, ssa_context_error(ctx)->status, "%s", ssa_context_error(ctx)->text);
    int64_t    V = ssa_model_config_of(m)->vocab_size, n = (int64_t)strlen(o->prompt), T = o->seq;
    int32_t   *text = calloc((size_t)(n + o->tokens + T), sizeof *text), *targets = malloc((size_t)T * sizeof *targets);
    float     *logits = malloc((size_t)V * sizeof *logits);
    candidate *c = malloc((size_t)V * sizeof *c);
    ssa_status s = SSA_OK;
    if (!text || !targets || !logits || !c) s = ssa_fail(err, SSA_ERR_MEMORY, "out of memory for the text");
    else if (n < 1) s = ssa_fail(err, SSA_ERR_INPUT, "the prompt is empty");
    else if (V < 256) s = ssa_fail(err, SSA_ERR_INPUT, "the model's vocabulary of %lld has not the 256 bytes a prompt is made of", (long long)V);
    for (int64_t i = 0; i < n && !s; i++) text[i] = (unsigned char)o->prompt[i];
    for (int64_t i = 0; i < T && !s; i++) targets[i] = -1;
    if (!s) fputs(o->prompt, stdout);
    for (int64_t i = 0; i < o->tokens && !s && !requested.stop && !output_lost(); i++, n++) {
        int64_t first = n > T ? n - T : 0; /* the last T tokens are seen */
        s = ssa_model_set_batch(m, text + first, targets);
        if (!s) s = ssa_model_logits(m, sparse ? SSA_MAIN_SPARSE : SSA_MAIN_FULL, n - 1 - first, 1, logits);
        if (s) break;
        text[n] = draw(logits, V, o->temperature, o->top_k, o->top_p, ssa_uniform((uint64_t)o->seed, SSA_STREAM_SAMPLE, (uint64_t)i), c);
        if (V == 256) putchar(text[n]); else printf(" %d", text[n]);
        fflush(stdout);
    }
    if (!s) putchar('\n'); else ssa_fail(err, s, "%s", ssa_context_error(ctx)->text);
    free(text);
    free(targets);
    free(logits);
    free(c);
    ssa_model_free(m);
    return s;
}

int command_generate(int argc, char **argv) {
    ssa_error        err = {0};
    ssa_context     *ctx;
    generate_options o = {.device = "auto", .prompt = "In the beginning", .mode = "sparse", .dtype = "f32", .tokens = 200, .seq = 256, .temperature = 0.8, .top_p = 1, .seed = 1};
    const flag       flags[] = {
        {"--checkpoint", FLAG_STRING, &o.checkpoint, 0, 0, "folder with config.json and weights (needed)"},
        {"--prompt", FLAG_STRING, &o.prompt, 0, 0, "text to continue, taken as bytes"},
        {"--tokens", FLAG_I64, &o.tokens, 1, 1e7, "tokens to write (default 200)"},
        {"--mode", FLAG_STRING, &o.mode, 0, 0, "sparse (default) or full attention"},
        {"--temperature", FLAG_DOUBLE, &o.temperature, 0, 100, "0 takes the most probable token (default 0.8)"},
        {"--top-k", FLAG_I64, &o.top_k, 0, 1e7, "draw among the K most probable tokens (default 0: all)"},
        {"--top-p", FLAG_DOUBLE, &o.top_p, 0, 1, "draw among the most probable tokens of this mass (default 1)"},
        {"--seq", FLAG_I64, &o.seq, 2, 1e7, "context length (default 256)"},
        {"--seed", FLAG_I64, &o.seed, 0, 9e15, "of the draws (default 1)"},
        {"--device", FLAG_STRING, &o.device, 0, 0, "cpu, vulkan, vulkan:N, opencl, opencl:N, auto (default)"},
        {"--dtype", FLAG_STRING, &o.dtype, 0, 0, "f32 (default), bf16 or f16"},
    };
    if (flags_parse(argc, argv, "generate --checkpoint DIR [options]", flags, sizeof flags / sizeof *flags, NULL, NULL, &err)) return complain(&err);
    if (!o.checkpoint) {
        ssa_fail(&err, SSA_ERR_INPUT, "generate needs --checkpoint DIR");
        return complain(&err);
    }
    if (ssa_open(o.device, NULL, &ctx, &err)) return complain(&err);
    signals_catch("this token", false);
    generate(ctx, &o, &err);
    ssa_close(ctx);
    return err.status ? complain(&err) : requested.stop ? EXIT_INTERRUPTED : 0;
}
