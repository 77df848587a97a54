/* The llama-nsa transformer on a context: parameters, one micro-batch forward and backward, the optimizer's step. */
#ifndef SSA_MODEL_H
#define SSA_MODEL_H

#include "ssa/config.h"
#include "ssa/io.h"
#include "ssa/ops.h"

typedef struct ssa_model_options {
    int64_t   batch, seq;   /* B, T of a micro-batch */
    ssa_dtype dtype;        /* storage of weights and activations: f32, bf16 or, in inference only, f16 */
    bool      training;     /* gradients, moments and activations for the backward pass */
    bool      both_streams; /* inference: compute the other stream too, for sparsity (training: alpha decides) */
    bool      recompute;    /* keep only each layer's input and compute the layer again in the backward pass */
    int       accum;        /* micro-batches a step; losses and gradients are averaged over them (0 means 1) */
    int64_t   targets;      /* rows that count in the cross-entropy of a micro-batch (0: batch * seq) */
    /* AdamW and clipping */
    float     beta1, beta2, eps, weight_decay, max_norm;
} ssa_model_options;

typedef struct ssa_model ssa_model;

/* Whether gradients fit a dtype's range. f16 is refused until losses are scaled dynamically: its smallest number is 6e-8, and
 * from some 20,000 tokens a step on gradients are below that. */
ssa_status ssa_check_training_dtype(ssa_dtype dtype, ssa_error *err);

/* Allocates everything and records the programs: a step then only writes its batch and its step's values, replays, and reads 8 numbers
 * back (tests/test_loop.c). Parameters are undefined. */
ssa_status ssa_model_create(ssa_context *ctx, const ssa_model_config *config, const ssa_model_options *options, ssa_model **out);
void       ssa_model_free(ssa_model *m); /* NULL is ignored */

const ssa_model_config  *ssa_model_config_of(const ssa_model *m);
const ssa_model_options *ssa_model_options_of(const ssa_model *m);
ssa_context             *ssa_model_context(const ssa_model *m); /* whose error tells why a call on the model failed */

/* -- parameters, by the names of the Hugging Face files ----------------------------------------------------------------- */
typedef struct ssa_param {
    char    name[96];
    int     rank;
    int64_t shape[2];
    bool    decay;      /* a matrix: weight decay applies */
} ssa_param;
int              ssa_model_param_count(const ssa_model *m);
const ssa_param *ssa_model_param(const ssa_model *m, int i);
int64_t          ssa_model_param_elements(const ssa_model *m);

/* Master weights, moments and gradients (f32), and the stored weights (dtype). Null tensors where not training. */
typedef enum { SSA_PARAM_MASTER, SSA_PARAM_M, SSA_PARAM_V, SSA_PARAM_GRAD, SSA_PARAM_WEIGHT } ssa_param_kind;
ssa_tensor ssa_model_param_tensor(const ssa_model *m, int i, ssa_param_kind kind);

/* The blocks that the queries of a layer attended in the sparse stream of the last pass, i32 [B,T,S,K]; of training without recompute each
 * layer has its own, else all share the last one's. */
ssa_tensor ssa_model_blocks(const ssa_model *m, int layer);

/* Matrices from N(0, initializer_range), norms 1; moments 0. The same on every device. */
ssa_status ssa_model_init(ssa_model *m, uint64_t seed);
/* Weights from a folder or file (F32, BF16, F16, F64); every parameter must be there in its shape. Every other tensor must be known to
 * change nothing (core/model/weights.c: rotary buffers, position ids, causal masks, an lm_head equal to the embedding it is tied to), or
 * the file is refused with its name. Moments become 0. */
ssa_status ssa_model_load(ssa_model *m, const ssa_safetensors *st);
/* model.safetensors in `dtype` (f32: the masters). A value that is not finite is a failure that names the parameter, and no file
 * is written; likewise for the optimizer's. */
ssa_status ssa_model_save(ssa_model *m, const char *path, ssa_dtype dtype);
/* optimizer.safetensors: the moments m.NAME and v.NAME. (Masters are model.safetensors, which training writes in f32.) */
ssa_status ssa_model_save_optimizer(ssa_model *m, const char *path);
ssa_status ssa_model_load_optimizer(ssa_model *m, const ssa_safetensors *st);

/* -- a micro-batch -------------------------------------------------------------------------------------------------------
 * inputs, targets: [B * T]; a target outside 0..V-1 counts nothing. */
ssa_status ssa_model_set_batch(ssa_model *m, const int32_t *inputs, const int32_t *targets);
/* Forward and backward with this main stream (SSA_MAIN_FULL / SPARSE); `later`: add to the gradients of the step so far. */
ssa_status ssa_model_train(ssa_model *m, ssa_stream main, bool later);
/* Clips and updates. step counts from 1. */
ssa_status ssa_model_update(ssa_model *m, int64_t step, float lr);

/* Losses, norms, logits and sparsity come out finite or not at all: a NaN or an infinity among them is SSA_ERR_RUNTIME with a
 * sentence that says which. */
typedef struct ssa_losses {
    float ce;     /* cross-entropy, mean over targets and micro-batches */
    float align;  /* two-sided alignment loss, mean over layers and micro-batches, before alpha */
    float norm;   /* gradient norm before clipping (after ssa_model_update); where it is not finite, nothing was updated */
    float factor; /* clip factor */
} ssa_losses;
ssa_status ssa_model_losses(ssa_model *m, ssa_losses *out); /* reads 8 floats back: waits for the step */

/* -- inference ----------------------------------------------------------------------------------------------------------- */
/* Forward only; *ce gets the sum of the cross-entropy over the counted targets. */
ssa_status ssa_model_eval(ssa_model *m, ssa_stream main, double *ce_sum);
/* Logits of the row (position in B*T) after ssa_model_set_batch; runs the forward pass. logits: [count, V] for rows first.. */
ssa_status ssa_model_logits(ssa_model *m, ssa_stream main, int64_t first, int64_t count, float *logits);
/* With both_streams, after ssa_model_set_batch: AttnSparsity(t) = exp(lse_sparse - lse_full) (ssa_spec 1.9) per position t, the mean
 * over layers, heads and the first `rows` rows of the batch. sparsity: [T]. Runs the forward pass layer by layer. */
ssa_status ssa_model_sparsity(ssa_model *m, ssa_stream main, int64_t rows, double *sparsity);

/* -- planning -------------------------------------------------------------------------------------------------------------- */
typedef struct ssa_model_plan {
    int64_t  parameters;
    double   flops_step;      /* one optimizer step: accum micro-batches and the update; selected blocks only are counted */
    uint64_t weights, optimizer, activations, scratch, total; /* bytes on the device */
    int64_t  largest_batch;   /* that fits into the device's memory with everything else equal; 0: none */
} ssa_model_plan;
/* Without allocating anything on the device. */
ssa_status ssa_model_make_plan(ssa_context *ctx, const ssa_model_config *config, const ssa_model_options *options, ssa_model_plan *out);

#endif
