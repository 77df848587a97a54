/* The largest shapes that users ask for, lowered onto a device that only looks: no memory, no launches, but where each binding ends,
 * how many workgroups a launch has and how many launches an operation takes is held against the kernels' 32-bit arithmetic. Once as on
 * Vulkan (a binding begins at its offset and spans 4 GiB at most), once as on OpenCL (kernels are given whole buffers). */
#include "backend.h"
#include "device.h"
#include "ssa/ssa.h"
#include "suite.h"
#include <string.h>

struct dev_buffer { uint64_t bytes; };
struct dev_kernel { uint64_t wg, each; };

/* What the device saw. */
typedef struct looker {
    device     base;
    dev_kernel kernel;
    bool       whole_buffers;
    int        launches;
    char       fault[256]; /* the first; empty: none */
} looker;

static ssa_status look_alloc(device *dev, uint64_t bytes, dev_buffer **out, ssa_error *err) {
    (void)dev, (void)err;
    *out = malloc(sizeof **out);
    (*out)->bytes = bytes;
    return SSA_OK;
}

static void look_free(device *dev, dev_buffer *buffer) {
    (void)dev;
    free(buffer);
}

static ssa_status look_kernel(device *dev, const dev_kernel_desc *desc, dev_kernel **out, ssa_error *err) {
    looker *d = (looker *)dev;
    (void)err;
    d->kernel = (dev_kernel){1, 1};
    for (int i = 0; i < desc->constant_count; i++) {
        if (!strcmp(desc->constants[i].name, "WG")) d->kernel.wg = desc->constants[i].value;
        if (!strcmp(desc->constants[i].name, "EACH") && strcmp(desc->name, "matmul")) d->kernel.each = desc->constants[i].value;
    }
    *out = &d->kernel;
    return SSA_OK;
}

#define FAULT(...) do { if (!d->fault[0]) snprintf(d->fault, sizeof d->fault, __VA_ARGS__); } while (0)

static ssa_status look_run(device *dev, const dev_launch *launches, int count, ssa_error *err) {
    looker *d = (looker *)dev;
    (void)err;
    for (const dev_launch *la = launches; la < launches + count; la++) {
        uint64_t groups = (uint64_t)la->groups[0] * la->groups[1];
        d->launches++;
        for (int i = 0; i < la->bindings; i++) {
            const dev_binding *b = &la->bind[i];
            uint64_t           first = (d->whole_buffers ? b->offset : b->offset % 256) / b->element_bytes, end = first + b->bytes / b->element_bytes;
            if (b->offset + b->bytes > b->buffer->bytes)
                FAULT("binding %d ends at byte %llu of a buffer of %llu", i, (unsigned long long)(b->offset + b->bytes), (unsigned long long)b->buffer->bytes);
            if (end > 1ull << 32) FAULT("binding %d ends at element %llu, which no uint reaches", i, (unsigned long long)end);
            if (b->bytes + b->offset % 256 > dev->limits.max_range) FAULT("binding %d spans %llu bytes", i, (unsigned long long)b->bytes);
        }
        for (int i = 0; i < 3; i++)
            if (la->groups[i] > dev->limits.max_groups[i]) FAULT("%u groups in dimension %d", la->groups[i], i);
        if (groups > UINT32_MAX) FAULT("%llu groups", (unsigned long long)groups);
    }
    return SSA_OK;
}

static ssa_status look_wait(device *dev, ssa_error *err) {
    (void)dev, (void)err;
    return SSA_OK;
}

static void look_destroy(device *dev) { free(dev); }

static const device_vtable looking = {
    .alloc = look_alloc, .free = look_free, .kernel = look_kernel, .run = look_run, .wait = look_wait, .destroy = look_destroy};

static ssa_context *open_looker(bool whole_buffers, uint64_t range, uint64_t buffer, looker **out) {
    ssa_error    err = {0};
    ssa_backend *be;
    ssa_context *ctx;
    looker      *d = calloc(1, sizeof *d);
    uint32_t     groups = whole_buffers ? (1u << 22) - 1 : 65535;
    d->base.vt = &looking;
    d->whole_buffers = whole_buffers;
    snprintf(d->base.info.api, sizeof d->base.info.api, "look");
    d->base.limits = (dev_limits){.max_range = range, .max_buffer = buffer, .heap = 1ull << 40, .max_groups = {groups, 65535, 65535},
                                  .max_invocations = 256, .shared_bytes = 16384, .push_bytes = 128, .max_bindings = 8, .storage16 = true};
    ck_assert(!gpu_backend_create(&d->base, SSA_TUNE_OFF, &be, &err) && !ssa_context_create(be, &ctx, &err));
    *out = d;
    return ctx;
}

