/* The inside of training, for core/train only. */
#ifndef SSA_TRAIN_INSIDE_H
#define SSA_TRAIN_INSIDE_H

#include "ssa/device.h"
#include "ssa/train.h"
#include <cjson/cJSON.h>

ssa_status options_from_json(ssa_train_options *o, const cJSON *json, const char *path, ssa_error *err);
cJSON     *options_to_json(const ssa_train_options *o);

/* data.c: the run's data; paths in o become absolute, a vocab_size of 0 the data's. */
typedef struct train_data {
    ssa_tokens *tokens, *val_tokens; /* val_tokens NULL: validation rows are the last of tokens */
    ssa_rows    train, val;
} train_data;
ssa_status data_open(train_data *d, ssa_train_options *o, FILE *progress, ssa_error *err); /* close it after a failure too */
void       data_close(train_data *d);

/* identity.c: kind, tokens, vocabulary, hash and files. */
cJSON *identity_to_json(const ssa_tokens *t);

/* checkpoint.c: OUT/step-NNNNNN, written under another name and renamed; keeps the newest o->keep. path: [1200], what was written. */
ssa_status checkpoint_write(ssa_context *ctx, ssa_model *m, const ssa_train_options *o, const train_data *data, int64_t step, char *path, ssa_error *err);
/* The newest complete checkpoint of a run; path is empty where there is none. */
ssa_status checkpoint_newest(const char *run, char *path, size_t capacity, int64_t *step, ssa_error *err);
/* trainer.json of a checkpoint: all of it (freed with cJSON_Delete), and its options. */
ssa_status checkpoint_read_json(const char *dir, cJSON **out, ssa_error *err);
ssa_status checkpoint_read_options(const char *dir, ssa_train_options *o, int64_t *step, ssa_error *err);
/* The choices by timing that the checkpoint's run recorded, where this is the same device. */
ssa_status checkpoint_restore_choices(ssa_context *ctx, const char *dir, ssa_error *err);
/* Weights, moments into the model. */
ssa_status checkpoint_load(ssa_model *m, const char *dir, bool with_optimizer, ssa_error *err);

/* log.c: OUT/log.jsonl */
typedef struct train_log { FILE *file; char path[1100]; } train_log;
/* Opens for appending; lines of later steps than `step` (of a run that was interrupted after its last checkpoint) go. */
ssa_status log_open(train_log *log, const char *run, int64_t step, ssa_error *err);
ssa_status log_line(train_log *log, cJSON *line, ssa_error *err); /* takes the line */
void       log_close(train_log *log);

#endif
