/* Tokens: the bytes of any file, or llm.c's token shards; mapped, so that data larger than memory is fine. */
#include "io/tokens.h"
#include "io/inside.h"
#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { HEADER = 256 * sizeof(int32_t) };

/* The two kinds of shard that llm.c writes (dev/data/data_common.py): GPT-2's and Llama 3's vocabulary. */
static const struct kind { int32_t magic, version; int width, vocabulary; } kinds[] = {
    {20240520, 1, 2, 50257},
    {20240801, 7, 4, 128256},
};

typedef struct piece {
    io_map               map;
    const unsigned char *data;  /* first token */
    int64_t              first; /* its position among all tokens */
    int64_t              count;
    char                *path;
} piece;

struct ssa_tokens {
    char   *path;
    piece  *pieces;
    int     n;
    int     width; /* bytes a token: 1, 2 or 4 */
    int64_t count, vocabulary;
};

static bool ends_with(const char *s, const char *end) {
    size_t a = strlen(s), b = strlen(end);
    return a >= b && !strcmp(s + a - b, end);
}

/* What the file says it is: NULL for bytes. */
static ssa_status find_kind(const char *path, const io_map *map, const struct kind **out, ssa_error *err) {
    int32_t magic = 0, version;
    *out = NULL;
    if (map->bytes >= sizeof magic) memcpy(&magic, map->data, sizeof magic);
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (magic == kinds[i].magic) *out = &kinds[i];
    if (!*out) {
        /* Training on the bytes of a foreign token file would look like it works. */
        if (ends_with(path, ".bin")) return ssa_fail(err, SSA_ERR_INPUT, "%s is not a token shard: it begins with %d, not with 20240520 or 20240801",
                                                     io_show(path).text, magic);
        return SSA_OK;
    }
    if (map->bytes < HEADER) return ssa_fail(err, SSA_ERR_INPUT, "%s: %zu bytes are too few for the header of a token shard", io_show(path).text,
                                             map->bytes);
    memcpy(&version, map->data + 4, sizeof version);
    if (version != (*out)->version)
        return ssa_fail(err, SSA_ERR_INPUT, "%s: token shard version %d is unknown, %d is read", io_show(path).text, version, (*out)->version);
    return SSA_OK;
}

static ssa_status add_file(ssa_tokens *t, const char *path, ssa_error *err) {
    const struct kind *kind;
    piece *grown = realloc(t->pieces, sizeof *grown * (size_t)(t->n + 1));
    if (!grown) return ssa_fail(err, SSA_ERR_MEMORY, "no memory to open %s", io_show(path).text);
    t->pieces = grown;
    piece *p = &t->pieces[t->n];
    *p = (piece){.path = strdup(path), .first = t->count};
    t->n++;
    if (!p->path) return ssa_fail(err, SSA_ERR_MEMORY, "no memory to open %s", io_show(path).text);
    SSA_TRY(io_map_open(path, &p->map, err));
    if (!p->map.bytes) return ssa_fail(err, SSA_ERR_INPUT, "%s is empty", io_show(path).text);
    SSA_TRY(find_kind(path, &p->map, &kind, err));

    int width = kind ? kind->width : 1;
    int64_t vocabulary = kind ? kind->vocabulary : 256, bytes = (int64_t)p->map.bytes - (kind ? (int64_t)HEADER : 0);
    p->data = p->map.data + (kind ? (size_t)HEADER : 0);
    p->count = bytes / width;
    if (kind) {
        int32_t count;
        memcpy(&count, p->map.data + 8, sizeof count);
        if (count < 1 || (int64_t)count * width != bytes)
            return ssa_fail(err, SSA_ERR_INPUT, "%s: its header counts %d tokens, the file has %lld bytes of them", io_show(path).text, count,
                            (long long)bytes);
    }
    if (t->n > 1 && vocabulary != t->vocabulary)
        return ssa_fail(err, SSA_ERR_INPUT, "%s has a vocabulary of %lld, the shards before it %lld", io_show(path).text, (long long)vocabulary,
                        (long long)t->vocabulary);
    t->width = width;
    t->vocabulary = vocabulary;
    t->count += p->count;
    return SSA_OK;
}

