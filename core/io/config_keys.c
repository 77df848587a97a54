/* The keys of config.json, in the order in which they are written. A new key is a row: a field of ssa_model_config, a value that
 * alone is neutral, or a key that changes nothing. */
#include "io/config_inside.h"
#include "ssa/ops.h"
#include <stddef.h>

/* Values that are words; index = enum or bool. */
static const char *const score_words[] = {[SSA_SCORE_SOFTMAX] = "softmax", [SSA_SCORE_DOT] = "dot"};
static const char *const select_words[] = {[SSA_SELECT_EXACT] = "exact", [SSA_SELECT_COMPAT] = "compat"};
static const char *const loss_words[] = {[SSA_LOSS_SMOOTHL1] = "smoothl1", [SSA_LOSS_L2] = "l2"};
static const char *const share_words[] = {"group", "head"};
static const char *const attention_words[] = {[SSA_ATTENTION_SSA] = "ssa", [SSA_ATTENTION_FULL] = "full"};
static const char *const gate_words[] = {"none", "head"};
static const char *const align_words[] = {"ungated", "gated"};

#define FIELD(name, kind, member)        {name, kind, offsetof(ssa_model_config, member)}
#define NEEDED(name, kind, member)       {name, kind, offsetof(ssa_model_config, member), .needed = true}
#define WORDS(name, kind, member, list)  {name, kind, offsetof(ssa_model_config, member), .words = list}
#define CODE(name)                       {name, KEY_CODE}
#define ONLY(name, values)               {name, KEY_ONLY, .only = values}
#define ANY(name)                        {name, KEY_ANY}

