/* The matrix product of OpenBLAS, found at run time: a program that only uses a GPU never loads it. */
#ifndef SSA_CPU_BLAS_H
#define SSA_CPU_BLAS_H

#include "ssa/status.h"

typedef enum { BLAS_ROW_MAJOR = 101 } blas_order;
typedef enum { BLAS_NO_TRANS = 111, BLAS_TRANS = 112 } blas_transpose;

/* cblas_sgemm and cblas_dgemm, single-threaded; may be called from as many threads at once as blas_open was told. */
typedef struct blas {
    void (*sgemm)(blas_order order, blas_transpose ta, blas_transpose tb, int m, int n, int k, float alpha, const float *a, int lda, const float *b,
                  int ldb, float beta, float *c, int ldc);
    void (*dgemm)(blas_order order, blas_transpose ta, blas_transpose tb, int m, int n, int k, double alpha, const double *a, int lda,
                  const double *b, int ldb, double beta, double *c, int ldc);
} blas;

/* Errors: OpenBLAS is not there; there is no address space for its buffers; OPENBLAS_... in the environment asks for code that this
 * processor cannot run. */
ssa_status blas_open(blas *b, int threads, ssa_error *err);

#endif
