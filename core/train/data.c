/* The data of a run: opened, split into rows, training and validation held apart. */
#include "io/tokens.h"
#include "train.h"
#include <string.h>

static void describe(const train_data *d, FILE *progress) {
    ssa_tokens_id id;
    if (!progress) return;
    ssa_tokens_identify(d->tokens, &id);
    fprintf(progress, "data: %lld %s of %d file%s, vocabulary %lld; %lld rows to train on, %lld to validate on%s\n", (long long)id.tokens, id.bytes ? "bytes" : "tokens",
            id.files, id.files == 1 ? "" : "s", (long long)id.vocabulary, (long long)d->train.count, (long long)d->val.count, d->val_tokens ? " (of their own files)" : "");
}

static ssa_status open_validation(train_data *d, ssa_train_options *o, FILE *progress, ssa_error *err) {
    int64_t vocabulary = ssa_tokens_vocabulary(d->tokens);
    SSA_TRY(ssa_tokens_open(o->val_data, &(ssa_tokens_options){.vocabulary = vocabulary, .progress = progress}, &d->val_tokens, err));
    if (ssa_tokens_are_bytes(d->tokens) != ssa_tokens_are_bytes(d->val_tokens))
        return ssa_fail(err, SSA_ERR_INPUT, "%s holds %s and the training data %s", io_show(o->val_data).text, ssa_tokens_are_bytes(d->val_tokens) ? "bytes of text" : "token ids",
                        ssa_tokens_are_bytes(d->tokens) ? "bytes of text" : "token ids");
    if (ssa_tokens_vocabulary(d->val_tokens) != vocabulary)
        return ssa_fail(err, SSA_ERR_INPUT, "%s has a vocabulary of %lld, the training data of %lld", io_show(o->val_data).text, (long long)ssa_tokens_vocabulary(d->val_tokens),
                        (long long)vocabulary);
    SSA_TRY(ssa_tokens_apart(d->tokens, d->val_tokens, err));
    int64_t rows = (ssa_tokens_count(d->val_tokens) - 1) / o->seq;
    if (rows < 1) return ssa_fail(err, SSA_ERR_INPUT, "%s has fewer than the %lld tokens of one row", io_show(o->val_data).text, (long long)o->seq + 1);
    d->train.count += d->val.count;
    d->val = (ssa_rows){.tokens = d->val_tokens, .seq = o->seq, .count = rows};
    return SSA_OK;
}

ssa_status data_open(train_data *d, ssa_train_options *o, FILE *progress, ssa_error *err) {
    SSA_TRY(ssa_tokens_open(o->data, &(ssa_tokens_options){.vocabulary = o->model.vocab_size, .progress = progress}, &d->tokens, err));
    if (o->model.vocab_size == 0) o->model.vocab_size = ssa_tokens_vocabulary(d->tokens);
    SSA_TRY(ssa_rows_split(d->tokens, o->seq, o->val_fraction, &d->train, &d->val, err));
    if (o->val_data[0]) SSA_TRY(open_validation(d, o, progress, err));
    else SSA_TRY(ssa_tokens_distinct(d->tokens, err)); /* a copy of a file would lie on both sides of the split */
    describe(d, progress);
    SSA_TRY(io_files_absolute(o->data, sizeof o->data, err)); /* after all sentences, which say the names as they were given */
    return o->val_data[0] ? io_files_absolute(o->val_data, sizeof o->val_data, err) : SSA_OK;
}

void data_close(train_data *d) {
    ssa_tokens_close(d->tokens);
    ssa_tokens_close(d->val_tokens);
    memset(d, 0, sizeof *d);
}
