/* The OpenCL device by itself, against its contract in host/device.h. SSA_TEST_OPENCL picks the device number (0). Ends with
 * 77 (skipped) where there is no OpenCL device. */
#include "suite.h"
#include "device.h"
#include <dirent.h>
#include <dlfcn.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int       number;
static device   *dev;
static ssa_error err;

#define OK(call) ck_assert_msg(!(call), "%s", err.text)

static float noise(uint32_t *state) {
    *state = *state * 1664525u + 1013904223u;
    return (float)(*state >> 8) * (2.0f / 16777216.0f) - 1.0f;
}

static device *open_device(bool profile) {
    device *d = NULL;
    memset(&err, 0, sizeof err);
    OK(opencl_open(number, &(ssa_open_options){.profile = profile}, &d, &err));
    return d;
}

static void setup(void) { dev = open_device(false); }
static void teardown(void) {
    if (dev) dev->vt->destroy(dev);
    dev = NULL;
}

static dev_buffer *buffer_of(const float *data, size_t n) {
    dev_buffer *b = NULL;
    OK(dev->vt->alloc(dev, n * 4, &b, &err));
    if (data) OK(dev->vt->write(dev, b, 0, n * 4, data, &err));
    return b;
}

static dev_binding part_of(dev_buffer *b, size_t first, size_t n, uint32_t access) {
    return (dev_binding){.buffer = b, .offset = first * 4, .bytes = n * 4, .element_bytes = 4, .access = access};
}

/* -- memory ---------------------------------------------------------------------------------------------------------- */

START_TEST(roundtrip) {
    enum { N = 200000, FIRST = 12347, COUNT = 99991 }; /* odd bytes, small and large writes */
    unsigned char *data = malloc(N), *back = malloc(N);
    dev_buffer    *b;
    for (int i = 0; i < N; i++) data[i] = (unsigned char)(i * 31 + i / 251);
    OK(dev->vt->alloc(dev, N, &b, &err));
    OK(dev->vt->write(dev, b, 0, N, data, &err));
    for (int i = 0; i < 100; i++) { /* more than there are staging slots */
        data[FIRST + i * 7] ^= 0x55;
        OK(dev->vt->write(dev, b, FIRST + (uint64_t)i * 7, 1, &data[FIRST + i * 7], &err));
    }
    OK(dev->vt->read(dev, b, 0, N, back, &err));
    ck_assert(!memcmp(data, back, N));
    memset(back, 0, N);
    OK(dev->vt->read(dev, b, FIRST, COUNT, back, &err));
    ck_assert(!memcmp(data + FIRST, back, COUNT));
    ck_assert_int_eq(dev->vt->read(dev, b, N - 1, 2, back, &err), SSA_ERR_RUNTIME);
    ck_assert_ptr_nonnull(strstr(err.text, "outside"));
    dev->vt->free(dev, b);
    free(data);
    free(back);
}
END_TEST

START_TEST(too_large) {
    dev_buffer *b = NULL;
    ck_assert_int_eq(dev->vt->alloc(dev, dev->limits.max_buffer + 1, &b, &err), SSA_ERR_MEMORY);
    ck_assert_ptr_null(b);
    ck_assert_ptr_nonnull(strstr(err.text, "beyond"));
    OK((memset(&err, 0, sizeof err), dev->vt->wait(dev, &err)));
}
END_TEST

START_TEST(no_such_device) {
    device *none = NULL;
    ck_assert_int_eq(opencl_open(99, NULL, &none, &err), SSA_ERR_UNSUPPORTED);
    ck_assert_ptr_null(none);
    ck_assert_ptr_nonnull(strstr(err.text, "opencl:99"));
}
END_TEST

START_TEST(listed) {
    dev_info   info[16];
    dev_limits limits[16];
    int        count;
    OK(opencl_list(info, limits, 16, &count, &err));
    ck_assert_int_gt(count, number);
    ck_assert_str_eq(info[number].name, dev->info.name);
    ck_assert_str_eq(info[number].driver, dev->info.driver);
    ck_assert(info[number].name[0] && info[number].driver[0] && info[number].api_version[0]);
    ck_assert_uint_ge(limits[number].max_invocations, 1);
    ck_assert_uint_ge(limits[number].max_buffer, 1 << 20);
    ck_assert_uint_ge(limits[number].push_bytes, 128);
}
END_TEST

