/* Files: safetensors, tokens, atomic writing; numbers as text. */
#ifndef SSA_IO_H
#define SSA_IO_H

#include "ssa/tensor.h"
#include <stdbool.h>
#include <stdio.h>

/* -- numbers as text -----------------------------------------------------------------------------------------------------
 * A point is the decimal sign whatever the program's locale is. */
/* A finite decimal number, and nothing else in the text: "1", "-.5", "1e-3"; not "0x10", "inf", " 1". *out stays where it is not. */
bool ssa_number_read(const char *text, double *out);
/* The shortest digits that read back as the same double (is_float: the same float). Returns text. */
enum { SSA_NUMBER_SIZE = 40 };
const char *ssa_number_print(char text[SSA_NUMBER_SIZE], double x, bool is_float);

/* A time for people, in at most two units: "4 s", "12 min 5 s", "11 h 26 min", "3 d 4 h". Returns text. */
enum { SSA_DURATION_SIZE = 48 };
const char *ssa_duration_print(char text[SSA_DURATION_SIZE], double seconds);

/* -- safetensors: 8 bytes header length (little-endian), a JSON header, the data. Nothing in them
 * is trusted: header beyond the file, overlapping or out-of-range offsets, shapes whose size is not the data's are errors that name
 * the file and the tensor. A file may hold tensors of any type; whether it can be used is asked of those that are. ------------ */
typedef struct ssa_file_tensor {
    const char *name;
    ssa_dtype   dtype;   /* F32, BF16, F16, I32, F64; SSA_DTYPE_COUNT: another type, or more than SSA_MAX_RANK dimensions */
    int         rank;    /* 0: a scalar, shape[0] is then 1 */
    int64_t     shape[SSA_MAX_RANK]; /* the first SSA_MAX_RANK dimensions */
    const void *data;    /* NULL until ssa_safetensors_load */
    int64_t     elements;
    int64_t     bytes;   /* of data; ignored in writing */
    const char *type;    /* the dtype as the file names it: "I64"; ignored in writing */
} ssa_file_tensor;

typedef struct ssa_safetensors ssa_safetensors;

/* path: a .safetensors file, or a folder with model.safetensors or model.safetensors.index.json and its shards. */
ssa_status             ssa_safetensors_open(const char *path, ssa_safetensors **out, ssa_error *err);
void                   ssa_safetensors_close(ssa_safetensors *st); /* NULL is ignored */
int                    ssa_safetensors_count(const ssa_safetensors *st);
const ssa_file_tensor *ssa_safetensors_at(const ssa_safetensors *st, int i);                 /* in order of data */
const ssa_file_tensor *ssa_safetensors_find(const ssa_safetensors *st, const char *name);    /* NULL: not there */
/* Reads a tensor of this file into t->data, where it stays until it is unloaded or the file is closed; loaded already: nothing to do.
 * SSA_ERR_RUNTIME where the file has changed since it was opened. */
ssa_status             ssa_safetensors_load(const ssa_safetensors *st, const ssa_file_tensor *t, ssa_error *err);
void                   ssa_safetensors_unload(const ssa_safetensors *st, const ssa_file_tensor *t);
const char            *ssa_safetensors_metadata(const ssa_safetensors *st, const char *key); /* NULL: not there */

/* Writes a file: tensors in the order given, `fetch` delivers the data of tensor i in its dtype, one after the other.
 * metadata: key, value, key, value, ..., NULL; may be NULL. Written to a temporary name, synced and renamed: a full disk or an
 * interruption leaves the old file. Equal input gives equal bytes. */
typedef ssa_status (*ssa_fetch)(void *user, int i, void *host, ssa_error *err);
ssa_status ssa_safetensors_write(const char *path, const ssa_file_tensor *tensors, int count, const char *const *metadata, ssa_fetch fetch, void *user, ssa_error *err);

/* Writes a whole small file the same careful way. */
ssa_status ssa_file_write(const char *path, const void *data, size_t bytes, ssa_error *err);
/* Reads a whole file into malloc'ed memory with a 0 behind it. limit: larger files are refused. */
ssa_status ssa_file_read(const char *path, size_t limit, char **out, size_t *bytes, ssa_error *err);