static const config_key table[] = {
    /* The class is "llama-nsa" to the authors' configuration class, whose heads are gated; without gates it is a plain Llama; auto_map would name Python files that are not ours to write. */
    {"architectures", KEY_CODE, .write = "[\"LlamaNSAForCausalLM\"]", .write_ungated = "[\"LlamaForCausalLM\"]"},
    {"model_type", KEY_CODE, .write = "\"llama-nsa\"", .write_ungated = "\"llama\""},
    {"hidden_act", KEY_ONLY, .only = "\"silu\"|\"swish\"", .write = "\"silu\""}, /* two names of one function */
    FIELD("initializer_range", KEY_FLOAT, initializer_range),
    FIELD("max_position_embeddings", KEY_WHOLE, max_position_embeddings),
    FIELD("rms_norm_eps", KEY_FLOAT, rms_norm_eps),
    CODE("rope_theta"),
    CODE("rope_scaling"),
    CODE("rope_parameters"),
    FIELD("tie_word_embeddings", KEY_BOOL, tie_word_embeddings),
    {"attention_bias", KEY_ONLY, .only = "false", .write = "false"},
    {"mlp_bias", KEY_ONLY, .only = "false", .write = "false"},
    {"attention_dropout", KEY_ONLY, .only = "0", .write = "0.0"}, /* changes training only, but what is read may be trained on */
    {"window_size", KEY_CODE, .write = "0"},
    {"use_cache", KEY_ANY, .write = "false"},
    NEEDED("vocab_size", KEY_WHOLE, vocab_size),
    NEEDED("hidden_size", KEY_WHOLE, hidden_size),
    NEEDED("intermediate_size", KEY_WHOLE, intermediate_size),
    NEEDED("num_hidden_layers", KEY_INT, n_layers),
    NEEDED("num_attention_heads", KEY_INT, n_heads),
    FIELD("num_key_value_heads", KEY_INT, n_kv_heads),
    FIELD("head_dim", KEY_INT, head_dim),
    FIELD("block_size", KEY_INT, block_size),
    FIELD("block_counts", KEY_INT, top_k),
    WORDS("ssa_attention", KEY_WORD, attention, attention_words),
    WORDS("ssa_gate", KEY_WORD_BOOL, gated, gate_words),
    WORDS("ssa_score", KEY_WORD, score, score_words),
    WORDS("ssa_select", KEY_WORD, select, select_words),
    WORDS("ssa_share", KEY_WORD_BOOL, share_per_head, share_words),
    WORDS("ssa_align", KEY_WORD_BOOL, align_gated, align_words),
    WORDS("ssa_loss", KEY_WORD, loss, loss_words),
    FIELD("ssa_alpha", KEY_FLOAT, alpha),
    FIELD("ssa_p_full", KEY_FLOAT, p_full),

    /* Neutral at one value. */
    ONLY("pretraining_tp", "1"), /* more: the products in pieces, rounded differently */
    ONLY("partial_rotary_factor", "1"),
    ONLY("rotary_pct", "1"),
    ONLY("rope_interleaved", "false"),
    ONLY("sliding_window", "null"),
    ONLY("use_sliding_window", "false"),
    ONLY("layer_types", "\"full_attention\""),
    ONLY("qk_norm", "false"),
    ONLY("use_qk_norm", "false"),
    ONLY("clip_qkv", "null"),
    ONLY("attn_logit_softcapping", "null"),
    ONLY("final_logit_softcapping", "null"),
    ONLY("logit_scale", "1"),
    ONLY("logits_scaling", "1"),
    ONLY("embedding_multiplier", "1"),
    ONLY("residual_multiplier", "1"),
    ONLY("hidden_dropout", "0"),
    ONLY("residual_dropout", "0"),
    ONLY("embedding_dropout", "0"),
    ONLY("quantization_config", "null"),
    ONLY("pruned_heads", "{}"),
    ONLY("add_cross_attention", "false"),
    ONLY("cross_attention_hidden_size", "null"),
    ONLY("is_encoder_decoder", "false"),
    ONLY("tie_encoder_decoder", "false"),

    /* Where a file comes from, and how other programs store and run it. */
    ANY("_name_or_path"), ANY("name_or_path"), ANY("_commit_hash"), ANY("auto_map"), ANY("transformers_version"), ANY("unsloth_version"),
    ANY("unsloth_fixed"), ANY("torch_dtype"), ANY("dtype"), ANY("use_bfloat16"), ANY("torchscript"), ANY("attn_implementation"),
    ANY("_attn_implementation"), ANY("_attn_implementation_autoset"), ANY("_attn_implementation_internal"), ANY("_flash_attn_2_enabled"),
    ANY("gradient_checkpointing"), ANY("chunk_size_feed_forward"), ANY("tf_legacy_loss"), ANY("is_decoder"),
    /* Of a tokenizer, of generation, of what is returned, of labels. */
    ANY("tokenizer_class"), ANY("prefix"), ANY("bos_token_id"), ANY("eos_token_id"), ANY("pad_token_id"), ANY("sep_token_id"),
    ANY("unk_token_id"), ANY("decoder_start_token_id"), ANY("forced_bos_token_id"), ANY("forced_eos_token_id"), ANY("suppress_tokens"),
    ANY("begin_suppress_tokens"), ANY("bad_words_ids"), ANY("max_length"), ANY("min_length"), ANY("do_sample"), ANY("early_stopping"),
    ANY("num_beams"), ANY("num_beam_groups"), ANY("diversity_penalty"), ANY("temperature"), ANY("top_k"), ANY("top_p"), ANY("typical_p"),
    ANY("repetition_penalty"), ANY("length_penalty"), ANY("no_repeat_ngram_size"), ANY("encoder_no_repeat_ngram_size"),
    ANY("num_return_sequences"), ANY("output_scores"), ANY("return_dict_in_generate"), ANY("remove_invalid_values"),
    ANY("exponential_decay_length_penalty"), ANY("output_attentions"), ANY("output_hidden_states"), ANY("return_dict"),
    ANY("problem_type"), ANY("id2label"), ANY("label2id"), ANY("num_labels"), ANY("finetuning_task"), ANY("task_specific_params"),
};

const config_key *config_key_table(int *count) {
    *count = sizeof table / sizeof *table;
    return table;
}
