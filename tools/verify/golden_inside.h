/* Golden files from inside.
 *
 *   golden.c            a path: file or folder; lines
 *   golden_kernel.c     a kernel file: the sparse stream alone
 *   golden_model.c      a model folder: what is replayed, its values beside the file's
 *   golden_reference.c  where they differ: is it a near tie of the selection, or an error? */
#ifndef SSA_VERIFY_GOLDEN_INSIDE_H
#define SSA_VERIFY_GOLDEN_INSIDE_H

#include "golden.h"

static const double LIMIT_TENSOR = 1e-10, LIMIT_AFTER = 1e-9, LIMIT_LOSS = 2e-5, LIMIT_NORM = 1e-4;

typedef struct golden {
    ssa_context           *ctx;
    const ssa_safetensors *st;
    const char            *path;
    FILE                  *out;
    int                   *failed;
    ssa_error             *err;
    golden_callback        each; /* or NULL: lines go to out */
    void                  *user;
} golden;

ssa_status golden_from_context(const golden *g, ssa_context *ctx, ssa_status s);
#define CTX(call) SSA_TRY(golden_from_context(g, g->ctx, (call)))

void       golden_line(golden *g, const char *what, const char *name, double error, double limit, const char *note);
ssa_status golden_find(const golden *g, const char *name, ssa_dtype dtype, const ssa_file_tensor **out);
void      *golden_allocate(const golden *g, int64_t n, ssa_status *s); /* n values of 4 bytes */

ssa_status golden_kernel(golden *g);
ssa_status golden_model(golden *g);

/* -- a model's replay ---------------------------------------------------------------------------------------------------- */

/* What is run: evaluation and gradients with either main stream, then `steps` optimizer steps. */
typedef struct golden_plan {
    ssa_model_config  config;
    ssa_model_options options;
    const int32_t    *tokens;       /* [batch, seq] */
    int64_t           positions[2]; /* of logits, the last ones of each sequence, by main stream */
    ssa_stream        modes[64];    /* of the steps */
    int               steps;
    double            lr;
} golden_plan;

/* A value of the replay: a number, or a tensor of n. relative: |x / want - 1|, else NMSE. */
typedef struct golden_row {
    const char *what;
    char        name[160];
    int         updates; /* before it */
    bool        relative;
    double      limit;
    double      number;
    float      *values;
    int64_t     n;
} golden_row;

/* One replay, on a device or on the CPU. */
typedef struct golden_pass golden_pass;
struct golden_pass {
    golden_row *row;
    int         count, capacity;
    int         updates;   /* so far */
    ssa_stream  main;      /* of the program at work */
    ssa_status (*ran)(golden_pass *p, ssa_model *m); /* behind every program with a forward pass; or NULL */
    void       *user;
};

/* Replays the plan from `weights` on ctx (whose error it leaves there) and fills p->row. */
ssa_status golden_run(const golden_plan *plan, ssa_context *ctx, const ssa_safetensors *weights, golden_pass *p);
void       golden_pass_free(golden_pass *p);
double     golden_distance(const golden_row *row, double number, const float *values);

/* What the file says of a row. */
typedef struct golden_want { bool absent; double number; const float *values; } golden_want;

/* A near tie of the selection, and whether it accounts for what is beyond its limit. */
typedef struct golden_verdict {
    bool   *explained; /* by row */
    double *error;     /* of explained rows: beside the CPU with this device's blocks */
    char    note[200]; /* which tie, and its gap */
    int     wrong;     /* queries whose blocks are neither the CPU's nor nearly tied with them */
    char    why[96];
} golden_verdict;

/* blocks: what the device selected, program after program, layer after layer. */
ssa_status golden_judge(const golden *g, const golden_plan *plan, const ssa_safetensors *weights, const golden_pass *device, const golden_want *want,
                        const int32_t *blocks, int64_t block_count, golden_verdict *out);

#endif
