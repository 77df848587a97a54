/* Operations. Every one is a row of core/ops.def: its formula, shapes, dtypes and attributes stand there.
 *
 *   SSA_CALL(ctx, SSA_RMSNORM, SSA_T(x, w, y, rstd), .eps = 1e-5f)
 *
 * checks shapes and dtypes against the row, then hands the call to the context's backend. Operands come in the row's
 * order, inputs before outputs. A call between ssa_record_begin and ssa_record_end is recorded instead of run. */
#ifndef SSA_OPS_H
#define SSA_OPS_H

#include "ssa/tensor.h"
#include <stdbool.h>

typedef enum {
#define OP(ID, name, inputs, outputs, attributes) SSA_##ID,
#include "ssa/ops.def"
#undef OP
    SSA_OP_COUNT
} ssa_op;

enum { SSA_MAX_OPERANDS = 10 };

enum { SSA_SCORE_SOFTMAX, SSA_SCORE_DOT };   /* attr.score  */
enum { SSA_SELECT_EXACT, SSA_SELECT_COMPAT };/* attr.select */
enum { SSA_LOSS_SMOOTHL1, SSA_LOSS_L2 };     /* attr.loss   */
typedef enum ssa_stream { SSA_MAIN_FULL, SSA_MAIN_SPARSE } ssa_stream; /* attr.main: the attention whose output goes on */

/* Attributes of all operations; a row names those it reads, the rest stay 0. */
typedef struct ssa_attrs {
    float   eps, scale, value;
    float   beta1, beta2, weight_decay, max_norm;
    bool    trans_a, trans_b; /* matmul: operand is stored transposed */
    bool    accumulate;       /* add to the output (gradients of parameters, later micro-batches) instead of overwriting it */
    bool    residual;         /* rmsnorm_bwd: add to dx, which holds the gradient that came along the residual path */
    bool    inverse;          /* rope: rotate back, which is the backward pass */
    bool    gated;            /* align: compare gated outputs (the code) rather than ungated ones (the paper) */
    int32_t score, select, loss, main;
    int32_t block_size, top_k;
    int32_t position;         /* rope: position of the first token */
} ssa_attrs;

/* One operation with its operands: what the front end hands to a backend. */
typedef struct ssa_call {
    ssa_op     op;
    ssa_attrs  attr;
    int        count;               /* operands */
    ssa_tensor t[SSA_MAX_OPERANDS]; /* inputs, then outputs */
    int64_t    dim[26];             /* sizes bound to the letters of the row: dim['T' - 'A'] */
    ssa_dtype  act;                 /* dtype of the row's `a` operands (f32 where it has none) */
} ssa_call;

/* A row of the table, as read by the checks, the conformance suite and the support matrix. */
typedef struct ssa_operand_info {
    char name[16];
    char type;     /* 'a' activation or weight, 'b' another such type, 's' statistic (f32, f64 beside f64), 'i' i32, 'x' any */
    bool out;      /* written */
    bool inout;    /* read before it is written, at least with .accumulate or .residual */
    int  rank;     /* -1: any shape, flattened to the element count E */
    char letter[SSA_MAX_RANK];     /* 0: the size is the factor itself */
    int  factor[SSA_MAX_RANK];     /* "3Q" has factor 3 and letter Q */
} ssa_operand_info;

typedef struct ssa_op_info {
    const char      *name;
    const char      *attributes;
    int              count, inputs;
    ssa_operand_info operand[SSA_MAX_OPERANDS];
} ssa_op_info;

const char *ssa_op_name(ssa_op op);
void        ssa_op_describe(ssa_op op, ssa_op_info *out);

/* Whether what select gave for one query is right beside what the CPU gave: the same blocks, or a near tie, blocks whose importances
 * (ssa_spec 1.3, here in double) differ by less than 1e-5 of the largest. Each rule is judged by itself: compat's two halves are
 * ranked apart, and how many blocks come of each is no matter of scores. row: (b T + t) S + s; got, want: its K blocks; scratch: 2 N;
 * *gap: by how much of the largest importance the blocks of a near tie differ; why: set for SSA_SELECTION_WRONG. */
typedef enum { SSA_SELECTION_EQUAL, SSA_SELECTION_TIE, SSA_SELECTION_WRONG } ssa_verdict;
typedef struct ssa_selection {
    const void      *q, *kbar; /* images on the host */
    ssa_dtype        q_dtype, kbar_dtype;
    const int64_t   *dim;      /* as in ssa_call */
    const ssa_attrs *attr;
    double           near_tie; /* in the place of 1e-5, where q and kbar themselves are less sure; 0: 1e-5 */
} ssa_selection;
ssa_verdict ssa_selection_judge(const ssa_selection *c, int64_t row, const int32_t *got, const int32_t *want, double *scratch, double *gap,
                                char why[96]);

/* Where a query's blocks could have been others: of each half that its rule ranks, the slot of the worst block taken, the best block left
 * out, and by how much of the largest importance they differ. Returns how many halves have both (0..2). scratch: 2 N. */
typedef struct ssa_border { int32_t slot, next; double gap; } ssa_border;
int ssa_selection_borders(const ssa_selection *c, int64_t row, const int32_t *set, double *scratch, ssa_border out[2]);

/* Fills and checks a call without running it. */
ssa_status ssa_call_prepare(ssa_error *err, ssa_op op, int count, const ssa_tensor *operands, const ssa_attrs *attrs, ssa_call *out);
/* Checks and runs (or records) one operation. */
ssa_status ssa_run(ssa_context *ctx, ssa_op op, int count, const ssa_tensor *operands, const ssa_attrs *attrs);

/* The same with the operands in one value, as SSA_CALL makes it. */
typedef struct ssa_operands { int count; ssa_tensor t[SSA_MAX_OPERANDS]; } ssa_operands;
ssa_status ssa_run_operands(ssa_context *ctx, ssa_op op, ssa_operands operands, const ssa_attrs *attrs);

#define SSA_T(...) ((ssa_operands){(int)(sizeof((ssa_tensor[]){__VA_ARGS__}) / sizeof(ssa_tensor)), {__VA_ARGS__}})
#define SSA_CALL(ctx, op, operands, ...) ssa_run_operands((ctx), (op), operands, &(ssa_attrs){__VA_ARGS__})

/* Names the kernels that one operation would launch, in order, without running anything; nothing is named on the CPU. */
ssa_status ssa_kernels_of(ssa_context *ctx, ssa_op op, int count, const ssa_tensor *operands, const ssa_attrs *attrs,
                          void (*each)(void *user, const char *kernel), void *user);

/* Calls between begin and end are not run: they are shown to the device, which chooses kernels for them when the end comes (by measuring,
 * where ssa_open_options.tune says so). To be done before a program of these calls is recorded; without it defaults run. */
ssa_status ssa_prepare_begin(ssa_context *ctx);
ssa_status ssa_prepare_end(ssa_context *ctx);

/* Record and replay: the calls between begin and end become a program that runs as often as wanted without being
 * lowered again. Nothing is read back, allocated by the caller, or freed between begin and end. */
typedef struct ssa_program ssa_program;
ssa_status ssa_record_begin(ssa_context *ctx);
ssa_status ssa_record_end(ssa_context *ctx, ssa_program **out);
ssa_status ssa_replay(ssa_context *ctx, ssa_program *program);
void       ssa_program_free(ssa_context *ctx, ssa_program *program);
ssa_status ssa_wait(ssa_context *ctx); /* until everything issued has finished */

#endif
