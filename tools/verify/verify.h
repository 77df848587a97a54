/* Verification: is a device right? Driven by the table of operations, through the public API only; linked into the tests and
 * into the `ssa` command.
 *
 *   cases.c    which shapes and attributes of each operation are tried (odd ones on purpose)
 *   corners.c  the cases of the regimes in which kernels go wrong: large sizes, many values of each scalar, ties, NaN
 *   inputs.c   operands of a case: random data suited to each operand, in buffers with guard zones
 *   regimes.c  and what the regimes make of them
 *   values.c   elements of any dtype as numbers; random numbers
 *   job.c      a case's shapes and memory
 *   compare.c  the error measures, their limits, and the written exceptions
 *   ops.c      runs a case on the CPU and on the device, twice, and reports rows
 *   compile.c  every variant through the compiler, without running any
 *   wide.c     the same case once more in f64: how far from the truth device and CPU are
 *   exact.c    inputs for which every partial sum is representable: bit-identical results
 *   stress.c   cases drawn at random
 *   grad.c     the CPU's backward operations against finite differences in f64
 *
 * session.h has what stands above these: devices, variants, reports. README.md: the error model. */
#ifndef SSA_VERIFY_H
#define SSA_VERIFY_H

#include "ssa/ssa.h"
#include <regex.h>
#include <signal.h>
#include <stdio.h>

typedef enum { VERIFY_OK, VERIFY_FAILED, VERIFY_UNSUPPORTED, VERIFY_SKIPPED } verify_status;
const char *verify_status_name(verify_status s);

/* One finding: an output of a case. Strings live as long as the callback runs. */
typedef struct verify_row {
    const char   *mode;    /* "ops", "repeat", "exact", "stress", "grad", ... */
    const char   *op;
    const char   *text;    /* the case: "B=1 T=63 Q=6 H=2 D=16 accumulate" */
    const char   *device;
    const char   *variant; /* of the kernels: "portable", "widened", ...; NULL: verify_ops does not know */
    const char   *output;  /* name of the operand */
    ssa_dtype     dtype;
    double        error, limit; /* NMSE; grad: relative error; select: share of queries whose set differs */
    double        ulp;         /* largest error in units of the last place of max(|want|, rms of the output); -1: not counted */
    double        device_wide; /* NMSE of the device against the CPU in f64, and of the CPU's f32 against it; -1: not computed */
    double        cpu_wide;
    uint64_t      bits;        /* a hash of the device's output; 0: none */
    verify_status status;
    char          reason[640];  /* why it is not ok, or what exception applies; empty if neither */
} verify_row;

typedef void (*verify_callback)(void *user, const verify_row *row);

typedef struct verify_options {
    const char *filter;  /* extended regular expression over "op dtype case"; NULL: everything */
    bool        full;    /* the larger cases too */
    bool        small;   /* not those that are there for their size: on drivers on which they take minutes */
    unsigned    dtypes;  /* bits 1 << SSA_F32 ...; 0: f32, f16, bf16 */
    uint64_t    seed;
    double      seconds; /* time budget; cases beyond it are reported as skipped; 0: none */
    bool        wide;    /* f32 cases once more in f64 */
    const char *variant; /* what the rows say */
    const char *ops;     /* extended regular expression over the operation's name; NULL: all of them */
    const bool *stop;    /* no further case is run once it is set; NULL: all are */
    const volatile sig_atomic_t *interrupt; /* not 0: cases that are left are reported as skipped; NULL: none */
    void (*activity)(void *user, bool detail, const char *what); /* told of each case as it begins, see ssa_open_options; NULL: nobody is */
} verify_options;

/* Every operation on ctx against the CPU: outputs poisoned, guard zones checked, run twice (the second time recorded and
 * replayed), bits of both runs compared. Only a wrong filter or a lost device is an error; what is wrong stands in the rows. */
ssa_status verify_ops(ssa_context *ctx, const verify_options *options, verify_callback callback, void *user, ssa_error *err);