/* -- launches -------------------------------------------------------------------------------------------------------- */

enum { ROWS = 37, COLUMNS = 53, PAD = 5 };

typedef struct {
    float       x[ROWS * COLUMNS + PAD], w[COLUMNS + PAD];
    dev_buffer *bx, *bw, *by, *br;
    dev_launch  launch;
} norm;

static norm *norm_make(uint32_t wg, ssa_status *status) {
    norm    *t = calloc(1, sizeof *t);
    uint32_t seed = 7;
    float    eps = 1e-5f;
    for (int i = 0; i < ROWS * COLUMNS + PAD; i++) t->x[i] = noise(&seed);
    for (int i = 0; i < COLUMNS + PAD; i++) t->w[i] = noise(&seed);
    t->bx = buffer_of(t->x, ROWS * COLUMNS + PAD);
    t->bw = buffer_of(t->w, COLUMNS + PAD);
    t->by = buffer_of(NULL, ROWS * COLUMNS + 1);
    t->br = buffer_of(NULL, ROWS + 3);
    t->launch = (dev_launch){.op = "rmsnorm", .bindings = 4, .params = 3, .groups = {ROWS, 1, 1}, .param = {ROWS, COLUMNS}};
    memcpy(&t->launch.param[2], &eps, 4);
    t->launch.bind[0] = part_of(t->bx, PAD, ROWS * COLUMNS, DEV_READ);
    t->launch.bind[1] = part_of(t->bw, PAD, COLUMNS, DEV_READ);
    t->launch.bind[2] = part_of(t->by, 1, ROWS * COLUMNS, DEV_WRITE);
    t->launch.bind[3] = part_of(t->br, 3, ROWS, DEV_WRITE);
    dev_kernel_desc k = {.name = "rmsnorm", .bindings = 4, .params = 3, .constant_count = 1, .constants = {{"WG", wg}}};
    *status = dev->vt->kernel(dev, &k, &t->launch.kernel, &err);
    return t;
}

static void norm_check(norm *t) {
    float y[ROWS * COLUMNS], rstd[ROWS];
    OK(dev->vt->read(dev, t->by, 4, sizeof y, y, &err));
    OK(dev->vt->read(dev, t->br, 12, sizeof rstd, rstd, &err));
    for (int r = 0; r < ROWS; r++) {
        double sum = 0;
        for (int c = 0; c < COLUMNS; c++) sum += (double)t->x[PAD + r * COLUMNS + c] * t->x[PAD + r * COLUMNS + c];
        double scale = 1 / sqrt(sum / COLUMNS + 1e-5);
        ck_assert_double_eq_tol(rstd[r], scale, 1e-5 * scale);
        for (int c = 0; c < COLUMNS; c++) ck_assert_double_eq_tol(y[r * COLUMNS + c], t->x[PAD + r * COLUMNS + c] * scale * t->w[PAD + c], 1e-5);
    }
}

static void norm_free(norm *t) {
    dev->vt->free(dev, t->bx);
    dev->vt->free(dev, t->bw);
    dev->vt->free(dev, t->by);
    dev->vt->free(dev, t->br);
    free(t);
}

START_TEST(kernel_values) {
    ssa_status s;
    norm      *t = norm_make(64, &s);
    OK(s);
    OK(dev->vt->run(dev, &t->launch, 1, &err));
    norm_check(t);
    dev_kernel     *again = NULL;
    dev_kernel_desc k = {.name = "rmsnorm", .bindings = 4, .params = 3, .constant_count = 1, .constants = {{"WG", 64}}};
    OK(dev->vt->kernel(dev, &k, &again, &err));
    ck_assert_ptr_eq(again, t->launch.kernel);
    k.constants[0].value = 32;
    OK(dev->vt->kernel(dev, &k, &again, &err));
    ck_assert_ptr_ne(again, t->launch.kernel);
    norm_free(t);
}
END_TEST

