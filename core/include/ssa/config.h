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
    /* Ours, under keys beginning with ssa_: ssa_score ("softmax", "dot"), ssa_select ("exact", "compat"), ssa_share ("group",
     * "head"), ssa_align ("gated", "ungated"), ssa_loss ("smoothl1", "l2"), ssa_alpha, ssa_p_full. */
    int     attention;            /* the system: SSA_ATTENTION_SSA or SSA_ATTENTION_FULL */
    int     score, select, loss;  /* enums of ssa/ops.h */
    bool    share_per_head;       /* each query head selects its own blocks */
    bool    align_gated;
    float   alpha;                /* weight of the alignment loss; 0: only the main stream is computed */
    float   p_full;               /* probability that the full stream is the main one */
} ssa_model_config;

/* The defaults of everything that a config.json may leave out (alpha 10, p_full 0.5, softmax, exact, group, gated, SmoothL1). */
void ssa_config_default(ssa_model_config *c);

/* Reads DIR/config.json. Keys it does not know are ignored; a missing or mistyped key that is needed is an error. */
ssa_status ssa_config_read(const char *dir, ssa_model_config *out, ssa_error *err);
/* Writes DIR/config.json (no time or path in it; equal configs give equal bytes). */
ssa_status ssa_config_write(const char *dir, const ssa_model_config *c, ssa_error *err);
/* Whether the values make a model: one sentence naming the first that does not. */
ssa_status ssa_config_check(const ssa_model_config *c, ssa_error *err);

#endif