/* -- shapes ------------------------------------------------------------------------------------------------------------------ */

/* S: selection heads. most: launches an operation may take, which a launch a query or a row would pass by far. */
typedef struct shape { int64_t B, T, Q, H, D, S, block, top_k, V, C, F; ssa_dtype dtype; int most; } shape;

static const shape shapes[] = {
    {1, 131072, 32, 2, 128, 2, 16, 16, 128256, 4096, 14336, SSA_BF16, 20000},
    {1, 131072, 32, 2, 128, 2, 16, 16, 128256, 4096, 14336, SSA_F32, 20000},
    {1, 131072, 32, 8, 128, 32, 16, 16, 128256, 4096, 4096, SSA_BF16, 20000}, /* a selection per head */
    {1, 131072, 32, 2, 128, 32, 16, 16, 128256, 4096, 4096, SSA_F32, 20000},
    {4, 131072, 32, 2, 128, 2, 16, 16, 128256, 4096, 4096, SSA_BF16, 80000},
    {1, 262144, 16, 16, 64, 16, 16, 64, 32000, 1024, 2048, SSA_F16, 20000},
    {64, 16384, 32, 8, 64, 8, 64, 16, 50257, 2048, 2048, SSA_BF16, 80000},
    {12, 131072, 32, 2, 128, 2, 16, 16, 128256, 4096, 4096, SSA_BF16, 240000}, /* tensors of more than 2^32 elements */
};

typedef struct lane { ssa_context *ctx; looker *d; int lowered, refused, slack; bool may_refuse; } lane;

static ssa_tensor make(lane *l, ssa_dtype dtype, int rank, int64_t a, int64_t b, int64_t c, int64_t e) {
    ssa_tensor t = {0};
    if (ssa_tensor_create(l->ctx, dtype, rank, (int64_t[]){a, b, c, e}, &t)) ssa_error_clear(ssa_context_error(l->ctx));
    return t; /* without a buffer where one does not fit the device */
}

/* An operation on tensors, of which none is there if one does not fit the largest buffer. */
static void lower_op(lane *l, const shape *s, ssa_op op, ssa_operands o, ssa_attrs a) {
    ssa_error *err = ssa_context_error(l->ctx);
    for (int i = 0; i < o.count; i++)
        if (!o.t[i].buffer) return;
    l->d->launches = 0;
    ssa_status status = ssa_run_operands(l->ctx, op, o, &a);
    ck_assert_msg(!l->d->fault[0], "%s T=%lld S=%lld %s: %s", ssa_op_name(op), (long long)s->T, (long long)s->S, ssa_dtype_name(s->dtype), l->d->fault);
    ck_assert_msg(!status || (l->may_refuse && status == SSA_ERR_UNSUPPORTED), "%s", err->text);
    ck_assert_msg(l->d->launches <= s->most * l->slack, "%s T=%lld S=%lld: %d launches", ssa_op_name(op), (long long)s->T, (long long)s->S, l->d->launches);
    if (status) l->refused++; else l->lowered++;
    ssa_error_clear(err);
}

