/* What the choice between CLBlast and our own kernel rests on: CLBlast's values checked against the CPU's, then both timed. */
#include "ocl.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* A shape that is larger than this is measured on a smaller one of its kind. */
enum { MOST_BYTES = 512 << 20, SAMPLES = 2048, ROUNDS = 3, MOST_RUNS = 50 };
static const double MOST_FLOPS_GPU = 2e11, MOST_FLOPS_CPU = 2e8, ROUND_SECONDS = 0.01;

typedef struct {
    ocl_device  *d;
    ocl_clblast *library;
    dev_gemm     g;
    dev_buffer  *buffer[3];
    float       *host[3];
    size_t       elements[3];
    dev_binding  bind[3];
} bench;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Fewer matrices first, then the longest side halved: thin shapes stay thin. */
static dev_gemm shrink(const ocl_device *d, dev_gemm g) {
    double most = d->base.info.type == DEV_CPU ? MOST_FLOPS_CPU : MOST_FLOPS_GPU;
    for (;;) {
        double M = (double)g.M, N = (double)g.N, K = (double)g.K, batch = (double)g.batch;
        double largest = fmax(M * K, fmax(K * N, M * N)) * batch * 4;
        if (2 * M * N * K * batch <= most && (M * K + K * N + M * N) * batch * 4 <= MOST_BYTES && largest <= (double)d->base.limits.max_buffer)
            return g;
        uint64_t *longest = g.M >= g.N && g.M >= g.K ? &g.M : g.N >= g.K ? &g.N : &g.K;
        if (g.batch > 1) g.batch = (g.batch + 1) / 2; else *longest = (*longest + 1) / 2;
    }
}

static float noise(uint32_t *state) { /* -1..1 */
    *state = *state * 1664525u + 1013904223u;
    return (float)(*state >> 8) * (2.0f / 16777216.0f) - 1.0f;
}

static bool prepare(bench *t) {
    uint64_t M = t->g.M, N = t->g.N, K = t->g.K, batch = t->g.batch, count[3] = {M * K * batch, K * N * batch, M * N * batch};
    uint32_t seed = 1;
    for (int i = 0; i < 3; i++) {
        t->elements[i] = (size_t)count[i];
        t->host[i] = malloc(t->elements[i] * sizeof(float));
        if (!t->host[i] || ocl_alloc(&t->d->base, count[i] * sizeof(float), &t->buffer[i], NULL)) return false;
        for (size_t k = 0; k < t->elements[i]; k++) t->host[i][k] = i < 2 ? noise(&seed) : NAN; /* what C held must not matter */
        if (ocl_write(&t->d->base, t->buffer[i], 0, count[i] * sizeof(float), t->host[i], NULL)) return false;
        t->bind[i] = (dev_binding){.buffer = t->buffer[i], .bytes = count[i] * sizeof(float), .element_bytes = sizeof(float)};
    }
    return ocl_clblast_prepare(t->d, t->library, &t->g);
}

static void release(bench *t) {
    for (int i = 0; i < 3; i++) {
        ocl_free(&t->d->base, t->buffer[i]);
        free(t->host[i]);
    }
}

/* Every element of a small product, SAMPLES spread over a large one and its last. `times`: how often it was added up. */
static bool values_right(bench *t, int times) {
    const dev_gemm *g = &t->g;
    size_t          M = (size_t)g->M, N = (size_t)g->N, K = (size_t)g->K, total = t->elements[2];
    size_t          step = total > 4 * SAMPLES ? total / SAMPLES | 1 : 1;
    double          tolerance = times * (1e-6 * (double)K + 1e-5);
    if (ocl_read(&t->d->base, t->buffer[2], 0, total * sizeof(float), t->host[2], NULL)) return false;
    for (size_t i = 0; i < total; i += (i + step < total || i == total - 1) ? step : total - 1 - i) {
        size_t       matrix = i / (M * N), m = i / N % M, n = i % N;
        const float *a = t->host[0] + matrix * M * K, *b = t->host[1] + matrix * K * N;
        double       sum = 0;
        for (size_t k = 0; k < K; k++) sum += (double)a[g->trans_a ? k * M + m : m * K + k] * b[g->trans_b ? n * K + k : k * N + n];
        if (!(fabs(sum * times - t->host[2][i]) <= tolerance)) return false;
    }
    return true;
}

static bool run_clblast(bench *t) { return !ocl_clblast_run(t->d, t->library, &t->g, t->bind, NULL); }
static bool run_own(bench *t) {
    return !t->d->base.own_gemm(t->d->base.backend, &t->g, t->buffer[0], t->buffer[1], t->buffer[2], NULL);
}

/* Seconds of one product, the best of some rounds; 0 where it fails. The first call compiles, the second wakes the clocks. */
static double time_of(bench *t, bool (*run)(bench *)) {
    double best = 0, once = 0;
    for (int i = 0; i < 2; i++) {
        double start = now();
        if (!run(t) || t->d->cl.clFinish(t->d->queue)) return 0;
        once = now() - start;
    }
    int runs = once > 0 && ROUND_SECONDS / once < MOST_RUNS ? (int)(ROUND_SECONDS / once) + 1 : MOST_RUNS;
    for (int round = 0; round < ROUNDS; round++) {
        double start = now();
        for (int i = 0; i < runs; i++)
            if (!run(t)) return 0;
        if (t->d->cl.clFinish(t->d->queue)) return 0;
        double seconds = (now() - start) / runs;
        if (!best || seconds < best) best = seconds;
    }
    return best;
}

static bool right(bench *t) {
    bool accumulate = t->g.accumulate, ok;
    t->g.accumulate = false;
    ok = prepare(t) && run_clblast(t) && values_right(t, 1);
    t->g.accumulate = true;
    ok = ok && run_clblast(t) && values_right(t, 2);
    t->g.accumulate = accumulate;
    return ok;
}

bool ocl_gemm_right(ocl_device *d, ocl_clblast *b, const dev_gemm *g) {
    bench t = {.d = d, .library = b, .g = *g};
    bool  profiling = d->profiling;
    d->profiling = false; /* measuring is not the run's work */
    bool ok = right(&t);
    release(&t);
    d->profiling = profiling;
    return ok;
}

ocl_measured ocl_gemm_measure(ocl_device *d, ocl_clblast *b, const dev_gemm *g) {
    ocl_measured result = {0};
    bench        t = {.d = d, .library = b, .g = shrink(d, *g)};
    bool         profiling = d->profiling;
    d->profiling = false;
    if (right(&t)) {
        result.clblast = time_of(&t, run_clblast);
        result.right = result.clblast > 0;
        if (result.right && d->base.own_gemm) result.own = time_of(&t, run_own);
    }
    release(&t);
    d->profiling = profiling;
    return result;
}
