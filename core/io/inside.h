/* What the files of this folder share: reading, careful writing, JSON that is not trusted, names fit for a sentence. */
#ifndef IO_INSIDE_H
#define IO_INSIDE_H

#include "ssa/io.h"
#include <cjson/cJSON.h>
#include <locale.h>
#include <sys/stat.h>

/* A name or path as it may stand in a sentence: control characters become '?', of long ones the end is kept.
 * Used as io_show(name).text; it lives until the end of the statement. */
typedef struct io_shown { char text[160]; } io_shown;
io_shown io_show(const char *s);

/* Opens a regular file for reading; its size and times are in *info. */
ssa_status io_open_regular(const char *path, int *fd, struct stat *info, ssa_error *err);

/* Exactly n bytes from a place in a file. Fewer, where it has become shorter, are an error that names it, and no SIGBUS as in a map. */
ssa_status io_read_at(const char *path, int fd, int64_t at, void *out, size_t n, ssa_error *err);

/* "folder/name" in malloc'ed memory; NULL where memory ran out. */
char *io_join(const char *folder, const char *name);

/* Writing under a temporary name beside the target: open, write as often as needed, then commit (sync, rename, sync the
 * folder) or abandon. Both may follow a failure; abandon after commit does nothing. */
typedef struct io_writer {
    const char *path;
    char       *folder, *temp;
    int         fd;
} io_writer;
ssa_status io_writer_open(io_writer *w, const char *path, ssa_error *err);
ssa_status io_writer_put(io_writer *w, const void *data, size_t bytes, ssa_error *err);
ssa_status io_writer_commit(io_writer *w, ssa_error *err);
void       io_writer_abandon(io_writer *w);

/* Headers and JSON files beyond this are refused: a model of a million tensors stays below, and what cJSON makes of the most
 * hostile text of this size (64 bytes for every two) fits into memory. */
enum { IO_JSON_LIMIT = 16 << 20 };

/* Between these two calls this thread's locale is "C": number.c has the calls for single numbers. 0: it could not be set. */
locale_t io_locale_plain(void);
void     io_locale_back(locale_t before);

/* Parses a JSON object; `what` names it in the sentence. The text needs no 0 behind it. Freed with cJSON_Delete. */
ssa_status io_json_parse(const char *what, const void *text, size_t bytes, cJSON **out, ssa_error *err);
/* JSON as text in malloc'ed memory, numbers with a point in every locale; NULL where memory ran out. */
char *io_json_print(const cJSON *json, bool formatted);
/* Refuses a folder of weights with an adapter in it, or with a numbered shard that will not be read. map: the index's weight_map, all
 * strings; NULL: the weights are one file. */
ssa_status io_folder_check(const char *dir, const cJSON *map, ssa_error *err);
/* Whether the value is a whole number in 0..2^53, the range in which a JSON number is exact. */
bool io_json_whole(const cJSON *value, int64_t *out);
/* "a string", "null", ...: what a value is, for sentences about what it should have been. */
const char *io_json_kind(const cJSON *value);

#endif
