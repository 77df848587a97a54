/* A device that fails at every place in turn (host/fault.c) under a short training run: a sentence, the right status, no crash,
 * nothing left allocated, no half-written checkpoint, and the last checkpoint is whole. A device that is wrong in one operation is
 * found by the shadow check, by name. */
#include "suite.h"
#include "backend.h"
#include "device.h"
#include "ssa/ssa.h"
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char work[64];

static ssa_status open_bare(device **dev, ssa_error *err) {
    return !strncmp(test_device("vulkan"), "opencl", 6) ? opencl_open(0, NULL, dev, err) : vulkan_open(0, NULL, dev, err);
}

/* A context on a device whose plan the test changes as it goes: opened once, so that kernels are compiled once. */
static ssa_context *open_faulty(device **dev, bool check) {
    ssa_error    err = {0};
    ssa_backend *be;
    ssa_context *ctx;
    ck_assert_msg(!open_bare(dev, &err), "%s", err.text);
    ck_assert(!fault_wrap(*dev, NULL, &err));
    ck_assert_msg(!gpu_backend_create(*dev, SSA_TUNE_OFF, &be, &err), "%s", err.text);
    if (check) ck_assert_msg(!ssa_shadow_wrap(be, &be, &err), "%s", err.text);
    ck_assert_msg(!ssa_context_create(be, &ctx, &err), "%s", err.text);
    return ctx;
}

static void setup(void) {
    char path[128];
    snprintf(work, sizeof work, "/tmp/ssa_fault_XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(work));
    snprintf(path, sizeof path, "%s/text", work);
    FILE *f = fopen(path, "w");
    for (int i = 0; i < 40; i++) fprintf(f, "%d times %d makes %d, so it is written.\n", i % 37, i % 23, i % 37 * (i % 23));
    fclose(f);
}

static void shell(const char *format) {
    char command[256];
    snprintf(command, sizeof command, format, work);
    ck_assert_int_eq(system(command), 0);
}

static void teardown(void) { shell("rm -rf %s"); }

static ssa_train_options tiny(void) {
    ssa_train_options o;
    ck_assert(!ssa_train_preset("quickstart", &o, NULL));
    o.model.n_layers = 1;
    o.model.hidden_size = 16;
    o.model.intermediate_size = 24;
    o.model.n_heads = 2;
    o.model.n_kv_heads = 1;
    o.model.head_dim = 8;
    o.model.block_size = 4;
    o.model.top_k = 2;
    o.model.p_full = 0; /* alpha > 0: both streams run all the same */
    o.seq = 18;
    o.batch = 1;
    o.steps = 2;
    o.warmup = 1;
    o.eval_every = 0;
    o.eval_rows = 1;
    o.save_every = 1;
    snprintf(o.data, sizeof o.data, "%s/text", work);
    snprintf(o.out, sizeof o.out, "%s/run", work);
    return o;
}

static void assert_sentence(const char *plan, ssa_status s, const ssa_error *err) {
    size_t n = strlen(err->text);
    bool   sentence = n > 10 && n + 1 < sizeof err->text && !strchr(err->text, 10);
    ck_assert_msg(s == err->status && sentence, "%s: status %d, \"%s\"", plan, (int)s, err->text);
}

/* What the run left: the checkpoint it reported is there and opens, and nothing is half written. */
static void assert_checkpoint(const char *plan, const ssa_train_options *o, const ssa_train_result *r) {
    ssa_train_options of_run;
    ssa_safetensors  *st;
    ssa_model_config  config;
    ssa_error         err = {0};
    char              path[SSA_PATH_CAPACITY + 64], checkpoint[SSA_PATH_CAPACITY + 32];
    shell("test -z \"$(ls -A %s/run 2>/dev/null | grep tmp)\"");
    ssa_status s = ssa_train_resume(o->out, &of_run, checkpoint, sizeof checkpoint, &err);
    if (!r->checkpoint[0]) {
        ck_assert_msg(s == SSA_ERR_INPUT, "%s: a checkpoint that the run did not report: %s", plan, checkpoint);
        return;
    }
    ck_assert_msg(!s && !strcmp(checkpoint, r->checkpoint), "%s: %s, reported %s; %s", plan, checkpoint, r->checkpoint, err.text);
    const char *const files[] = {"model.safetensors", "optimizer.safetensors"};
    for (int i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "%s/%s", checkpoint, files[i]);
        ck_assert_msg(!ssa_safetensors_open(path, &st, &err), "%s: %s", plan, err.text);
        ck_assert_int_gt(ssa_safetensors_count(st), 5);
        ssa_safetensors_close(st);
    }
    ck_assert_msg(!ssa_config_read(checkpoint, &config, &err), "%s: %s", plan, err.text);
}

