/* The Vulkan device by itself, below lowering: memory, copies, launches, recording, barriers, cache, refusals. Every test runs
 * under the validation layer where there is one, and fails if it says anything. */
#include "suite.h"
#include "device.h"
#include "shader/cache.h"
#include "shader/compile.h"
#include "vulkan/inside.h"
#include <dirent.h>
#include <dlfcn.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static bool    layer; /* the validation layer works here */
static device *dev;

static void ok_(ssa_status s, const ssa_error *err, int line) {
    if (s) ck_abort_msg("line %d: status %d: %s", line, (int)s, err->text);
}
/* The call reports into `failure`. */
static ssa_error failure;
#define OK(call) do { ssa_error_clear(&failure); ok_((call), &failure, __LINE__); } while (0)

static void open_with(bool profile) {
    ssa_open_options options = {.validate = layer, .profile = profile};
    OK(vulkan_open(0, &options, &dev, &failure));
}
static void setup(void) { open_with(false); }
static void setup_profile(void) { open_with(true); }
static void setup_staging(void) {
    setenv("SSA_VK_STAGING", "1", 1);
    open_with(false);
}
static void setup_always(void) {
    setenv("SSA_BARRIER_ALWAYS", "1", 1);
    open_with(false);
}
static void teardown(void) {
    int messages = dev->vt->validation_messages(dev);
    dev->vt->destroy(dev);
    ck_assert_msg(messages == 0, "%d validation messages", messages);
}

static dev_buffer *make(uint64_t bytes) {
    dev_buffer *b;
    OK(dev->vt->alloc(dev, bytes, &b, &failure));
    return b;
}
static void put(dev_buffer *b, uint64_t offset, uint64_t bytes, const void *host) { OK(dev->vt->write(dev, b, offset, bytes, host, &failure)); }
static void get(dev_buffer *b, uint64_t offset, uint64_t bytes, void *host) { OK(dev->vt->read(dev, b, offset, bytes, host, &failure)); }
static void drop(dev_buffer *b) { dev->vt->free(dev, b); }

static dev_kernel *kernel(const char *name, int bindings, int params, uint32_t wg) {
    dev_kernel_desc d = {.name = name, .bindings = bindings, .params = params, .constant_count = 1, .constants = {{"WG", wg}}};
    dev_kernel     *k, *again;
    OK(dev->vt->kernel(dev, &d, &k, &failure));
    OK(dev->vt->kernel(dev, &d, &again, &failure));
    ck_assert_ptr_eq(k, again);
    return k;
}

/* y[0..n) = x[0..n), or += */
static dev_launch copy_launch(dev_buffer *x, uint64_t xi, dev_buffer *y, uint64_t yi, uint32_t n, bool accumulate) {
    dev_launch la = {.kernel = kernel("sum_parts", 2, 3, 64),
                     .op = "copy_launch",
                     .bindings = 2,
                     .params = 3,
                     .groups = {(n + 63) / 64, 1, 1},
                     .param = {1, n, accumulate}};
    la.bind[0] = (dev_binding){x, xi * 4, (uint64_t)n * 4, 4, DEV_READ};
    la.bind[1] = (dev_binding){y, yi * 4, (uint64_t)n * 4, 4, DEV_READ | DEV_WRITE};
    return la;
}

static void fill_random(float *x, size_t n, uint32_t seed) {
    for (size_t i = 0; i < n; i++) {
        seed = seed * 1664525u + 1013904223u;
        x[i] = (float)(seed >> 8) / 8388608.0f - 1.0f;
    }
}

START_TEST(copies_at_odd_offsets) {
    enum { N = 100003 };
    unsigned char *host = malloc(N), *back = malloc(N);
    dev_buffer    *b = make(N);
    for (int i = 0; i < N; i++) host[i] = (unsigned char)(i * 7 + i / 251);
    put(b, 0, N, host);
    for (int i = 1; i < 4000; i = i * 3 + 1) {
        memset(host + i, i & 255, 17);
        put(b, (uint64_t)i, 17, host + i);
        get(b, (uint64_t)i - 1, 33, back);
        ck_assert_mem_eq(back, host + i - 1, 33);
    }
    get(b, 0, N, back);
    ck_assert_mem_eq(back, host, N);
    ssa_error err = {0};
    ck_assert_int_eq(dev->vt->read(dev, b, N - 3, 4, back, &err), SSA_ERR_RUNTIME);
    drop(b);
    free(host);
    free(back);
}
END_TEST

