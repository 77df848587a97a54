/* When do two results agree? One answer for `ssa verify`, the shadow check and the tuner: a device's output beside the CPU's, from the
 * same inputs. Numbers here (core/judge.c); indices of select, where a near tie may fall to either side, below (core/selection.c). */
#ifndef SSA_JUDGE_H
#define SSA_JUDGE_H

#include "ops.h"

/* The largest NMSE = sum (x - want)^2 / sum want^2 at which a result of this dtype counts as right; 0 for i32. */
double ssa_op_limit(ssa_op op, ssa_dtype dtype);
/* The same of an output of its dtype where the activations are of type act: the wider of the two. */
double ssa_output_limit(ssa_op op, ssa_dtype act, ssa_dtype output);

/* Element i of an image on the host as a number. */
double ssa_element(const void *image, ssa_dtype dtype, int64_t i);

/* An output of two runs. */
typedef struct ssa_comparison {
    const void   *got, *want; /* n elements of dtype: the device's, the CPU's */
    ssa_dtype     dtype;
    int64_t       n;
    double        limit;      /* NMSE */
    const void   *before;     /* what both started from: what neither has touched says nothing. NULL: all of it counts */
    const double *f64;        /* the CPU's result in f64 for a second opinion; NULL: none */
    double        most_f64;   /* ... which is asked where the CPU's own NMSE against it is at most this */
    double        terms;      /* zero in exact arithmetic: size squared of the terms that cancel, an element, added to want^2; else 0 */
    bool          infinite;   /* values that are not finite may be right */
} ssa_comparison;

typedef enum {
    SSA_AGREE,
    SSA_AGREE_IN_F64,      /* not within the limit, since large terms cancel: as near to f64 as the CPU's own f32 */
    SSA_TOO_FAR,           /* NMSE above the limit */
    SSA_ONE_TOO_FAR,       /* one element far off by itself, which a mean over millions hides */
    SSA_NOT_FINITE,        /* the device's, where the CPU's is finite, or another such value than the CPU's */
    SSA_NEITHER_IS_FINITE, /* alike, but not `infinite` */
} ssa_agreement;

typedef struct ssa_judgement {
    ssa_agreement verdict;
    double        nmse;             /* INFINITY where something is not finite or want is all zero */
    double        size;             /* sum want^2, terms included */
    int64_t       counted;          /* elements compared */
    int64_t       at;               /* the element to name where they do not agree: the first bad one, else the worst */
    int64_t       bad, worst_at;    /* elements far off by themselves; the largest difference */
    double        got_f64, want_f64; /* NMSE of each against f64; -1: not asked */
} ssa_judgement;

ssa_judgement ssa_judge(const ssa_comparison *c);

/* Sum (x - want)^2 / sum want^2 over all n, NaN where there is one. */
double ssa_nmse(const void *got, const void *want, ssa_dtype dtype, int64_t n);

/* Integers but select's are equal: the number of elements that are not, *first the first of them. What stands behind the last offset of
 * sparse_lists is undefined. dim: as in ssa_call. */
int64_t ssa_integers_differ(ssa_op op, const int64_t *dim, const int32_t *got, const int32_t *want, int64_t n, int64_t *first);

#endif