/* Every operation `times` times on ctx, before(user, i) called first each time (set threads, start other work): equal bits. */
ssa_status verify_repeat(ssa_context *ctx, const verify_options *options, int times, void (*before)(void *user, int i), verify_callback callback,
                         void *user, ssa_error *err);

/* Cases whose every partial sum is representable: bit for bit as on the CPU. */
ssa_status verify_exact(ssa_context *ctx, const verify_options *options, verify_callback callback, void *user, ssa_error *err);

/* Cases first .. first + count - 1 of the sequence that the seed begins. */
ssa_status verify_stress(ssa_context *ctx, const verify_options *options, int64_t first, int64_t count, verify_callback callback, void *user,
                         ssa_error *err);

/* Backward operations of the CPU in f64 against central differences; filter over "op f64 case". */
ssa_status verify_grad(const verify_options *options, verify_callback callback, void *user, ssa_error *err);

/* -- inside ---------------------------------------------------------------------------------------------------------- */

enum { VERIFY_SAME_DTYPE = -1 }; /* verify_case.other: the `b` or `x` operand has the dtype of the `a` operands */

/* How inputs are made where an operation has several interesting kinds of them. */
typedef enum {
    DATA_PLAIN,
    DATA_LARGE,      /* values at which exp overflows; scores and logits in the hundreds, and exact, so that only exp and log round */
    DATA_ZERO_ROWS,  /* rows of zeros among the others */
    DATA_SELECTED,   /* idx as select gives it (else random sets) */
    DATA_INFINITE,   /* clip: the sum of squares is infinite; adamw: the factor is -1 */
    DATA_IGNORED,    /* every target or token is outside the vocabulary */
    DATA_TIES,       /* select: scores that are equal or far apart: the blocks are determined, to the last slot */
    DATA_BITS,       /* cast: every pattern of a 16-bit type; of f32 those around each rounding */
    DATA_NOT_FINITE, /* one element of one operand (bad) is NaN or infinite (bad_value) */
    DATA_KINDS
} verify_data;

typedef struct verify_case {
    ssa_op      op;
    ssa_attrs   attr;
    bool        full;        /* not in the quick set */
    int         other;       /* dtype of the `b` or `x` operand */
    bool        rank2;       /* matmul without a batch dimension */
    bool        f32;         /* there for its size, in f32 alone */
    int         bad;         /* DATA_NOT_FINITE: number of the operand */
    double      bad_value;
    signed char alias[2][2]; /* output (operand number) that shares memory with an input; 0,0: none */
    verify_data data;
    int64_t     dim[26];     /* by letter */
    char        text[240];
} verify_case;

typedef struct verify_case_list { verify_case *at; int count, capacity; } verify_case_list;
ssa_status verify_cases(verify_case_list *list, ssa_error *err); /* at: malloc'ed, freed by the caller */
ssa_status verify_exact_cases(verify_case_list *list, ssa_error *err); /* those whose results are exact, for a runner below; likewise */
/* One more case. sizes: "B=1 T=63 Q=6 H=2 D=16", what follows from them is filled in; other: see verify_case. */
ssa_status verify_case_add(verify_case_list *list, ssa_op op, const char *sizes, const ssa_attrs *attr, int other, ssa_error *err);

/* An operand of a running case: an image of its whole buffer on the host, guard zones included. */
typedef struct verify_operand {
    ssa_operand_info info;
    ssa_dtype        dtype;
    int              rank, alias; /* alias: operand whose memory this one shares, or -1 */
    int64_t          shape[SSA_MAX_RANK], elements;
    int64_t          before, total; /* elements of guard in front; elements of the buffer */
    char            *image;  /* what is written before a run */
    char            *want;   /* the CPU's buffer after the run */
    char            *got;    /* the device's */
    ssa_tensor       cpu, dev; /* views at `before` */
} verify_operand;

typedef struct verify_job {
    const verify_case *c;
    ssa_op_info        info;
    ssa_dtype          act;
    uint64_t           random; /* state of the generator */
    ssa_context       *cpu;
    verify_operand     operand[SSA_MAX_OPERANDS];
    double            *wide[SSA_MAX_OPERANDS]; /* outputs in f64, where computed */
} verify_job;

