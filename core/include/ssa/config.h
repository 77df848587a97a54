/* The shape of a llama-nsa model and of its attention: config.json of a Hugging Face folder. */
#ifndef SSA_CONFIG_H
#define SSA_CONFIG_H

#include "ssa/status.h"
#include <stdbool.h>
#include <stdint.h>

/* Attention systems. ssa: both streams and their alignment; full: trained dense, sparse only when asked (core/attention/). */
enum { SSA_ATTENTION_SSA, SSA_ATTENTION_FULL };

typedef struct ssa_model_config {
    /* The authors' keys. */
    int64_t vocab_size, hidden_size, intermediate_size;
    int     n_layers, n_heads, n_kv_heads, head_dim; /* num_hidden_layers, num_attention_heads, num_key_value_heads, head_dim */
    int     block_size, top_k;                       /* block_size, block_counts */
    float   rms_norm_eps;
    double  rope_theta;
    int64_t max_position_embeddings;
    bool    tie_word_embeddings;
    float   initializer_range;
    /* rope_scaling of type "llama3"; factor 0: none. */
    double  rope_factor, rope_low_freq_factor, rope_high_freq_factor;
    int64_t rope_original_length;
    /* Ours, under keys beginning with ssa_: ssa_attention ("ssa", "full"), ssa_gate ("none", "head"),
     * ssa_score ("softmax", "dot"), ssa_select ("exact", "compat"), ssa_share ("group",
     * "head"), ssa_align ("gated", "ungated"), ssa_loss ("smoothl1", "l2"), ssa_alpha, ssa_p_full. */
    int     attention;            /* the system: SSA_ATTENTION_SSA or SSA_ATTENTION_FULL */
    bool    gated;                /* heads are gated by sigmoid(g_proj); a plain Llama has none */
    int     score, select, loss;  /* enums of ssa/ops.h */
    bool    share_per_head;       /* each query head selects its own blocks */
    bool    align_gated;
    float   alpha;                /* weight of the alignment loss; 0: only the main stream is computed */
    float   p_full;               /* probability that the full stream is the main one */
} ssa_model_config;

/* The defaults of new models: the released models' (ssa/train.h has presets for the sizes), alpha 10, p_full 0.5, softmax, exact,
 * group, gated, SmoothL1. What a config.json leaves out is its class's default instead, see below. */
void ssa_config_default(ssa_model_config *c);

/* Reads DIR/config.json. Every key is honoured, known to change nothing (core/io/config_keys.c has them all), or refused with its
 * value. Absent keys, and keys that are null, mean what they mean in the class that architectures and model_type name: the authors'
 * LlamaNSAForCausalLM ("llama-nsa", also where neither key is there) or transformers' LlamaForCausalLM: rope_theta 10000, rms_norm_eps
 * 1e-6, untied, 2048 positions; the first also has block_size 64, block_counts 16 and window_size 512, which is NSA's and refused, so
 * that a file must say 0. Sizes have no default, nor have the blocks of a plain Llama. Our own keys have those of new models. */
ssa_status ssa_config_read(const char *dir, ssa_model_config *out, ssa_error *err);
/* Writes DIR/config.json, as of the authors' class (no time or path in it; equal configs give equal bytes). */
ssa_status ssa_config_write(const char *dir, const ssa_model_config *c, ssa_error *err);
/* Whether the values make a model: one sentence naming the first that does not. */
ssa_status ssa_config_check(const ssa_model_config *c, ssa_error *err);

#endif