static ssa_status train_with(ssa_context *ctx, device *dev, const char *plan, ssa_train_result *r, ssa_error *err) {
    ssa_train_options o = tiny();
    memset(err, 0, sizeof *err);
    ssa_error_clear(ssa_context_error(ctx));
    shell("rm -rf %s/run");
    ck_assert(!fault_plan(dev, plan, err));
    ssa_status s = ssa_train(ctx, &o, NULL, NULL, NULL, r, err);
    if (s) assert_sentence(plan, s, err);
    assert_checkpoint(plan, &o, r);
    ck_assert_msg(ssa_context_allocated(ctx) == 0, "%s: %llu bytes are left", plan, (unsigned long long)ssa_context_allocated(ctx));
    return s;
}

/* Fails the Nth, for N = 1, 2, ... until there is no Nth and the run succeeds. */
static void every(const char *kind, ssa_status expected, int least) {
    device          *dev;
    ssa_context     *ctx = open_faulty(&dev, false);
    ssa_train_result r;
    ssa_error        err;
    int              n = 1, with_checkpoint = 0;
    for (;; n++) {
        char plan[32];
        snprintf(plan, sizeof plan, "%s=%d", kind, n);
        ssa_status s = train_with(ctx, dev, plan, &r, &err);
        if (!s) break;
        ck_assert_msg(s == expected && strstr(err.text, "SSA_FAULT"), "%s: status %d, %s", plan, (int)s, err.text);
        with_checkpoint += r.checkpoint[0] != 0;
        ck_assert_int_lt(n, 3000);
    }
    printf("%s: %d places, %d of them behind a checkpoint\n", kind, n - 1, with_checkpoint);
    ck_assert_msg(n > least, "%s: only %d places", kind, n - 1);
    ck_assert_int_eq(r.step, 2);
    ssa_close(ctx);
}

START_TEST(allocations) { every("alloc", SSA_ERR_MEMORY, 20); }
END_TEST
START_TEST(writes) { every("write", SSA_ERR_RUNTIME, 20); }
END_TEST
START_TEST(reads) { every("read", SSA_ERR_RUNTIME, 20); }
END_TEST
START_TEST(launches) { every("launch", SSA_ERR_RUNTIME, 4); }
END_TEST
START_TEST(recordings) { every("record", SSA_ERR_RUNTIME, 1); }
END_TEST
START_TEST(compilations) { every("compile", SSA_ERR_RUNTIME, 20); }
END_TEST
START_TEST(losses) { every("lost", SSA_ERR_DEVICE_LOST, 4); }
END_TEST

/* A compiler that does not come back: the run ends with a sentence that names the kernel, and closing works. */
START_TEST(compiler_hangs) {
    device          *dev;
    ssa_train_result r;
    ssa_error        err;
    setenv("SSA_COMPILE_SECONDS", "2", 1);
    ssa_context *ctx = open_faulty(&dev, false);
    ck_assert_int_eq(train_with(ctx, dev, "hang=5", &r, &err), SSA_ERR_DEVICE_LOST);
    ck_assert_msg(strstr(err.text, "did not end on kernel "), "%s", err.text);
    ck_assert_int_eq(train_with(ctx, dev, "", &r, &err), SSA_ERR_DEVICE_LOST);
    ssa_close(ctx);
}
END_TEST

/* Everything fails on a lost device, and closing it works. */
START_TEST(lost_is_sticky) {
    device          *dev;
    ssa_context     *ctx = open_faulty(&dev, false);
    ssa_train_result r;
    ssa_error        err = {0};
    ssa_tensor       t, other;
    float            x[4] = {0};
    ck_assert(!ssa_tensor_new(ctx, SSA_F32, &t, 4));
    ck_assert(!fault_plan(dev, "lost=2", &err));
    ck_assert(!SSA_CALL(ctx, SSA_FILL, SSA_T(t), .value = 1));
    ck_assert_int_eq(SSA_CALL(ctx, SSA_FILL, SSA_T(t), .value = 2), SSA_ERR_DEVICE_LOST);
    ck_assert_str_ne(ssa_context_error(ctx)->text, "");
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(ssa_read(ctx, t, x), SSA_ERR_DEVICE_LOST);
        ck_assert_int_eq(ssa_write(ctx, t, x), SSA_ERR_DEVICE_LOST);
        ck_assert_int_eq(ssa_wait(ctx), SSA_ERR_DEVICE_LOST);
        ck_assert_int_eq(SSA_CALL(ctx, SSA_FILL, SSA_T(t), .value = 3), SSA_ERR_DEVICE_LOST);
        ck_assert_int_eq(ssa_tensor_new(ctx, SSA_F32, &other, 4), SSA_ERR_DEVICE_LOST);
    }
    ssa_tensor_free(ctx, &t);
    ssa_train_options o = tiny();
    ck_assert_int_eq(ssa_train(ctx, &o, NULL, NULL, NULL, &r, &err), SSA_ERR_DEVICE_LOST);
    ssa_close(ctx);
}
END_TEST

