#include "model_source.h"

ssa_status model_source_open(const char *path, model_source *out, ssa_error *err) {
    SSA_TRY(ssa_checkpoint_find(path, out->folder, sizeof out->folder, err));
    SSA_TRY(ssa_config_read(out->folder, &out->config, err));
    SSA_TRY(ssa_train_record_read(out->folder, &out->run, err));
    out->bytes = ssa_train_on_bytes(&out->run, out->config.vocab_size);
    return SSA_OK;
}