START_TEST(refusals) {
    ssa_status s;
    norm      *t = norm_make(1u << 20, &s);
    ck_assert_int_eq(s, SSA_ERR_UNSUPPORTED);
    ck_assert_ptr_nonnull(strstr(err.text, "rmsnorm wants 1048576 work-items"));
    norm_free(t);
    dev_kernel     *k = NULL;
    dev_kernel_desc desc = {.name = "no_such_kernel", .constant_count = 1, .constants = {{"WG", 64}}};
    memset(&err, 0, sizeof err);
    ck_assert_int_eq(dev->vt->kernel(dev, &desc, &k, &err), SSA_ERR_UNSUPPORTED);
    ck_assert_ptr_nonnull(strstr(err.text, "no_such_kernel.cl"));
    desc = (dev_kernel_desc){.name = "rmsnorm", .bindings = 3, .constant_count = 1, .constants = {{"WG", 64}}};
    memset(&err, 0, sizeof err);
    ck_assert_int_eq(dev->vt->kernel(dev, &desc, &k, &err), SSA_ERR_RUNTIME);
    ck_assert_ptr_nonnull(strstr(err.text, "5 arguments"));
    memset(&err, 0, sizeof err);
}
END_TEST

/* A kernel with a mistake: the sentence names the kernel and the compiler's first error. */
START_TEST(failed_build) {
    char folder[] = "/tmp/ssa-test-XXXXXX", path[100];
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/opencl", folder);
    mkdir(path, 0700);
    snprintf(path, sizeof path, "%s/opencl/broken.cl", folder);
    FILE *f = fopen(path, "w");
    fputs("#include \"common.h\"\n__kernel void broken(__global float *x) { x[0] = undeclared_thing; }\n", f);
    fclose(f);
    setenv("SSA_KERNEL_DIR", folder, 1);
    dev_kernel     *k = NULL;
    dev_kernel_desc desc = {.name = "broken", .constant_count = 1, .constants = {{"WG", 64}}};
    ck_assert_int_eq(dev->vt->kernel(dev, &desc, &k, &err), SSA_ERR_UNSUPPORTED);
    unsetenv("SSA_KERNEL_DIR");
    ck_assert_msg(strstr(err.text, "kernel broken does not build") && strstr(err.text, "undeclared_thing"), "%s", err.text);
    ck_assert_ptr_null(strchr(err.text, '\n'));
    unlink(path);
    snprintf(path, sizeof path, "%s/opencl", folder);
    rmdir(path);
    rmdir(folder);
    memset(&err, 0, sizeof err);
}
END_TEST

START_TEST(record_and_replay) {
    ssa_status    s;
    norm         *t = norm_make(64, &s);
    dev_recorded *recorded = NULL;
    OK(s);
    dev_launch list[2] = {t->launch, t->launch};
    OK(dev->vt->record(dev, list, 2, &recorded, &err));
    memset(list, 0, sizeof list); /* the recording is the device's own copy */
    OK(dev->vt->replay(dev, recorded, &err));
    norm_check(t);
    for (int i = 0; i < ROWS * COLUMNS; i++) t->x[PAD + i] *= 2; /* new data, same program */
    OK(dev->vt->write(dev, t->bx, 0, sizeof t->x, t->x, &err));
    for (int i = 0; i < 100; i++) OK(dev->vt->replay(dev, recorded, &err));
    OK(dev->vt->wait(dev, &err));
    norm_check(t);
    dev->vt->recorded_free(dev, recorded);
    norm_free(t);
}
END_TEST

/* y is written, then the next launch reads it as x: the order must hold without anybody waiting. */
START_TEST(chained) {
    ssa_status s;
    norm      *t = norm_make(64, &s);
    OK(s);
    dev_launch list[2] = {t->launch, t->launch};
    list[1].bind[0] = t->launch.bind[2];
    list[1].bind[0].access = DEV_READ;
    list[1].bind[2] = t->launch.bind[0];
    list[1].bind[2].access = DEV_WRITE;
    float  twice[ROWS * COLUMNS];
    OK(dev->vt->run(dev, list, 2, &err));
    OK(dev->vt->read(dev, t->bx, PAD * 4, sizeof twice, twice, &err));
    for (int r = 0; r < ROWS; r++) {
        double v[COLUMNS];
        for (int c = 0; c < COLUMNS; c++) v[c] = t->x[PAD + r * COLUMNS + c];
        for (int pass = 0; pass < 2; pass++) {
            double sum = 0;
            for (int c = 0; c < COLUMNS; c++) sum += v[c] * v[c];
            for (int c = 0; c < COLUMNS; c++) v[c] *= t->w[PAD + c] / sqrt(sum / COLUMNS + 1e-5);
        }
        for (int c = 0; c < COLUMNS; c++) ck_assert_double_eq_tol(twice[r * COLUMNS + c], v[c], 2e-5);
    }
    norm_free(t);
}
END_TEST

