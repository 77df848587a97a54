/* What a CPU kernel sees. Every kernel file is compiled once per precision (and, for f32, once more for newer x86 CPUs):
 * `real` is float or double, CPU(name) adds the variant's suffix. Reductions run over fixed ranges, so that the bits do
 * not depend on the number of threads. 16-bit operands have been widened to float before a kernel is called. Attention and
 * selection are there twice: plain/ as loops that say the formula, which f64 takes, and tiles/, fast, which f32 takes. */
#ifndef SSA_CPU_H
#define SSA_CPU_H

#include "backend.h"
#include "cpu/blas.h"
#include "pool.h"
#include <math.h>
#include <string.h>

typedef struct cpu_args {
    const ssa_call *call;
    void           *p[SSA_MAX_OPERANDS]; /* operands in the row's order: real* or int32_t* */
    void         *(*scratch)(void *owner, size_t bytes); /* grows and returns the backend's scratch; one use a call; NULL: out of memory */
    void           *owner;
    pool           *pool; /* runs a kernel's loops; a body's argument is `a`, or a struct that holds it */
    const blas     *blas;
    ssa_error      *err;
} cpu_args;

typedef ssa_status (*cpu_kernel)(const cpu_args *a);

#ifdef REAL /* inside a kernel file */

typedef REAL real;
#define CPU_CAT_(a, b, c) a##b##_##c
#define CPU_CAT(a, b, c)  CPU_CAT_(a, b, c)
#define CPU(name)         CPU_CAT(cpu_, name, SUFFIX)

#define DIM(letter) (a->call->dim[(letter) - 'A']) /* a size by its letter in ops.def */
#define ATTR        (a->call->attr)
#define REALS(i)    ((real *)a->p[i])
#define INTS(i)     ((int32_t *)a->p[i])

/* The type-generic functions of the precision at hand. */
#define real_exp(x)  (sizeof(real) == 4 ? (real)expf((float)(x)) : (real)exp((double)(x)))
#define real_log(x)  (sizeof(real) == 4 ? (real)logf((float)(x)) : (real)log((double)(x)))
#define real_sqrt(x) (sizeof(real) == 4 ? (real)sqrtf((float)(x)) : (real)sqrt((double)(x)))

/* Loops over elements run in pieces of BLOCK, over rows of C elements in pieces of about as many: a piece is worth the handing out.
 * The bounds are fixed: where a thread's share ended, the compiler's vector code would give way to its scalar code, and the two may
 * round differently. */
enum { BLOCK = 1 << 12 };
static inline int64_t rows_of(int64_t C) { return C < BLOCK ? BLOCK / C : 1; }

#define NEG ((real)-1e30) /* a finite stand-in for minus infinity: what a softmax over nothing has for its lse */

static inline real sigmoid(real x) { return 1 / (1 + real_exp(-x)); }

/* C (+)= op(A) op(B) for one row-major matrix, in fixed tiles of single-threaded BLAS calls (core/cpu/matmul.c).
 * lda, ldb, ldc: elements from one stored row to the next. */
void CPU(gemm)(const cpu_args *a, bool trans_a, bool trans_b, int64_t M, int64_t N, int64_t K, const real *A, int64_t lda, const real *B,
               int64_t ldb, bool accumulate, real *C, int64_t ldc);

#endif
#endif
