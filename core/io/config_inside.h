/* What the files of config.json share: the table of keys, the reader, RoPE. */
#ifndef IO_CONFIG_INSIDE_H
#define IO_CONFIG_INSIDE_H

#include "io/inside.h"
#include "ssa/config.h"

/* One row a key that a config.json may have; what is in no row is refused. A value of null means what an absent key means. */
typedef enum {
    KEY_WHOLE,     /* int64_t at offset */
    KEY_INT,       /* int */
    KEY_DOUBLE,
    KEY_FLOAT,
    KEY_BOOL,
    KEY_WORD,      /* one of two words, index into an int */
    KEY_WORD_BOOL, /* the same into a bool */
    KEY_CODE,      /* honoured by a function of its own: the class, RoPE, the window */
    KEY_ONLY,      /* would change the computation: only the values in `only` are taken */
    KEY_ANY        /* changes nothing that is computed here, whatever its value */
} config_kind;

typedef struct config_key {
    const char        *name;
    config_kind        kind;
    size_t             offset; /* into ssa_model_config */
    bool               needed;
    const char *const *words;
    const char        *only;   /* JSON values with | between them, null included; of a list every element must be one of them */
    const char        *write;  /* the value that is always written; NULL: a field's own, or nothing */
    const char        *write_ungated; /* instead, where heads have no gate; NULL: the same */
} config_key;

const config_key *config_key_table(int *count);

/* -- reading (config_read.c) ---------------------------------------------------------------------------------------------- */
typedef struct config_reader {
    const char  *path;
    const cJSON *json;
    ssa_error   *err;
} config_reader;

/* The value of a key; NULL where it is absent or null, which is an error if it is needed. */
ssa_status config_find(const config_reader *r, const char *key, bool needed, const cJSON **out);
/* Whole number from 0 to 2^53, finite number: *out keeps its value where the key is absent and not needed. */
ssa_status config_whole(const config_reader *r, const char *key, bool needed, int64_t *out);
ssa_status config_double(const config_reader *r, const char *key, bool needed, double *out);
ssa_status config_mistyped(const config_reader *r, const char *key, const cJSON *value, const char *wanted);
/* Refuses a key with its value: "PATH: KEY VALUE is not supported, WHY". */
ssa_status config_unsupported(const config_reader *r, const char *key, const cJSON *value, const char *why);

/* rope_theta, rope_scaling and rope_parameters (config_rope.c). */
ssa_status config_read_rope(const config_reader *r, ssa_model_config *c);

#endif