/* -- tokens ------------------------------------------------------------------------------------------------------------
 * What `data` may name: a file; a folder, which means its *.bin files in name order; a pattern of files ("fineweb_train_*.bin", read
 * here as the shell would, in name order); or several of these with commas between. A name that exists is taken as it stands.
 *
 * A file is text, read as bytes (vocabulary 256), or one of llm.c's token shards: 256 int32 of header (magic 20240520 version 1: uint16
 * tokens; magic 20240801 version 7: uint32 tokens; then the token count), then tokens. Anything else is refused with what it is.
 * The format of shards carries no vocabulary: it is what meta.json in their folder says ({"vocab_size": 1024}), or else
 * options.vocabulary, or else that of the tokenizer the format is known for (50257, 128256).
 *
 * Opening reads every file once, for its hash and, of shards, to check every id against the vocabulary. Data larger than memory is
 * fine: later reads take what they need, and notice a file that has changed or become shorter. */
typedef struct ssa_tokens ssa_tokens;
typedef struct ssa_tokens_options {
    int64_t vocabulary; /* of the model that reads them; 0: not known. Ids beyond it are an error, as are bytes where it is below 256 */
    FILE   *progress;   /* gets a line from time to time while much is read; NULL: none */
} ssa_tokens_options;
/* Where two openings agree in this they have the same tokens in the same order. */
typedef struct ssa_tokens_id {
    int64_t tokens, vocabulary;
    bool    bytes;    /* bytes of text; otherwise token ids */
    int     files;
    char    hash[33]; /* XXH3 of 128 bits, as xxhsum -H2 prints it, of the one file; of several, of their hashes in order */
} ssa_tokens_id;
/* options may be NULL. A token outside the vocabulary is an error that names file and position. */
ssa_status ssa_tokens_open(const char *data, const ssa_tokens_options *options, ssa_tokens **out, ssa_error *err);
void       ssa_tokens_close(ssa_tokens *t); /* NULL is ignored */
int64_t    ssa_tokens_count(const ssa_tokens *t);
int64_t    ssa_tokens_vocabulary(const ssa_tokens *t);
bool       ssa_tokens_are_bytes(const ssa_tokens *t);
void       ssa_tokens_identify(const ssa_tokens *t, ssa_tokens_id *out);
/* Copies n tokens from position first; the caller keeps within the count. One call at a time for each ssa_tokens. SSA_ERR_RUNTIME where a
 * file no longer holds what it held when it was opened. */
ssa_status ssa_tokens_get(const ssa_tokens *t, int64_t first, int64_t n, int32_t *out, ssa_error *err);
/* Whether two sets of tokens share a file (under whatever name: links and copies included): an error that names both. */
ssa_status ssa_tokens_apart(const ssa_tokens *train, const ssa_tokens *val, ssa_error *err);
/* Whether a set has a file twice, in the same way. */
ssa_status ssa_tokens_distinct(const ssa_tokens *t, ssa_error *err);

/* Rows of seq + 1 tokens (row i starts at token i * seq, so that neighbours share one token), split into training rows and,
 * behind them, validation rows; and the order training visits them in: a permutation keyed by (seed, epoch), the same on
 * every device, computed without a table. */
typedef struct ssa_rows {
    const ssa_tokens *tokens;
    int64_t           seq, first, count; /* rows first .. first + count - 1 */
} ssa_rows;
/* val_fraction of the rows, at least one, are validation. Error where the text is shorter than two rows. */
ssa_status ssa_rows_split(const ssa_tokens *t, int64_t seq, double val_fraction, ssa_rows *train, ssa_rows *val, ssa_error *err);
int64_t    ssa_rows_shuffled(const ssa_rows *rows, uint64_t seed, int64_t sample); /* the row that sample 0, 1, 2, ... takes */
/* Inputs and targets (next tokens) of one row. inputs, targets: [seq] */
ssa_status ssa_rows_get(const ssa_rows *rows, int64_t row, int32_t *inputs, int32_t *targets, ssa_error *err);

/* -- random numbers: Philox 4x32-10 (Salmon et al. 2011), a pure function of (seed, stream, index) ---------------------- */
void     ssa_philox(uint64_t seed, uint64_t stream, uint64_t index, uint32_t out[4]);
double   ssa_uniform(uint64_t seed, uint64_t stream, uint64_t index); /* [0, 1) */
double   ssa_normal(uint64_t seed, uint64_t stream, uint64_t index);  /* mean 0, deviation 1 (Box-Muller) */
enum { SSA_STREAM_ORDER = 1, SSA_STREAM_COIN = 2, SSA_STREAM_SAMPLE = 3, SSA_STREAM_WEIGHTS = 16 }; /* weights: 16 + parameter index */

#endif
