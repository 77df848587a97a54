/* Choosing by measurement (host/tune/), on a device that computes matrix products on the host and takes the time it is told to: which
 * candidate wins, what a wrong one, a failing one and one that kills the process come to, what is remembered and for whom, and that
 * nothing is measured while recording. */
#include "backend.h"
#include "device.h"
#include "suite.h"
#include "variants.h"
#include <string.h>

struct dev_buffer { uint64_t bytes; float *data; };
struct dev_kernel { char name[32]; uint32_t tile, trans_a, trans_b; };

/* What the device does with each candidate. */
typedef enum { RIGHT, WRONG, FAILS, DIES } behaviour;
typedef struct fake {
    device     base;
    dev_kernel kernel[64];
    int        kernels, runs, timed;
    bool       recording_allowed;
    behaviour  tile128, tile64, portable, library;
    double     seconds[4]; /* of tile128, tile64, portable, the library */
    bool       has_library;
    int        library_runs;
} fake;

static ssa_status fake_alloc(device *dev, uint64_t bytes, dev_buffer **out, ssa_error *err) {
    (void)dev, (void)err;
    *out = malloc(sizeof **out);
    **out = (dev_buffer){bytes, malloc(bytes + 4)};
    return SSA_OK;
}

static void fake_free(device *dev, dev_buffer *b) {
    (void)dev;
    if (b) free(b->data);
    free(b);
}

static ssa_status fake_write(device *dev, dev_buffer *b, uint64_t offset, uint64_t bytes, const void *host, ssa_error *err) {
    (void)dev, (void)err;
    memcpy((char *)b->data + offset, host, bytes);
    return SSA_OK;
}

static ssa_status fake_read(device *dev, dev_buffer *b, uint64_t offset, uint64_t bytes, void *host, ssa_error *err) {
    (void)dev, (void)err;
    memcpy(host, (char *)b->data + offset, bytes);
    return SSA_OK;
}

static uint32_t constant(const dev_kernel_desc *d, const char *name) {
    for (int i = 0; i < d->constant_count; i++)
        if (!strcmp(d->constants[i].name, name)) return d->constants[i].value;
    return 0;
}

static behaviour of_tile(const fake *f, uint32_t tile) { return tile == 128 ? f->tile128 : tile == 64 ? f->tile64 : f->portable; }

static ssa_status fake_kernel(device *dev, const dev_kernel_desc *desc, dev_kernel **out, ssa_error *err) {
    fake       *f = (fake *)dev;
    dev_kernel *k = &f->kernel[f->kernels++ % 64];
    *k = (dev_kernel){.tile = constant(desc, "TILE"), .trans_a = constant(desc, "TRANS_A"), .trans_b = constant(desc, "TRANS_B")};
    snprintf(k->name, sizeof k->name, "%s", desc->name);
    if (!strcmp(k->name, "matmul") && of_tile(f, k->tile) == FAILS) return ssa_fail(err, SSA_ERR_UNSUPPORTED, "the compiler refuses a tile of %u", k->tile);
    if (!strcmp(k->name, "matmul") && of_tile(f, k->tile) == DIES) _exit(42); /* as a compiler that crashes */
    *out = k;
    return SSA_OK;
}

static void multiply(float *c, const float *a, const float *b, size_t M, size_t N, size_t K, bool ta, bool tb, bool add, float error) {
    for (size_t m = 0; m < M; m++)
        for (size_t n = 0; n < N; n++) {
            double sum = add ? (double)c[m * N + n] : 0;
            for (size_t k = 0; k < K; k++) sum += (double)(ta ? a[k * M + m] : a[m * K + k]) * (double)(tb ? b[n * K + k] : b[k * N + n]);
            c[m * N + n] = (float)sum + error;
        }
}

static float *at(const dev_binding *b) { return b->buffer->data + b->offset / 4; }

