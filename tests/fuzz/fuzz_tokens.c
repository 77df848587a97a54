/* Tokens: bytes, a shard, a folder of two shards (the first byte chooses); then rows of them. */
#include "fuzz.h"
#include "ssa/io.h"

static void visit_rows(const ssa_rows *rows, int32_t *inputs, int32_t *targets) {
    int64_t count = rows->count < 64 ? rows->count : 64;
    for (int64_t i = 0; i < count; i++) {
        ssa_error err = {0};
        int64_t   row = ssa_rows_shuffled(rows, 7, i);
        if (row < 0 || row >= rows->count) abort();
        ssa_status s = ssa_rows_get(rows, row, inputs, targets, &err);
        fuzz_sentence(s, &err);
        for (int64_t k = 0; k + 1 < rows->seq && !s; k++)
            if (inputs[k + 1] != targets[k]) abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    ssa_tokens *t;
    ssa_error   err = {0};
    ssa_rows    train, val;
    if (!size) return 0;
    int     kind = data[0] % 3;
    int64_t seq = 1 + data[0] / 3 % 32;
    data++;
    size--;
    const char *path;
    if (kind == 2) {
        size_t half = size >= 2 ? (size_t)(data[0] | data[1] << 8) % (size + 1) : 0;
        mkdir(fuzz_path("shards"), 0777);
        fuzz_file("shards/a.bin", data, half);
        fuzz_file("shards/b.bin", data + half, size - half);
        path = fuzz_path("shards");
    } else {
        path = fuzz_file(kind ? "a.bin" : "text", data, size);
    }
    ssa_status s = ssa_tokens_open(path, NULL, &t, &err);
    fuzz_sentence(s, &err);
    if (s) return 0;
    int64_t  n = ssa_tokens_count(t);
    int32_t *out = malloc((size_t)n * sizeof *out), inputs[32], targets[32];
    if (n < 1 || n > (int64_t)size || !out) abort();
    s = ssa_tokens_get(t, 0, n, out, &err);
    fuzz_sentence(s, &err);
    for (int64_t i = 0; i < n && !s; i++)
        if (out[i] < 0 || out[i] >= ssa_tokens_vocabulary(t)) abort();
    free(out);
    ssa_error short_text = {0};
    s = ssa_rows_split(t, seq, 0.1, &train, &val, &short_text);
    fuzz_sentence(s, &short_text);
    if (!s) {
        visit_rows(&train, inputs, targets);
        visit_rows(&val, inputs, targets);
    }
    ssa_tokens_close(t);
    return 0;
}