static int is_shard(const struct dirent *e) { return e->d_name[0] != '.' && ends_with(e->d_name, ".bin"); }
/* strcmp and not alphasort: the order must not depend on the locale. */
static int name_order(const struct dirent **a, const struct dirent **b) { return strcmp((*a)->d_name, (*b)->d_name); }

static ssa_status add_folder(ssa_tokens *t, const char *path, ssa_error *err) {
    struct dirent **list = NULL;
    ssa_status status = SSA_OK;
    int n = scandir(path, &list, is_shard, name_order);
    if (n < 0) return ssa_fail(err, SSA_ERR_INPUT, "folder %s cannot be read", io_show(path).text);
    if (!n) status = ssa_fail(err, SSA_ERR_INPUT, "folder %s has no token shards (*.bin)", io_show(path).text);
    for (int i = 0; i < n; i++) {
        char *file = status ? NULL : io_join(path, list[i]->d_name);
        if (!status) status = file ? add_file(t, file, err) : ssa_fail(err, SSA_ERR_MEMORY, "no memory to open %s", io_show(path).text);
        free(file);
        free(list[i]);
    }
    free(list);
    return status;
}

ssa_status ssa_tokens_open(const char *path, ssa_tokens **out, ssa_error *err) {
    struct stat info;
    *out = NULL;
    ssa_tokens *t = calloc(1, sizeof *t);
    if (t) t->path = strdup(path);
    if (!t || !t->path) {
        free(t);
        return ssa_fail(err, SSA_ERR_MEMORY, "no memory to open %s", io_show(path).text);
    }
    ssa_status status = !stat(path, &info) && S_ISDIR(info.st_mode) ? add_folder(t, path, err) : add_file(t, path, err);
    if (status) ssa_tokens_close(t);
    else *out = t;
    return status;
}

void ssa_tokens_close(ssa_tokens *t) {
    if (!t) return;
    for (int i = 0; i < t->n; i++) {
        io_map_close(&t->pieces[i].map);
        free(t->pieces[i].path);
    }
    free(t->pieces);
    free(t->path);
    free(t);
}

int64_t     ssa_tokens_count(const ssa_tokens *t) { return t->count; }
int64_t     ssa_tokens_vocabulary(const ssa_tokens *t) { return t->vocabulary; }
bool        ssa_tokens_are_bytes(const ssa_tokens *t) { return t->width == 1; }
const char *io_tokens_path(const ssa_tokens *t) { return t->path; }

/* The piece that holds a position. */
static int find_piece(const ssa_tokens *t, int64_t position) {
    int low = 0, high = t->n - 1;
    while (low < high) {
        int middle = low + (high - low + 1) / 2;
        if (t->pieces[middle].first <= position) low = middle;
        else high = middle - 1;
    }
    return low;
}

ssa_status ssa_tokens_get(const ssa_tokens *t, int64_t first, int64_t n, int32_t *out, ssa_error *err) {
    for (int at = find_piece(t, first); n > 0; at++) {
        const piece *p = &t->pieces[at];
        int64_t skip = first - p->first, take = p->count - skip < n ? p->count - skip : n;
        for (int64_t i = 0; i < take; i++) {
            const unsigned char *from = p->data + (skip + i) * t->width;
            uint32_t token = t->width == 1 ? from[0] : t->width == 2 ? (uint32_t)(from[0] | from[1] << 8)
                           : from[0] | (uint32_t)from[1] << 8 | (uint32_t)from[2] << 16 | (uint32_t)from[3] << 24;
            if (token >= t->vocabulary)
                return ssa_fail(err, SSA_ERR_INPUT, "%s: token %u at position %lld is beyond the vocabulary of %lld", io_show(p->path).text, token,
                                (long long)(skip + i), (long long)t->vocabulary);
            out[i] = (int32_t)token;
        }
        out += take;
        first += take;
        n -= take;
    }
    return SSA_OK;
}