/* Larger than the upload ring and the download buffer. */
START_TEST(large_copies) {
    size_t n = ((size_t)70 << 20) + 13;
    char  *host = malloc(n), *back = malloc(n);
    for (size_t i = 0; i < n; i++) host[i] = (char)(i * 31 + (i >> 13));
    dev_buffer *b = make(n);
    put(b, 0, n, host);
    get(b, 0, n, back);
    ck_assert(!memcmp(host, back, n));
    drop(b);
    free(host);
    free(back);
}
END_TEST

/* rmsnorm at views that start between the 256-byte marks, against plain C. */
START_TEST(rmsnorm) {
    enum { R = 37, C = 95, X = 3, W = 1, Y = 77, S = 5 };
    static float x[X + R * C], w[W + C], y[Y + R * C], rstd[S + R];
    dev_buffer  *bx = make(sizeof x), *bw = make(sizeof w), *by = make(sizeof y), *bs = make(sizeof rstd);
    float        eps = 1e-5f;
    fill_random(x, X + R * C, 1);
    fill_random(w, W + C, 2);
    put(bx, 0, sizeof x, x);
    put(bw, 0, sizeof w, w);
    dev_launch la = {.kernel = kernel("rmsnorm", 4, 3, 64), .op = "rmsnorm", .bindings = 4, .params = 3, .groups = {R, 1, 1}, .param = {R, C}};
    memcpy(&la.param[2], &eps, 4);
    la.bind[0] = (dev_binding){bx, X * 4, R * C * 4, 4, DEV_READ};
    la.bind[1] = (dev_binding){bw, W * 4, C * 4, 4, DEV_READ};
    la.bind[2] = (dev_binding){by, Y * 4, R * C * 4, 4, DEV_WRITE};
    la.bind[3] = (dev_binding){bs, S * 4, R * 4, 4, DEV_WRITE};
    OK(dev->vt->run(dev, &la, 1, &failure));
    get(by, 0, sizeof y, y);
    get(bs, 0, sizeof rstd, rstd);
    for (int r = 0; r < R; r++) {
        double sum = 0;
        for (int c = 0; c < C; c++) sum += (double)x[X + r * C + c] * x[X + r * C + c];
        double scale = 1 / sqrt(sum / C + eps);
        ck_assert_double_eq_tol(rstd[S + r], scale, 1e-5 * scale);
        for (int c = 0; c < C; c++) ck_assert_double_eq_tol(y[Y + r * C + c], x[X + r * C + c] * scale * w[W + c], 1e-5);
    }
    drop(bx), drop(bw), drop(by), drop(bs);
}
END_TEST

