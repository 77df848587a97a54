/* config.json: what reads well is written to the same bytes however often it goes round. */
#include "fuzz.h"
#include "ssa/config.h"
#include "ssa/io.h"

static char *written(const ssa_model_config *c, size_t *bytes) {
    ssa_error err = {0};
    char     *text;
    const char *dir = fuzz_path("out");
    mkdir(dir, 0777);
    if (ssa_config_write(dir, c, &err) || ssa_file_read(fuzz_path("out/config.json"), 1 << 20, &text, bytes, &err)) abort();
    return text;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    ssa_model_config c, again;
    ssa_error        err = {0};
    size_t           first_bytes, second_bytes;
    fuzz_file("config.json", data, size);
    ssa_status s = ssa_config_read(fuzz_path("."), &c, &err);
    fuzz_sentence(s, &err);
    if (s) return 0;
    char *first = written(&c, &first_bytes);
    if (ssa_config_read(fuzz_path("out"), &again, &err)) abort();
    char *second = written(&again, &second_bytes);
    if (first_bytes != second_bytes || memcmp(first, second, first_bytes)) abort();
    free(first);
    free(second);
    return 0;
}
