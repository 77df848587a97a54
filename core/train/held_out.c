/* The rows to evaluate a checkpoint on: those that its run held out of training, as its trainer.json tells, unless others are asked
 * for; rows that it trained on only where all rows are. */
#include "io/tokens.h"
#include "train.h"
#include <string.h>

int64_t trained_until(const ssa_train_record *r, int64_t tokens) {
    if (r->options.seq < 1) return 0; /* it does not say */
    if (r->val_data.tokens) return tokens;
    int64_t rows = (tokens - 1) / r->options.seq, behind = (int64_t)((double)rows * r->options.val_fraction);
    return (rows - (behind < 1 ? 1 : behind)) * r->options.seq;
}

/* Whether the model and the tokens mean the same by a number. */
static ssa_status check_kind(const ssa_train_record *run, const ssa_tokens *t, int64_t vocab_size, const char *checkpoint, ssa_error *err) {
    bool bytes = ssa_train_on_bytes(run, vocab_size), are = ssa_tokens_are_bytes(t);
    if (bytes != are)
        return ssa_fail(err, SSA_ERR_INPUT, "%s is a model of %s (vocabulary %lld), %s holds %s", io_show(checkpoint).text, bytes ? "bytes of text" : "token ids", (long long)vocab_size,
                        io_show(t->path).text, are ? "bytes of text" : "token ids");
    if (run->data.tokens && ssa_tokens_vocabulary(t) != run->data.vocabulary)
        return ssa_fail(err, SSA_ERR_INPUT, "%s has a vocabulary of %lld, %s was trained on one of %lld", io_show(t->path).text, (long long)ssa_tokens_vocabulary(t),
                        io_show(checkpoint).text, (long long)run->data.vocabulary);
    return SSA_OK;
}

/* All rows behind a token. */
static ssa_status rows_behind(ssa_held_out *h, int64_t token, int64_t seq, ssa_error *err) {
    int64_t rows = (ssa_tokens_count(h->tokens) - 1) / seq, first = (token + seq - 1) / seq;
    if (rows <= first)
        return ssa_fail(err, SSA_ERR_INPUT, "%s has fewer than the %lld tokens of one row%s", io_show(h->tokens->path).text, (long long)seq + 1,
                        token ? " behind those that were trained on" : "");
    h->rows = (ssa_rows){.tokens = h->tokens, .seq = seq, .first = first, .count = rows - first};
    return SSA_OK;
}

/* The last part of the run's own data. */
static ssa_status last_rows(ssa_held_out *h, const ssa_train_record *run, const ssa_held_out_ask *ask, const char *checkpoint, ssa_error *err) {
    int64_t     until = trained_until(run, ssa_tokens_count(h->tokens));
    ssa_rows    front;
    h->split = "val_fraction";
    h->val_fraction = ask->val_fraction >= 0 ? ask->val_fraction : run->options.val_fraction;
    if (until >= ssa_tokens_count(h->tokens))
        return ssa_fail(err, SSA_ERR_INPUT, "%s trained on every row of %s and holds %s out; to evaluate on training data all the same, ask for all rows", io_show(checkpoint).text, io_show(h->tokens->path).text,
                        io_show(run->options.val_data).text);
    if (ask->val_fraction < 0) return rows_behind(h, until, ask->seq, err);
    SSA_TRY(ssa_rows_split(h->tokens, ask->seq, ask->val_fraction, &front, &h->rows, err));
    if (h->rows.first * ask->seq < until)
        return ssa_fail(err, SSA_ERR_INPUT, "val_fraction %g takes in rows of %s that %s trained on (its own is %g)", ask->val_fraction, io_show(h->tokens->path).text, io_show(checkpoint).text,
                        run->options.val_fraction);
    return SSA_OK;
}

static bool same_data(const ssa_tokens_id *a, const ssa_tokens_id *b) { return a->tokens && a->tokens == b->tokens && !strcmp(a->hash, b->hash); }

static ssa_status choose(ssa_held_out *h, const ssa_train_record *run, const ssa_held_out_ask *ask, const char *checkpoint, ssa_error *err) {
    ssa_tokens_id id;
    char          path[SSA_PATH_CAPACITY] = "", seen[160] = "";
    ssa_tokens_identify(h->tokens, &id);
    bool known = run->known && run->data.tokens, own = known ? same_data(&id, &run->data) : run->known, val = known && same_data(&id, &run->val_data);
    if (ask->data) {
        snprintf(path, sizeof path, "%s", ask->data);
        SSA_TRY(io_files_absolute(path, sizeof path, err));
    }
    bool changed = known && !own && !val && (!ask->data || !strcmp(path, run->options.data));
    if (known && !val) SSA_TRY(identity_trained_on(checkpoint, h->tokens, seen, sizeof seen, err));
    h->split = "all";
    h->trained_on = own || changed || seen[0];
    if (ask->all) return rows_behind(h, 0, ask->seq, err);
    if (changed && !seen[0])
        return ssa_fail(err, SSA_ERR_INPUT, "%s is not what %s was trained on any more", io_show(h->tokens->path).text, io_show(checkpoint).text);
    if (own) {
        h->trained_on = false;
        return last_rows(h, run, ask, checkpoint, err);
    }
    if (seen[0])
        return ssa_fail(err, SSA_ERR_INPUT, "%s is among what %s was trained on; to evaluate on training data all the same, ask for all rows", seen, io_show(checkpoint).text);
    if (val) h->split = "val_data";
    if (ask->val_fraction < 0) return rows_behind(h, 0, ask->seq, err);
    ssa_rows front;
    h->split = "val_fraction";
    h->val_fraction = ask->val_fraction;
    return ssa_rows_split(h->tokens, ask->seq, ask->val_fraction, &front, &h->rows, err);
}

ssa_status ssa_held_out_open(const char *checkpoint, int64_t vocab_size, const ssa_held_out_ask *ask, FILE *progress, ssa_held_out *out, ssa_error *err) {
    ssa_train_record run;
    memset(out, 0, sizeof *out);
    SSA_TRY(ssa_train_record_read(checkpoint, &run, err));
    const char *data = ask->data ? ask->data : run.options.val_data[0] ? run.options.val_data : run.options.data;
    if (!data[0]) return ssa_fail(err, SSA_ERR_INPUT, "no data: %s has no trainer.json that names any", io_show(checkpoint).text);
    ssa_tokens_options options = {.vocabulary = run.data.tokens ? run.data.vocabulary : vocab_size, .progress = progress};
    ssa_status         s = ssa_tokens_open(data, &options, &out->tokens, err);
    if (!s) s = check_kind(&run, out->tokens, vocab_size, checkpoint, err);
    if (!s) s = choose(out, &run, ask, checkpoint, err);
    if (s) ssa_held_out_close(out);
    return s;
}

void ssa_held_out_close(ssa_held_out *h) {
    ssa_tokens_close(h->tokens);
    memset(h, 0, sizeof *h);
}
