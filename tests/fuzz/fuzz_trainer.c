/* trainer.json of a checkpoint, and a config file of options. Options that read well are the same after a round through JSON. */
#include "fuzz.h"
#include "io/inside.h"
#include "train/train.h"

static void same(const ssa_train_options *a, const ssa_train_options *b) {
    int               count;
    const ssa_option *table = ssa_train_option_table(&count);
    for (int i = 0; i < count; i++) {
        const void *x = (const char *)a + table[i].offset, *y = (const char *)b + table[i].offset;
        bool        equal = true;
        switch (table[i].kind) {
        case SSA_OPT_STRING: equal = !strcmp(x, y); break;
        case SSA_OPT_FLOAT: equal = *(const float *)x == *(const float *)y; break;
        case SSA_OPT_DOUBLE: equal = *(const double *)x == *(const double *)y; break;
        case SSA_OPT_BOOL: equal = *(const bool *)x == *(const bool *)y; break;
        case SSA_OPT_INT:
        case SSA_OPT_CHOICE: equal = *(const int *)x == *(const int *)y; break;
        default: equal = *(const int64_t *)x == *(const int64_t *)y;
        }
        if (!equal) abort();
    }
}

static void round_trip(const ssa_train_options *o) {
    ssa_train_options again = {0};
    ssa_error         err = {0};
    cJSON            *json = options_to_json(o), *read;
    char             *text = cJSON_Print(json);
    ssa_config_default(&again.model);
    if (!text || io_json_parse("a round", text, strlen(text), &read, &err)) abort();
    ssa_status s = options_from_json(&again, read, "a round", &err);
    fuzz_sentence(s, &err); /* a file may leave out what then is 0 and out of range; such options do not come round */
    if (!s) same(o, &again);
    cJSON_Delete(json);
    cJSON_Delete(read);
    free(text);
    err = (ssa_error){0};
    s = ssa_train_check(o, &err);
    fuzz_sentence(s, &err);
    if (!s)
        for (int64_t step = 1; step <= o->steps && step < 4; step++)
            if (!(ssa_train_lr(o, step) >= 0)) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    ssa_train_options o;
    ssa_error         err = {0};
    int64_t           step = -1;
    char              checkpoint[256];
    mkdir(fuzz_path("run"), 0777);
    mkdir(fuzz_path("run/step-000001"), 0777);
    const char *path = fuzz_file("run/step-000001/trainer.json", data, size);
    ssa_status  s = checkpoint_read_options(fuzz_path("run/step-000001"), &o, &step, &err);
    fuzz_sentence(s, &err);
    if (!s && (step < 0 || step > 1000000000)) abort();
    if (!s) round_trip(&o);

    ssa_train_record record;
    err = (ssa_error){0};
    s = ssa_train_record_read(fuzz_path("run/step-000001"), &record, &err);
    fuzz_sentence(s, &err);
    if (!s && (!record.known || record.data.tokens < 0 || (record.data.tokens && strlen(record.data.hash) != 32))) abort();

    err = (ssa_error){0};
    s = ssa_train_resume(fuzz_path("run"), &o, checkpoint, sizeof checkpoint, &err);
    fuzz_sentence(s, &err);

    err = (ssa_error){0};
    if (ssa_train_preset("quickstart", &o, &err)) abort();
    s = ssa_train_read_config(&o, path, &err);
    fuzz_sentence(s, &err);
    if (!s) round_trip(&o);
    return 0;
}