static void lower_all(lane *l, const shape *s) {
    ssa_dtype  t = s->dtype;
    int64_t    B = s->B, T = s->T, Q = s->Q, H = s->H, D = s->D, R = B * T, C = s->C, F = s->F, N = (T + s->block - 1) / s->block, K = s->top_k;
    int32_t    block = (int32_t)s->block;
    ssa_tensor q = make(l, t, 4, B, T, Q, D), o = make(l, t, 4, B, T, Q, D), dq = make(l, t, 4, B, T, Q, D), k = make(l, t, 4, B, T, H, D);
    ssa_tensor v = make(l, t, 4, B, T, H, D), stat = make(l, SSA_F32, 4, 4, B, T, Q), kbar = make(l, SSA_F32, 4, B, N, H, D);
    ssa_tensor idx = make(l, SSA_I32, 4, B, T, s->S, K), lists = make(l, SSA_I32, 3, B, s->S, N + 1 + T * K, 0), z = make(l, t, 3, B, T, 3 * Q, 0);
    ssa_tensor x = make(l, t, 2, R, C, 0, 0), y = make(l, t, 2, R, C, 0, 0), w = make(l, t, 1, C, 0, 0, 0), rstd = make(l, SSA_F32, 1, R, 0, 0, 0);
    ssa_tensor dw = make(l, SSA_F32, 1, C, 0, 0, 0), angles = make(l, SSA_F32, 2, T, D, 0, 0), g = make(l, t, 2, R, F, 0, 0), W = make(l, t, 2, F, C, 0, 0);
    ssa_tensor dW = make(l, SSA_F32, 2, F, C, 0, 0), E = make(l, t, 2, s->V, C, 0, 0), dE = make(l, SSA_F32, 2, s->V, C, 0, 0);
    ssa_tensor tokens = make(l, SSA_I32, 1, R, 0, 0, 0), loss = make(l, SSA_F32, 1, R, 0, 0, 0), one = make(l, SSA_F32, 1, 1, 0, 0, 0);
    ssa_tensor flat = g, moment = make(l, SSA_F32, 1, R * F, 0, 0, 0), eight = make(l, SSA_F32, 1, 8, 0, 0, 0), two = make(l, SSA_F32, 1, 2, 0, 0, 0);
    ssa_tensor half = stat.buffer ? ssa_view(stat, 0, 2, B, T, Q) : stat, other = make(l, t == SSA_F32 ? SSA_BF16 : SSA_F32, 2, R, F, 0, 0);
    flat.rank = 1, flat.shape[0] = R * F;
#define LOWER(op, operands, ...) lower_op(l, s, op, operands, (ssa_attrs){__VA_ARGS__})
    LOWER(SSA_FILL, SSA_T(g), .value = 1);
    LOWER(SSA_CAST, SSA_T(g, other), .value = 0);
    LOWER(SSA_ADD, SSA_T(x, y, y), .value = 0);
    LOWER(SSA_SWIGLU, SSA_T(g, g, g), .value = 0);
    LOWER(SSA_SWIGLU_BWD, SSA_T(g, g, g, g, g), .value = 0);
    LOWER(SSA_EMBEDDING, SSA_T(tokens, E, x), .value = 0);
    LOWER(SSA_EMBEDDING_BWD, SSA_T(tokens, tokens, x, dE), .value = 0);
    LOWER(SSA_RMSNORM, SSA_T(x, w, y, rstd), .eps = 1e-5f);
    LOWER(SSA_RMSNORM_BWD, SSA_T(y, x, w, rstd, y, dw), .value = 0);
    LOWER(SSA_ROPE, SSA_T(q, angles, q), .value = 0);
    LOWER(SSA_MATMUL, SSA_T(x, W, g), .trans_b = true);
    LOWER(SSA_MATMUL, SSA_T(g, W, x), .value = 0);
    LOWER(SSA_MATMUL, SSA_T(g, x, dW), .trans_a = true);
    LOWER(SSA_ATTN_FULL, SSA_T(q, k, v, o, half), .scale = 1);
    LOWER(SSA_ATTN_FULL_BWD, SSA_T(o, q, k, v, half, dq, k, v), .scale = 1);
    LOWER(SSA_BLOCK_MEAN, SSA_T(k, kbar), .block_size = block);
    LOWER(SSA_SELECT, SSA_T(q, kbar, idx), .block_size = block, .top_k = (int32_t)K, .scale = 1);
    if (K == block)
        LOWER(SSA_SELECT, SSA_T(q, kbar, idx), .block_size = block, .top_k = (int32_t)K, .scale = 1, .score = SSA_SCORE_DOT, .select = SSA_SELECT_COMPAT);
    LOWER(SSA_ATTN_SPARSE, SSA_T(q, k, v, idx, o, half), .block_size = block, .scale = 1);
    LOWER(SSA_SPARSE_LISTS, SSA_T(idx, lists), .block_size = block);
    LOWER(SSA_ATTN_SPARSE_BWD, SSA_T(o, q, k, v, idx, lists, half, dq, k, v), .block_size = block, .scale = 1);
    LOWER(SSA_GATE, SSA_T(o, z, dq), .value = 0);
    LOWER(SSA_GATE_BWD, SSA_T(dq, o, z, dq, z, half), .value = 0);
    LOWER(SSA_ALIGN, SSA_T(o, dq, z, one), .scale = 1, .gated = true);
    LOWER(SSA_ALIGN_BWD, SSA_T(o, q, dq, z, o, dq, z, stat), .scale = 1, .gated = true);
    LOWER(SSA_LM_LOSS, SSA_T(x, E, tokens, loss), .value = 0);
    LOWER(SSA_LM_LOSS_GRAD, SSA_T(x, E, tokens, loss, y, dE), .scale = 1);
    LOWER(SSA_SUM, SSA_T(moment, one), .scale = 1);
    LOWER(SSA_SUMSQ, SSA_T(moment, one), .value = 0);
    LOWER(SSA_CLIP, SSA_T(one, two), .max_norm = 1);
    LOWER(SSA_ADAMW, SSA_T(moment, eight, two, moment, moment, moment, flat), .beta1 = 0.9f);
    ssa_tensor all[] = {q, o, dq, k, v, stat, kbar, idx, lists, z, x, y, w, rstd, dw, angles, g, W, dW, E, dE, tokens, loss, one, moment, eight, two, other};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) ssa_tensor_free(l->ctx, &all[i]);
}

