/* What the files about tokens share: tokens.c opens and reads, scan.c looks at every byte once, files.c finds the files, foreign.c knows
 * what is no text. */
#ifndef IO_TOKENS_H
#define IO_TOKENS_H

#include "io/inside.h"
#include <sys/stat.h>
#include <xxhash.h>

enum { IO_SHARD_HEADER = 256 * sizeof(int32_t) };

/* A file of tokens. fd is -1 where it is opened for each read: a thousand shards would be a thousand descriptors. */
typedef struct io_piece {
    char         *path;
    int           fd;
    struct stat   info;  /* as of the last time its content was known to be what `hash` says */
    int64_t       bytes; /* of the file when it was opened */
    int64_t       skip;  /* bytes before the first token */
    int64_t       first; /* position of its first token among all */
    int64_t       count;
    XXH128_hash_t hash; /* of all `bytes` */
} io_piece;

/* The kinds of shard that llm.c writes (dev/data/data_common.py); width 1: bytes of text. */
typedef struct io_kind {
    int32_t     magic, version;
    int         width; /* bytes a token */
    int64_t     vocabulary;
    const char *of; /* whose vocabulary that is */
} io_kind;

struct ssa_tokens {
    char          *path; /* as it was given, for sentences */
    io_piece      *pieces;
    int            n;
    const io_kind *kind;
    int64_t        count, vocabulary;
};

/* files.c: the files that `data` names. */
typedef struct io_files {
    char **paths;
    int    n;
} io_files;
ssa_status io_files_find(const char *data, io_files *out, ssa_error *err);
void       io_files_free(io_files *files);
/* Makes the names in data[capacity] absolute. */
ssa_status io_files_absolute(char *data, size_t capacity, ssa_error *err);

/* foreign.c: what a file is that is no text, as a noun ("a gzip archive"); NULL: its beginning looks like text. */
const char *io_foreign(const unsigned char *head, size_t bytes);
/* For what has no name, by where its NUL bytes stand. controls: the share of control characters in the whole file. */
const char *io_foreign_binary(const unsigned char *head, size_t bytes);

/* scan.c: reads a piece through its descriptor: hash; of shards, ids against the vocabulary; of text, whether it is text. */
typedef struct io_watch io_watch; /* how far, for the progress lines */
struct io_watch {
    FILE   *progress;
    int64_t total, done; /* bytes */
    double  said;        /* when, in seconds */
};
ssa_status io_scan(const ssa_tokens *t, io_piece *p, int fd, io_watch *watch, ssa_error *err);
ssa_status io_hash(const io_piece *p, int fd, XXH128_hash_t *out, ssa_error *err);

/* identity.c: as the identity of the whole prints it. */
void io_piece_hash(const io_piece *p, char out[33]);

#endif
