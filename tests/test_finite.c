/* Numbers that are not finite are failures: a NaN or an infinity in any one weight ends every call that returns a loss, a logit or
 * sparsity, and no file is written of it. */
#include "suite.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { B = 2, T = 24 };

static ssa_context *ctx;
static ssa_model   *m;
static int32_t      inputs[B * T], targets[B * T];

static void create(bool training) {
    ssa_model_config  c;
    ssa_model_options o = {.batch = B, .seq = T, .training = training, .both_streams = true, .beta1 = 0.9f, .beta2 = 0.95f, .eps = 1e-8f, .max_norm = 1};
    ssa_config_default(&c);
    c.vocab_size = 32, c.hidden_size = 16, c.intermediate_size = 24, c.n_layers = 2, c.n_heads = 2, c.n_kv_heads = 1, c.head_dim = 8, c.block_size = 4, c.top_k = 2;
    c.tie_word_embeddings = false;
    ck_assert_msg(!ssa_model_create(ctx, &c, &o, &m), "%s", ssa_context_error(ctx)->text);
    ck_assert(!ssa_model_init(m, 7));
    for (int i = 0; i < B * T; i++) inputs[i] = i * 5 % 32, targets[i] = i * 7 % 32;
    ck_assert(!ssa_model_set_batch(m, inputs, targets));
}

static void setup(void) {
    ssa_error err = {0};
    ck_assert_msg(!ssa_open(test_device("cpu"), NULL, &ctx, &err), "%s", err.text);
}

static void teardown(void) {
    ssa_model_free(m);
    ssa_close(ctx);
}

static int fails(ssa_status s, const char *what) {
    const ssa_error *err = ssa_context_error(ctx);
    bool             right = s == SSA_ERR_RUNTIME && strstr(err->text, what) && strstr(err->text, "not finite");
    if (!right) fprintf(stderr, "status %d where the %s should fail: %s\n", (int)s, what, err->text);
    ssa_error_clear(ssa_context_error(ctx));
    return right;
}

/* Sets an element of a parameter, the first or of g_proj the first that the gates read; tells what was there. */
static void plant(int param, float x, float *before) {
    ssa_tensor t = ssa_model_param_tensor(m, param, ssa_model_options_of(m)->training ? SSA_PARAM_MASTER : SSA_PARAM_WEIGHT);
    t = ssa_view(t, strstr(ssa_model_param(m, param)->name, "g_proj") ? t.shape[1] : 0, 1);
    if (before) ck_assert(!ssa_read(ctx, t, before));
    ck_assert(!ssa_write(ctx, t, &x));
}

static const float bad[] = {NAN, INFINITY, -INFINITY};

START_TEST(every_weight) {
    double sum;
    float  before, logits[32];
    create(false);
    ck_assert(!ssa_model_eval(m, SSA_MAIN_SPARSE, &sum) && isfinite(sum));
    for (int i = 0; i < ssa_model_param_count(m); i++)
        for (int k = 0; k < 3; k++) {
            const char *name = ssa_model_param(m, i)->name;
            bool        gate = strstr(name, "g_proj"), embed = strstr(name, "embed");
            if (gate && k) continue; /* the gate of an infinity is 0 or 1 */
            plant(i, bad[k], &before);
            int right = fails(ssa_model_eval(m, SSA_MAIN_FULL, &sum), "loss under full") & fails(ssa_model_logits(m, SSA_MAIN_FULL, T - 1, 1, logits), "logits under full");
            right &= fails(ssa_model_eval(m, SSA_MAIN_SPARSE, &sum), "loss under sparse");
            if (!embed) right &= fails(ssa_model_logits(m, SSA_MAIN_SPARSE, B * T - 1, 1, logits), "logits under sparse"); /* that token is in no block the row sees */
            ck_assert_msg(right, "%s %g", name, (double)bad[k]);
            plant(i, before, NULL);
        }
    ck_assert_msg(!ssa_model_eval(m, SSA_MAIN_SPARSE, &sum), "%s", ssa_context_error(ctx)->text);
}
END_TEST

/* What training leaves is refused by the loss, by the norm, and when it is saved. */
START_TEST(training) {
    ssa_losses l;
    double     sum;
    char       path[64];
    create(true);
    snprintf(path, sizeof path, "/tmp/ssa_finite_%d", (int)getpid());
    for (int i = 0; i < ssa_model_param_count(m); i++)
        for (int k = 0; k < 3; k++) {
            float before;
            plant(i, bad[k], &before);
            ck_assert(fails(ssa_model_save(m, path, SSA_F32), ssa_model_param(m, i)->name));
            ck_assert(fails(ssa_model_save(m, path, SSA_BF16), ssa_model_param(m, i)->name));
            ck_assert(access(path, F_OK));
            plant(i, before, NULL);
        }
    plant(0, 1e6f, NULL); /* finite, but not in f16 */
    ck_assert(fails(ssa_model_save(m, path, SSA_F16), ssa_model_param(m, 0)->name));
    plant(0, 0.1f, NULL);
    ck_assert(!ssa_model_train(m, SSA_MAIN_SPARSE, false));
    ck_assert(!ssa_model_losses(m, &l));

    /* A gradient that is not finite: nothing is updated, and the losses say so though they are finite themselves. */
    ssa_tensor g = ssa_view(ssa_model_param_tensor(m, 3, SSA_PARAM_GRAD), 0, 1);
    ck_assert(!ssa_write(ctx, g, &bad[1]));
    ck_assert(!ssa_model_update(m, 1, 0.01f));
    ck_assert(fails(ssa_model_losses(m, &l), "gradient norm"));
    ck_assert(!ssa_model_eval(m, SSA_MAIN_SPARSE, &sum));

    plant(ssa_model_param_count(m) - 1, NAN, NULL);
    ck_assert(!ssa_model_train(m, SSA_MAIN_FULL, false));
    ck_assert(fails(ssa_model_losses(m, &l), "cross-entropy"));
}
END_TEST

/* Gradients in f16 vanish where a step has many tokens; inference in f16 is another matter. */
START_TEST(f16_is_not_trained_in) {
    ssa_model_config  c;
    ssa_model_options o = {.batch = 1, .seq = T, .dtype = SSA_F16, .training = true};
    ssa_model_plan    plan;
    ssa_config_default(&c);
    c.vocab_size = 32, c.hidden_size = 16, c.intermediate_size = 24, c.n_layers = 1, c.n_heads = 2, c.n_kv_heads = 1, c.head_dim = 8, c.block_size = 4, c.top_k = 2;
    ck_assert_int_eq(ssa_model_create(ctx, &c, &o, &m), SSA_ERR_INPUT);
    ck_assert_msg(strstr(ssa_context_error(ctx)->text, "loss scaling"), "%s", ssa_context_error(ctx)->text);
    ssa_error_clear(ssa_context_error(ctx));
    ck_assert_int_eq(ssa_model_make_plan(ctx, &c, &o, &plan), SSA_ERR_INPUT);
    ssa_error_clear(ssa_context_error(ctx));
    o.training = false;
    ck_assert_msg(!ssa_model_create(ctx, &c, &o, &m), "%s", ssa_context_error(ctx)->text);
}
END_TEST

int main(void) {
    if (!test_available(test_device("cpu"))) return TEST_SKIPPED;
    Suite *suite = suite_create("finite");
    TCase *t = tcase_create("finite");
    tcase_set_timeout(t, 300);
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, every_weight);
    tcase_add_test(t, training);
    tcase_add_test(t, f16_is_not_trained_in);
    suite_add_tcase(suite, t);
    return run_suite(suite);
}