START_TEST(times) {
    teardown();
    dev = open_device(true);
    ssa_status s;
    norm      *t = norm_make(64, &s);
    OK(s);
    for (int i = 0; i < 600; i++) OK(dev->vt->run(dev, &t->launch, 1, &err)); /* more than are kept before reading */
    ssa_profile_row rows[4];
    int             count;
    OK(dev->vt->profile(dev, rows, 4, &count, &err));
    ck_assert_int_eq(count, 1);
    ck_assert_str_eq(rows[0].op, "rmsnorm");
    ck_assert_uint_eq(rows[0].launches, 600);
    ck_assert_double_gt(rows[0].ns, 0);
    OK(dev->vt->profile(dev, rows, 4, &count, &err));
    ck_assert_int_eq(count, 0);
    norm_free(t);
}
END_TEST

/* -- the cache ------------------------------------------------------------------------------------------------------- */

/* Calls f for each file of the folder; returns how many there were. */
static int each_file(const char *folder, void (*f)(const char *path, int how), int how) {
    DIR           *d = opendir(folder);
    struct dirent *e;
    int            count = 0;
    while (d && (e = readdir(d))) {
        char path[1000];
        if (e->d_name[0] == '.') continue;
        snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
        if (f) f(path, how);
        count++;
    }
    if (d) closedir(d);
    return count;
}

static void damage(const char *path, int how) {
    FILE *f = fopen(path, "r+b");
    fseek(f, 0, SEEK_END);
    long size = ftell(f);
    if (how == 0) ck_assert(!ftruncate(fileno(f), size / 2));
    if (how == 1) { /* a byte of the content */
        fseek(f, size - 10, SEEK_SET);
        int c = fgetc(f);
        fseek(f, size - 10, SEEK_SET);
        fputc(c ^ 0xff, f);
    }
    if (how == 2) ck_assert(!ftruncate(fileno(f), 0));
    fclose(f);
}

static void remove_file(const char *path, int how) {
    (void)how;
    unlink(path);
}

START_TEST(broken_cache) {
    char        folder[] = "/tmp/ssa-test-XXXXXX";
    const char *kept = getenv("SSA_CACHE_DIR");
    char        before[1000] = "";
    if (kept) snprintf(before, sizeof before, "%s", kept);
    ck_assert_ptr_nonnull(mkdtemp(folder));
    setenv("SSA_CACHE_DIR", folder, 1);
    for (int how = -1; how < 4; how++) { /* first without a cache, then three kinds of damage, then a good one */
        if (how >= 0 && how < 3) ck_assert_int_eq(each_file(folder, damage, how), 1);
        teardown();
        dev = open_device(false);
        ssa_status s;
        norm      *t = norm_make(64, &s);
        OK(s);
        OK(dev->vt->run(dev, &t->launch, 1, &err));
        norm_check(t);
        norm_free(t);
    }
    each_file(folder, remove_file, 0);
    rmdir(folder);
    if (*before) setenv("SSA_CACHE_DIR", before, 1); else unsetenv("SSA_CACHE_DIR");
}
END_TEST

/* -- matrix products through CLBlast --------------------------------------------------------------------------------- */

static bool have_clblast(void) {
    void *library = dlopen("libclblast.so.1", RTLD_LAZY | RTLD_LOCAL | RTLD_NODELETE);
    if (library) dlclose(library);
    return library != NULL;
}

