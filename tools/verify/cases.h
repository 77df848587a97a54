/* How the tables of cases are written: cases.c (which shapes) and corners.c (in which regimes). */
#ifndef SSA_VERIFY_CASES_H
#define SSA_VERIFY_CASES_H

#include "verify.h"

/* What a line of the tables may say besides sizes and attributes. */
typedef struct extra {
    bool full, rank2, f32;
    int other; /* dtype + 1; 0: the dtype of the `a` operands */
    verify_data data;
    signed char alias[2][2];
    int bad; /* DATA_NOT_FINITE: the operand */
    double value;
} extra;

typedef struct {
    verify_case_list *list;
    ssa_error *err;
    ssa_status status;
} builder;

/* One more case. sizes: "B=1 T=63 Q=6 H=2 D=16"; N, K and L follow from T, block_size and top_k. x may be NULL. */
void verify_add(builder *b, ssa_op op, const char *sizes, const ssa_attrs *attr, const extra *x);

/* corners.c */
void verify_corners(builder *b);

#define ADD(op, sizes, ...) verify_add(b, op, sizes, &(ssa_attrs){__VA_ARGS__}, NULL)
#define ATTRS(...)                                                                                                                                   \
    &(ssa_attrs) { __VA_ARGS__ }
#define WITH(...)                                                                                                                                    \
    &(extra) { __VA_ARGS__ }
#define TO(dtype) ((dtype) + 1)

#endif
