/* OpenBLAS and its failure modes: where memory for its buffers is refused it asks again for ever, and where OPENBLAS_CORETYPE names
 * another processor it dies of an illegal instruction. Both are found out here, before the first product. */
#include "cpu/blas.h"
#include "fence.h"
#include "pool.h"
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

/* A buffer for each thread that multiplies, and at loading one for each thread of its own; virtual until it is used. */
static const size_t BUFFER_BYTES = (size_t)130 << 20;

static void *load(blas *b) {
    static const char *const names[] = {"libopenblas.so.0", "libopenblas.so"};
    void *library = NULL;
    /* Never unmapped: it keeps threads and exit handlers. */
    for (size_t i = 0; i < sizeof names / sizeof *names && !library; i++) library = dlopen(names[i], RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    if (!library) return NULL;
    *(void **)&b->sgemm = dlsym(library, "cblas_sgemm");
    *(void **)&b->dgemm = dlsym(library, "cblas_dgemm");
    return b->sgemm && b->dgemm ? library : NULL;
}

/* Whether n buffers fit into what the process may still map. One by one, as OpenBLAS asks for them. */
static bool buffers_fit(int n) {
    void *at[2 * POOL_MOST_THREADS];
    int   have = 0;
    while (have < n && (at[have] = mmap(NULL, BUFFER_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)) != MAP_FAILED) have++;
    for (int i = 0; i < have; i++) munmap(at[i], BUFFER_BYTES);
    return have == n;
}

/* Makes OpenBLAS map its buffers now: they stay, so that no later product finds the address space full. */
static void reserve(void *library, int threads) {
    void *(*alloc)(int);
    void (*release)(void *);
    void *at[POOL_MOST_THREADS];
    *(void **)&alloc = dlsym(library, "blas_memory_alloc");
    *(void **)&release = dlsym(library, "blas_memory_free");
    if (!alloc || !release) return;
    for (int i = 0; i < threads; i++) at[i] = alloc(0);
    for (int i = 0; i < threads; i++) release(at[i]);
}

/* In a child: a product in each precision, against plain loops. */
static void try_out(void *right) {
    enum { M = 70, N = 50, K = 40 };
    float  af[M * K], bf[K * N], cf[M * N];
    double ad[M * K], bd[K * N], cd[M * N];
    blas b;
    if (!load(&b)) return;
    for (int i = 0; i < M * K; i++) ad[i] = af[i] = (float)(i % 7 - 3);
    for (int i = 0; i < K * N; i++) bd[i] = bf[i] = (float)(i % 5 - 2);
    b.sgemm(BLAS_ROW_MAJOR, BLAS_NO_TRANS, BLAS_NO_TRANS, M, N, K, 1, af, K, bf, N, 0, cf, N);
    b.dgemm(BLAS_ROW_MAJOR, BLAS_NO_TRANS, BLAS_NO_TRANS, M, N, K, 1, ad, K, bd, N, 0, cd, N);
    bool same = true;
    for (int i = 0; i < M * N; i++) {
        double want = 0; /* small integers: exact in either precision */
        for (int k = 0; k < K; k++) want += ad[i / N * K + k] * bd[k * N + i % N];
        same &= want == cd[i] && want == (double)cf[i];
    }
    *(bool *)right = same;
}

/* Left to itself OpenBLAS asks the processor; told otherwise, it believes it. */
static ssa_status check_core_type(ssa_error *err) {
    enum { SECONDS = 20 };
    const char *type = getenv("OPENBLAS_CORETYPE");
    bool        right = false;
    char        reason[FENCE_REASON] = "is wrong";
    if (!type || !*type) return SSA_OK;
    if (fence_run(try_out, &right, sizeof right, SECONDS, reason) && right) return SSA_OK;
    return ssa_fail(err, SSA_ERR_RUNTIME, "OpenBLAS's matrix product %s with the environment's OPENBLAS_CORETYPE %.60s: unset it", reason, type);
}

ssa_status blas_open(blas *b, int threads, ssa_error *err) {
    long          processors = sysconf(_SC_NPROCESSORS_ONLN);
    int           own = processors < 1 ? 0 : processors > POOL_MOST_THREADS ? POOL_MOST_THREADS : (int)processors - 1;
    struct rlimit limit = {RLIM_INFINITY, RLIM_INFINITY};
    getrlimit(RLIMIT_AS, &limit);
    if (!buffers_fit(threads + own)) {
        char text[80] = "of this process";
        if (limit.rlim_cur != RLIM_INFINITY) snprintf(text, sizeof text, "(ulimit -v is %llu KiB)", (unsigned long long)limit.rlim_cur / 1024);
        return ssa_fail(err, SSA_ERR_RUNTIME, "no address space for the CPU's matrix product: OpenBLAS wants %d buffers of %d MiB for %d threads; raise the limit %s or lower --threads",
                        threads + own, (int)(BUFFER_BYTES >> 20), threads, text);
    }
    SSA_TRY(check_core_type(err));
    void *library = load(b);
    if (!library) return ssa_fail(err, SSA_ERR_UNSUPPORTED, "the CPU device needs OpenBLAS: libopenblas.so.0 was not found (Debian: libopenblas0-pthread)");
    void (*set_threads)(int);
    *(void **)&set_threads = dlsym(library, "openblas_set_num_threads");
    if (set_threads) set_threads(1); /* tiles run in parallel instead: see matmul.c */
    reserve(library, threads);
    return SSA_OK;
}
