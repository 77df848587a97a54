/* Training: options, presets, the step loop, checkpoints. */
#ifndef SSA_TRAIN_H
#define SSA_TRAIN_H

#include "ssa/model.h"
#include <signal.h>
#include <stdio.h>

enum { SSA_PATH_CAPACITY = 4096 }; /* bytes of a path with the 0 behind it, as in Linux; longer ones are refused */

typedef struct ssa_train_options {
    ssa_model_config model;
    char      data[SSA_PATH_CAPACITY];      /* as ssa_tokens_open takes it: text, shards, a folder, a pattern, a list */
    char      val_data[SSA_PATH_CAPACITY];  /* the same for validation; empty: the tail of data */
    char      out[SSA_PATH_CAPACITY];       /* the run's folder */
    char      init_from[SSA_PATH_CAPACITY]; /* weights from this checkpoint folder; empty: random */
    char      preset[32];
    ssa_dtype dtype;
    int64_t   batch, seq;
    int       accum;
    int64_t   steps;           /* length of the run and of its schedule */
    int64_t   stop_at;         /* save and leave after this step; 0: run to the end */
    int64_t   warmup;          /* steps */
    double    lr, min_lr, weight_decay, clip, beta1, beta2, eps;
    double    val_fraction;
    int64_t   eval_every, eval_rows; /* steps; validation rows used (0: all) */
    int64_t   save_every;
    double    save_minutes;    /* a checkpoint at the latest after so much time, too; 0: by steps alone */
    int       keep;            /* newest checkpoints kept; the best is kept beside them */
    int64_t   log_every;
    uint64_t  seed;
    bool      recompute;
    bool      allow_changes;   /* a run continues with other data or other options than it began with; else that is an error */
} ssa_train_options;

/* Fills everything from a preset: quickstart, 10m, 30m, 300m, 1b. */
ssa_status  ssa_train_preset(const char *name, ssa_train_options *out, ssa_error *err);
const char *ssa_train_preset_names(void); /* "quickstart, 10m, ..." */

/* Options as a table, for flags, config files and trainer.json alike. */
typedef enum { SSA_OPT_STRING, SSA_OPT_INT, SSA_OPT_I64, SSA_OPT_U64, SSA_OPT_FLOAT, SSA_OPT_DOUBLE, SSA_OPT_BOOL, SSA_OPT_CHOICE } ssa_option_kind;
typedef struct ssa_option {
    const char     *name;    /* as in a config file; as a flag --name with - for _ */
    ssa_option_kind kind;
    size_t          offset;  /* into ssa_train_options */
    double          min, max;
    const char     *choices; /* "f32 bf16 f16": the value is the index; strings: their capacity in max */
    const char     *help;
} ssa_option;
const ssa_option *ssa_train_option_table(int *count);
/* Sets one option from text; the sentence names option and value. */
ssa_status ssa_train_set(ssa_train_options *o, const char *name, const char *value, ssa_error *err);
/* The value of an option as text, as ssa_train_set takes it; text holds what is not a string of o itself. */
const char *ssa_train_get(const ssa_train_options *o, const ssa_option *option, char text[SSA_NUMBER_SIZE]);
/* Options as they were given: flags and config files make a list of settings, and the list becomes options by one path, whichever way
 * and in whatever order each came. First the preset, where one is set; then the configuration of the checkpoint that init_from names;
 * then everything else; a warm-up that nobody set and that is longer than the run becomes a tenth of it. What is set twice has the value of the highest layer, within it the last. Names may have - for _. */
typedef enum { SSA_SETTINGS_DEFAULTS, SSA_SETTINGS_FILES, SSA_SETTINGS_FLAGS } ssa_settings_layer;
typedef struct ssa_settings ssa_settings;
ssa_settings *ssa_settings_new(void); /* NULL: out of memory */
void          ssa_settings_free(ssa_settings *s);
ssa_status    ssa_settings_add(ssa_settings *s, const char *name, const char *value, ssa_error *err); /* a flag */
ssa_status    ssa_settings_read(ssa_settings *s, ssa_settings_layer layer, const char *path, ssa_error *err); /* a JSON object */
void          ssa_settings_drop(ssa_settings *s, ssa_settings_layer layer); /* all of it */
const char   *ssa_settings_get(const ssa_settings *s, const char *name); /* NULL: not set */
/* Over what `o` holds. others: names, up to a NULL, that are no options of a training and the caller's own; may be NULL. A sentence tells
 * the flag or the file. */
ssa_status    ssa_settings_apply(const ssa_settings *s, const char *const *others, ssa_train_options *o, ssa_error *err);
/* A config file alone: the same path. A preset in it replaces all that `o` held. */
ssa_status    ssa_train_read_config(ssa_train_options *o, const char *path, ssa_error *err);
/* Whether the values make a run, as far as can be told without data and device. */
ssa_status ssa_train_check(const ssa_train_options *o, ssa_error *err);

/* The folder of a model: `path` itself where config.json is in it, or the newest checkpoint of the run in `path`. */
ssa_status ssa_checkpoint_find(const char *path, char *checkpoint, size_t capacity, ssa_error *err);
/* What it takes to go on from a checkpoint: its folder, and its options. path: the folder of a run, whose newest it is then, or of one
 * checkpoint. out is the run's folder, empty where the checkpoint has been taken out of one. Checkpoints of later steps in the run
 * stay, under other names. */