/* A random program of dependent launches over overlapping views of three buffers, once at once and then recorded. */
enum { HN = 5000, HL = 1500 };
static void hazards(bool recorded) {
    static float host[3][HN], back[HN];
    static dev_launch la[HL];
    static struct { int x, y, xi, yi, n, acc; } step[HL];
    dev_buffer *b[3];
    uint32_t    seed = 7;
    for (int i = 0; i < 3; i++) {
        fill_random(host[i], HN, (uint32_t)i);
        b[i] = make(sizeof host[i]);
        put(b[i], 0, sizeof host[i], host[i]);
    }
    for (int i = 0; i < HL; i++) {
        uint32_t r[5];
        for (int k = 0; k < 5; k++) r[k] = (seed = seed * 1664525u + 1013904223u) >> 9;
        step[i].x = (int)(r[0] % 3);
        step[i].y = (step[i].x + 1 + (int)(r[1] % 2)) % 3;
        step[i].n = 1 + (int)(r[2] % 2000);
        step[i].xi = (int)(r[3] % (uint32_t)(HN - step[i].n));
        step[i].yi = (int)(r[4] % (uint32_t)(HN - step[i].n));
        step[i].acc = i % 3 == 0;
        la[i] = copy_launch(b[step[i].x], (uint64_t)step[i].xi, b[step[i].y], (uint64_t)step[i].yi, (uint32_t)step[i].n, step[i].acc);
    }
    dev_recorded *program = NULL;
    if (recorded) OK(dev->vt->record(dev, la, HL, &program, &failure));
    for (int pass = 0; pass < 3; pass++) {
        if (recorded) OK(dev->vt->replay(dev, program, &failure));
        else OK(dev->vt->run(dev, la, HL, &failure));
        for (int i = 0; i < HL; i++)
            for (int k = 0; k < step[i].n; k++) {
                float *y = &host[step[i].y][step[i].yi + k];
                *y = host[step[i].x][step[i].xi + k] + (step[i].acc ? *y : 0);
            }
    }
    for (int i = 0; i < 3; i++) {
        get(b[i], 0, sizeof back, back);
        ck_assert_msg(!memcmp(back, host[i], sizeof back), "buffer %d differs", i);
        drop(b[i]);
    }
    if (recorded) dev->vt->recorded_free(dev, program);
}
START_TEST(hazards_immediate) { hazards(false); }
END_TEST
START_TEST(hazards_recorded) { hazards(true); }
END_TEST

/* Step scalars written between replays that are not waited for: each replay must see its own. */
START_TEST(writes_between_replays) {
    enum { N = 40000, STEPS = 50 };
    float        scalar, *sum = calloc(N, sizeof *sum), *one = malloc(N * sizeof *one);
    dev_buffer  *x = make(N * 4), *y = make(N * 4);
    dev_launch   la[2];
    dev_recorded *program;
    for (int i = 0; i < N; i++) one[i] = 1;
    put(x, 0, N * 4, one);
    put(y, 0, N * 4, sum);
    la[0] = copy_launch(x, 0, y, 0, N, true);
    la[1] = copy_launch(x, 1, y, 0, 1, true);
    OK(dev->vt->record(dev, la, 2, &program, &failure));
    double expected = 0;
    for (int s = 0; s < STEPS; s++) {
        scalar = (float)s;
        put(x, 0, 4, &scalar);
        OK(dev->vt->replay(dev, program, &failure));
        expected += s + 1;
    }
    get(y, 0, N * 4, sum);
    ck_assert_double_eq(sum[0], expected);
    for (int i = 1; i < N; i++) ck_assert_double_eq(sum[i], STEPS);
    dev->vt->recorded_free(dev, program);
    drop(x), drop(y);
    free(sum);
    free(one);
}
END_TEST

/* Buffers come and go; none may touch another, and all memory comes together again. */
START_TEST(suballocation) {
    enum { LIVE = 60 };
    struct { dev_buffer *b; uint32_t n, tag; } live[LIVE] = {{0}};
    uint32_t  seed = 3, tags = 0;
    uint32_t *host = malloc(3 << 20);
    for (int i = 0; i < 400; i++) {
        seed = seed * 1664525u + 1013904223u;
        int at = (int)((seed >> 10) % LIVE);
        if (live[at].b) {
            get(live[at].b, 0, (uint64_t)live[at].n * 4, host);
            for (uint32_t k = 0; k < live[at].n; k++) ck_assert_uint_eq(host[k], live[at].tag + k);
            drop(live[at].b);
        }
        live[at].n = 1 + (seed >> 13) % ((seed & 0xf00) ? 3000 : 300000);
        live[at].tag = tags += 1000003;
        live[at].b = make((uint64_t)live[at].n * 4);
        for (uint32_t k = 0; k < live[at].n; k++) host[k] = live[at].tag + k;
        put(live[at].b, 0, (uint64_t)live[at].n * 4, host);
    }
    for (int at = 0; at < LIVE; at++)
        if (live[at].b) drop(live[at].b);
    free(host);
    /* A buffer given back while launches still use it, its memory used again at once. */
    float       v[4] = {1, 2, 3, 4}, back[4];
    dev_buffer *x = make(16), *y = make(16), *z;
    put(x, 0, 16, v);
    dev_launch la = copy_launch(x, 0, y, 0, 4, false);
    OK(dev->vt->run(dev, &la, 1, &failure));
    drop(x);
    z = make(16);
    put(z, 0, 16, (float[4]){9, 9, 9, 9});
    get(y, 0, 16, back);
    ck_assert_mem_eq(back, v, 16);
    drop(y), drop(z);
    ssa_error err = {0};
    ck_assert_int_eq(dev->vt->alloc(dev, dev->limits.max_buffer + 1, &x, &err), SSA_ERR_MEMORY);
    ck_assert_ptr_nonnull(strstr(err.text, "bytes"));
}
END_TEST