/* Each operation of a training run, wrong in one element, is named; a run with nothing wrong passes. */
START_TEST(wrong_is_named) {
    device          *dev;
    ssa_context     *ctx = open_faulty(&dev, true);
    ssa_train_result r;
    ssa_error        err;
    ck_assert_msg(!train_with(ctx, dev, "", &r, &err), "%s", err.text);
    for (int op = 0; op < SSA_OP_COUNT; op++) {
        char plan[48], words[48];
        if (op == SSA_FILL || op == SSA_CAST || op == SSA_GATE_BWD) continue; /* not in an f32 run with alignment */
        snprintf(plan, sizeof plan, "wrong=%s", ssa_op_name(op));
        snprintf(words, sizeof words, "shadow check: %s: ", ssa_op_name(op));
        ssa_status s = train_with(ctx, dev, plan, &r, &err);
        ck_assert_msg(s == SSA_ERR_RUNTIME && !strncmp(err.text, words, strlen(words)), "%s: status %d, %s", plan, (int)s, err.text);
    }
    /* By the name of a kernel, too. */
    ck_assert_int_eq(train_with(ctx, dev, "wrong=attn_sparse_bwd_dkv", &r, &err), SSA_ERR_RUNTIME);
    ck_assert_ptr_nonnull(strstr(err.text, "shadow check: attn_sparse_bwd: dk[0,0,0,0] is "));
    ssa_close(ctx);
}
END_TEST

/* As a user sets it: in the environment. */
START_TEST(environment) {
    ssa_error    err = {0};
    ssa_context *ctx;
    ssa_tensor   t;
    const char  *name = test_device("vulkan");
    setenv("SSA_FAULT", "alloc=two", 1);
    ck_assert_int_eq(ssa_open(name, NULL, &ctx, &err), SSA_ERR_INPUT);
    ck_assert_ptr_nonnull(strstr(err.text, "SSA_FAULT: \"alloc=two\" is not"));
    ssa_error_clear(&err);
    setenv("SSA_FAULT", "wrong=fill,slow_compile=1", 1);
    ck_assert_msg(!ssa_open(name, NULL, &ctx, &err), "%s", err.text);
    ck_assert(!ssa_tensor_new(ctx, SSA_F32, &t, 100));
    ck_assert(!SSA_CALL(ctx, SSA_FILL, SSA_T(t), .value = 3));
    ssa_close(ctx);
    for (int i = 0; i < 2; i++) { /* SSA_CHECK, then the option */
        if (i) unsetenv("SSA_CHECK"); else setenv("SSA_CHECK", "1", 1);
        ck_assert_msg(!ssa_open(name, &(ssa_open_options){.check = i}, &ctx, &err), "%s", err.text);
        ck_assert(!ssa_tensor_new(ctx, SSA_F32, &t, 100));
        ck_assert_int_eq(SSA_CALL(ctx, SSA_FILL, SSA_T(t), .value = 3), SSA_ERR_RUNTIME);
        ck_assert_ptr_nonnull(strstr(ssa_context_error(ctx)->text, "shadow check: fill: y[0] is -6 on "));
        ssa_close(ctx);
    }
    unsetenv("SSA_FAULT");
}
END_TEST

int main(void) {
    if (!test_available(test_device("vulkan"))) return TEST_SKIPPED;
    Suite *suite = suite_create("fault");
    TCase *t = tcase_create("fault");
    tcase_set_timeout(t, 600);
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, allocations);
    tcase_add_test(t, writes);
    tcase_add_test(t, reads);
    tcase_add_test(t, launches);
    tcase_add_test(t, recordings);
    tcase_add_test(t, compilations);
    tcase_add_test(t, losses);
    tcase_add_test(t, compiler_hangs);
    tcase_add_test(t, lost_is_sticky);
    tcase_add_test(t, wrong_is_named);
    tcase_add_test(t, environment);
    suite_add_tcase(suite, t);
    return run_suite(suite);
}
