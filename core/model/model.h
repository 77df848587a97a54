/* The inside of a model, for core/model only. */
#ifndef SSA_MODEL_INSIDE_H
#define SSA_MODEL_INSIDE_H

#include "attention/attention.h"
#include "backend.h"
#include "ssa/model.h"

/* Parameters lie one behind the other in segments, so that the norm and AdamW are a few calls over long arrays rather than
 * many over short ones. A segment is all matrices (decayed) or all vectors, and no larger than a buffer may be. */
typedef struct segment {
    bool       decay;
    int64_t    elements;
    ssa_tensor master, m, v, grad, weight; /* f32 training: weight is master; inference: weight alone */
} segment;

typedef struct placed_param {
    ssa_param info;
    int       segment;
    int64_t   offset; /* elements into the segment */
} placed_param;

/* Parameters of a layer, by index. */
typedef struct layer_params { int attn_norm, q, k, v, projection[ATTENTION_MAX_PROJECTIONS], o, mlp_norm, gate, up, down; } layer_params;

/* What a layer's forward pass leaves for its backward pass. R = B * T rows. */
typedef struct layer_acts {
    ssa_tensor     z1, rstd1;          /* [R, C] normalised input; [R] */
    attention_kept attention;
    ssa_tensor     x_mid, z2, rstd2;   /* [R, C], [R, C], [R] */
    ssa_tensor     gate, up;           /* [R, F] */
} layer_acts;

/* One pass through the layers. */
typedef struct layer_pass {
    ssa_stream main;       /* the attention whose output goes on */
    bool       losses;     /* forward: the attention's loss terms are added up too */
    bool       accumulate; /* a later micro-batch of the step: losses and gradients of parameters are added to */
} layer_pass;

struct ssa_model {
    ssa_context      *ctx;
    ssa_model_config  config;
    ssa_model_options options;
    bool              updated; /* at least once: the norm among the scalars is one */

    segment      *segments;
    int           segment_count;
    placed_param *params;
    int           param_count;
    layer_params *layer;
    int           projections;             /* of the attention system, a layer */
    int           embed, final_norm, head; /* head: embed where tied */

    /* Who owns the memory, by what it is for. */
    tensor_list weights, optimizer, activations;

    ssa_tensor  inputs, targets, order;  /* i32 [R] */
    ssa_tensor  cos_sin;                 /* [T, D] */
    ssa_tensor *x;                       /* residual stream entering layer l; x[L] leaves the last */
    layer_acts *acts;                    /* one a layer, or one for all (inference, recompute) */
    int         acts_count;
    attention   attention;
    ssa_tensor  h, rstd;                 /* final norm [R, C], [R] */
    ssa_tensor  rows;                    /* cross-entropy by row [R] */
    /* Temporaries, shared by all layers and named by their shape: what they hold is said where they are used. */
    ssa_tensor rc[2], rf[3];             /* [R,C], [R,F] */
    ssa_tensor query[3], key[2];         /* [B,T,Q,D], [B,T,H,D] */
    ssa_tensor projection[ATTENTION_MAX_PROJECTIONS]; /* [B,T,width] */
    ssa_tensor dx;                       /* [R,C]: gradient of the residual stream, from the last layer to the first */
    ssa_tensor scalars;                  /* f32 [8], see SCALAR_* */
    ssa_tensor step;                     /* f32 [8]: what changes from step to step, see adamw in ops.def */

    ssa_program *train[2][2];            /* [main][accumulate] */
    ssa_program *update;
    ssa_program *hidden[2], *eval[2];    /* [main] */
    int32_t     *host_order;             /* [R] the order of a batch's tokens, and [V + 3] where each token's run begins, to make it */
    int64_t     *host_start;
};

enum { SCALAR_CE = 0, SCALAR_ALIGN = 1, SCALAR_SUMSQ = 2, SCALAR_NORM = 4, SCALAR_FACTOR = 5 };

static inline int64_t rows_of(const ssa_model *m) { return m->options.batch * m->options.seq; }
static inline ssa_tensor weight(const ssa_model *m, int param) { return ssa_model_param_tensor(m, param, SSA_PARAM_WEIGHT); }
static inline ssa_tensor grad(const ssa_model *m, int param) { return ssa_model_param_tensor(m, param, SSA_PARAM_GRAD); }
static inline layer_acts *acts_of(const ssa_model *m, int l) { return &m->acts[m->acts_count == 1 ? 0 : l]; }

#define RUN(op, operands, ...) SSA_TRY(SSA_CALL(m->ctx, op, operands, __VA_ARGS__))

/* params.c */
ssa_status params_declare(ssa_model *m);  /* names, shapes, places */
ssa_status params_allocate(ssa_model *m);
/* Where values from outside go: the masters, or in inference the weights themselves. */
ssa_tensor params_home(const ssa_model *m, int i);
/* Stored weights from the masters, moments to 0: after any change of the masters from outside. */
ssa_status params_changed(ssa_model *m);
/* n floats on the host, to be freed. */
ssa_status params_array(ssa_model *m, int64_t n, float **out);
/* memory.c: checks config and options, then makes every tensor. */
ssa_status model_allocate(ssa_model *m);
void       model_release(ssa_model *m);
/* programs.c: what a model runs, as calls; and recorded. */
ssa_status model_forward(ssa_model *m, layer_pass pass);     /* tokens -> x[0] -> ... -> x[L] -> h = norm(x[L]) */
ssa_status model_micro_batch(ssa_model *m, layer_pass pass); /* forward, loss, backward */
ssa_status model_evaluation(ssa_model *m, ssa_stream main);  /* forward and the sum of the cross-entropy */
ssa_status model_optimizer(ssa_model *m);                    /* clip, AdamW */
ssa_status model_prepare(ssa_model *m);
ssa_status model_record(ssa_model *m);
/* rope.c: cos and sin of the first T positions, [T, D]. */
void rope_table(const ssa_model_config *c, int64_t T, float *table);
/* layer.c: x[l] -> x[l + 1] and, backwards, m->dx. */
ssa_status layer_forward(ssa_model *m, int l, layer_pass pass);
ssa_status layer_backward(ssa_model *m, int l, layer_pass pass);

#endif
