/* Rows of seq + 1 tokens: the split into training and validation, and the order of training. */
#include "io/inside.h"
#include "io/tokens.h"
#include <math.h>

ssa_status ssa_rows_split(const ssa_tokens *t, int64_t seq, double val_fraction, ssa_rows *train, ssa_rows *val, ssa_error *err) {
    int64_t count = ssa_tokens_count(t);
    if (seq < 1) return ssa_fail(err, SSA_ERR_INPUT, "sequence length %lld is out of range: it must be 1 or more", (long long)seq);
    if (!(val_fraction >= 0 && val_fraction < 1)) return ssa_fail(err, SSA_ERR_INPUT, "validation fraction %g is out of range 0..1", val_fraction);
    int64_t rows = (count - 1) / seq;
    if (rows < 2)
        return ssa_fail(err, SSA_ERR_INPUT, "%s has %lld tokens, too few for two rows of sequence length %lld", io_show(t->path).text,
                        (long long)count, (long long)seq);
    int64_t behind = (int64_t)floor((double)rows * val_fraction);
    if (behind < 1) behind = 1;
    if (behind > rows - 1) behind = rows - 1;
    *train = (ssa_rows){.tokens = t, .seq = seq, .first = 0, .count = rows - behind};
    *val = (ssa_rows){.tokens = t, .seq = seq, .first = rows - behind, .count = behind};
    return SSA_OK;
}

/* A permutation of 0..count-1 without a table: a Feistel network permutes 0..4^half-1 >= count, and a value beyond count is sent
 * through again until it falls inside (cycle walking: still one to one, and under four turns on average). The round function
 * is Philox under a key drawn for this epoch. */
int64_t ssa_rows_shuffled(const ssa_rows *rows, uint64_t seed, int64_t sample) {
    enum { ROUNDS = 6 };
    uint64_t count = (uint64_t)rows->count, x = (uint64_t)sample % count, epoch = (uint64_t)sample / count;
    uint32_t r[4];
    int half = 0;
    ssa_philox(seed, SSA_STREAM_ORDER, epoch, r);
    uint64_t key = (uint64_t)r[1] << 32 | r[0], stream = (uint64_t)r[3] << 32 | r[2];
    while (half < 31 && (uint64_t)1 << 2 * half < count) half++; /* 2^62 rows of even one byte do not exist */
    uint64_t mask = ((uint64_t)1 << half) - 1;
    do {
        uint64_t left = x >> half, right = x & mask;
        for (uint64_t round = 0; round < ROUNDS; round++) {
            ssa_philox(key, stream + round, right, r);
            uint64_t mixed = left ^ (r[0] & mask);
            left = right;
            right = mixed;
        }
        x = left << half | right;
    } while (x >= count);
    return (int64_t)x;
}

ssa_status ssa_rows_get(const ssa_rows *rows, int64_t row, int32_t *inputs, int32_t *targets, ssa_error *err) {
    if (row < 0 || row >= rows->count) return ssa_fail(err, SSA_ERR_INPUT, "row %lld is out of range 0..%lld", (long long)row,
                                                       (long long)rows->count - 1);
    int64_t first = (rows->first + row) * rows->seq;
    SSA_TRY(ssa_tokens_get(rows->tokens, first, rows->seq, inputs, err));
    for (int64_t i = 0; i + 1 < rows->seq; i++) targets[i] = inputs[i + 1];
    return ssa_tokens_get(rows->tokens, first + rows->seq, 1, &targets[rows->seq - 1], err);
}
