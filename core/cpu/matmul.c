/* Matrix product: c (+)= op(a) op(b), as BLAS calls over tiles of c that run in parallel. The tiles depend on the sizes alone
 * and K is never split, so the bits do not depend on the number of threads. */
#include "cpu.h"
#include <cblas.h>

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

static void gemm_tiles(int64_t batch, bool trans_a, bool trans_b, int64_t M, int64_t N, int64_t K, real alpha, const real *A, int64_t lda,
                       int64_t stride_a, const real *B, int64_t ldb, int64_t stride_b, bool accumulate, real *C, int64_t ldc, int64_t stride_c) {
    tile            t = choose_tile(batch, M, N, K);
    int64_t         across = ceil_div(N, t.n), tiles = ceil_div(M, t.m) * across;
    CBLAS_TRANSPOSE ta = trans_a ? CblasTrans : CblasNoTrans, tb = trans_b ? CblasTrans : CblasNoTrans;
#pragma omp parallel for schedule(dynamic, 1)
    for (int64_t i = 0; i < batch * tiles; i++) {
        int64_t     g = i / tiles, m = i % tiles / across * t.m, n = i % across * t.n;
        const real *At = A + g * stride_a + (trans_a ? m : m * lda), *Bt = B + g * stride_b + (trans_b ? n * ldb : n);
        real       *Ct = C + g * stride_c + m * ldc + n;
        blasint     rows = (blasint)least(t.m, M - m), columns = (blasint)least(t.n, N - n);
        if (sizeof(real) == 4)
            cblas_sgemm(CblasRowMajor, ta, tb, rows, columns, (blasint)K, (float)alpha, (const void *)At, (blasint)lda, (const void *)Bt,
                        (blasint)ldb, accumulate, (void *)Ct, (blasint)ldc);
        else
            cblas_dgemm(CblasRowMajor, ta, tb, rows, columns, (blasint)K, (double)alpha, (const void *)At, (blasint)lda, (const void *)Bt,
                        (blasint)ldb, accumulate, (void *)Ct, (blasint)ldc);
    }
}

void CPU(gemm)(bool trans_a, bool trans_b, int64_t M, int64_t N, int64_t K, real alpha, const real *A, int64_t lda, const real *B, int64_t ldb,
               bool accumulate, real *C, int64_t ldc) {
    gemm_tiles(1, trans_a, trans_b, M, N, K, alpha, A, lda, 0, B, ldb, 0, accumulate, C, ldc, 0);
}

ssa_status CPU(matmul)(const cpu_args *a) {
    int64_t G = DIM('G') ? DIM('G') : 1, M = DIM('M'), N = DIM('N'), K = DIM('K');
    gemm_tiles(G, ATTR.trans_a, ATTR.trans_b, M, N, K, 1, REALS(0), ATTR.trans_a ? M : K, M * K, REALS(1), ATTR.trans_b ? K : N, K * N,
               ATTR.accumulate, REALS(2), N, M * N);
    return SSA_OK;
}
