/* The files that a --data names: a file, a folder of shards, a pattern, or several of these with commas between. */
#include "io/tokens.h"
#include <dirent.h>
#include <errno.h>
#include <glob.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MOST_FILES = 50000 }; /* their names and hashes go into trainer.json, which a reader bounds */

static ssa_status add(io_files *files, const char *path, ssa_error *err) {
    if (files->n == MOST_FILES) return ssa_fail(err, SSA_ERR_INPUT, "the data has more than %d files: make larger shards", MOST_FILES);
    char **grown = realloc(files->paths, sizeof *grown * (size_t)(files->n + 1)), *copy = strdup(path);
    if (grown) files->paths = grown;
    if (!grown || !copy) {
        free(copy);
        return ssa_fail(err, SSA_ERR_MEMORY, "no memory to open %s", io_show(path).text);
    }
    files->paths[files->n++] = copy;
    return SSA_OK;
}

static int is_shard(const struct dirent *e) {
    size_t n = strlen(e->d_name);
    return e->d_name[0] != '.' && n >= 4 && !strcmp(e->d_name + n - 4, ".bin");
}

/* strcmp and not alphasort or the order of glob: it must not depend on the locale. */
static int name_order(const void *a, const void *b) { return strcmp(*(const char *const *)a, *(const char *const *)b); }

static ssa_status add_folder(io_files *files, const char *path, ssa_error *err) {
    struct dirent **list = NULL;
    ssa_status status = SSA_OK;
    int n = scandir(path, &list, is_shard, NULL), first = files->n;
    if (n < 0) return ssa_fail(err, SSA_ERR_INPUT, "folder %s cannot be read", io_show(path).text);
    if (!n) status = ssa_fail(err, SSA_ERR_INPUT, "folder %s has no token shards (*.bin)", io_show(path).text);
    for (int i = 0; i < n; i++) {
        char *file = status ? NULL : io_join(path, list[i]->d_name);
        if (!status) status = file ? add(files, file, err) : ssa_fail(err, SSA_ERR_MEMORY, "no memory to open %s", io_show(path).text);
        free(file);
        free(list[i]);
    }
    free(list);
    if (files->n > first) qsort(files->paths + first, (size_t)(files->n - first), sizeof *files->paths, name_order);
    return status;
}

static ssa_status add_pattern(io_files *files, const char *pattern, ssa_error *err) {
    glob_t found = {0};
    ssa_status status = SSA_OK;
    int first = files->n, result = glob(pattern, GLOB_NOSORT, NULL, &found);
    if (result == GLOB_NOMATCH) status = ssa_fail(err, SSA_ERR_INPUT, "no file matches %s", io_show(pattern).text);
    else if (result) status = ssa_fail(err, result == GLOB_NOSPACE ? SSA_ERR_MEMORY : SSA_ERR_INPUT, "%s cannot be searched", io_show(pattern).text);
    for (size_t i = 0; i < found.gl_pathc && !status; i++) status = add(files, found.gl_pathv[i], err);
    globfree(&found);
    if (files->n > first) qsort(files->paths + first, (size_t)(files->n - first), sizeof *files->paths, name_order);
    return status;
}

/* One name or pattern. What exists is taken as it stands; a missing file without a pattern is named when it is opened. */
static ssa_status add_entry(io_files *files, const char *entry, ssa_error *err) {
    struct stat info;
    if (stat(entry, &info)) return strpbrk(entry, "*?[") ? add_pattern(files, entry, err) : add(files, entry, err);
    return S_ISDIR(info.st_mode) ? add_folder(files, entry, err) : add(files, entry, err);
}

/* Calls `each` with every entry of the list; a name that exists with its commas is one entry. */
typedef ssa_status (*visit)(void *user, const char *entry, ssa_error *err);
static ssa_status for_each(const char *data, visit each, void *user, ssa_error *err) {
    struct stat info;
    if (!stat(data, &info)) return each(user, data, err);
    for (const char *at = data; at;) {
        size_t n = strcspn(at, ",");
        char *entry = strndup(at, n);
        ssa_status status = entry ? SSA_OK : ssa_fail(err, SSA_ERR_MEMORY, "no memory to open %s", io_show(data).text);
        if (!status) status = n ? each(user, entry, err) : ssa_fail(err, SSA_ERR_INPUT, "%s%s", *data ? "an empty name is in the list " : "the name of the data is empty", io_show(data).text);
        free(entry);
        if (status) return status;
        at = at[n] ? at + n + 1 : NULL;
    }
    return SSA_OK;
}

static ssa_status find_entry(void *user, const char *entry, ssa_error *err) { return add_entry(user, entry, err); }

ssa_status io_files_find(const char *data, io_files *out, ssa_error *err) {
    *out = (io_files){0};
    ssa_status status = for_each(data, find_entry, out, err);
    if (status) io_files_free(out);
    return status;
}

typedef struct absolute_list {
    char  *folder, *text; /* the current folder; what is made */
    size_t n, capacity;
} absolute_list;

static ssa_status add_absolute(void *user, const char *entry, ssa_error *err) {
    absolute_list *list = user;
    char *path = *entry == '/' ? strdup(entry) : io_join(list->folder, entry);
    if (!path) return ssa_fail(err, SSA_ERR_MEMORY, "no memory to open %s", io_show(entry).text);
    int n = snprintf(list->text + list->n, list->capacity - list->n, "%s%s", list->n ? "," : "", path);
    free(path);
    if ((size_t)n >= list->capacity - list->n) return ssa_fail(err, SSA_ERR_INPUT, "the names of the data are longer than %zu characters: a pattern or a folder is shorter", list->capacity - 1);
    list->n += (size_t)n;
    return SSA_OK;
}

ssa_status io_files_absolute(char *data, size_t capacity, ssa_error *err) {
    absolute_list list = {.folder = getcwd(NULL, 0), .text = malloc(capacity), .capacity = capacity};
    ssa_status status = list.folder && list.text ? SSA_OK : ssa_fail(err, SSA_ERR_RUNTIME, "the current folder is unknown: %s", strerror(errno));
    if (!status) status = for_each(data, add_absolute, &list, err);
    if (!status) memcpy(data, list.text, list.n + 1);
    free(list.folder);
    free(list.text);
    return status;
}

void io_files_free(io_files *files) {
    for (int i = 0; i < files->n; i++) free(files->paths[i]);
    free(files->paths);
    *files = (io_files){0};
}
