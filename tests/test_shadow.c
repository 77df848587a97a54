/* The shadow check's judgement on results made up for the purpose: what it must find, and what it must let pass. */
#include "suite.h"
#include "shadow.h"
#include "ssa/ssa.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static ssa_backend *cpu;
static ssa_error    err;

static void setup(void) {
    memset(&err, 0, sizeof err);
    ck_assert(!ssa_cpu_backend_create(0, false, &cpu, &err));
}

static void teardown(void) { cpu->vt->destroy(cpu); }

/* A call on tensors of these shapes, with the sizes bound to their letters as the front end does it. */
static void prepare(ssa_call *call, ssa_buffer *buffers, ssa_op op, int count, ssa_tensor *t, const ssa_attrs *attr) {
    for (int i = 0; i < count; i++) {
        buffers[i] = (ssa_buffer){.dtype = t[i].dtype, .elements = ssa_numel(&t[i])};
        t[i].buffer = &buffers[i];
    }
    ck_assert_msg(!ssa_call_prepare(&err, op, count, t, attr, call), "%s", err.text);
}

static void passes(const ssa_call *call, const shadow_operand *o) {
    ck_assert_msg(!shadow_compare(cpu, "gpu", call, o, &err), "%s", err.text);
}

static void stops(const ssa_call *call, const shadow_operand *o, const char *words) {
    ck_assert_int_eq(shadow_compare(cpu, "gpu", call, o, &err), SSA_ERR_RUNTIME);
    ck_assert_msg(strstr(err.text, words), "%s", err.text);
    ssa_error_clear(&err);
}

#define F32(...) {.dtype = SSA_F32, .rank = (int)(sizeof((int64_t[]){__VA_ARGS__}) / 8), .shape = {__VA_ARGS__}}
#define I32(...) {.dtype = SSA_I32, .rank = (int)(sizeof((int64_t[]){__VA_ARGS__}) / 8), .shape = {__VA_ARGS__}}

/* y = x1 + x2 of `n` elements of a dtype, all 1 + 1. */
static void add_call(ssa_call *call, ssa_buffer b[3], ssa_dtype dtype, int64_t n) {
    ssa_tensor t[3] = {F32(1), F32(1), F32(1)};
    for (int i = 0; i < 3; i++) t[i].dtype = dtype, t[i].shape[0] = n;
    prepare(call, b, SSA_ADD, 3, t, &(ssa_attrs){0});
}

START_TEST(numbers) {
    ssa_call   call;
    ssa_buffer b[3];
    float      x[8], got[8], want[8];
    for (int i = 0; i < 8; i++) x[i] = 1, got[i] = want[i] = 2;
    shadow_operand o[3] = {{.before = x}, {.before = x}, {.got = got, .want = want}};
    add_call(&call, b, SSA_F32, 8);
    passes(&call, o);
    got[5] = 2.0000002f; /* the neighbour */
    passes(&call, o);
    got[5] = 2.001f;
    stops(&call, o, "shadow check: add: y[5] is 2.00099993 on gpu, 2 on the CPU (NMSE 3.12e-08, limit 1e-11); x1 f32[8], x2 f32[8], y f32[8]");
}
END_TEST

/* One bf16 element among a million is lost in the mean, and found by itself. */
START_TEST(one_among_many) {
    enum { N = 1 << 20 };
    ssa_call   call;
    ssa_buffer b[3];
    uint16_t  *x = malloc(3 * N * sizeof *x), *got = x + N, *want = got + N;
    for (int i = 0; i < N; i++) x[i] = 0x3f80, got[i] = want[i] = 0x4000; /* 1, 2 */
    shadow_operand o[3] = {{.before = x}, {.before = x}, {.got = got, .want = want}};
    add_call(&call, b, SSA_BF16, N);
    got[N - 1] = 0x4001;
    passes(&call, o);
    got[N - 1] = 0x4040; /* 3 */
    stops(&call, o, "y[1048575] is 3 on gpu, 2 on the CPU");
    free(x);
}
END_TEST

