/* The inside of training, for core/train only. */
#ifndef SSA_TRAIN_INSIDE_H
#define SSA_TRAIN_INSIDE_H

#include "ssa/device.h"
#include "ssa/train.h"
#include <cjson/cJSON.h>

/* A JSON value as ssa_train_set takes it. NULL: it is none that an option can have. */
const char *option_text(const cJSON *item, char number[SSA_NUMBER_SIZE]);
/* All options as trainer.json records them: one by one, a preset is a name among them. */
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
/* Whether a run that continues is what it was: what differs is an error that names it, or with o->allow_changes a line of progress. */
ssa_status identity_check(const char *checkpoint, const ssa_train_options *o, const train_data *data, FILE *progress, ssa_error *err);
/* Whether the weights of o->init_from go with the data: bytes with bytes, and rows that they have not seen for validation (a warning). */
ssa_status identity_of_weights(const ssa_train_options *o, const train_data *data, FILE *progress, ssa_error *err);

/* Whether a file of `t` is among the training data of the checkpoint's run, by content: its name in file, "" where none is. */
ssa_status identity_trained_on(const char *checkpoint, const ssa_tokens *t, char *file, size_t capacity, ssa_error *err);

/* held_out.c: where training rows end in a run on data of so many tokens, in tokens from the front; 0: it does not say. */
int64_t trained_until(const ssa_train_record *r, int64_t tokens);

/* run.c: the folder of a run. */
#define RUN_STEP "step-%06lld" /* a checkpoint's folder in it */
typedef struct run_best { int64_t step; double loss; } run_best; /* the lowest validation loss under sparse attention so far; step 0: none */
ssa_status run_make(const char *run, ssa_error *err); /* the folder and those above it, where they are not there */
/* Takes the run for this process; it is free again when *fd is closed, so at the latest when the process ends. *locked false without
 * an error: the file system has no locks. A run that another process has is an error that names it. */
ssa_status run_lock(const char *run, int *fd, bool *locked, ssa_error *err);
void       run_unlock(int *fd);
/* Removes what killed processes left under temporary names; only for who holds the lock. */
void       run_sweep(const char *run);
/* Steps that have checkpoints, ascending, the caller's to free. */
ssa_status run_list(const char *run, int64_t **steps, int *count, ssa_error *err);
/* Removes all checkpoints but the newest `keep`, the current and the best. */
ssa_status run_prune(const char *run, int keep, int64_t current, int64_t best, ssa_error *err);
int64_t    run_step_of(const char *name); /* of a checkpoint's folder; -1: it has another name */
/* Gives the checkpoints of later steps another name ("step-000060.old"): a run that goes on from an earlier one will write its own. */
ssa_status run_set_aside(const char *run, int64_t step, int64_t best, FILE *progress, ssa_error *err);
void       run_discard(const char *run, const char *name); /* a folder of files in it */
ssa_status run_link_best(const char *run, int64_t step, ssa_error *err); /* OUT/best -> step-NNNNNN */

/* checkpoint.c: OUT/step-NNNNNN, written under another name and renamed; keeps the newest options->keep and the best. path: what was
 * written. */
typedef struct checkpoint_state {
    const ssa_train_options *options;
    const train_data        *data;
    int64_t                  step;
    run_best                 best;
} checkpoint_state;
ssa_status checkpoint_write(ssa_context *ctx, ssa_model *m, const checkpoint_state *state, char *path, size_t capacity, ssa_error *err);
/* The newest complete checkpoint of a run; path is empty where there is none. */
ssa_status checkpoint_newest(const char *run, char *path, size_t capacity, int64_t *step, ssa_error *err);
/* trainer.json of a checkpoint: all of it (freed with cJSON_Delete), and its options. */
ssa_status checkpoint_read_json(const char *dir, cJSON **out, ssa_error *err);
ssa_status checkpoint_read_options(const char *dir, ssa_train_options *o, int64_t *step, ssa_error *err);
/* The best step, as the checkpoint's run knew it. */
ssa_status checkpoint_read_best(const char *dir, run_best *best, ssa_error *err);
/* The choices by timing that the checkpoint's run recorded, where this is the same device. */
ssa_status checkpoint_restore_choices(ssa_context *ctx, const char *dir, ssa_error *err);
/* Weights, moments into the model. */
ssa_status checkpoint_load(ssa_model *m, const char *dir, bool with_optimizer, ssa_error *err);

/* log.c: OUT/log.jsonl */
typedef struct train_log { FILE *file; char *path; } train_log;
/* Opens for appending; lines of later steps than `step` (of a run that was interrupted after its last checkpoint) go. */
ssa_status log_open(train_log *log, const char *run, int64_t step, ssa_error *err);
ssa_status log_line(train_log *log, cJSON *line, ssa_error *err); /* takes the line */
void       log_close(train_log *log);

/* memory.c: plans the model; more than the device has is an error that says what would fit: another batch, recompute, shorter rows. */
ssa_status memory_check(ssa_context *ctx, const ssa_train_options *o, const ssa_model_options *mo, ssa_model_plan *plan, ssa_error *err);

/* pace.c: rates since this process began its steps, evaluations and checkpoints included; tokens seen since the run began. */
typedef struct train_pace { double elapsed, left /* s */, tokens_per_s, flops_per_s, tokens_seen; } train_pace;
/* first: the step before the first of this process; elapsed: seconds since; flops: of a step. */
train_pace pace_of(const ssa_train_options *o, int64_t first, int64_t step, double elapsed, double flops);
void       pace_print(FILE *to, const ssa_train_options *o, int64_t step, const ssa_losses *l, const char *mode, const train_pace *p);

#endif