START_TEST(profile) {
    enum { N = 1000 };
    ssa_profile_row rows[8];
    int             count = 0;
    dev_buffer     *x = make(N * 4), *y = make(N * 4);
    dev_launch      la[3];
    dev_recorded   *program;
    for (int i = 0; i < 3; i++) {
        la[i] = copy_launch(x, 0, y, 0, N, true);
        la[i].op = i ? "second" : "first";
    }
    OK(dev->vt->run(dev, la, 3, &failure));
    OK(dev->vt->record(dev, la, 3, &program, &failure));
    for (int i = 0; i < 4; i++) OK(dev->vt->replay(dev, program, &failure));
    OK(dev->vt->profile(dev, rows, 8, &count, &failure));
    ck_assert_int_eq(count, 2);
    for (int i = 0; i < 2; i++) {
        ck_assert_uint_eq(rows[i].launches, strcmp(rows[i].op, "first") ? 10 : 5);
        ck_assert(rows[i].ns > 0);
    }
    OK(dev->vt->profile(dev, rows, 8, &count, &failure));
    ck_assert_int_eq(count, 0);
    dev->vt->recorded_free(dev, program);
    drop(x), drop(y);
}
END_TEST

static void refused(dev_kernel_desc d, const char *says) {
    dev_kernel *k;
    ssa_error   err = {0};
    ck_assert_int_eq(dev->vt->kernel(dev, &d, &k, &err), SSA_ERR_UNSUPPORTED);
    ck_assert_msg(strstr(err.text, says) != NULL, "\"%s\" does not say \"%s\"", err.text, says);
}

START_TEST(refusals) {
    dev_kernel_desc d = {.name = "sum_parts", .bindings = 2, .params = 3, .constant_count = 1, .constants = {{"WG", 64}}};
    dev_kernel_desc e = d;
    e.constants[0].value = dev->limits.max_invocations + 1;
    refused(e, "workgroup");
    e = d, e.subgroup = 3;
    refused(e, "subgroups");
    e = d, e.name = "no_such_kernel";
    refused(e, "no_such_kernel");
    if (!dev->limits.storage16) e = d, e.act = 1, refused(e, "16-bit");
    /* Where a subgroup size can be required, the smallest works. */
    dev_kernel *k;
    d.subgroup = dev->limits.subgroup_min;
    OK(dev->vt->kernel(dev, &d, &k, &failure));
    /* A product as a whole is not offered, and a grid beyond the limits not started. */
    ssa_error  err = {0};
    dev_launch gemm = {.op = "matmul"};
    ck_assert_int_eq(dev->vt->run(dev, &gemm, 1, &err), SSA_ERR_UNSUPPORTED);
}
END_TEST

