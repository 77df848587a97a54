/* What the tests of operations share: tensors from and to arrays of double, naive sums in double. */
#ifndef SSA_TESTS_BENCH_H
#define SSA_TESTS_BENCH_H

#include "suite.h"
#include "verify/verify.h"
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A context and the dtype a test computes in: f64 on the CPU, f32 on devices. `eps`: what rounding may cost, relative. */
typedef struct bench { ssa_context *ctx; ssa_dtype dtype; double eps; uint64_t random; } bench;

static inline bench bench_open(ssa_dtype dtype) {
    bench            b = {.dtype = dtype, .eps = dtype == SSA_F64 ? 1e-12 : 2e-5, .random = 7};
    ssa_error        err = {0};
    const char      *validate = getenv("SSA_TEST_VALIDATE");
    ssa_open_options o = {.validate = validate && *validate && strcmp(validate, "0")};
    ck_assert_msg(ssa_open(test_device("cpu"), &o, &b.ctx, &err) == SSA_OK, "%s", err.text);
    return b;
}

static inline void bench_close(bench *b) {
    int messages = ssa_context_validation_messages(b->ctx);
    ssa_close(b->ctx);
    ck_assert_msg(!messages, "%d validation messages", messages);
}

/* Dtypes to go through: for (int i = 0; i < bench_dtypes(); i++) bench_open(bench_dtype(i)) */
static inline int       bench_dtypes(void) { return strcmp(test_device("cpu"), "cpu") ? 1 : 2; }
static inline ssa_dtype bench_dtype(int i) { return i ? SSA_F64 : SSA_F32; }

#define RUN(b, op, operands, ...)                                                                                       \
    ck_assert_msg(SSA_CALL((b)->ctx, op, operands, __VA_ARGS__) == SSA_OK, "%s", ssa_context_error((b)->ctx)->text)

#define NUMBERS(n) ((double *)numbers((size_t)(n)))
static inline void *numbers(size_t n) {
    void *p = calloc(n ? n : 1, sizeof(double));
    ck_assert_ptr_nonnull(p);
    return p;
}

static inline ssa_tensor tensor(bench *b, ssa_dtype dtype, int rank, const int64_t *shape) {
    ssa_tensor t;
    ck_assert_msg(ssa_tensor_create(b->ctx, dtype, rank, shape, &t) == SSA_OK, "%s", ssa_context_error(b->ctx)->text);
    return t;
}
#define SHAPE(...) (int)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)), (int64_t[]){__VA_ARGS__}
#define REALS(b, ...) tensor((b), (b)->dtype, SHAPE(__VA_ARGS__))
#define INTS(b, ...)  tensor((b), SSA_I32, SHAPE(__VA_ARGS__))

static inline void put(bench *b, ssa_tensor t, const double *x) {
    int64_t n = ssa_numel(&t);
    char   *host = numbers((size_t)n);
    for (int64_t i = 0; i < n; i++) verify_set(host, t.dtype, i, x[i]);
    ck_assert_int_eq(ssa_write(b->ctx, t, host), SSA_OK);
    free(host);
}

/* The caller frees it. */
static inline double *take(bench *b, ssa_tensor t) {
    int64_t n = ssa_numel(&t);
    char   *host = numbers((size_t)n);
    double *x = numbers((size_t)n);
    ck_assert_msg(ssa_read(b->ctx, t, host) == SSA_OK, "%s", ssa_context_error(b->ctx)->text);
    for (int64_t i = 0; i < n; i++) x[i] = verify_get(host, t.dtype, i);
    free(host);
    return x;
}

static inline void put_constant(bench *b, ssa_tensor t, double value) {
    double *x = NUMBERS(ssa_numel(&t));
    for (int64_t i = 0; i < ssa_numel(&t); i++) x[i] = value;
    put(b, t, x);
    free(x);
}

/* Random values, as the tensor holds them after rounding; the caller frees them. */
static inline double *put_random(bench *b, ssa_tensor t) {
    double *x = NUMBERS(ssa_numel(&t));
    for (int64_t i = 0; i < ssa_numel(&t); i++) x[i] = verify_normal(&b->random);
    put(b, t, x);
    free(x);
    return take(b, t);
}

/* Largest difference, relative to the largest number wanted. */
static inline void check_close(const double *got, const double *want, int64_t n, double eps, const char *what) {
    double size = 0;
    for (int64_t i = 0; i < n; i++) size = fmax(size, fabs(want[i]));
    for (int64_t i = 0; i < n; i++)
        ck_assert_msg(fabs(got[i] - want[i]) <= eps * size, "%s: element %lld is %.12g where %.12g is right", what, (long long)i, got[i], want[i]);
}

/* Takes a tensor and compares it. */
static inline void check_tensor(bench *b, ssa_tensor t, const double *want, const char *what) {
    double *got = take(b, t);
    check_close(got, want, ssa_numel(&t), b->eps, what);
    free(got);
}

#endif
