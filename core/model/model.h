/* The inside of a model, for core/model only. */
#ifndef SSA_MODEL_INSIDE_H
#define SSA_MODEL_INSIDE_H

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
typedef struct layer_params { int attn_norm, q, k, v, g, o, mlp_norm, gate, up, down; } layer_params;

/* What a layer's forward pass leaves for its backward pass. R = B * T rows. */
typedef struct layer_acts {
    ssa_tensor z1, rstd1;          /* [R, C] normalised input; [R] */
    ssa_tensor q, k, v, zg;        /* [B,T,Q,D], [B,T,H,D] (q, k rotated), gate logits [B,T,3Q] */
    ssa_tensor o_full, o_sparse;   /* [B,T,Q,D], before the gate; one tensor where a single stream is computed */
    ssa_tensor stat;               /* [4,B,T,Q]: lse and delta of the full, then of the sparse stream */
    ssa_tensor idx;                /* [B,T,S,K] */
    ssa_tensor x_mid, z2, rstd2;   /* [R, C], [R, C], [R] */
    ssa_tensor gate, up;           /* [R, F] */
} layer_acts;

struct ssa_model {
    ssa_context      *ctx;
    ssa_model_config  config;
    ssa_model_options options;
    bool              both; /* both streams in the forward pass */

    segment      *segments;
    int           segment_count;
    placed_param *params;
    int           param_count;
    layer_params *layer;
    int           embed, final_norm, head; /* head: embed where tied */

    ssa_tensor  inputs, targets, order;  /* i32 [R] */
    ssa_tensor  cos_sin;                 /* [T, D] */
    ssa_tensor *x;                       /* residual stream entering layer l; x[L] leaves the last */
    layer_acts *acts;                    /* one a layer, or one for all (inference, recompute) */
    int         acts_count;
    ssa_tensor  h, rstd;                 /* final norm [R, C], [R] */
    ssa_tensor  rows;                    /* cross-entropy by row [R] */
    /* Temporaries, shared by all layers. */
    ssa_tensor kbar, lists, y, t, act;   /* [B,N,H,D], [B,S,L], gated output [B,T,Q,D], [R,C], [R,F] */
    ssa_tensor dx, dz, dq, dk, dv, dzg, do_full, do_sparse, dgate, dup;
    ssa_tensor scalars;                  /* f32 [8], see SCALAR_* */
    ssa_tensor step;                     /* f32 [8]: what changes from step to step, see adamw in ops.def */

    ssa_program *train[2][2];            /* [main][later] */
    ssa_program *update;
    ssa_program *hidden[2], *eval[2];    /* [main] */
    int32_t     *host_order;             /* [R] for sorting tokens */
    uint64_t     weight_bytes, optimizer_bytes, activation_bytes;
};

enum { SCALAR_CE = 0, SCALAR_ALIGN = 1, SCALAR_SUMSQ = 2, SCALAR_NORM = 4, SCALAR_FACTOR = 5 };

static inline int64_t rows_of(const ssa_model *m) { return m->options.batch * m->options.seq; }
static inline ssa_tensor weight(const ssa_model *m, int param) { return ssa_model_param_tensor(m, param, SSA_PARAM_WEIGHT); }
static inline ssa_tensor grad(const ssa_model *m, int param) { return ssa_model_param_tensor(m, param, SSA_PARAM_GRAD); }
static inline layer_acts *acts_of(const ssa_model *m, int l) { return &m->acts[m->acts_count == 1 ? 0 : l]; }

/* params.c */
ssa_status params_declare(ssa_model *m);  /* names, shapes, places */
ssa_status params_allocate(ssa_model *m);
void       params_free(ssa_model *m);
/* rope.c: cos and sin of the first T positions, [T, D]. */
void rope_table(const ssa_model_config *c, int64_t T, float *table);
/* layer.c: x[l] -> x[l + 1] and, backwards, m->dx. value: also add this layer's alignment loss to the scalars. */
ssa_status layer_forward(ssa_model *m, int l, int main, bool value, bool later);
ssa_status layer_backward(ssa_model *m, int l, int main, bool later);
/* y [R, N] = x [R, K] w^T */
ssa_status linear(ssa_model *m, ssa_tensor x, int param, ssa_tensor y);

#endif