static ssa_status fake_run(device *dev, const dev_launch *launches, int count, ssa_error *err) {
    fake *f = (fake *)dev;
    (void)err;
    for (int i = 0; i < count; i++) {
        const dev_launch *la = &launches[i];
        const uint32_t   *p = la->param;
        f->runs++;
        if (!la->kernel) {
            f->library_runs++;
            multiply(at(&la->bind[2]), at(&la->bind[0]), at(&la->bind[1]), la->gemm.M, la->gemm.N, la->gemm.K, la->gemm.trans_a, la->gemm.trans_b,
                     la->gemm.accumulate, f->library == WRONG && la->gemm.N == 96 ? 0.5f : 0);
        } else if (!strcmp(la->kernel->name, "matmul")) {
            ck_assert_uint_eq(p[9], 1); /* K is not split at these sizes */
            multiply(at(&la->bind[2]), at(&la->bind[0]), at(&la->bind[1]), p[0], p[1], p[2], la->kernel->trans_a, la->kernel->trans_b, p[11],
                     of_tile(f, la->kernel->tile) == WRONG ? 0.5f : 0);
        }
    }
    return SSA_OK;
}

static ssa_status fake_time(device *dev, const dev_launch *launches, int count, double *seconds, ssa_error *err) {
    fake *f = (fake *)dev;
    (void)count, (void)err;
    f->timed++;
    *seconds = f->seconds[!launches->kernel ? 3 : launches->kernel->tile == 128 ? 0 : launches->kernel->tile == 64 ? 1 : 2];
    return SSA_OK;
}

static ssa_status fake_record(device *dev, const dev_launch *launches, int count, dev_recorded **out, ssa_error *err) {
    (void)dev, (void)launches, (void)count, (void)err;
    *out = NULL;
    return SSA_OK;
}

static void       fake_recorded_free(device *dev, dev_recorded *r) { (void)dev, (void)r; }
static ssa_status fake_wait(device *dev, ssa_error *err) { (void)dev, (void)err; return SSA_OK; }
static void       fake_destroy(device *dev) { (void)dev; }
static bool fake_gemm_can(device *dev, const dev_gemm *g, uint64_t *workspace) {
    (void)g;
    *workspace = 0;
    return ((fake *)dev)->has_library;
}

static const device_vtable faking = {.alloc = fake_alloc, .free = fake_free, .write = fake_write, .read = fake_read, .kernel = fake_kernel, .run = fake_run,
                                     .record = fake_record, .recorded_free = fake_recorded_free, .wait = fake_wait, .time = fake_time,
                                     .gemm_can = fake_gemm_can, .destroy = fake_destroy};

static fake         dev;
static ssa_context *ctx;
static char         folder[] = "/tmp/ssa_tune_XXXXXX";

static void start(ssa_tune_mode mode) {
    ssa_backend *be;
    ssa_error    err = {0};
    dev.base = (device){.vt = &faking, .info = {.api = "opencl", .name = "fake", .driver = "1", .type = DEV_DISCRETE},
                        .limits = {.max_range = 1 << 30, .max_buffer = 1 << 30, .heap = 1 << 30, .max_groups = {65535, 65535, 65535},
                                   .max_invocations = 256, .shared_bytes = 16384, .push_bytes = 128, .max_bindings = 8, .storage16 = true}};
    ck_assert_msg(!gpu_backend_create(&dev.base, mode, &be, &err), "%s", err.text);
    ck_assert(!ssa_context_create(be, &ctx, &err));
}

static void stop(void) {
    ssa_close(ctx);
    ctx = NULL;
}

static void setup(void) {
    ck_assert_ptr_nonnull(mkdtemp(folder));
    setenv("SSA_CACHE_DIR", folder, 1);
    dev = (fake){.seconds = {3, 1, 2, 4}};
}

static void teardown(void) {
    char command[100];
    if (ctx) stop();
    snprintf(command, sizeof command, "rm -rf %s", folder);
    ck_assert_int_eq(system(command), 0);
    strcpy(folder + strlen(folder) - 6, "XXXXXX");
}

/* Shows and ends the preparation of one product [M,K] x [K,N]. */
static ssa_status prepare(int64_t M, int64_t N, int64_t K) {
    ssa_tensor a, b, c;
    ck_assert(!ssa_tensor_new(ctx, SSA_F32, &a, M, K) && !ssa_tensor_new(ctx, SSA_F32, &b, K, N) && !ssa_tensor_new(ctx, SSA_F32, &c, M, N));
    ck_assert(!ssa_prepare_begin(ctx));
    ck_assert(!SSA_CALL(ctx, SSA_MATMUL, SSA_T(a, b, c), .value = 0));
    ssa_status s = ssa_prepare_end(ctx);
    ssa_tensor_free(ctx, &a), ssa_tensor_free(ctx, &b), ssa_tensor_free(ctx, &c);
    return s;
}

