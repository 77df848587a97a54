/* Matrix product: c (+)= op(a) op(b), as BLAS calls over tiles of c that run in parallel. The tiles depend on the sizes alone
 * and K is never split, so the bits do not depend on the number of threads. */
#include "cpu.h"

typedef struct { int64_t m, n; } tile;

static int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

/* Large tiles keep BLAS fast; smaller ones until there is work for 16 threads, as long as a tile is worth a call. */
static tile choose_tile(int64_t batch, int64_t M, int64_t N, int64_t K) {
    enum { ENOUGH_TILES = 16, SMALLEST = 64 };
    const double worthwhile = 1e6; /* multiplications */
    tile t = {512, 1024};
    while (batch * ceil_div(M, t.m) * ceil_div(N, t.n) < ENOUGH_TILES) {
        int64_t m = least(t.m, M), n = least(t.n, N);
        if ((double)m * (double)n * (double)K < 2 * worthwhile || (m <= SMALLEST && n <= SMALLEST)) break;
        if (m >= n) t.m = ceil_div(m, 2);
        else t.n = ceil_div(n, 2);
    }
    return t;
}

typedef struct {
    const cpu_args *a;
    tile            t;
    bool            trans_a, trans_b, accumulate;
    int64_t         M, N, K, lda, ldb, ldc, stride_a, stride_b, stride_c; /* strides: from one matrix of a batch to the next */
    const real     *A, *B;
    real           *C;
} product;

static void multiply(const void *arg, pool_part part) {
    const product *p = arg;
    int64_t        across = ceil_div(p->N, p->t.n), tiles = ceil_div(p->M, p->t.m) * across;
    blas_transpose ta = p->trans_a ? BLAS_TRANS : BLAS_NO_TRANS, tb = p->trans_b ? BLAS_TRANS : BLAS_NO_TRANS;
    for (int64_t i = part.first; i < part.end; i++) {
        int64_t     g = i / tiles, m = i % tiles / across * p->t.m, n = i % across * p->t.n;
        const real *A = p->A + g * p->stride_a + (p->trans_a ? m : m * p->lda), *B = p->B + g * p->stride_b + (p->trans_b ? n * p->ldb : n);
        real       *C = p->C + g * p->stride_c + m * p->ldc + n;
        int         rows = (int)least(p->t.m, p->M - m), columns = (int)least(p->t.n, p->N - n), K = (int)p->K;
        if (sizeof(real) == 4)
            p->a->blas->sgemm(BLAS_ROW_MAJOR, ta, tb, rows, columns, K, 1, (const void *)A, (int)p->lda, (const void *)B, (int)p->ldb, p->accumulate,
                              (void *)C, (int)p->ldc);
        else
            p->a->blas->dgemm(BLAS_ROW_MAJOR, ta, tb, rows, columns, K, 1, (const void *)A, (int)p->lda, (const void *)B, (int)p->ldb, p->accumulate,
                              (void *)C, (int)p->ldc);
    }
}

static void multiply_batch(product *p, int64_t batch) {
    p->t = choose_tile(batch, p->M, p->N, p->K);
    pool_run(p->a->pool, batch * ceil_div(p->M, p->t.m) * ceil_div(p->N, p->t.n), 1, multiply, p);
}

void CPU(gemm)(const cpu_args *a, bool trans_a, bool trans_b, int64_t M, int64_t N, int64_t K, const real *A, int64_t lda, const real *B,
               int64_t ldb, bool accumulate, real *C, int64_t ldc) {
    multiply_batch(&(product){.a = a, .trans_a = trans_a, .trans_b = trans_b, .accumulate = accumulate, .M = M, .N = N, .K = K, .lda = lda, .ldb = ldb,
                              .ldc = ldc, .A = A, .B = B, .C = C}, 1);
}

ssa_status CPU(matmul)(const cpu_args *a) {
    int64_t M = DIM('M'), N = DIM('N'), K = DIM('K');
    multiply_batch(&(product){.a = a, .trans_a = ATTR.trans_a, .trans_b = ATTR.trans_b, .accumulate = ATTR.accumulate, .M = M, .N = N, .K = K,
                              .lda = ATTR.trans_a ? M : K, .ldb = ATTR.trans_b ? K : N, .ldc = N, .stride_a = M * K, .stride_b = K * N,
                              .stride_c = M * N, .A = REALS(0), .B = REALS(1), .C = REALS(2)}, DIM('G') ? DIM('G') : 1);
    return SSA_OK;
}