static void lower_shapes(bool whole_buffers, uint64_t range, uint64_t buffer, bool may_refuse, int least) {
    lane l = {.may_refuse = may_refuse, .slack = range < 1ull << 30 ? 8 : 1}; /* small bindings take more launches */
    l.ctx = open_looker(whole_buffers, range, buffer, &l.d);
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) lower_all(&l, &shapes[i]);
    ck_assert_msg(l.lowered >= least && (may_refuse || !l.refused), "%d calls lowered, %d refused", l.lowered, l.refused);
    ck_assert(!may_refuse || l.refused > 0); /* or there is nothing to see */
    printf("%d calls lowered, %d refused\n", l.lowered, l.refused);
    ssa_close(l.ctx);
}

START_TEST(vulkan_4g) { lower_shapes(false, 0xffffffffull, 1ull << 40, false, 200); }
END_TEST
START_TEST(vulkan_128m) { lower_shapes(false, 128 << 20, 1ull << 40, true, 120); }
END_TEST
START_TEST(opencl_8g) { lower_shapes(true, 8ull << 30, 8ull << 30, false, 150); }
END_TEST
/* Larger buffers than a 32-bit index reaches: refused with a sentence, never wrapped. */
START_TEST(opencl_64g) { lower_shapes(true, 64ull << 30, 64ull << 30, true, 150); }
END_TEST

/* Workspace that the largest buffer cannot hold is refused with a sentence that names the operation and both sizes. */
START_TEST(scratch_beyond_the_largest_buffer) {
    enum { R = 256, C = 16, V = 2048 }; /* all tensors fit, R x V logits do not */
    looker      *d;
    ssa_context *ctx = open_looker(false, 1 << 20, 1 << 20, &d);
    ssa_tensor   h, w, target, loss;
    ck_assert(!ssa_tensor_new(ctx, SSA_F32, &h, R, C) && !ssa_tensor_new(ctx, SSA_F32, &w, V, C));
    ck_assert(!ssa_tensor_new(ctx, SSA_I32, &target, R) && !ssa_tensor_new(ctx, SSA_F32, &loss, R));
    ck_assert_int_eq(ssa_run_operands(ctx, SSA_LM_LOSS, SSA_T(h, w, target, loss), &(ssa_attrs){0}), SSA_ERR_MEMORY);
    const char *text = ssa_context_error(ctx)->text;
    ck_assert_msg(strstr(text, "lm_loss needs ") && strstr(text, " bytes of scratch") && strstr(text, "largest buffer has 1048576"), "%s", text);
    ck_assert_int_eq(d->launches, 0);
    ssa_error_clear(ssa_context_error(ctx));
    ssa_tensor fewer = ssa_view(h, 0, 64, C), targets = ssa_view(target, 0, 64), losses = ssa_view(loss, 0, 64);
    ck_assert_int_eq(ssa_run_operands(ctx, SSA_LM_LOSS, SSA_T(fewer, w, targets, losses), &(ssa_attrs){0}), SSA_OK);
    ssa_close(ctx);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("limits");
    TCase *t = tcase_create("limits");
    tcase_set_timeout(t, 120);
    tcase_add_test(t, vulkan_4g);
    tcase_add_test(t, vulkan_128m);
    tcase_add_test(t, opencl_8g);
    tcase_add_test(t, opencl_64g);
    tcase_add_test(t, scratch_beyond_the_largest_buffer);
    suite_add_tcase(suite, t);
    return run_suite(suite);
}