/* A program is split by its launches' estimates; wrong ranges and fields are caught before the driver sees them. */
START_TEST(splitting) {
    enum { N = 10 };
    dev_buffer   *x = make(64), *y = make(64);
    dev_launch    la[N];
    dev_recorded *program;
    ssa_error     err = {0};
    float         v[2] = {1, 2}, back[2];
    for (int i = 0; i < N; i++) {
        la[i] = copy_launch(x, 0, y, 0, 2, true);
        la[i].flops = MAX_FLOPS / 3.5;
    }
    put(x, 0, 8, v);
    put(y, 0, 8, (float[2]){0, 0});
    OK(dev->vt->record(dev, la, N, &program, &failure));
    ck_assert_int_eq(program->count, 4);
    for (int i = 0; i < 20; i++) OK(dev->vt->replay(dev, program, &failure)); /* more than there are slots */
    get(y, 0, 8, back);
    ck_assert_double_eq(back[1], 2.0 * N * 20);
    dev->vt->recorded_free(dev, program);
    OK(dev->vt->record(dev, la, 0, &program, &failure));
    OK(dev->vt->replay(dev, program, &failure));
    dev->vt->recorded_free(dev, program);
    la[1].bind[1].offset = 60;
    ck_assert_int_eq(dev->vt->record(dev, la, N, &program, &err), SSA_ERR_RUNTIME);
    ck_assert_ptr_nonnull(strstr(err.text, "sum_parts"));
    ssa_error_clear(&err);
    la[0].params = 2;
    ck_assert_int_eq(dev->vt->run(dev, la, 1, &err), SSA_ERR_RUNTIME);
    drop(x), drop(y);
}
END_TEST

static VKAPI_ATTR VkResult VKAPI_CALL lost_submit(VkQueue queue, uint32_t count, const VkSubmitInfo *submits, VkFence fence) {
    (void)queue, (void)count, (void)submits, (void)fence;
    return VK_ERROR_DEVICE_LOST;
}
static VKAPI_ATTR VkResult VKAPI_CALL no_memory(VkDevice d, const VkMemoryAllocateInfo *info, const VkAllocationCallbacks *host,
                                                VkDeviceMemory *out) {
    (void)d, (void)info, (void)host, (void)out;
    return VK_ERROR_OUT_OF_DEVICE_MEMORY;
}

START_TEST(faults) {
    vulkan_device *d = (vulkan_device *)dev;
    dev_buffer    *x = make(64), *y = make(64), *large;
    dev_recorded  *program;
    dev_kernel    *k;
    char           host[64];
    ssa_error      err = {0};
    dev_launch     la = copy_launch(x, 0, y, 0, 4, false);
    OK(dev->vt->record(dev, &la, 1, &program, &failure));
    PFN_vkAllocateMemory allocate = d->vk.vkAllocateMemory;
    d->vk.vkAllocateMemory = no_memory;
    ck_assert_int_eq(dev->vt->alloc(dev, 99 << 20, &large, &err), SSA_ERR_MEMORY);
    ck_assert_ptr_nonnull(strstr(err.text, "103809024 bytes"));
    d->vk.vkAllocateMemory = allocate;
    large = make(99 << 20);
    drop(large);
    /* Lost: the first message names what ran, and everything after says the same. */
    d->vk.vkQueueSubmit = lost_submit;
    ssa_error_clear(&err);
    OK(dev->vt->run(dev, &la, 1, &failure));
    ck_assert_int_eq(dev->vt->wait(dev, &err), SSA_ERR_DEVICE_LOST);
    ck_assert_ptr_nonnull(strstr(err.text, "copy_launch"));
    ssa_error again[8] = {{0}};
    ck_assert_int_eq(dev->vt->wait(dev, &again[0]), SSA_ERR_DEVICE_LOST);
    ck_assert_int_eq(dev->vt->run(dev, &la, 1, &again[1]), SSA_ERR_DEVICE_LOST);
    ck_assert_int_eq(dev->vt->replay(dev, program, &again[2]), SSA_ERR_DEVICE_LOST);
    ck_assert_int_eq(dev->vt->read(dev, x, 0, 64, host, &again[3]), SSA_ERR_DEVICE_LOST);
    ck_assert_int_eq(dev->vt->write(dev, x, 0, 64, host, &again[4]), SSA_ERR_DEVICE_LOST);
    ck_assert_int_eq(dev->vt->alloc(dev, 64, &large, &again[5]), SSA_ERR_DEVICE_LOST);
    ck_assert_int_eq(dev->vt->record(dev, &la, 1, &program, &again[6]), SSA_ERR_DEVICE_LOST);
    dev_kernel_desc desc = {.name = "fill", .bindings = 1};
    ck_assert_int_eq(dev->vt->kernel(dev, &desc, &k, &again[7]), SSA_ERR_DEVICE_LOST);
    for (int i = 0; i < 8; i++) ck_assert_str_eq(again[i].text, err.text);
    dev->vt->recorded_free(dev, program);
    drop(x), drop(y);
}
END_TEST