START_TEST(not_finite) {
    ssa_call   call;
    ssa_buffer b[3];
    float      x[4] = {1, 2, 3, 4}, got[4] = {2, 4, 6, 8}, want[4] = {2, 4, 6, 8};
    shadow_operand o[3] = {{.before = x}, {.before = x}, {.got = got, .want = want}};
    add_call(&call, b, SSA_F32, 4);
    got[2] = NAN;
    stops(&call, o, "y[2] is nan on gpu, 6 on the CPU (not finite)");
    want[2] = NAN;
    stops(&call, o, "y[2] is nan on gpu, nan on the CPU (not finite, though every input is)");
    x[2] = NAN; /* then it is not this operation's doing */
    passes(&call, o);
    want[2] = INFINITY;
    stops(&call, o, "(not finite)");
}
END_TEST

/* What neither side wrote may hold anything: attn_full leaves the second half of stat alone. */
START_TEST(untouched_half) {
    ssa_call   call;
    ssa_buffer b[5];
    ssa_tensor t[5] = {F32(1, 2, 1, 2), F32(1, 2, 1, 2), F32(1, 2, 1, 2), F32(1, 2, 1, 2), F32(2, 1, 2, 1)};
    float      x[4] = {1, 1, 1, 1}, before[4] = {0, 0, NAN, 1e30f}, got[4] = {2, 2.6931472f, NAN, 1e30f}, want[4] = {2, 2.6931472f, NAN, 1e30f};
    shadow_operand o[5] = {{.before = x}, {.before = x}, {.before = x}, {.got = x, .want = x}, {.before = before, .got = got, .want = want}};
    prepare(&call, b, SSA_ATTN_FULL, 5, t, &(ssa_attrs){.scale = 1});
    passes(&call, o);
    got[1] = 2.7f; /* 1e30 beside it must not make this small */
    stops(&call, o, "stat[0,0,1,0] is 2.70000005 on gpu, 2.69314718 on the CPU");
}
END_TEST

/* 1e4 * 1e4 - 1e4 * 1e4 + rounding: far from the CPU's in relative terms, and as good as it; but not anything goes. */
START_TEST(cancellation) {
    enum { K = 64 };
    ssa_call   call;
    ssa_buffer b[3];
    ssa_tensor t[3] = {F32(1, K), F32(K, 1), F32(1, 1)};
    float      x[K], y[K], want = 0, got = 0;
    for (int i = 0; i < K; i++) x[i] = 1e3f * (1.1f + (float)(i % 32) / 7), y[i] = i < K / 2 ? 1e3f : -1e3f;
    for (int i = 0; i < K; i += 3) x[i] += 0.01f;
    for (int i = 0; i < K; i++) want += x[i] * y[i];
    for (int i = K - 1; i >= 0; i--) got += x[i] * y[i];
    shadow_operand o[3] = {{.before = x}, {.before = y}, {.got = &got, .want = &want}};
    prepare(&call, b, SSA_MATMUL, 3, t, &(ssa_attrs){0});
    ck_assert_msg(got != want && fabsf(got / want - 1) > 2e-5f, "%.9g %.9g", (double)got, (double)want); /* or the test tests nothing */
    passes(&call, o);
    got = want + 1000;
    stops(&call, o, "matmul: c[0,0] is ");
}
END_TEST

