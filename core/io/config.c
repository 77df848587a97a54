/* The shape of a model: the defaults of new models, and what makes sense. */
#include "ssa/config.h"
#include "ssa/ops.h"

#define FAIL(...) return ssa_fail(err, SSA_ERR_INPUT, __VA_ARGS__)

void ssa_config_default(ssa_model_config *c) {
    *c = (ssa_model_config){
        .block_size = 16,
        .top_k = 16,
        .rms_norm_eps = 1e-5f,
        .rope_theta = 500000,
        .max_position_embeddings = 131072,
        .tie_word_embeddings = true,
        .initializer_range = 0.02f,
        .score = SSA_SCORE_SOFTMAX,
        .select = SSA_SELECT_EXACT,
        .loss = SSA_LOSS_SMOOTHL1,
        .gated = true,
        .align_gated = true,
        .alpha = 10,
        .p_full = 0.5f,
    };
}

ssa_status ssa_config_check(const ssa_model_config *c, ssa_error *err) {
    const struct { const char *name; int64_t value, low, high; } sizes[] = {
        {"vocab_size", c->vocab_size, 2, INT32_MAX},
        {"hidden_size", c->hidden_size, 1, 1 << 20},
        {"intermediate_size", c->intermediate_size, 1, 1 << 24},
        {"num_hidden_layers", c->n_layers, 1, 4096},
        {"num_attention_heads", c->n_heads, 1, 4096},
        {"num_key_value_heads", c->n_kv_heads, 1, 4096},
        {"head_dim", c->head_dim, 2, 256},
        {"block_size", c->block_size, 1, 4096},
        {"top_k", c->top_k, 1, 1024},
        {"max_position_embeddings", c->max_position_embeddings, 1, INT32_MAX},
        {"attention", c->attention, SSA_ATTENTION_SSA, SSA_ATTENTION_FULL},
        {"score", c->score, SSA_SCORE_SOFTMAX, SSA_SCORE_DOT},
        {"select", c->select, SSA_SELECT_EXACT, SSA_SELECT_COMPAT},
        {"loss", c->loss, SSA_LOSS_SMOOTHL1, SSA_LOSS_L2},
    };
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        if (sizes[i].value < sizes[i].low || sizes[i].value > sizes[i].high)
            FAIL("%s %lld is out of range %lld..%lld", sizes[i].name, (long long)sizes[i].value, (long long)sizes[i].low, (long long)sizes[i].high);
    if (c->head_dim % 2) FAIL("head_dim %d is odd, rotary embedding needs an even one", c->head_dim);
    if (c->n_heads % c->n_kv_heads) FAIL("num_attention_heads %d is not divisible by num_key_value_heads %d", c->n_heads, c->n_kv_heads);
    if (c->select == SSA_SELECT_COMPAT && c->top_k > c->block_size / 2 && c->top_k != c->block_size)
        FAIL("top_k %d with select compat must be at most half of block_size %d, or equal to it", c->top_k, c->block_size);

    /* Written so that a NaN fails too. */
    if (!(c->rms_norm_eps > 0 && c->rms_norm_eps <= 1)) FAIL("rms_norm_eps %g is out of range: it must be above 0 and at most 1",
                                                             (double)c->rms_norm_eps);
    if (!(c->rope_theta > 0 && c->rope_theta <= 1e30)) FAIL("rope_theta %g is out of range: it must be above 0 and at most 1e30", c->rope_theta);
    if (!(c->initializer_range >= 0 && c->initializer_range <= 100)) FAIL("initializer_range %g is out of range 0..100",
                                                                          (double)c->initializer_range);
    if (!(c->alpha >= 0 && c->alpha <= 1e30f)) FAIL("alpha %g is out of range 0..1e30", (double)c->alpha);
    if (!(c->p_full >= 0 && c->p_full <= 1)) FAIL("p_full %g is out of range 0..1", (double)c->p_full);
    if (c->rope_factor == 0) return SSA_OK;
    if (!(c->rope_factor >= 1 && c->rope_factor <= 1e6)) FAIL("rope factor %g is out of range 1..1e6", c->rope_factor);
    if (!(c->rope_low_freq_factor > 0 && c->rope_low_freq_factor < c->rope_high_freq_factor && c->rope_high_freq_factor <= 1e6))
        FAIL("low_freq_factor %g and high_freq_factor %g are out of range: they must be above 0, the first below the second, at most 1e6",
             c->rope_low_freq_factor, c->rope_high_freq_factor);
    if (c->rope_original_length < 1 || c->rope_original_length > INT32_MAX)
        FAIL("original_max_position_embeddings %lld is out of range 1..%d", (long long)c->rope_original_length, INT32_MAX);
    return SSA_OK;
}
