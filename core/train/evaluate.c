/* Evaluation: losses and attention sparsity of the same rows, whatever the batch. */
#include "context.h"
#include "ssa/train.h"
#include <stdlib.h>

/* What happens to one batch of which the first `rows` rows count; adds to the sum of what is measured. */
typedef ssa_status (*measure)(ssa_model *m, ssa_stream main, int64_t rows, double *sum, double *batch);

static ssa_status measure_loss(ssa_model *m, ssa_stream main, int64_t rows, double *sum, double *batch) {
    (void)rows; /* the others have no targets */
    SSA_TRY(ssa_model_eval(m, main, batch));
    *sum += *batch;
    return SSA_OK;
}

static ssa_status measure_sparsity(ssa_model *m, ssa_stream main, int64_t rows, double *sum, double *batch) {
    SSA_TRY(ssa_model_sparsity(m, main, rows, batch));
    for (int64_t t = 0; t < ssa_model_options_of(m)->seq; t++) sum[t] += batch[t] * (double)rows; /* a last batch of fewer rows weighs less */
    return SSA_OK;
}

/* The rows one batch after the other. The last batch is filled up with a row again, which does not count. */
static ssa_status each_batch(ssa_model *m, const ssa_rows *rows, int64_t count, ssa_stream main, const char *name, measure what, double *sum, double *batch, ssa_error *err) {
    int64_t    B = ssa_model_options_of(m)->batch, T = ssa_model_options_of(m)->seq;
    int32_t   *inputs = malloc((size_t)(B * T) * sizeof *inputs), *targets = malloc((size_t)(B * T) * sizeof *targets);
    ssa_status s = inputs && targets ? SSA_OK : ssa_fail(err, SSA_ERR_MEMORY, "out of memory for an evaluation batch");
    for (int64_t row = 0; row < count && !s; row += B) {
        int64_t n = count - row < B ? count - row : B;
        context_tell(ssa_model_context(m), false, "%s of %s attention, row %lld of %lld", name, main == SSA_MAIN_FULL ? "full" : "sparse", (long long)row + 1, (long long)count);
        for (int64_t b = 0; b < B && !s; b++) {
            s = ssa_rows_get(rows, b < n ? row + b : row, inputs + b * T, targets + b * T, err);
            for (int64_t t = 0; b >= n && t < T; t++) targets[b * T + t] = -1;
        }
        if (s) break;
        s = ssa_model_set_batch(m, inputs, targets);
        if (!s) s = what(m, main, n, sum, batch);
        if (s) ssa_fail(err, s, "%s", ssa_context_error(ssa_model_context(m))->text);
    }
    free(inputs);
    free(targets);
    return s;
}

int64_t ssa_rows_used(const ssa_rows *rows, int64_t count) { return count && count < rows->count ? count : rows->count; }

ssa_status ssa_train_evaluate(ssa_model *m, const ssa_rows *rows, int64_t count, ssa_stream main, double *loss, ssa_error *err) {
    double  sum = 0, batch;
    int64_t n = ssa_rows_used(rows, count);
    SSA_TRY(each_batch(m, rows, n, main, "loss", measure_loss, &sum, &batch, err));
    *loss = sum / (double)(n * ssa_model_options_of(m)->seq);
    return SSA_OK;
}

ssa_status ssa_train_sparsity(ssa_model *m, const ssa_rows *rows, int64_t count, ssa_stream main, double *by_position, ssa_error *err) {
    int64_t    n = ssa_rows_used(rows, count), T = ssa_model_options_of(m)->seq;
    double    *batch = malloc((size_t)T * sizeof *batch);
    ssa_status s = batch ? SSA_OK : ssa_fail(err, SSA_ERR_MEMORY, "out of memory for attention sparsity");
    for (int64_t t = 0; t < T; t++) by_position[t] = 0;
    if (!s) s = each_batch(m, rows, n, main, "sparsity", measure_sparsity, by_position, batch, err);
    for (int64_t t = 0; t < T; t++) by_position[t] /= (double)n;
    free(batch);
    return s;
}