/* Two blocks of nearly equal score: either may be taken. */
START_TEST(selection) {
    ssa_call   call;
    ssa_buffer b[3];
    /* four blocks of one token, top_k 2: the last query takes its own and the best of three */
    ssa_tensor t[3] = {F32(1, 4, 1, 2), F32(1, 4, 1, 2), I32(1, 4, 1, 2)};
    float      q[8] = {1, 0, 1, 0, 1, 0, 1, 0}, kbar[8] = {0.5f, 0, 0.500001f, 0, 0.1f, 0, 0, 0};
    int32_t    want[8] = {0, -1, 1, 0, 2, 1, 3, 1}, got[8];
    shadow_operand o[3] = {{.before = q}, {.before = kbar}, {.got = got, .want = want}};
    for (int score = SSA_SCORE_SOFTMAX; score <= SSA_SCORE_DOT; score++) {
        prepare(&call, b, SSA_SELECT, 3, t, &(ssa_attrs){.score = score, .block_size = 1, .top_k = 2, .scale = 1});
        memcpy(got, want, sizeof got);
        passes(&call, o);
        got[7] = 0;
        passes(&call, o);
        got[7] = 2;
        stops(&call, o, "select: idx[0,3,0,1] is 2 on gpu, 1 on the CPU (scores ");
        got[7] = 3; /* its own twice */
        stops(&call, o, "not a selection");
        got[7] = -1;
        stops(&call, o, "takes 0 of blocks 0..2, the rule is 1");
        got[7] = 1;
        got[2] = 2; /* a block of the future */
        stops(&call, o, "idx[0,1,0,0] is 2 on gpu, 1 on the CPU (not a selection");
        got[2] = 1000000;
        stops(&call, o, "not a selection");
    }
}
END_TEST

/* compat is judged by its own rule: of 4 blocks in the superblock and as many before, two of each, whatever the scores say. */
START_TEST(compat) {
    enum { N = 8, T = 4 * N, K = 4 };
    ssa_call   call;
    ssa_buffer b[3];
    ssa_tensor t[3] = {F32(1, T, 1, 2), F32(1, N, 1, 2), I32(1, T, 1, K)};
    float      q[2 * T] = {0}, kbar[2 * N] = {0};
    int32_t    want[T * K], got[T * K];
    for (int i = 0; i < T; i++) q[2 * i] = 1;
    for (int i = 0; i < N; i++) kbar[2 * i] = i < 4 ? 4 - (float)i : (float)i / 100; /* old blocks score higher than new ones */
    kbar[2] = kbar[4] = 3;                                                           /* but for a tie of 1 and 2 */
    for (int r = 0; r < T; r++) {
        int32_t c = r / 4, rule[4] = {c, -1, -1, -1};
        if (c < 4) for (int k = 1; k <= c; k++) rule[k] = k - 1; /* the first superblock: all of them */
        else if (c == 4) rule[1] = 0, rule[2] = 2;
        else rule[1] = 0, rule[2] = 2, rule[3] = c - 1;
        memcpy(&want[r * K], rule, sizeof rule);
    }
    shadow_operand o[3] = {{.before = q}, {.before = kbar}, {.got = got, .want = want}};
    int32_t       *last = &got[(T - 1) * K];
    for (int score = SSA_SCORE_SOFTMAX; score <= SSA_SCORE_DOT; score++) {
        prepare(&call, b, SSA_SELECT, 3, t, &(ssa_attrs){.score = score, .select = SSA_SELECT_COMPAT, .block_size = 4, .top_k = 4, .scale = 1});
        memcpy(got, want, sizeof got);
        passes(&call, o);
        last[2] = 1; /* the tie, and another order */
        passes(&call, o);
        last[1] = 1, last[2] = 0;
        passes(&call, o);
        last[3] = 2; /* a third of the old blocks: what exact would take */
        stops(&call, o, "select: idx[0,31,0,1] is 1 on gpu, 0 on the CPU (takes 0 of blocks 4..6, the rule is 1)");
        last[2] = -1, last[3] = 6;
        stops(&call, o, "not a selection");
        memcpy(got, want, sizeof got);
        last[2] = 3; /* of the right half, and not the best */
        stops(&call, o, "no near tie");
        memcpy(got, want, sizeof got);
        last[3] = 4;
        stops(&call, o, "no near tie");
    }
}
END_TEST

/* Entries behind the last offset are undefined. */
START_TEST(lists) {
    ssa_call   call;
    ssa_buffer b[2];
    ssa_tensor t[2] = {I32(1, 2, 1, 2), I32(1, 1, 7)};
    int32_t    idx[4] = {0, -1, 1, 0}, want[7] = {0, 2, 3, 0, 1, 1, 77}, got[7] = {0, 2, 3, 0, 1, 1, 99};
    shadow_operand o[2] = {{.before = idx}, {.got = got, .want = want}};
    prepare(&call, b, SSA_SPARSE_LISTS, 2, t, &(ssa_attrs){.block_size = 1});
    passes(&call, o);
    got[5] = 0;
    stops(&call, o, "sparse_lists: lists[0,0,5] is 0 on gpu, 1 on the CPU");
}
END_TEST