static void take_line(void *user, const char *text) { snprintf(user, 300, "%s%s;", strlen(user) < 150 ? (char *)user : "", text); }

static const char *choices(void) {
    static char text[300];
    text[0] = 0;
    ck_assert(!ssa_choices_get(ctx, take_line, text));
    return text;
}

START_TEST(the_fastest_right_one) {
    start(SSA_TUNE_SEARCH);
    ck_assert(!prepare(40, 72, 33));
    ck_assert_str_eq(choices(), "matmul nn f32 f32 G1 K64 M64 N128 = tile64 (1e+03 ms against 2e+03);");
    int timed = dev.timed;
    ck_assert_int_eq(timed, 3);
    ck_assert(!prepare(64, 100, 60)); /* of the same class */
    ck_assert_int_eq(dev.timed, timed);
    ck_assert(!prepare(64, 200, 60));
    ck_assert_int_gt(dev.timed, timed);
}
END_TEST

START_TEST(a_wrong_one_has_no_time) {
    dev.tile64 = WRONG;
    start(SSA_TUNE_SEARCH);
    ck_assert(!prepare(40, 72, 33));
    ck_assert_str_eq(choices(), "matmul nn f32 f32 G1 K64 M64 N128 = portable (2e+03 ms against 3e+03);");
    ck_assert_int_eq(dev.timed, 2);
}
END_TEST

START_TEST(one_that_does_not_compile_is_passed_over) {
    dev.tile64 = FAILS;
    start(SSA_TUNE_SEARCH);
    ck_assert(!prepare(40, 72, 33));
    ck_assert_ptr_nonnull(strstr(choices(), " = portable "));
    ck_assert_str_eq(ssa_context_error(ctx)->text, ""); /* a candidate's failure is not the context's */
}
END_TEST

/* The process dies of a candidate; the next one passes it over, and says so by its choice. */
START_TEST(one_that_kills_the_process_is_tried_once) {
    dev.tile64 = DIES;
    for (int i = 0; i < 2; i++) {
        pid_t child = fork();
        int   status;
        if (!child) {
            start(SSA_TUNE_SEARCH);
            prepare(40, 72, 33);
            _exit(strstr(choices(), " = portable ") ? 7 : 8);
        }
        ck_assert(waitpid(child, &status, 0) == child && WIFEXITED(status));
        ck_assert_int_eq(WEXITSTATUS(status), i ? 7 : 42);
    }
}
END_TEST

START_TEST(remembered_on_disk) {
    start(SSA_TUNE_SEARCH);
    ck_assert(!prepare(40, 72, 33));
    stop();
    dev.timed = 0;
    dev.seconds[1] = 9; /* would lose now */
    start(SSA_TUNE_USE);
    ck_assert(!prepare(40, 72, 33));
    ck_assert_ptr_nonnull(strstr(choices(), " = tile64"));
    ck_assert_int_eq(dev.timed, 0);
    stop();
    start(SSA_TUNE_OFF);
    ck_assert(!prepare(40, 72, 33));
    ck_assert_str_eq(choices(), "");
    ck_assert_int_eq(dev.runs > 0 && dev.timed == 0, 1);
}
END_TEST

START_TEST(another_driver_starts_anew) {
    ssa_backend *be;
    ssa_error    err = {0};
    start(SSA_TUNE_SEARCH);
    ck_assert(!prepare(40, 72, 33));
    stop();
    start(SSA_TUNE_OFF);
    stop();
    snprintf(dev.base.info.driver, sizeof dev.base.info.driver, "2");
    ck_assert(!gpu_backend_create(&dev.base, SSA_TUNE_USE, &be, &err));
    ck_assert(!ssa_context_create(be, &ctx, &err));
    ck_assert_str_eq(choices(), "");
}
END_TEST

START_TEST(recorded_choices_stand) {
    start(SSA_TUNE_SEARCH);
    ck_assert(!ssa_choices_set(ctx, "matmul nn f32 f32 G1 K64 M64 N128 = tile128 (1 ms against 2)"));
    ck_assert(!prepare(40, 72, 33));
    ck_assert_int_eq(dev.timed, 0);
    ck_assert_ptr_nonnull(strstr(choices(), " = tile128"));
    ck_assert_int_eq(ssa_choices_set(ctx, "gemm nonsense"), SSA_ERR_INPUT);
    ck_assert_ptr_nonnull(strstr(ssa_context_error(ctx)->text, "gemm nonsense"));
}
END_TEST

