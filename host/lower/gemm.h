/* The matrix product on our own kernels, for lower_matmul and lower_lm_loss. */
#ifndef SSA_LOWER_GEMM_H
#define SSA_LOWER_GEMM_H

#include "lower.h"

/* c (+)= op(a) op(b) for `batch` tight row-major matrices (see OP(MATMUL) in ops.def). a may be f32 beside a 16-bit b. */
typedef struct gemm_desc {
    bool       trans_a, trans_b, accumulate;
    int64_t    batch, M, N, K;
    ssa_tensor a, b, c;
} gemm_desc;

/* `work` starts as a zero tensor and is shared by the products of an operation: it becomes scratch once one needs it. */
ssa_status lower_gemm_batch(lowering *l, const gemm_desc *g, ssa_tensor *work);

#endif