/* The wrapper itself, with the CPU as the device: calls at once and recorded, in place, and into part of a buffer. */
START_TEST(wrapper) {
    ssa_backend *device, *be;
    ssa_context *ctx;
    ssa_tensor   x;
    ssa_program *p;
    float        host[8];
    ck_assert(!ssa_cpu_backend_create(0, false, &device, &err) && !ssa_shadow_wrap(device, &be, &err) && !ssa_context_create(be, &ctx, &err));
    ck_assert(!ssa_tensor_new(ctx, SSA_F32, &x, 8));
    ck_assert(!SSA_CALL(ctx, SSA_FILL, SSA_T(x), .value = 1));
    ssa_tensor y = ssa_view(x, 4, 4);
    ck_assert(!ssa_record_begin(ctx));
    ck_assert(!SSA_CALL(ctx, SSA_ADD, SSA_T(y, y, y)));
    ck_assert(!ssa_record_end(ctx, &p));
    for (int i = 0; i < 3; i++) ck_assert_msg(!ssa_replay(ctx, p), "%s", ssa_context_error(ctx)->text);
    ck_assert(!ssa_read(ctx, x, host) && !ssa_wait(ctx));
    for (int i = 0; i < 8; i++) ck_assert(host[i] == (i < 4 ? 1 : 8));
    ssa_program_free(ctx, p);
    ck_assert(!ssa_record_begin(ctx)); /* closing in the middle of a recording */
    ssa_close(ctx);
}
END_TEST

/* Whatever a backend can be asked, the wrapper passes on: a member that the contract gets must be passed on too. */
START_TEST(whole_contract) {
    ssa_backend *device, *be;
    ck_assert(!ssa_cpu_backend_create(0, false, &device, &err) && !ssa_shadow_wrap(device, &be, &err));
    void *member[sizeof *be->vt / sizeof(void *)];
    memcpy(member, be->vt, sizeof *be->vt);
    for (size_t i = 0; i < sizeof member / sizeof *member; i++) ck_assert_msg(member[i] != NULL, "member %zu of the backend contract is not passed on", i);
    be->vt->destroy(be);
}
END_TEST

static ssa_status two_kernels(ssa_backend *be, const ssa_call *call, void (*each)(void *user, const char *kernel), void *user, ssa_error *e) {
    (void)be, (void)call, (void)e;
    each(user, "first");
    each(user, "second");
    return SSA_OK;
}

static void join(void *user, const char *kernel) { strcat(user, kernel); }

START_TEST(passes_on) {
    ssa_backend       *device, *be;
    ssa_backend_vtable with;
    char               names[32] = "";
    ck_assert(!ssa_cpu_backend_create(0, false, &device, &err) && !ssa_shadow_wrap(device, &be, &err));
    ck_assert_int_eq(be->vt->compile_report(be, NULL, NULL, &err), SSA_ERR_UNSUPPORTED); /* as the CPU itself answers */
    ssa_error_clear(&err);
    with = *device->vt;
    with.kernels = two_kernels;
    device->vt = &with;
    ck_assert(!be->vt->kernels(be, &(ssa_call){0}, join, names, &err));
    ck_assert_str_eq(names, "firstsecond");
    be->vt->destroy(be);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("shadow");
    TCase *t = tcase_create("shadow");
    tcase_set_timeout(t, 120);
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, numbers);
    tcase_add_test(t, one_among_many);
    tcase_add_test(t, not_finite);
    tcase_add_test(t, untouched_half);
    tcase_add_test(t, cancellation);
    tcase_add_test(t, selection);
    tcase_add_test(t, compat);
    tcase_add_test(t, lists);
    tcase_add_test(t, wrapper);
    tcase_add_test(t, whole_contract);
    tcase_add_test(t, passes_on);
    suite_add_tcase(suite, t);
    return run_suite(suite);
}