START_TEST(a_library_is_checked_for_every_shape) {
    dev.has_library = true;
    dev.seconds[3] = 0.5;
    dev.library = WRONG; /* for N = 96 alone, which is of the class of 72 */
    start(SSA_TUNE_SEARCH);
    ck_assert(!prepare(40, 72, 33));
    ck_assert_ptr_nonnull(strstr(choices(), " = clblast (500 ms against 1e+03)"));
    ck_assert(!prepare(40, 96, 33));
    for (int i = 0; i < 2; i++) {
        int64_t    N = i ? 96 : 72;
        ssa_tensor a, b, c;
        ck_assert(!ssa_tensor_new(ctx, SSA_F32, &a, 40, 33) && !ssa_tensor_new(ctx, SSA_F32, &b, 33, N) && !ssa_tensor_new(ctx, SSA_F32, &c, 40, N));
        dev.library_runs = 0;
        ck_assert(!SSA_CALL(ctx, SSA_MATMUL, SSA_T(a, b, c), .value = 0));
        ck_assert_int_eq(dev.library_runs, !i);
    }
}
END_TEST

START_TEST(never_while_recording) {
    ssa_tensor   a, b, c;
    ssa_program *program;
    start(SSA_TUNE_SEARCH);
    ck_assert(!ssa_tensor_new(ctx, SSA_F32, &a, 40, 33) && !ssa_tensor_new(ctx, SSA_F32, &b, 33, 72) && !ssa_tensor_new(ctx, SSA_F32, &c, 40, 72));
    ck_assert(!ssa_record_begin(ctx));
    ck_assert_int_eq(ssa_prepare_begin(ctx), SSA_ERR_INPUT);
    ck_assert(!SSA_CALL(ctx, SSA_MATMUL, SSA_T(a, b, c), .value = 0));
    ck_assert(!ssa_record_end(ctx, &program));
    ck_assert_int_eq(dev.runs + dev.timed, 0);
    ssa_program_free(ctx, program);
}
END_TEST

START_TEST(forced) {
    char             why[128];
    ssa_error        err = {0};
    const dev_limits small = {.max_invocations = 128, .shared_bytes = 16384};
    ck_assert(!variants_check("matmul=tile64,sum=portable", &small, &err));
    ck_assert_int_eq(variants_check("matmul=tile128", &small, &err), SSA_ERR_UNSUPPORTED);
    ck_assert_str_eq(err.text, "variant tile128 of kernel matmul needs 256 invocations, the device has 128");
    err = (ssa_error){0};
    ck_assert_int_eq(variants_check("matmul=tile7", &small, &err), SSA_ERR_INPUT);
    err = (ssa_error){0};
    ck_assert_int_eq(variants_check("matmul", &small, &err), SSA_ERR_INPUT);
    for (int i = 0; variant_at(i); i++) /* every kernel has a portable line, its last */
        ck_assert_msg(variant_named(variant_at(i)->kernel, "portable") &&
                          (!variant_at(i + 1) || !strcmp(variant_at(i + 1)->kernel, variant_at(i)->kernel) || !strcmp(variant_at(i)->name, "portable")),
                      "%s", variant_at(i)->kernel);
    const dev_limits portable = {.max_invocations = 256, .shared_bytes = 16384};
    for (int i = 0; variant_at(i); i++)
        if (!strcmp(variant_at(i)->name, "portable")) ck_assert_msg(variant_runs(variant_at(i), &portable, why, sizeof why), "%s %s", variant_at(i)->kernel, why);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("tune");
    TCase *t = tcase_create("tune");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, the_fastest_right_one);
    tcase_add_test(t, a_wrong_one_has_no_time);
    tcase_add_test(t, one_that_does_not_compile_is_passed_over);
    tcase_add_test(t, one_that_kills_the_process_is_tried_once);
    tcase_add_test(t, remembered_on_disk);
    tcase_add_test(t, another_driver_starts_anew);
    tcase_add_test(t, recorded_choices_stand);
    tcase_add_test(t, a_library_is_checked_for_every_shape);
    tcase_add_test(t, never_while_recording);
    tcase_add_test(t, forced);
    suite_add_tcase(suite, t);
    return run_suite(suite);
}
