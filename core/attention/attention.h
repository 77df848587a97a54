/* The contract of an attention system: what stands between a layer's rotated q, k, v and its output projection. One file a system, which
 * opens with its formula and source: full.c, ssa.c. The streams that systems are made of: dense.c, sparse.c.
 *
 * Letters as in ssa/ops.def: B batch, T tokens, Q query heads, H KV heads, D head_dim, N blocks, K slots, S selection heads.
 *
 * To add a system: its file here, its row in attention.c, its name in ssa/config.h, core/io/config_keys.c and core/train/options.c. */
#ifndef SSA_ATTENTION_H
#define SSA_ATTENTION_H

#include "ssa/config.h"
#include "ssa/ops.h"
#include "tensors.h"

enum { ATTENTION_MAX_PROJECTIONS = 2 };

/* A linear projection of the layer's normalised input that a system needs beside q, k and v: its weight is [width, hidden_size]. */
typedef struct attention_projection {
    const char *name; /* as in the files: "self_attn.g_proj" */
    int64_t     width;
} attention_projection;

/* What a layer keeps of its attention for the backward pass. The layer fills q, k, v and the projections, the system the rest. */
typedef struct attention_kept {
    ssa_tensor q, k, v;                                /* [B,T,Q,D], [B,T,H,D], [B,T,H,D]; q and k rotated */
    ssa_tensor projection[ATTENTION_MAX_PROJECTIONS];  /* [B,T,width] */
    ssa_tensor o_full, o_sparse;                       /* [B,T,Q,D] before the gate; one tensor where a single stream is computed */
    ssa_tensor stat;                                   /* [4,B,T,Q]: lse and delta of the full, then of the sparse stream */
    ssa_tensor idx;                                    /* [B,T,S,K]: the blocks that each query attends */
} attention_kept;

/* One pass through the attention of one layer. */
typedef struct attention_pass {
    ssa_stream main;       /* the stream whose output goes on */
    bool       losses;     /* forward: the system's loss terms are computed */
    bool       add_losses; /* ... and added to what layers and micro-batches before left */
} attention_pass;

/* Gradients, all [shape of what they are of]. dy comes in and may be overwritten, the others are written. */
typedef struct attention_grads {
    ssa_tensor dy, dq, dk, dv, dprojection[ATTENTION_MAX_PROJECTIONS];
} attention_grads;

typedef struct attention attention;

typedef struct attention_system {
    const char        *name;
    const char *const *losses;    /* names of its loss terms, up to NULL */
    bool (*trains)(const ssa_model_config *c, ssa_stream main); /* whether training ever sends this stream on */
    bool (*aligns)(const ssa_model_config *c);                  /* whether training computes both streams */
    /* *y [B,T,Q,D], the input of the output projection, and everything of `kept` that backward needs. *y is memory for it; where the output
     * lies elsewhere already, *y becomes that. */
    ssa_status (*forward)(const attention *a, const attention_kept *kept, const attention_pass *pass, ssa_tensor *y);
    ssa_status (*backward)(const attention *a, const attention_kept *kept, const attention_pass *pass, const attention_grads *g);
    /* y again, from what is kept: the backward pass of the output projection needs it. */
    ssa_status (*output)(const attention *a, const attention_kept *kept, ssa_stream main, ssa_tensor *y);
} attention_system;

/* A model's attention: the system, its sizes, and the temporaries that its layers share. */
struct attention {
    const attention_system *system;
    ssa_context            *ctx;
    const ssa_model_config *config;
    int64_t                 B, T, Q, H, D, N, K, S;
    ssa_dtype               dtype;
    bool                    both;    /* both streams are computed; otherwise the main one alone */
    float                   scale;   /* of the scores: 1 / sqrt(D) */
    int                     terms;   /* layers x micro-batches: a loss of the attention is the mean over all of them */
    ssa_tensor              losses;  /* f32, one element a loss term */
    ssa_tensor              kbar;    /* [B,N,H,D]: means of the blocks' keys */
    ssa_tensor              lists;   /* [B,S,N + 1 + T K]: the inverted selection (training) */
    ssa_tensor              open, d_open; /* [B,T,3Q], models without gates: logits of gates that stand open, and what their gradient (0) goes to */
    ssa_tensor              d_other; /* [B,T,Q,D]: gradient of the other stream's output (training of both) */
};

const attention_system *attention_system_of(const ssa_model_config *c);
/* The projections that a layer of this model has beside q, k, v, o; returns how many. */
int attention_projections(const ssa_model_config *c, attention_projection out[ATTENTION_MAX_PROJECTIONS]);

/* Sizes and shared temporaries; the tensors belong to `owner`. */
ssa_status attention_create(attention *a, tensor_list *owner, const ssa_model_config *c, int64_t batch, int64_t seq, ssa_dtype dtype,
                            bool training, bool both, int accum, ssa_tensor losses);
/* What one layer keeps. */
ssa_status attention_keep(const attention *a, tensor_list *owner, attention_kept *kept);

/* -- the streams ----------------------------------------------------------------------------------------------------- */

/* lse and delta of one stream, [2,B,T,Q] */
ssa_tensor attention_stat(const attention *a, const attention_kept *kept, ssa_stream stream);
/* o_full and its lse; d_o [B,T,Q,D] -> dq, dk, dv (added to what is there, or written) */
ssa_status dense_forward(const attention *a, const attention_kept *kept);
ssa_status dense_backward(const attention *a, const attention_kept *kept, ssa_tensor d_o, const attention_grads *g, bool accumulate);
/* idx, o_sparse and its lse; d_o -> dq, dk, dv */
ssa_status sparse_forward(const attention *a, const attention_kept *kept);
ssa_status sparse_backward(const attention *a, const attention_kept *kept, ssa_tensor d_o, const attention_grads *g, bool accumulate);
/* Forward of the main stream, or of both. */
ssa_status streams_forward(const attention *a, const attention_kept *kept, ssa_stream main);
/* *y = sigmoid(gate logits) * o of the main stream, in the memory that *y is; without gates *y becomes o */
ssa_status gated_output(const attention *a, const attention_kept *kept, ssa_stream main, ssa_tensor *y);
/* Gate logits, and where their gradient goes. */
ssa_tensor gate_of(const attention *a, const attention_kept *kept);
ssa_tensor d_gate_of(const attention *a, const attention_grads *g);
/* Backward where a single stream was computed: gate, then that stream. */
ssa_status single_backward(const attention *a, const attention_kept *kept, ssa_stream main, const attention_grads *g);

#define ATTENTION_RUN(op, operands, ...) SSA_TRY(SSA_CALL(a->ctx, op, operands, __VA_ARGS__))

#endif