START_TEST(opening) {
    device   *d;
    ssa_error err = {0};
    ck_assert_int_eq(vulkan_open(99, NULL, &d, &err), SSA_ERR_INPUT);
    ck_assert_ptr_nonnull(strstr(err.text, "vulkan:99"));
    static const struct { const char *limits, *says; } bad[] = {{"nonsense=3", "nonsense"}, {"range", "range"}, {"range=12x", "range=12x"}};
    for (int i = 0; i < 3; i++) {
        ssa_error_clear(&err);
        setenv("SSA_LIMITS", bad[i].limits, 1);
        ck_assert_int_eq(vulkan_open(0, NULL, &d, &err), SSA_ERR_INPUT);
        ck_assert_ptr_nonnull(strstr(err.text, bad[i].says));
    }
    setenv("SSA_LIMITS", "range=1000,groups=7,storage16=0,shared=99999999999,subgroup=1", 1);
    OK(vulkan_open(0, NULL, &d, &failure));
    ck_assert_uint_eq(d->limits.max_range, 1000);
    ck_assert_uint_eq(d->limits.max_groups[2], 7);
    ck_assert_uint_eq(d->limits.subgroup_max, 0);
    ck_assert(!d->limits.storage16);
    ck_assert_uint_lt(d->limits.shared_bytes, 99999999);
    d->vt->destroy(d);
}
END_TEST

START_TEST(no_driver) {
    dev_info  info[2];
    int       count = 1;
    device   *d;
    ssa_error err = {0};
    static const char *const names[] = {"VK_ICD_FILENAMES", "VK_DRIVER_FILES"};
    char                    *before[2];
    for (int i = 0; i < 2; i++) {
        before[i] = getenv(names[i]) ? strdup(getenv(names[i])) : NULL;
        setenv(names[i], "/nonexistent.json", 1);
    }
    ck_assert_int_eq(vulkan_list(info, NULL, 2, &count, &err), SSA_ERR_UNSUPPORTED);
    ck_assert_int_eq(count, 0);
    ck_assert_ptr_nonnull(strstr(err.text, "driver"));
    ssa_error_clear(&err);
    ck_assert_int_eq(vulkan_open(0, NULL, &d, &err), SSA_ERR_UNSUPPORTED);
    for (int i = 0; i < 2; i++) {
        if (before[i]) setenv(names[i], before[i], 1); else unsetenv(names[i]);
        free(before[i]);
    }
}
END_TEST

START_TEST(two_at_once) {
    device     *a, *b;
    dev_buffer *ba, *bb;
    int         va = 1, vb = 2, back;
    OK(vulkan_open(0, NULL, &a, &failure));
    OK(vulkan_open(0, NULL, &b, &failure));
    OK(a->vt->alloc(a, 4, &ba, &failure));
    OK(b->vt->alloc(b, 4, &bb, &failure));
    OK(a->vt->write(a, ba, 0, 4, &va, &failure));
    OK(b->vt->write(b, bb, 0, 4, &vb, &failure));
    OK(a->vt->read(a, ba, 0, 4, &back, &failure));
    ck_assert_int_eq(back, 1);
    a->vt->free(a, ba);
    a->vt->destroy(a);
    OK(b->vt->read(b, bb, 0, 4, &back, &failure));
    ck_assert_int_eq(back, 2);
    b->vt->free(b, bb);
    b->vt->destroy(b);
}
END_TEST

/* -- the cache and the compiler ------------------------------------------------------------------------------------------ */

static char folder[64];

static void only_file(char path[512]) {
    DIR *d = opendir(folder);
    int  files = 0;
    ck_assert_ptr_nonnull(d);
    for (struct dirent *e; (e = readdir(d));)
        if (e->d_name[0] != '.') {
            snprintf(path, 512, "%s/%s", folder, e->d_name);
            files++;
        }
    closedir(d);
    ck_assert_int_eq(files, 1);
}

