/* config.json: what a key does, what an absent one means, what is refused. */
#include "suite.h"
#include "ssa/config.h"
#include "ssa/io.h"
#include "ssa/ops.h"
#include "io/config_inside.h"
#include <ftw.h>
#include <string.h>
#include <sys/stat.h>

static char dir[64];

static void make_dir(void) {
    strcpy(dir, "/tmp/ssa_test_config_XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw) {
    (void)st, (void)type, (void)ftw;
    return remove(path);
}

static void remove_dir(void) { nftw(dir, remove_one, 8, FTW_DEPTH | FTW_PHYS); }

static const char *at(const char *name) {
    static char path[4][160];
    static int next;
    char *p = path[next++ % 4];
    snprintf(p, sizeof path[0], "%s/%s", dir, name);
    return p;
}

static void put(const char *text) {
    FILE *f = fopen(at("config.json"), "wb");
    ck_assert_ptr_nonnull(f);
    ck_assert_int_ge(fputs(text, f), 0);
    ck_assert_int_eq(fclose(f), 0);
}

static void says(const ssa_error *err, const char *text) { ck_assert_msg(strstr(err->text, text), "\"%s\" lacks \"%s\"", err->text, text); }

/* The sizes; and these with what a file of the authors' class must say. */
#define SIZES(heads)   "\"vocab_size\":256,\"hidden_size\":64,\"intermediate_size\":128,\"num_hidden_layers\":2,\"num_attention_heads\":" heads
#define NEEDED         SIZES("4") ",\"window_size\":0"

static ssa_model_config reads(const char *json) {
    ssa_error err = {0};
    ssa_model_config c;
    put(json);
    ck_assert_msg(!ssa_config_read(dir, &c, &err), "%s: %s", json, err.text);
    return c;
}

static void refused(const char *json, const char *why) {
    ssa_error err = {0};
    ssa_model_config c;
    put(json);
    ck_assert_msg(ssa_config_read(dir, &c, &err) == SSA_ERR_INPUT, "%s was read", json);
    says(&err, at("config.json"));
    says(&err, why);
    ck_assert_msg(!strpbrk(err.text, "\n\r\x1b"), "%s", err.text);
}

/* -- absent keys ------------------------------------------------------------------------------------------------------------ */

START_TEST(defaults_of_the_class) {
    static const char *const same[] = {
        "{" NEEDED "}",
        "{" NEEDED ",\"architectures\":[\"LlamaNSAForCausalLM\"],\"model_type\":\"llama-nsa\"}",
        "{" NEEDED ",\"model_type\":\"llama_nsa\"}", /* what this program once wrote */
        "{" NEEDED ",\"rope_theta\":null,\"rms_norm_eps\":null,\"tie_word_embeddings\":null,\"block_size\":null,\"head_dim\":null,\"architectures\":null}",
    };
    for (size_t i = 0; i < sizeof same / sizeof *same; i++) {
        ssa_model_config c = reads(same[i]);
        ck_assert(c.n_kv_heads == 4 && c.head_dim == 16 && c.block_size == 64 && c.top_k == 16);
        ck_assert(c.rms_norm_eps == 1e-6f && c.rope_theta == 10000 && !c.tie_word_embeddings && c.rope_factor == 0);
        ck_assert(c.max_position_embeddings == 2048 && c.initializer_range == 0.02f);
        ck_assert(c.score == SSA_SCORE_SOFTMAX && c.select == SSA_SELECT_EXACT && c.loss == SSA_LOSS_SMOOTHL1 && !c.share_per_head && c.align_gated);
        ck_assert(c.alpha == 10 && c.p_full == 0.5f);
    }
    /* A plain Llama has no window, and no blocks to take a size from. */
    ssa_model_config c = reads("{" SIZES("4") ",\"architectures\":[\"LlamaForCausalLM\"],\"model_type\":\"llama\",\"block_size\":8,\"block_counts\":4}");
    ck_assert(c.block_size == 8 && c.top_k == 4 && c.rms_norm_eps == 1e-6f && c.rope_theta == 10000 && !c.tie_word_embeddings);
    refused("{" SIZES("4") ",\"model_type\":\"llama\",\"block_counts\":4}", "block_size is missing");
    refused("{" SIZES("4") ",\"model_type\":\"llama\",\"block_size\":4}", "block_counts is missing");
    refused("{" SIZES("4") "}", "window_size is missing, which means 512");
    refused("{" SIZES("4") ",\"window_size\":null}", "window_size is missing, which means 512");
    c = reads("{" NEEDED ",\"num_key_value_heads\":2,\"rope_theta\":7,\"tie_word_embeddings\":true,\"block_counts\":4,\"head_dim\":8}");
    ck_assert(c.head_dim == 8 && c.n_kv_heads == 2 && c.rope_theta == 7 && c.tie_word_embeddings && c.top_k == 4);
}
END_TEST

START_TEST(classes) {
    refused("{" NEEDED ",\"model_type\":\"qwen2\"}", "model_type qwen2 is not supported");
    refused("{" NEEDED ",\"model_type\":\"llama4\"}", "model_type llama4 is not supported");
    refused("{" NEEDED ",\"model_type\":3}", "model_type 3 is not supported");
    refused("{" NEEDED ",\"model_type\":\"llama\",\"architectures\":[\"MistralForCausalLM\"]}", "architectures MistralForCausalLM is not supported");
    refused("{" NEEDED ",\"architectures\":[\"LlamaNSAForCausalLM\",\"LlamaForSequenceClassification\"]}", "LlamaForSequenceClassification");
    refused("{" NEEDED ",\"architectures\":[\"LlamaNSAForCausalLM\",\"LlamaForCausalLM\"]}", "architectures LlamaForCausalLM");
    refused("{" NEEDED ",\"architectures\":\"LlamaNSAForCausalLM\"}", "architectures is a string where a list");
    refused("{" NEEDED ",\"architectures\":[\"LlamaForCausalLM\"],\"model_type\":\"llama-nsa\"}", "contradict");
}
END_TEST

/* -- the allow-list --------------------------------------------------------------------------------------------------------- */

START_TEST(unknown_keys) {
    refused("{" NEEDED ",\"entmax_alpha\":1.5}", "entmax_alpha 1.5 is not supported");
    refused("{" NEEDED ",\"inference_mode\":\"full\"}", "inference_mode full is not supported");
    refused("{" NEEDED ",\"block_count\":4}", "block_count 4 is not supported"); /* once in the authors' README */
    refused("{" NEEDED ",\"ssa_beta\":0.5}", "ssa_beta 0.5 is not supported");
    refused("{" NEEDED ",\"Rope_Theta\":1}", "Rope_Theta 1 is not supported");
    refused("{" NEEDED ",\"num_local_experts\":8}", "num_local_experts 8");
    refused("{" NEEDED ",\"x\":{\"y\":[1,true,null]}}", "x {\"y\":[1,true,null]} is not supported");
    refused("{" NEEDED ",\"x\":null}", "x null is not supported");
    refused("{" NEEDED ",\"a\\nb\\u001b[31m\":\"c\\nd\"}", "a?b?[31m c?d is not supported");
    refused("{" NEEDED ",\"\":1}", " 1 is not supported");
    refused("{" NEEDED ",\"vocab_size\":512}", "vocab_size appears twice");
    refused("{" NEEDED ",\"use_cache\":true,\"use_cache\":true}", "use_cache appears twice");
}
END_TEST

/* Each row that is neutral at one value or at any, by walking the table. */
START_TEST(neutral_keys) {
    int               count, only = 0, any = 0;
    const config_key *table = config_key_table(&count);
    static const char *const values[] = {"null", "0.5", "true", "false", "\"word\"", "[7]", "{\"a\":1}"};
    char              json[512];
    for (int i = 0; i < count; i++) {
        for (int k = i + 1; k < count; k++) ck_assert_str_ne(table[i].name, table[k].name);
        if (table[i].kind == KEY_ANY) any++;
        if (table[i].kind == KEY_ONLY) only++;
        for (size_t v = 0; v < sizeof values / sizeof *values && table[i].kind == KEY_ANY; v++) {
            snprintf(json, sizeof json, "{" NEEDED ",\"%s\":%s}", table[i].name, values[v]);
            reads(json);
        }
        if (table[i].kind != KEY_ONLY) continue;
        snprintf(json, sizeof json, "{" NEEDED ",\"%s\":null}", table[i].name);
        reads(json);
        snprintf(json, sizeof json, "{" NEEDED ",\"%s\":%.*s}", table[i].name, (int)strcspn(table[i].only, "|"), table[i].only);
        reads(json);
        snprintf(json, sizeof json, "{" NEEDED ",\"%s\":0.25}", table[i].name);
        char why[96];
        snprintf(why, sizeof why, "%s 0.25 is not supported, only %s is", table[i].name, table[i].only);
        refused(json, why);
        snprintf(json, sizeof json, "{" NEEDED ",\"%s\":\"other\"}", table[i].name);
        refused(json, table[i].name);
    }
    ck_assert_msg(only > 20 && any > 50, "%d %d", only, any);
    refused("{" NEEDED ",\"hidden_act\":\"gelu\"}", "hidden_act gelu is not supported, only \"silu\"");
    reads("{" NEEDED ",\"hidden_act\":\"swish\"}");
    refused("{" NEEDED ",\"attention_bias\":true}", "attention_bias true is not supported");
    refused("{" NEEDED ",\"mlp_bias\":true}", "mlp_bias true is not supported");
    refused("{" NEEDED ",\"attention_dropout\":0.1}", "attention_dropout 0.1 is not supported");
    reads("{" NEEDED ",\"attention_dropout\":0}");
    reads("{" NEEDED ",\"partial_rotary_factor\":1.0}");
    refused("{" NEEDED ",\"sliding_window\":4096}", "sliding_window 4096 is not supported");
    refused("{" NEEDED ",\"pretraining_tp\":2}", "pretraining_tp 2 is not supported");
    refused("{" NEEDED ",\"quantization_config\":{\"bits\":4}}", "quantization_config {\"bits\":4} is not supported");
    reads("{" NEEDED ",\"layer_types\":[\"full_attention\",\"full_attention\"]}");
    refused("{" NEEDED ",\"layer_types\":[\"full_attention\",\"sliding_attention\"]}", "layer_types");
    refused("{" SIZES("4") ",\"window_size\":512}", "window_size 512 is not supported");
}
END_TEST

START_TEST(authors_folder) { /* the keys of the released SSA models, and of one made by transformers 5 */
    ssa_model_config c = reads("{\"architectures\":[\"LlamaNSAForCausalLM\"],\"attention_bias\":false,\"attention_dropout\":0.0,\"bos_token_id\":128000,"
        "\"eos_token_id\":128001,\"head_dim\":64,\"hidden_act\":\"silu\",\"hidden_size\":2048,\"initializer_range\":0.02,\"intermediate_size\":8192,"
        "\"max_position_embeddings\":131072,\"mlp_bias\":false,\"model_type\":\"llama-nsa\",\"num_attention_heads\":32,\"num_hidden_layers\":16,"
        "\"num_key_value_heads\":2,\"pretraining_tp\":1,\"rms_norm_eps\":1e-05,\"rope_scaling\":null,\"rope_theta\":500000.0,"
        "\"tie_word_embeddings\":true,\"torch_dtype\":\"bfloat16\",\"transformers_version\":\"4.45.0.dev0\",\"use_cache\":true,\"vocab_size\":128256,"
        "\"block_size\":16,\"block_counts\":16,\"window_size\":0,\"auto_map\":{\"AutoConfig\":\"configuration_llama_nsa.LlamaNSAConfig\","
        "\"AutoModelForCausalLM\":\"modeling_llama_nsa.LlamaNSAForCausalLM\"}}");
    ck_assert(c.hidden_size == 2048 && c.rope_theta == 500000 && c.rms_norm_eps == 1e-5f && c.tie_word_embeddings && c.top_k == 16 && c.block_size == 16);
    c = reads("{" NEEDED ",\"dtype\":\"bfloat16\",\"transformers_version\":\"5.0.0\",\"pad_token_id\":null,\"eos_token_id\":[1,2],"
        "\"rope_parameters\":{\"rope_theta\":1e4,\"rope_type\":\"default\"}}");
    ck_assert(c.rope_theta == 10000);
}
END_TEST

/* -- RoPE ------------------------------------------------------------------------------------------------------------------- */

#define LLAMA3 "\"factor\":32.0,\"low_freq_factor\":1.0,\"high_freq_factor\":4.0,\"original_max_position_embeddings\":8192"

START_TEST(rope_spellings) {
    static const char *const plain[] = { /* theta 5, no scaling */
        "\"rope_theta\":5",
        "\"rope_theta\":5,\"rope_scaling\":null",
        "\"rope_theta\":5,\"rope_scaling\":{}",
        "\"rope_theta\":5,\"rope_parameters\":{}",
        "\"rope_theta\":5,\"rope_scaling\":{\"rope_type\":\"default\"}",
        "\"rope_theta\":5,\"rope_scaling\":{\"type\":\"default\",\"factor\":1.0}",
        "\"rope_scaling\":{\"rope_theta\":5.0}",
        "\"rope_parameters\":{\"rope_theta\":5.0}",
        "\"rope_parameters\":{\"rope_theta\":5.0,\"rope_type\":null}",
        "\"rope_parameters\":{\"rope_theta\":5.0,\"rope_type\":\"default\",\"partial_rotary_factor\":1.0}",
        "\"rope_theta\":5,\"rope_scaling\":null,\"rope_parameters\":{\"rope_theta\":5.0,\"rope_type\":\"default\"}",
        "\"rope_theta\":5,\"rope_scaling\":{},\"rope_parameters\":{\"rope_theta\":5.0}",
        "\"rope_scaling\":{\"type\":\"default\"},\"rope_parameters\":{\"rope_theta\":5.0}",
    }, *const scaled[] = { /* theta 5, llama3 */
        "\"rope_theta\":5,\"rope_scaling\":{\"type\":\"llama3\"," LLAMA3 "}",
        "\"rope_theta\":5,\"rope_scaling\":{\"rope_type\":\"llama3\"," LLAMA3 "}",
        "\"rope_theta\":5,\"rope_scaling\":{\"rope_type\":\"llama3\",\"type\":\"llama3\"," LLAMA3 "}",
        "\"rope_parameters\":{\"rope_type\":\"llama3\",\"rope_theta\":5," LLAMA3 "}",
        "\"rope_theta\":5,\"rope_parameters\":{\"rope_type\":\"llama3\",\"rope_theta\":5," LLAMA3 "}",
        "\"rope_scaling\":{},\"rope_parameters\":{\"rope_type\":\"llama3\",\"rope_theta\":5," LLAMA3 "}",
        "\"rope_theta\":5,\"rope_scaling\":{\"type\":\"llama3\"," LLAMA3 "},\"rope_parameters\":{\"rope_type\":\"llama3\",\"rope_theta\":5," LLAMA3 "}",
    };
    char json[1024];
    for (size_t i = 0; i < sizeof plain / sizeof *plain; i++) {
        snprintf(json, sizeof json, "{" NEEDED ",%s}", plain[i]);
        ssa_model_config c = reads(json);
        ck_assert_msg(c.rope_theta == 5 && c.rope_factor == 0, "%s", json);
    }
    for (size_t i = 0; i < sizeof scaled / sizeof *scaled; i++) {
        snprintf(json, sizeof json, "{" NEEDED ",%s}", scaled[i]);
        ssa_model_config c = reads(json);
        ck_assert_msg(c.rope_theta == 5 && c.rope_factor == 32 && c.rope_low_freq_factor == 1 && c.rope_high_freq_factor == 4 &&
                      c.rope_original_length == 8192, "%s", json);
    }
}
END_TEST

START_TEST(rope_refused) {
    refused("{" NEEDED ",\"rope_theta\":5,\"rope_parameters\":{\"rope_theta\":6}}", "rope_theta 5 and rope_theta of rope_parameters 6 contradict");
    refused("{" NEEDED ",\"rope_scaling\":{\"rope_theta\":5},\"rope_parameters\":{\"rope_theta\":6}}", "contradict");
    refused("{" NEEDED ",\"rope_scaling\":{\"type\":\"llama3\"," LLAMA3 "},\"rope_parameters\":{\"rope_type\":\"default\"}}", "contradict");
    refused("{" NEEDED ",\"rope_scaling\":{\"type\":\"llama3\"," LLAMA3 "},\"rope_parameters\":{\"rope_theta\":10000}}", "contradict");
    refused("{" NEEDED ",\"rope_scaling\":{\"rope_type\":\"llama3\",\"type\":\"default\"," LLAMA3 "}}", "rope_type llama3 and type default");
    refused("{" NEEDED ",\"rope_scaling\":{\"rope_type\":\"yarn\",\"factor\":2}}", "rope_type yarn is not supported");
    refused("{" NEEDED ",\"rope_parameters\":{\"rope_type\":\"linear\",\"factor\":2}}", "rope_type linear is not supported");
    refused("{" NEEDED ",\"rope_scaling\":{\"rope_type\":3}}", "rope_type of rope_scaling is a number where a string");
    refused("{" NEEDED ",\"rope_scaling\":[1]}", "rope_scaling is a list where an object");
    refused("{" NEEDED ",\"rope_scaling\":{\"factor\":2}}", "factor 2 is not supported, in rope_scaling of rope_type default (none is named)");
    refused("{" NEEDED ",\"rope_parameters\":{\"partial_rotary_factor\":0.5}}", "partial_rotary_factor 0.5 is not supported");
    refused("{" NEEDED ",\"rope_parameters\":{\"full_attention\":{\"rope_theta\":1}}}", "full_attention {\"rope_theta\":1} is not supported");
    refused("{" NEEDED ",\"rope_parameters\":{\"rope_theta\":1,\"rope_theta\":2}}", "rope_theta of rope_parameters appears twice");
    refused("{" NEEDED ",\"rope_scaling\":{\"rope_type\":\"llama3\",\"attention_factor\":2," LLAMA3 "}}", "attention_factor 2");
    refused("{" NEEDED ",\"rope_scaling\":{\"rope_type\":\"llama3\",\"factor\":2}}", "low_freq_factor is missing");
    refused("{" NEEDED ",\"rope_scaling\":{\"rope_type\":\"llama3\",\"factor\":0,\"low_freq_factor\":1,\"high_freq_factor\":4,"
            "\"original_max_position_embeddings\":8192}}", "factor 0 of rope_scaling is out of range");
    refused("{" NEEDED ",\"rope_scaling\":{\"rope_type\":\"llama3\",\"factor\":2,\"low_freq_factor\":4,\"high_freq_factor\":4,"
            "\"original_max_position_embeddings\":8192}}", "low_freq_factor 4 and high_freq_factor 4");
    refused("{" NEEDED ",\"rope_theta\":-1}", "rope_theta -1 is out of range");
    refused("{" NEEDED ",\"rope_theta\":\"big\"}", "rope_theta is a string where a number");
}
END_TEST

/* -- writing ---------------------------------------------------------------------------------------------------------------- */

START_TEST(roundtrip) {
    ssa_error err = {0};
    ssa_model_config back, c;
    char *a, *b;
    size_t na, nb;
    ssa_config_default(&c);
    c.vocab_size = 300, c.hidden_size = 96, c.intermediate_size = 160, c.n_layers = 3, c.n_heads = 6, c.n_kv_heads = 2, c.head_dim = 18;
    c.block_size = 32, c.top_k = 7, c.rms_norm_eps = 1.2345678e-6f, c.rope_theta = 1e6 / 3, c.max_position_embeddings = 4096;
    c.tie_word_embeddings = false, c.initializer_range = 0.1f / 3, c.rope_factor = 8.1, c.rope_low_freq_factor = 1.0 / 3;
    c.rope_high_freq_factor = 4, c.rope_original_length = 8192, c.score = SSA_SCORE_DOT, c.select = SSA_SELECT_COMPAT, c.loss = SSA_LOSS_L2;
    c.share_per_head = true, c.align_gated = false, c.alpha = 1.0f / 3, c.p_full = 1;
    ck_assert_msg(!ssa_config_write(dir, &c, &err), "%s", err.text);
    ck_assert_msg(!ssa_file_read(at("config.json"), 1 << 16, &a, &na, &err), "%s", err.text);
    ck_assert_msg(strstr(a, "\"model_type\": \"llama-nsa\"") && strstr(a, "\"architectures\": [\"LlamaNSAForCausalLM\"]"), "%s", a);
    ck_assert_msg(strstr(a, "\"high_freq_factor\": 4.0") && strstr(a, "\"window_size\": 0") && strstr(a, "\"attention_dropout\": 0.0"), "%s", a);
    ck_assert_msg(!ssa_config_read(dir, &back, &err), "%s", err.text);
#define SAME(field) ck_assert_msg(back.field == c.field, #field)
    SAME(vocab_size); SAME(hidden_size); SAME(intermediate_size); SAME(n_layers); SAME(n_heads); SAME(n_kv_heads); SAME(head_dim);
    SAME(block_size); SAME(top_k); SAME(rms_norm_eps); SAME(rope_theta); SAME(max_position_embeddings); SAME(tie_word_embeddings);
    SAME(initializer_range); SAME(rope_factor); SAME(rope_low_freq_factor); SAME(rope_high_freq_factor); SAME(rope_original_length);
    SAME(score); SAME(select); SAME(loss); SAME(share_per_head); SAME(align_gated); SAME(alpha); SAME(p_full);
    ck_assert_msg(!ssa_config_write(dir, &back, &err), "%s", err.text);
    ck_assert_msg(!ssa_file_read(at("config.json"), 1 << 16, &b, &nb, &err), "%s", err.text);
    ck_assert(na == nb && !memcmp(a, b, na));
    /* Nothing is left to a default of the reader: every field that can be absent is written. */
    int               count;
    const config_key *table = config_key_table(&count);
    for (int i = 0; i < count; i++)
        if (table[i].kind < KEY_CODE) ck_assert_msg(strstr(a, table[i].name) != NULL, "%s is not written", table[i].name);
    free(a);
    free(b);
}
END_TEST

START_TEST(errors) {
    ssa_error err = {0};
    ssa_model_config c;
    ck_assert_int_eq(ssa_config_read(at("nowhere"), &c, &err), SSA_ERR_INPUT);
    says(&err, "nowhere/config.json cannot be opened");
    refused("", "not JSON");
    refused("[1]", "a list where an object");
    refused("{" NEEDED, "not JSON");
    refused("{\"window_size\":0,\"vocab_size\":256}", "hidden_size is missing");
    refused("{\"vocab_size\":null,\"window_size\":0}", "vocab_size is missing");
    refused("{\"vocab_size\":2.5,\"window_size\":0}", "vocab_size 2.5 is not a whole number");
    refused("{\"vocab_size\":-1,\"window_size\":0}", "vocab_size -1 is not a whole number");
    refused("{" SIZES("\"four\"") ",\"window_size\":0}", "num_attention_heads is a string where a whole number is needed");
    refused("{" SIZES("5000000000") ",\"window_size\":0}", "num_attention_heads 5000000000 is out of range");
    refused("{" SIZES("0") ",\"window_size\":0}", "num_attention_heads 0");
    refused("{" SIZES("5") ",\"window_size\":0}", "hidden_size 64 is not divisible by num_attention_heads 5");
    refused("{" NEEDED ",\"num_key_value_heads\":3}", "num_attention_heads 4 is not divisible by num_key_value_heads 3");
    refused("{" NEEDED ",\"num_key_value_heads\":0}", "num_key_value_heads 0 is out of range");
    refused("{" NEEDED ",\"head_dim\":33}", "head_dim 33 is odd");
    refused("{" NEEDED ",\"head_dim\":512}", "head_dim 512 is out of range 2..256");
    refused("{" NEEDED ",\"head_dim\":0}", "head_dim 0 is out of range");
    refused("{" NEEDED ",\"max_position_embeddings\":1e12}", "max_position_embeddings 1000000000000 is out of range");
    refused("{" NEEDED ",\"block_counts\":0}", "top_k 0 is out of range 1..1024");
    refused("{" NEEDED ",\"block_size\":0}", "block_size 0 is out of range 1..4096");
    refused("{" NEEDED ",\"ssa_select\":\"compat\",\"block_size\":16,\"block_counts\":9}", "top_k 9 with select compat");
    refused("{" NEEDED ",\"ssa_select\":\"other\"}", "ssa_select other is unknown, it is exact or compat");
    refused("{" NEEDED ",\"ssa_score\":1}", "ssa_score is a number where a string");
    refused("{" NEEDED ",\"ssa_p_full\":1.5}", "p_full 1.5 is out of range 0..1");
    refused("{" NEEDED ",\"ssa_alpha\":-1}", "alpha -1 is out of range");
    refused("{" NEEDED ",\"ssa_alpha\":1e999}", "ssa_alpha is too large");
    refused("{" NEEDED ",\"rms_norm_eps\":\"small\"}", "rms_norm_eps is a string where a number");
    refused("{" NEEDED ",\"rms_norm_eps\":0}", "rms_norm_eps 0 is out of range");
    refused("{" NEEDED ",\"tie_word_embeddings\":1}", "tie_word_embeddings is a number where true or false");
    ssa_config_default(&c); /* no sizes yet */
    ssa_error_clear(&err);
    ck_assert_int_eq(ssa_config_check(&c, &err), SSA_ERR_INPUT);
    says(&err, "vocab_size 0 is out of range");
}
END_TEST

int main(void) {
    Suite *s = suite_create("config");
    TCase *c = tcase_create("config");
    tcase_set_timeout(c, 60);
    tcase_add_checked_fixture(c, make_dir, remove_dir);
    tcase_add_test(c, defaults_of_the_class);
    tcase_add_test(c, classes);
    tcase_add_test(c, unknown_keys);
    tcase_add_test(c, neutral_keys);
    tcase_add_test(c, authors_folder);
    tcase_add_test(c, rope_spellings);
    tcase_add_test(c, rope_refused);
    tcase_add_test(c, roundtrip);
    tcase_add_test(c, errors);
    suite_add_tcase(s, c);
    return run_suite(s);
}
