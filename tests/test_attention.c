/* Attention systems (core/attention/): with and without gates, the gradient that training uses is the slope of the loss that evaluation
 * gives; what a system does not train is refused; a folder says which system it is. */
#include "ssa/ssa.h"
#include "suite.h"
#include <math.h>
#include <string.h>

enum { B = 2, T = 37, V = 50 };

static ssa_context     *ctx;
static ssa_model_config config;
static int32_t          inputs[B * T], targets[B * T];

static void setup(void) {
    ssa_error err = {0};
    ck_assert_msg(!ssa_open(test_device("cpu"), NULL, &ctx, &err), "%s", err.text);
    ssa_config_default(&config);
    config.vocab_size = V, config.hidden_size = 24, config.intermediate_size = 40, config.n_layers = 2, config.n_heads = 4, config.n_kv_heads = 2;
    config.head_dim = 6, config.block_size = 5, config.top_k = 3, config.alpha = 0, config.initializer_range = 0.2f;
    for (int i = 0; i < B * T; i++) inputs[i] = (i * 31 + 7) % V, targets[i] = (i * 17 + 3) % V;
}

static void teardown(void) { ssa_close(ctx); }

static ssa_model *make(void) {
    ssa_model        *m;
    ssa_model_options o = {.batch = B, .seq = T, .training = true, .beta1 = 0.9f, .beta2 = 0.95f, .eps = 1e-8f};
    ck_assert_msg(!ssa_model_create(ctx, &config, &o, &m), "%s", ssa_context_error(ctx)->text);
    ck_assert(!ssa_model_init(m, 5));
    ck_assert(!ssa_model_set_batch(m, inputs, targets));
    return m;
}

static double loss_of(ssa_model *m, ssa_stream main) {
    double sum;
    ck_assert_msg(!ssa_model_eval(m, main, &sum), "%s", ssa_context_error(ctx)->text);
    return sum / (B * T);
}

/* Moves every parameter along its own gradient's sign pattern and compares with the slope that the gradients tell. */
static void slope(ssa_stream main) {
    const float step = 2e-5f;
    ssa_model  *m = make();
    double      told = 0, loss[2];
    float      *kept[64], *g[64];
    int         n = ssa_model_param_count(m);
    ck_assert_int_le(n, 64);
    ck_assert_msg(!ssa_model_train(m, main, false), "%s", ssa_context_error(ctx)->text);
    for (int i = 0; i < n; i++) {
        ssa_tensor w = ssa_model_param_tensor(m, i, SSA_PARAM_MASTER);
        int64_t    e = ssa_numel(&w);
        kept[i] = malloc((size_t)e * 4), g[i] = malloc((size_t)e * 4);
        ck_assert(!ssa_read(ctx, w, kept[i]) && !ssa_read(ctx, ssa_model_param_tensor(m, i, SSA_PARAM_GRAD), g[i]));
        for (int64_t k = 0; k < e; k++) told += fabs((double)g[i][k]);
    }
    for (int side = 0; side < 2; side++) {
        for (int i = 0; i < n; i++) {
            ssa_tensor w = ssa_model_param_tensor(m, i, SSA_PARAM_MASTER);
            int64_t    e = ssa_numel(&w);
            float     *moved = malloc((size_t)e * 4);
            for (int64_t k = 0; k < e; k++) moved[k] = kept[i][k] + (side ? step : -step) * (g[i][k] > 0 ? 1.0f : g[i][k] < 0 ? -1.0f : 0.0f);
            ck_assert(!ssa_write(ctx, w, moved));
            free(moved);
        }
        loss[side] = loss_of(m, main);
    }
    double slope = (loss[1] - loss[0]) / (2 * (double)step);
    ck_assert_msg(told > 1 && fabs(slope - told) < 0.02 * told, "slope %g, the gradients tell %g", slope, told);
    for (int i = 0; i < n; i++) free(kept[i]), free(g[i]);
    ssa_model_free(m);
}

START_TEST(gradients_are_slopes) {
    for (int attention = SSA_ATTENTION_SSA; attention <= SSA_ATTENTION_FULL; attention++)
        for (int gated = 0; gated < 2; gated++) {
            config.attention = attention;
            config.gated = gated;
            slope(SSA_MAIN_FULL);
            if (attention == SSA_ATTENTION_SSA) slope(SSA_MAIN_SPARSE);
        }
}
END_TEST

/* With every block selected the streams see the same keys: alignment has nothing to align, gated or not. */
START_TEST(aligned_where_equal) {
    config.alpha = 10, config.top_k = 8;
    for (int gated = 0; gated < 2; gated++) {
        ssa_losses losses;
        config.gated = gated;
        ssa_model *m = make();
        ck_assert(!ssa_model_train(m, SSA_MAIN_SPARSE, false) && !ssa_model_update(m, 1, 0) && !ssa_model_losses(m, &losses));
        ck_assert(losses.ce > 1 && losses.align >= 0 && losses.align < 1e-9f);
        ssa_model_free(m);
        config.top_k = 2;
        m = make();
        ck_assert(!ssa_model_train(m, SSA_MAIN_SPARSE, false) && !ssa_model_update(m, 1, 0) && !ssa_model_losses(m, &losses));
        ck_assert(losses.align > 1e-7f);
        ssa_model_free(m);
        config.top_k = 8;
    }
}
END_TEST

START_TEST(full_is_trained_dense_only) {
    config.attention = SSA_ATTENTION_FULL;
    ssa_model *m = make();
    ck_assert_int_eq(ssa_model_train(m, SSA_MAIN_SPARSE, false), SSA_ERR_INPUT);
    ck_assert_str_eq(ssa_context_error(ctx)->text, "full attention is not trained through its sparse stream");
    ssa_error_clear(ssa_context_error(ctx));
    ck_assert(fabs(loss_of(m, SSA_MAIN_SPARSE) - loss_of(m, SSA_MAIN_FULL)) > 0); /* but evaluated */
    ssa_model_free(m);
}
END_TEST

START_TEST(folders_say_which) {
    char      folder[] = "/tmp/ssa_attention_XXXXXX", command[64];
    ssa_error err = {0};
    ck_assert_ptr_nonnull(mkdtemp(folder));
    for (int i = 0; i < 4; i++) {
        ssa_model_config back;
        config.attention = i / 2, config.gated = i % 2;
        ck_assert(!ssa_config_write(folder, &config, &err));
        ck_assert_msg(!ssa_config_read(folder, &back, &err), "%s", err.text);
        ck_assert_int_eq(back.attention, config.attention);
        ck_assert_int_eq(back.gated, config.gated);
    }
    snprintf(command, sizeof command, "rm -r %s", folder);
    ck_assert_int_eq(system(command), 0);
}
END_TEST

int main(void) {
    if (!test_available(test_device("cpu"))) return TEST_SKIPPED;
    Suite *suite = suite_create("attention");
    TCase *t = tcase_create("attention");
    tcase_set_timeout(t, 300);
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, gradients_are_slopes);
    tcase_add_test(t, aligned_where_equal);
    tcase_add_test(t, full_is_trained_dense_only);
    tcase_add_test(t, folders_say_which);
    suite_add_tcase(suite, t);
    return run_suite(suite);
}