static size_t slurp(const char *path, char *out, size_t size) {
    FILE *f = fopen(path, "rb");
    ck_assert_ptr_nonnull(f);
    size_t n = fread(out, 1, size, f);
    fclose(f);
    return n;
}

START_TEST(cache) {
    static char whole[1 << 18], broken[1 << 18], again[1 << 18];
    char        path[512];
    spirv       first, second;
    strcpy(folder, "/tmp/ssa_test_XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    setenv("SSA_CACHE_DIR", folder, 1);
    OK(shader_compile("rmsnorm", NULL, 0, 0, true, &first, &failure));
    only_file(path);
    size_t n = slurp(path, whole, sizeof whole);
    for (int way = 0; way < 4; way++) { /* a flipped bit, cut short, empty, something else entirely */
        memcpy(broken, whole, n);
        broken[n / 2] ^= 4;
        FILE *f = fopen(path, "wb");
        fwrite(way == 3 ? "hello" : broken, 1, way == 0 ? n : way == 1 ? n - 8 : way == 2 ? 0 : 5, f);
        fclose(f);
        OK(shader_compile("rmsnorm", NULL, 0, 0, true, &second, &failure));
        ck_assert_uint_eq(first.bytes, second.bytes);
        ck_assert_mem_eq(first.words, second.words, first.bytes);
        free(second.words);
        only_file(path);
        ck_assert_uint_eq(slurp(path, again, sizeof again), n);
        ck_assert_mem_eq(again, whole, n);
    }
    free(first.words);
    remove(path);
    rmdir(folder);
    setenv("SSA_CACHE_DIR", "/proc/nowhere", 1);
    OK(shader_compile("rmsnorm", NULL, 0, 0, true, &first, &failure));
    free(first.words);
}
END_TEST

static void write_file(const char *path, const char *text) {
    FILE *f = fopen(path, "w");
    ck_assert_ptr_nonnull(f);
    fputs(text, f);
    fclose(f);
}

/* Kernels from SSA_KERNEL_DIR: an include's text is part of the cache's key, errors name kernel and line. */
START_TEST(kernel_dir) {
    char      shaders[128], main_file[160], include[160], path[512], cachedir[128], command[1024];
    spirv     a, b;
    ssa_error err = {0};
    strcpy(folder, "/tmp/ssa_test_XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(command, sizeof command, "mkdir -p %s/shaders %s/cache", folder, folder);
    ck_assert_int_eq(system(command), 0);
    snprintf(shaders, sizeof shaders, "%s/shaders", folder);
    snprintf(cachedir, sizeof cachedir, "%s/cache", folder);
    snprintf(main_file, sizeof main_file, "%s/own.comp", shaders);
    snprintf(include, sizeof include, "%s/own.glsl", shaders);
    write_file(main_file, "#version 450\n#include \"own.glsl\"\nlayout(local_size_x = 1) in;\nlayout(set=0,binding=0) buffer B { float x[]; };\nvoid "
                          "main() { x[0] = VALUE; }\n");
    write_file(include, "#define VALUE 1.0\n");
    setenv("SSA_KERNEL_DIR", folder, 1);
    setenv("SSA_CACHE_DIR", cachedir, 1);
    OK(shader_compile("own", NULL, 0, 0, true, &a, &failure));
    pid_t child = fork(); /* texts are kept for a process's life: another one sees the new include */
    if (!child) {
        /* This process has read the old text; so look at a copy of the folder under another name. */
        char other[128];
        snprintf(other, sizeof other, "%s/other", folder);
        snprintf(command, sizeof command, "mkdir -p %s/shaders && cp %s %s/shaders/ && echo '#define VALUE 2.0' > %s/shaders/own.glsl", other,
                 main_file, other, other);
        if (system(command)) _exit(2);
        setenv("SSA_KERNEL_DIR", other, 1);
        if (shader_compile("own", NULL, 0, 0, true, &b, NULL)) _exit(3);
        bool differ = a.bytes != b.bytes || memcmp(a.words, b.words, a.bytes);
        free(a.words);
        free(b.words);
        _exit(differ ? 0 : 4);
    }
    int status;
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
    free(a.words);
    snprintf(path, sizeof path, "%s/bad.comp", shaders);
    write_file(path, "#version 450\nlayout(local_size_x = 1) in;\nvoid main() { nonsense(); }\n");
    ck_assert_int_eq(shader_compile("bad", NULL, 0, 0, true, &a, &err), SSA_ERR_RUNTIME);
    ck_assert_ptr_nonnull(strstr(err.text, "bad.comp:3"));
    ssa_error_clear(&err);
    snprintf(path, sizeof path, "%s/new.comp", shaders);
    write_file(path, "#version 450\n#extension GL_SSA_from_the_future : require\nvoid main() {}\n");
    ck_assert_int_eq(shader_compile("new", NULL, 0, 0, true, &a, &err), SSA_ERR_UNSUPPORTED);
    snprintf(command, sizeof command, "rm -r %s", folder);
    ck_assert_int_eq(system(command), 0);
}
END_TEST

/* Synchronization validation in the layer 1.3.239 never frees what it knows of command buffers; our own leaks stay visible. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void) { return "leak:libVkLayer_khronos_validation\n"; }

static Suite *suite(void) {
    Suite *s = suite_create("test_device_vulkan");
    static const struct {
        const char *name;
        void (*setup)(void);
    } ways[] = {{"device", setup}, {"staging", setup_staging}, {"barriers", setup_always}};
    for (int i = 0; i < 3; i++) {
        TCase *t = tcase_create(ways[i].name);
        tcase_add_checked_fixture(t, ways[i].setup, teardown);
        tcase_set_timeout(t, 300);
        tcase_add_test(t, copies_at_odd_offsets);
        if (i < 2) tcase_add_test(t, large_copies);
        tcase_add_test(t, rmsnorm);
        tcase_add_test(t, hazards_immediate);
        tcase_add_test(t, hazards_recorded);
        tcase_add_test(t, writes_between_replays);
        if (i < 2) tcase_add_test(t, suballocation);
        if (i == 0) {
            tcase_add_test(t, refusals);
            tcase_add_test(t, splitting);
            tcase_add_test(t, faults);
        }
        suite_add_tcase(s, t);
    }
    TCase *p = tcase_create("profile");
    tcase_add_checked_fixture(p, setup_profile, teardown);
    tcase_set_timeout(p, 300);
    tcase_add_test(p, profile);
    tcase_add_test(p, hazards_recorded);
    suite_add_tcase(s, p);
    TCase *o = tcase_create("opening");
    tcase_set_timeout(o, 300);
    tcase_add_test(o, opening);
    tcase_add_test(o, no_driver);
    tcase_add_test(o, two_at_once);
    tcase_add_test(o, cache);
    tcase_add_test(o, kernel_dir);
    suite_add_tcase(s, o);
    return s;
}

int main(void) {
    dev_info         info;
    dev_limits       limits;
    int              count;
    ssa_error        err = {0};
    ssa_open_options validate = {.validate = true};
    const char      *reason, *compiler = shader_compiler(&reason);
    if (vulkan_list(&info, &limits, 1, &count, &err)) {
        printf("skipped: %s\n", err.text);
        return TEST_SKIPPED;
    }
    if (!compiler) {
        printf("skipped: no shader compiler (%s)\n", reason);
        return TEST_SKIPPED;
    }
    /* So that LeakSanitizer can still tell what is the layer's when it has been unloaded. */
    dlopen("libVkLayer_khronos_validation.so", RTLD_LAZY | RTLD_NODELETE);
    layer = !vulkan_open(0, &validate, &dev, &err);
    if (layer) dev->vt->destroy(dev);
    else printf("skipped: validation: %s\n", err.text);
    printf("%s, %s, Vulkan %s, compiled by %s\n", info.name, info.driver, info.api_version, compiler);
    fflush(stdout);
    return run_suite(suite());
}
