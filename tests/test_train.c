/* Training end to end at a small size on the lane's device: equal runs give equal bytes, resume continues bit for bit,
 * accumulation changes nothing but rounding, recompute changes nothing, checkpoints are kept and cleaned, a run that
 * diverges stops and loses nothing. */
#include "suite.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char        work[64];

static ssa_context *open_device(void) {
    ssa_error    err = {0};
    ssa_context *ctx;
    bool         validate = getenv("SSA_TEST_VALIDATE") != NULL;
    ck_assert_msg(!ssa_open(test_device("cpu"), &(ssa_open_options){.validate = validate}, &ctx, &err), "%s", err.text);
    return ctx;
}

static void close_device(ssa_context *ctx) {
    int messages = ssa_context_validation_messages(ctx);
    ssa_close(ctx);
    ck_assert_msg(!messages, "%d validation messages", messages);
}

static void setup(void) {
    snprintf(work, sizeof work, "/tmp/ssa_train_XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(work));
    char path[128];
    snprintf(path, sizeof path, "%s/text", work);
    FILE *f = fopen(path, "w");
    for (int i = 0; i < 400; i++) fprintf(f, "%d times %d makes %d, so it is written.\n", i % 37, i % 23, i % 37 * (i % 23));
    fclose(f);
}

static void teardown(void) {
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", work);
    ck_assert_int_eq(system(command), 0);
}

/* A model of golden size: 2 layers, 2 KV heads with groups of 2, T not a multiple of the block. */
static ssa_train_options small(const char *run) {
    ssa_train_options o;
    ck_assert(!ssa_train_preset("quickstart", &o, NULL));
    o.model.n_layers = 2;
    o.model.hidden_size = 48;
    o.model.intermediate_size = 80;
    o.model.n_heads = 4;
    o.model.n_kv_heads = 2;
    o.model.head_dim = 16;
    o.model.block_size = 8;
    o.model.top_k = 3;
    o.seq = 60;
    o.batch = 2;
    o.steps = 6;
    o.warmup = 2;
    o.eval_every = 0;
    o.eval_rows = 3;
    o.save_every = 0;
    snprintf(o.data, sizeof o.data, "%s/text", work);
    snprintf(o.out, sizeof o.out, "%s/%s", work, run);
    return o;
}

static ssa_train_result train(const ssa_train_options *o, const char *checkpoint) {
    ssa_error        err = {0};
    ssa_train_result r;
    ssa_context     *ctx = open_device();
    ck_assert_msg(!ssa_train(ctx, o, checkpoint, NULL, NULL, &r, &err), "%s", err.text);
    close_device(ctx);
    return r;
}

static bool same_file(const char *a, const char *b, const char *name) {
    char command[4 * SSA_PATH_CAPACITY];
    snprintf(command, sizeof command, "cmp -s %s/%s %s/%s", a, name, b, name);
    return system(command) == 0;
}

static void assert_same(const char *a, const char *b) {
    const char *const names[] = {"config.json", "model.safetensors", "optimizer.safetensors"};
    for (int i = 0; i < 3; i++) ck_assert_msg(same_file(a, b, names[i]), "%s differs between %s and %s", names[i], a, b);
}

START_TEST(resume_is_exact) {
    ssa_train_options straight = small("straight"), again = small("again"), half = small("half"), other = small("other");
    half.stop_at = 3;
    other.seed = 43;
    ssa_train_result a = train(&straight, NULL), b = train(&again, NULL), c = train(&half, NULL), d = train(&other, NULL);
    ck_assert(!a.stopped && c.stopped);
    assert_same(a.checkpoint, b.checkpoint);
    ck_assert(!same_file(a.checkpoint, d.checkpoint, "model.safetensors"));
    char              checkpoint[SSA_PATH_CAPACITY + 32];
    ssa_train_options resumed;
    ssa_error         err = {0};
    ck_assert_msg(!ssa_train_resume(half.out, &resumed, checkpoint, sizeof checkpoint, &err), "%s", err.text);
    ck_assert_str_eq(checkpoint, c.checkpoint);
    ssa_train_result e = train(&resumed, checkpoint);
    assert_same(a.checkpoint, e.checkpoint);
    ck_assert(a.val_full == e.val_full && a.val_sparse == e.val_sparse);
}
END_TEST

START_TEST(resume_is_exact_bf16) {
    ssa_train_options straight = small("straight"), half = small("half");
    straight.dtype = half.dtype = SSA_BF16;
    straight.steps = half.steps = 4;
    straight.accum = half.accum = 2;
    half.stop_at = 2;
    ssa_train_result a = train(&straight, NULL), c = train(&half, NULL);
    half.stop_at = 0;
    ssa_train_result e = train(&half, c.checkpoint);
    assert_same(a.checkpoint, e.checkpoint);
}
END_TEST

START_TEST(recompute_changes_nothing) {
    ssa_train_options a = small("kept"), b = small("recomputed");
    a.steps = b.steps = 3;
    b.recompute = true;
    ssa_train_result ra = train(&a, NULL), rb = train(&b, NULL);
    assert_same(ra.checkpoint, rb.checkpoint);
}
END_TEST

/* Gradients of one step, in one batch of four rows or in micro-batches. */
static float *gradients(int64_t batch, int accum, ssa_losses *losses, int64_t *n) {
    ssa_train_options o = small("none");
    ssa_context      *ctx = open_device();
    ssa_model        *m;
    ssa_model_options mo = {.batch = batch, .seq = o.seq, .training = true, .accum = accum, .beta1 = 0.9f, .beta2 = 0.95f, .eps = 1e-8f};
    int32_t           x[240], y[240];
    o.model.vocab_size = 256;
    o.model.initializer_range = 0.3f; /* sharp enough for the alignment loss to matter */
    for (int i = 0; i < 240; i++) {
        x[i] = (i * 37 + i * i) % 256;
        y[i] = (i * 11 + 5) % 256;
    }
    ck_assert_msg(!ssa_model_create(ctx, &o.model, &mo, &m), "%s", ssa_context_error(ctx)->text);
    ck_assert(!ssa_model_init(m, 1));
    for (int a = 0; a < accum; a++) {
        ck_assert(!ssa_model_set_batch(m, x + a * batch * o.seq, y + a * batch * o.seq));
        ck_assert(!ssa_model_train(m, SSA_MAIN_SPARSE, a > 0));
    }
    ck_assert_msg(!ssa_model_losses(m, losses), "%s", ssa_context_error(ctx)->text);
    *n = 0;
    float *g = malloc((size_t)ssa_model_param_elements(m) * sizeof *g);
    for (int i = 0; i < ssa_model_param_count(m); i++) {
        ssa_tensor t = ssa_model_param_tensor(m, i, SSA_PARAM_GRAD);
        ck_assert(!ssa_read(ctx, t, g + *n));
        *n += ssa_numel(&t);
    }
    ssa_model_free(m);
    close_device(ctx);
    return g;
}

START_TEST(accumulation_keeps_alpha) {
    ssa_losses one, four;
    int64_t    n, n4;
    float     *a = gradients(4, 1, &one, &n), *b = gradients(1, 4, &four, &n4);
    double     difference = 0, square = 0;
    ck_assert_int_eq(n, n4);
    for (int64_t i = 0; i < n; i++) {
        difference += pow((double)a[i] - (double)b[i], 2);
        square += pow((double)a[i], 2);
    }
    free(a);
    free(b);
    ck_assert_msg(one.align > 1e-3f, "alignment loss %g", (double)one.align);
    ck_assert_double_lt(fabs((double)one.ce / (double)four.ce - 1), 1e-5);
    ck_assert_double_lt(fabs((double)one.align / (double)four.align - 1), 1e-5);
    ck_assert_double_lt(difference / square, 1e-10);
}
END_TEST

START_TEST(keeps_checkpoints) {
    ssa_train_options o = small("kept");
    char              path[SSA_PATH_CAPACITY + 64];
    o.save_every = 1;
    o.steps = 4;
    o.keep = 2;
    train(&o, NULL);
    for (int step = 1; step <= 4; step++) {
        snprintf(path, sizeof path, "%s/step-%06d/trainer.json", o.out, step);
        ck_assert_int_eq(access(path, R_OK) == 0, step > 2);
    }
    /* A second run into the same folder is refused and leaves it alone. */
    ssa_error        err = {0};
    ssa_train_result r;
    ssa_context     *ctx = open_device();
    ck_assert_int_eq(ssa_train(ctx, &o, NULL, NULL, NULL, &r, &err), SSA_ERR_INPUT);
    ck_assert_ptr_nonnull(strstr(err.text, "already holds a run"));
    close_device(ctx);
    ck_assert_int_eq(access(path, R_OK), 0);
}
END_TEST

START_TEST(stops_where_not_finite) {
    ssa_train_options o = small("diverged");
    ssa_error         err = {0};
    ssa_train_result  r;
    char              path[SSA_PATH_CAPACITY + 64];
    o.lr = 900;
    o.min_lr = 0;
    o.warmup = 0;
    o.clip = 0;
    o.steps = 200;
    o.save_every = 1;
    o.keep = 1;
    o.model.alpha = 1e6f;
    ssa_context *ctx = open_device();
    ssa_status   s = ssa_train(ctx, &o, NULL, NULL, NULL, &r, &err);
    close_device(ctx);
    ck_assert_int_eq(s, SSA_ERR_RUNTIME);
    ck_assert_msg(strstr(err.text, "not finite") && strstr(err.text, r.checkpoint), "%s", err.text);
    snprintf(path, sizeof path, "! grep -qiE 'nan|inf|null' %s/log.jsonl", o.out);
    ck_assert_int_eq(system(path), 0);
    snprintf(path, sizeof path, "%s/model.safetensors", r.checkpoint);
    ssa_safetensors *st;
    ck_assert(!ssa_safetensors_open(path, &st, NULL));
    for (int i = 0; i < ssa_safetensors_count(st); i++) {
        const ssa_file_tensor *t = ssa_safetensors_at(st, i);
        ck_assert_int_eq(ssa_safetensors_load(st, t, NULL), SSA_OK);
        for (int64_t e = 0; e < t->elements; e++) ck_assert(isfinite(((const float *)t->data)[e]));
    }
    ssa_safetensors_close(st);
}
END_TEST

/* A checkpoint moves: training begun on the lane's device goes on on the CPU and the other way round, and the evaluation
 * losses agree with a run that stayed on the CPU. */
START_TEST(moves_between_devices) {
    ssa_train_options stay = small("stay"), leave = small("leave"), come = small("come");
    char              name[64];
    snprintf(name, sizeof name, "%s", test_device("cpu"));
    leave.stop_at = come.stop_at = 3;
    setenv("SSA_TEST_DEVICE", "cpu", 1);
    ssa_train_result a = train(&stay, NULL), c = train(&come, NULL);
    setenv("SSA_TEST_DEVICE", name, 1);
    come.stop_at = 0;
    ssa_train_result b = train(&leave, NULL), d = train(&come, c.checkpoint);
    setenv("SSA_TEST_DEVICE", "cpu", 1);
    leave.stop_at = 0;
    ssa_train_result e = train(&leave, b.checkpoint);
    setenv("SSA_TEST_DEVICE", name, 1);
    ck_assert_double_lt(fabs(d.val_full / a.val_full - 1), 1e-4);
    ck_assert_double_lt(fabs(d.val_sparse / a.val_sparse - 1), 1e-4);
    ck_assert_double_lt(fabs(e.val_full / a.val_full - 1), 1e-4);
    ck_assert_double_lt(fabs(e.val_sparse / a.val_sparse - 1), 1e-4);
}
END_TEST

/* Single-stream training (alpha 0), untied embeddings, per-head selection, dot score, L2, ungated: each trains and learns. */
START_TEST(switches) {
    for (int i = 0; i < 5; i++) {
        char name[16];
        snprintf(name, sizeof name, "switch%d", i);
        ssa_train_options o = small(name);
        o.steps = 3, o.lr = o.min_lr = 0;
        if (i == 0) o.model.alpha = 0;
        if (i == 1) o.model.tie_word_embeddings = false;
        if (i == 2) o.model.share_per_head = true, o.model.score = SSA_SCORE_DOT;
        if (i == 3) o.model.loss = SSA_LOSS_L2, o.model.align_gated = false;
        if (i == 4) o.model.select = SSA_SELECT_COMPAT, o.model.block_size = 4, o.model.top_k = 4;
        ssa_train_result before = train(&o, NULL); /* the same model and rows; a learning rate of 0 changes nothing */
        snprintf(o.out, sizeof o.out, "%s/learnt%d", work, i);
        o.steps = 8, o.lr = 4e-3;
        ssa_train_result r = train(&o, NULL);
        ck_assert_msg(r.val_full < before.val_full - 0.9 && r.val_sparse < before.val_sparse - 0.9, "switch %d: %g %g, at first %g %g", i, r.val_full,
                      r.val_sparse, before.val_full, before.val_sparse);
    }
}
END_TEST

/* Weights from a checkpoint with another length and rotary scaling; and inference from it in every dtype. */
START_TEST(init_from) {
    ssa_train_options o = small("first");
    ssa_train_result  a = train(&o, NULL);
    ssa_train_options p = small("second");
    snprintf(p.init_from, sizeof p.init_from, "%.1000s", a.checkpoint);
    p.seq = 90;
    p.model.rope_factor = 4;
    p.model.rope_low_freq_factor = 1;
    p.model.rope_high_freq_factor = 4;
    p.model.rope_original_length = 60;
    p.steps = 2;
    p.lr = p.min_lr = 0;
    ssa_train_result b = train(&p, NULL);
    ck_assert(same_file(a.checkpoint, b.checkpoint, "model.safetensors"));
    ck_assert(!same_file(a.checkpoint, b.checkpoint, "config.json"));
    ssa_model_config c;
    ck_assert(!ssa_config_read(b.checkpoint, &c, NULL));
    ck_assert(c.rope_factor == 4 && c.rope_original_length == 60);

    ssa_context *ctx = open_device();
    int32_t      x[60], y[60];
    double       ce[3];
    for (int i = 0; i < 60; i++) x[i] = 'a' + i % 20, y[i] = 'a' + (i + 1) % 20;
    for (int d = 0; d < 3; d++) {
        ssa_model *m;
        ck_assert_msg(!ssa_model_open(ctx, a.checkpoint, 1, 60, (ssa_dtype)d, 0, false, &m), "%s", ssa_context_error(ctx)->text);
        ck_assert(!ssa_model_set_batch(m, x, y));
        ck_assert(!ssa_model_eval(m, SSA_MAIN_SPARSE, &ce[d]));
        ssa_model_free(m);
    }
    ck_assert_double_lt(fabs(ce[1] / ce[0] - 1), 2e-2);
    ck_assert_double_lt(fabs(ce[2] / ce[0] - 1), 2e-3);
    ck_assert_uint_eq(ssa_context_allocated(ctx), 0);
    close_device(ctx);
}
END_TEST

START_TEST(plan_matches_allocation) {
    ssa_train_options o = small("none");
    ssa_context      *ctx = open_device();
    ssa_model        *m;
    ssa_model_plan    plan;
    ssa_model_options mo = {.batch = 2, .seq = 60, .training = true};
    o.model.vocab_size = 256;
    ck_assert_msg(!ssa_model_make_plan(ctx, &o.model, &mo, &plan), "%s", ssa_context_error(ctx)->text);
    ck_assert_uint_eq(ssa_context_allocated(ctx), 0);
    ck_assert(!ssa_model_create(ctx, &o.model, &mo, &m));
    uint64_t planned = plan.total - plan.scratch, have = ssa_context_allocated(ctx);
    ck_assert_msg(have <= planned && planned <= have + 256 * 200, "planned %llu, allocated %llu", (unsigned long long)planned, (unsigned long long)have);
    ck_assert_int_ge(plan.largest_batch, 2);
    ck_assert(plan.flops_step > 1e6 && plan.parameters == ssa_model_param_elements(m));
    ssa_model_free(m);
    close_device(ctx);
}
END_TEST

int main(void) {
    if (!test_available(test_device("cpu"))) return TEST_SKIPPED;
    Suite *suite = suite_create("train");
    TCase *t = tcase_create("train");
    tcase_set_timeout(t, 600);
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, resume_is_exact);
    tcase_add_test(t, resume_is_exact_bf16);
    tcase_add_test(t, recompute_changes_nothing);
    tcase_add_test(t, accumulation_keeps_alpha);
    tcase_add_test(t, keeps_checkpoints);
    tcase_add_test(t, stops_where_not_finite);
    if (strcmp(test_device("cpu"), "cpu")) tcase_add_test(t, moves_between_devices);
    tcase_add_test(t, switches);
    tcase_add_test(t, init_from);
    tcase_add_test(t, plan_matches_allocation);
    suite_add_tcase(suite, t);
    return run_suite(suite);
}