static void product(const dev_gemm *g) {
    size_t      M = g->M, N = g->N, K = g->K, batch = g->batch, na = batch * M * K, nb = batch * K * N, nc = batch * M * N;
    float      *a = malloc((na + 3) * 4), *b = malloc((nb + 5) * 4), *c = malloc((nc + 7) * 4), *out = malloc(nc * 4);
    uint32_t    seed = (uint32_t)(M * 100 + N * 10 + K);
    uint64_t    space;
    for (size_t i = 0; i < na + 3; i++) a[i] = noise(&seed);
    for (size_t i = 0; i < nb + 5; i++) b[i] = noise(&seed);
    for (size_t i = 0; i < nc + 7; i++) c[i] = noise(&seed);
    ck_assert_msg(dev->vt->gemm_can(dev, g, &space), "CLBlast cannot run %zux%zux%zu", M, N, K);
    dev_buffer *ba = buffer_of(a, na + 3), *bb = buffer_of(b, nb + 5), *bc = buffer_of(c, nc + 7);
    dev_launch  la = {.gemm = *g, .op = "matmul", .bindings = 3, .groups = {1, 1, 1}};
    la.bind[0] = part_of(ba, 3, na, DEV_READ);
    la.bind[1] = part_of(bb, 5, nb, DEV_READ);
    la.bind[2] = part_of(bc, 7, nc, DEV_READ | DEV_WRITE);
    OK(dev->vt->run(dev, &la, 1, &err));
    OK(dev->vt->read(dev, bc, 28, nc * 4, out, &err));
    for (size_t i = 0; i < nc; i++) {
        size_t z = i / (M * N), m = i / N % M, n = i % N;
        double sum = g->accumulate ? c[7 + i] : 0;
        for (size_t k = 0; k < K; k++)
            sum += (double)a[3 + z * M * K + (g->trans_a ? k * M + m : m * K + k)] * b[5 + z * K * N + (g->trans_b ? n * K + k : k * N + n)];
        ck_assert_msg(fabs(out[i] - sum) < 1e-4, "%zux%zux%zu: element %zu is %g, not %g", M, N, K, i, out[i], sum);
    }
    dev->vt->free(dev, ba);
    dev->vt->free(dev, bb);
    dev->vt->free(dev, bc);
    free(a), free(b), free(c), free(out);
}

START_TEST(clblast_layouts) {
    static const uint64_t sizes[][4] = {{7, 13, 5, 1}, {33, 65, 129, 1}, {1, 100, 31, 1}, {17, 9, 23, 3}};
    if (!have_clblast()) SKIP("CLBlast is not there");
    for (int layout = 0; layout < 8; layout++)
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
            product(&(dev_gemm){.trans_a = layout & 1, .trans_b = layout & 2, .accumulate = layout & 4, .M = sizes[i][0], .N = sizes[i][1],
                                .K = sizes[i][2], .batch = sizes[i][3]});
}
END_TEST

int main(void) {
    const char *pick = getenv("SSA_TEST_OPENCL");
    device     *probe = NULL;
    number = pick ? atoi(pick) : 0;
    if (opencl_open(number, NULL, &probe, &err)) {
        printf("skipped: %s\n", err.text);
        return TEST_SKIPPED;
    }
    printf("opencl:%d %s, %s\n", number, probe->info.name, probe->info.driver);
    probe->vt->destroy(probe);
    Suite *suite = suite_create("device_opencl");
    TCase *t = tcase_create("device");
    tcase_set_timeout(t, 600);
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, listed);
    tcase_add_test(t, no_such_device);
    tcase_add_test(t, roundtrip);
    tcase_add_test(t, too_large);
    tcase_add_test(t, kernel_values);
    tcase_add_test(t, refusals);
    tcase_add_test(t, failed_build);
    tcase_add_test(t, record_and_replay);
    tcase_add_test(t, chained);
    tcase_add_test(t, times);
    tcase_add_test(t, broken_cache);
    suite_add_tcase(suite, t);
    t = tcase_create("clblast"); /* apart: under oclgrind only CK_RUN_CASE=device is quick */
    tcase_set_timeout(t, 600);
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, clblast_layouts);
    suite_add_tcase(suite, t);
    return run_suite_as(suite, CK_NOFORK); /* drivers do not survive a fork */
}
