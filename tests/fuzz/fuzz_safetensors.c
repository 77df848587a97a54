/* safetensors: a file, or (input that begins with a brace) the index of a folder of shards. Whatever opens must be readable
 * from its first to its last byte. */
#include "fuzz.h"
#include "ssa/io.h"

static void open_and_walk(const char *path) {
    ssa_safetensors *st;
    ssa_error        err = {0};
    ssa_status       s = ssa_safetensors_open(path, &st, &err);
    volatile uint8_t sum = 0;
    fuzz_sentence(s, &err);
    if (s) return;
    for (int i = 0; i < ssa_safetensors_count(st); i++) {
        const ssa_file_tensor *t = ssa_safetensors_at(st, i);
        int64_t                elements = 1;
        for (int k = 0; k < t->rank && k < SSA_MAX_RANK; k++) elements *= t->shape[k];
        if (t->rank <= SSA_MAX_RANK && elements != t->elements) abort();
        if (t->dtype != SSA_DTYPE_COUNT && (t->rank > SSA_MAX_RANK || t->bytes != t->elements * (int64_t)ssa_dtype_size(t->dtype))) abort();
        if (!t->type || ssa_safetensors_find(st, t->name) != t) abort();
        s = ssa_safetensors_load(st, t, &err);
        fuzz_sentence(s, &err);
        for (int64_t k = 0; k < t->bytes && !s; k++) sum ^= ((const uint8_t *)t->data)[k];
    }
    const char *value = ssa_safetensors_metadata(st, "format");
    if (value) sum ^= (uint8_t)strlen(value);
    ssa_safetensors_close(st);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const char a[] = "\x37\0\0\0\0\0\0\0{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}1234";
    if (!size || data[0] != '{') {
        open_and_walk(fuzz_file("file.safetensors", data, size));
        return 0;
    }
    mkdir(fuzz_path("folder"), 0777);
    fuzz_file("folder/a.safetensors", (const uint8_t *)a, sizeof a - 1);
    fuzz_file("folder/model.safetensors.index.json", data, size);
    open_and_walk(fuzz_path("folder"));
    return 0;
}
