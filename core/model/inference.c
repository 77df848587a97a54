/* Evaluation, logits and attention sparsity of a model. */
#include "model.h"
#include "finite.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

ssa_status ssa_model_eval(ssa_model *m, ssa_stream main, double *ce_sum) {
    float v[8];
    SSA_TRY(ssa_replay(m->ctx, m->eval[main]));
    SSA_TRY(ssa_read(m->ctx, m->scalars, v));
    *ce_sum = (double)v[SCALAR_CE];
    return check_finite(ssa_context_error(m->ctx), main == SSA_MAIN_FULL ? "the loss under full attention" : "the loss under sparse attention", *ce_sum);
}

ssa_status ssa_model_logits(ssa_model *m, ssa_stream main, int64_t first, int64_t count, float *logits) {
    int64_t    C = m->config.hidden_size, V = m->config.vocab_size;
    ssa_tensor out;
    if (first < 0 || count < 1 || first + count > rows_of(m))
        return ssa_fail(ssa_context_error(m->ctx), SSA_ERR_INPUT, "logits of rows %lld..%lld of %lld", (long long)first, (long long)(first + count - 1), (long long)rows_of(m));
    SSA_TRY(ssa_replay(m->ctx, m->hidden[main]));
    SSA_TRY(ssa_tensor_new(m->ctx, SSA_F32, &out, count, V));
    ssa_status s = SSA_CALL(m->ctx, SSA_MATMUL, SSA_T(ssa_view(m->h, first * C, count, C), weight(m, m->head), out), .trans_b = true);
    if (!s) s = ssa_read(m->ctx, out, logits);
    ssa_tensor_free(m->ctx, &out);
    return s ? s : check_all_finite(ssa_context_error(m->ctx), main == SSA_MAIN_FULL ? "the logits under full attention" : "the logits under sparse attention", logits, count * V);
}

ssa_status ssa_model_sparsity(ssa_model *m, ssa_stream main, int64_t rows, double *sparsity) {
    int64_t B = m->options.batch, T = m->options.seq, Q = m->config.n_heads, n = B * T * Q;
    if (!m->attention.both) return ssa_fail(ssa_context_error(m->ctx), SSA_ERR_INPUT, "sparsity needs a model that computes both streams");
    if (rows < 1 || rows > B) return ssa_fail(ssa_context_error(m->ctx), SSA_ERR_INPUT, "sparsity of %lld rows of a batch of %lld", (long long)rows, (long long)B);
    float *stat = malloc((size_t)n * 4 * sizeof *stat);
    if (!stat) return ssa_fail(ssa_context_error(m->ctx), SSA_ERR_MEMORY, "out of memory for attention statistics");
    ssa_status s = SSA_CALL(m->ctx, SSA_EMBEDDING, SSA_T(m->inputs, weight(m, m->embed), m->x[0]), .value = 0);
    memset(sparsity, 0, (size_t)T * sizeof *sparsity);
    for (int l = 0; l < m->config.n_layers && !s; l++) {
        s = layer_forward(m, l, (layer_pass){.main = main});
        if (!s) s = ssa_read(m->ctx, acts_of(m, l)->attention.stat, stat);
        for (int64_t i = 0; i < rows * T * Q && !s; i++) sparsity[i / Q % T] += exp((double)stat[2 * n + i] - (double)stat[i]);
    }
    free(stat);
    for (int64_t t = 0; t < T && !s; t++) {
        sparsity[t] /= (double)(rows * Q * m->config.n_layers);
        s = check_finite(ssa_context_error(m->ctx), "the attention sparsity", sparsity[t]);
    }
    return s;
}

ssa_tensor ssa_model_blocks(const ssa_model *m, int layer) { return acts_of(m, layer)->attention.idx; }