ssa_status ssa_train_resume(const char *path, ssa_train_options *out, char *checkpoint, size_t capacity, ssa_error *err);

/* What the trainer.json of a checkpoint tells of the run that made it. */
typedef struct ssa_train_record {
    bool              known;    /* false: there is none (a model from elsewhere), and nothing below is set */
    int64_t           step;
    ssa_train_options options;  /* data and val_data are absolute paths */
    ssa_tokens_id     data;     /* tokens 0: it does not say (a checkpoint of an older version) */
    ssa_tokens_id     val_data; /* tokens 0: validation rows are the last of data (options.val_fraction) */
} ssa_train_record;
ssa_status ssa_train_record_read(const char *checkpoint, ssa_train_record *out, ssa_error *err);
/* Whether the model's tokens are bytes of text. Where no run tells, a vocabulary of 256 is taken for them. */
bool       ssa_train_on_bytes(const ssa_train_record *run, int64_t vocab_size);

/* The rows to evaluate a checkpoint on: those that its run held out of training, unless others are asked for. Data that is not the
 * run's is used whole; rows that the run trained on are refused unless all rows are asked for. */
typedef struct ssa_held_out_ask {
    const char *data;         /* as ssa_tokens_open takes it; NULL: the run's validation data */
    int64_t     seq;
    double      val_fraction; /* of the data, from its end; below 0: as the run held out */
    bool        all;          /* all rows of the data, trained on or not */
} ssa_held_out_ask;
typedef struct ssa_held_out {
    ssa_tokens *tokens;
    ssa_rows    rows;
    const char *split;        /* "val_data", the run's own validation files; "val_fraction", the last part; "all" */
    double      val_fraction;
    bool        trained_on;   /* all, and the run trained on some of them */
} ssa_held_out;
/* vocab_size: the model's. The data must be of the kind that the model was trained on. */
ssa_status ssa_held_out_open(const char *checkpoint, int64_t vocab_size, const ssa_held_out_ask *ask, FILE *progress, ssa_held_out *out, ssa_error *err);
void       ssa_held_out_close(ssa_held_out *h);

/* Learning rate of step 1, 2, ...: linear warm-up, then a cosine down to min_lr. */
double ssa_train_lr(const ssa_train_options *o, int64_t step);

typedef struct ssa_train_result {
    int64_t step;          /* the last step done */
    double  val_full, val_sparse; /* of the last evaluation, nats a token */
    int64_t val_rows;      /* rows of seq tokens it went over; 0: there was none */
    int64_t best_step;     /* of the lowest validation loss under sparse attention, which OUT/best links to; 0: no evaluation yet */
    double  best_sparse;   /* that loss */
    char    checkpoint[SSA_PATH_CAPACITY + 32]; /* the last one written; empty: none */
    bool    stopped;       /* by a request or stop_at, before the end */
    bool    interrupted;   /* by a request */
} ssa_train_result;

/* What a signal handler or another thread asks of a training; looked at after each step. */
typedef struct ssa_train_requests {
    volatile sig_atomic_t stop; /* not 0: save and leave */
    volatile sig_atomic_t save; /* each change of the value: save and go on */
} ssa_train_requests;

/* Trains: progress lines go to `progress` (may be NULL), JSON lines to OUT/log.jsonl, checkpoints to OUT/step-NNNNNN: every save_every
 * steps, after save_minutes, at an evaluation with the lowest loss under sparse attention so far (OUT/best links to it), at the end.
 * checkpoint: a checkpoint folder to continue from bit for bit, or NULL to start. requests: may be NULL. A progress stream that cannot
 * be written does not end the training (whether a broken pipe raises SIGPIPE is the caller's to choose). While it trains the process
 * holds a lock on OUT (flock on OUT/.lock, freed however the process ends): a second one is refused with SSA_ERR_INPUT; on a file
 * system without locks a progress line says so. A loss or gradient that is not finite stops the run and names the step and the last
 * good checkpoint. */
ssa_status ssa_train(ssa_context *ctx, const ssa_train_options *o, const char *checkpoint, FILE *progress, const ssa_train_requests *requests,
                     ssa_train_result *result, ssa_error *err);

/* Over the first `count` rows (0 or more than there are: all, ssa_rows_used tells how many), whatever the model's batch, under one
 * main stream: the mean loss of their tokens, nats; and the mean attention sparsity of ssa_model_sparsity at each position of a
 * row, by_position: [seq]. Numbers that are not finite are failures. */
int64_t    ssa_rows_used(const ssa_rows *rows, int64_t count);
ssa_status ssa_train_evaluate(ssa_model *m, const ssa_rows *rows, int64_t count, ssa_stream main, double *loss, ssa_error *err);
ssa_status ssa_train_sparsity(ssa_model *m, const ssa_rows *rows, int64_t count, ssa_stream main, double *by_position, ssa_error *err);

/* A checkpoint folder opened for inference: config.json and weights. top_k 0: the config's. */
ssa_status ssa_model_open(ssa_context *ctx, const char *dir, int64_t batch, int64_t seq, ssa_dtype dtype, int top_k, bool both_streams, ssa_model **out);

#endif