/* What runs cases. A mode sets what differs: how inputs are made from the ordinary ones, how outputs are compared. */
typedef struct verify_runner verify_runner;
struct verify_runner {
    const char      *mode;
    ssa_context     *dev, *cpu;
    verify_options   options;
    regex_t          filter, ops;
    bool             filtered, only_ops;
    verify_callback  callback;
    void            *user;
    ssa_error       *err;
    double           started;
    int              times; /* verify_repeat */
    void           (*before)(void *user, int i);
    bool             any_offsets;                         /* operands begin at random elements */
    void           (*prepare)(verify_job *job);           /* behind verify_fill; may be NULL */
    void           (*compare)(const verify_job *job, int i, verify_row *row);
    void           (*finished)(verify_runner *r, verify_job *job); /* a case has run, its operands are still on the device; may be NULL */
};

ssa_status verify_runner_open(verify_runner *r); /* opens the CPU, compiles the filters */
void       verify_runner_exact(verify_runner *r); /* exact inputs, bits compared: for verify_exact_cases */
void       verify_runner_close(verify_runner *r);
/* One case, where the filters let it through; number varies the data and the offsets. */
ssa_status verify_runner_case(verify_runner *r, const verify_case *c, ssa_dtype act, int64_t number);
/* Cases are walked in so many rounds, every n-th in each, so that a pass that runs out of time has met every operation. */
int        verify_rounds(const verify_runner *r);
bool       verify_runner_late(const verify_runner *r); /* the time budget is spent, or somebody wants it to end */

/* Runs the job's case on the CPU in f64 and keeps the outputs in job->wide; nothing happens where f64 says nothing. */
ssa_status verify_wide(verify_job *job);

/* Memory of a running case: images, the CPU's buffers, then the device's. */
ssa_status verify_job_init(verify_runner *r, verify_job *job, const verify_case *c, ssa_dtype act, int64_t number);
ssa_status verify_job_create(verify_runner *r, verify_job *job);
void       verify_job_free(verify_runner *r, verify_job *job);

/* What a case makes of operand i of its operation; whether a dtype of the `a` operands makes a case of its own. */
ssa_dtype verify_dtype_of(const verify_case *c, const ssa_operand_info *o, ssa_dtype act);
void      verify_shape_of(const verify_case *c, const ssa_operand_info *info, int i, verify_operand *o);
bool      verify_dtype_applies(const verify_case *c, ssa_dtype act);

#define VDIM(c, letter) ((c)->dim[(letter) - 'A'])

/* Fills the images; derived operands (stat, lists, idx, rstd) come from the CPU's own operations. */
ssa_status verify_fill(verify_job *job, ssa_error *err);
void       verify_regime(verify_job *job, int i); /* an operand whose ordinary data is there becomes what the case's data asks for */
void       verify_spoil(verify_job *job);         /* DATA_NOT_FINITE, at last: nothing is derived from the operand any more */
verify_operand *verify_named(verify_job *job, const char *name); /* NULL: the operation has no such operand */
#define    verify_get ssa_element /* an element of an image as a number */
void       verify_set(void *image, ssa_dtype dtype, int64_t i, double value);
uint64_t   verify_random(uint64_t *state);
double     verify_uniform(uint64_t *state); /* [0, 1) */
double     verify_normal(uint64_t *state);
int64_t    verify_below(uint64_t *state, int64_t n); /* 0 .. n - 1 */
/* A set of blocks for every query: the current one, some earlier ones, -1 in the rest, in any order; `future` strews in
 * blocks that the query must skip. idx: [B,T,S,K] */
void       verify_random_blocks(uint64_t *state, int32_t *idx, int64_t B, int64_t T, int64_t S, int64_t K, int block_size, bool future);

/* Compares output i of a job: fills error, limit, status, reason. */
void verify_compare(const verify_job *job, int i, verify_row *row);
/* Marks a row as failed at element i of operand o: "WHAT at [1,2]: got, the CPU has want". */
void verify_fail(verify_row *row, const verify_operand *o, int64_t i, const char *what);

#endif
