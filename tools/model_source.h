/* The model that --checkpoint names, and what the files beside it know. */
#ifndef SSA_MODEL_SOURCE_H
#define SSA_MODEL_SOURCE_H

#include "ssa/ssa.h"

typedef struct model_source {
    char             folder[SSA_PATH_CAPACITY + 32]; /* with config.json and weights */
    ssa_model_config config;
    ssa_train_record run;   /* known: it comes from a run of ours */
    bool             bytes; /* its tokens are bytes of text */
} model_source;

/* path: that folder, or one of a run. */
ssa_status model_source_open(const char *path, model_source *out, ssa_error *err);

#endif
