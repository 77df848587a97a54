/* What `ssa train` was asked: options of the training, and the command's own. */
#ifndef SSA_TRAIN_OPTIONS_H
#define SSA_TRAIN_OPTIONS_H

#include "ssa/ssa.h"

typedef struct train_command {
    char              device[256], resume[SSA_PATH_CAPACITY], where[SSA_PATH_CAPACITY];
    int               threads; /* see ssa_open_options */
    bool              dry_run, profile, check;
    bool              warmup_given; /* by an option or the run */
    ssa_train_options options;
    char              checkpoint[SSA_PATH_CAPACITY + 32]; /* to go on from; empty: a new run */
} train_command;

/* From the arguments and the config files they name; --help prints and exits. */
ssa_status train_options(int argc, char **argv, train_command *out, ssa_error *err);

#endif
