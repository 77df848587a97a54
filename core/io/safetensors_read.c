/* safetensors, reading: one file or a folder of shards; a tensor when it is asked for. Nothing in a file is trusted: every number is
 * checked before it is used. As in the format's definition the tensors cover the data without gap or overlap, so that a file cut
 * short or with something hidden behind the tensors is refused. */
#include "io/inside.h"
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct shard {
    char       *path;
    int         fd;
    struct stat info;  /* when it was opened */
    int64_t     start; /* of the data, in the file */
    cJSON      *header; /* owns the names and the metadata */
} shard;

typedef struct entry {
    ssa_file_tensor t;
    int64_t         begin, end; /* bytes within the shard's data */
    int             shard;
} entry;

struct ssa_safetensors {
    shard  *shards;
    int     n_shards;
    entry  *entries;
    int     count;
    entry **by_name;
};

#define FAIL(...) return ssa_fail(err, SSA_ERR_INPUT, __VA_ARGS__)
#define SHOW(s) io_show(s).text

/* The types that the format has, with their size, and those of them that become a dtype. */
static const struct type { const char *name; int bits; ssa_dtype dtype; } types[] = {
    {"F32", 32, SSA_F32}, {"BF16", 16, SSA_BF16}, {"F16", 16, SSA_F16}, {"I32", 32, SSA_I32}, {"F64", 64, SSA_F64},
#define OTHER(name, bits) {name, bits, SSA_DTYPE_COUNT}
    OTHER("BOOL", 8), OTHER("U8", 8), OTHER("I8", 8), OTHER("I16", 16), OTHER("U16", 16), OTHER("U32", 32), OTHER("I64", 64), OTHER("U64", 64),
    OTHER("F8_E5M2", 8), OTHER("F8_E4M3", 8), OTHER("F8_E8M0", 8), OTHER("F6_E2M3", 6), OTHER("F6_E3M2", 6), OTHER("F4", 4), OTHER("C64", 64),
#undef OTHER
};

static const struct type *find_type(const char *name) {
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (!strcmp(name, types[i].name)) return &types[i];
    return NULL;
}

/* One entry of the header: {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}. */
static ssa_status parse_tensor(const char *file, const cJSON *item, int64_t data_bytes, entry *out, ssa_error *err) {
    const cJSON *dtype = NULL, *shape = NULL, *offsets = NULL, *field;
    ssa_file_tensor *t = &out->t;
    int64_t bits;
    *out = (entry){.t = {.name = item->string, .elements = 1, .shape = {1}}};
    if (!cJSON_IsObject(item)) FAIL("%s: tensor %s is %s where an object is needed", SHOW(file), SHOW(t->name), io_json_kind(item));
    cJSON_ArrayForEach(field, item) {
        const cJSON **slot = NULL;
        if (!strcmp(field->string, "dtype")) slot = &dtype;
        if (!strcmp(field->string, "shape")) slot = &shape;
        if (!strcmp(field->string, "data_offsets")) slot = &offsets;
        if (slot && *slot) FAIL("%s: tensor %s has two entries %s", SHOW(file), SHOW(t->name), field->string);
        if (slot) *slot = field;
    }
    if (!cJSON_IsString(dtype)) FAIL("%s: tensor %s: its dtype is %s where a string is needed", SHOW(file), SHOW(t->name), io_json_kind(dtype));
    t->type = dtype->valuestring;
    const struct type *type = find_type(t->type); /* NULL: a type from after this program; the bytes are the offsets' */
    t->dtype = type ? type->dtype : SSA_DTYPE_COUNT;
    if (!cJSON_IsArray(shape)) FAIL("%s: tensor %s: its shape is %s where a list is needed", SHOW(file), SHOW(t->name), io_json_kind(shape));
    cJSON_ArrayForEach(field, shape) {
        int64_t size;
        if (!io_json_whole(field, &size)) FAIL("%s: tensor %s: dimension %d of its shape is not a whole number of 0 or more", SHOW(file),
                                               SHOW(t->name), t->rank);
        if (__builtin_mul_overflow(t->elements, size, &t->elements)) FAIL("%s: tensor %s: its shape is too large", SHOW(file), SHOW(t->name));
        if (t->rank < SSA_MAX_RANK) t->shape[t->rank] = size;
        t->rank++;
    }
    if (t->rank > SSA_MAX_RANK) t->dtype = SSA_DTYPE_COUNT;
    if (__builtin_mul_overflow(t->elements, type ? type->bits : 1, &bits)) FAIL("%s: tensor %s: its shape is too large", SHOW(file), SHOW(t->name));
    if (!cJSON_IsArray(offsets) || cJSON_GetArraySize(offsets) != 2 || !io_json_whole(cJSON_GetArrayItem(offsets, 0), &out->begin) ||
        !io_json_whole(cJSON_GetArrayItem(offsets, 1), &out->end))
        FAIL("%s: tensor %s: its data_offsets are not two whole numbers of 0 or more", SHOW(file), SHOW(t->name));
    if (out->begin > out->end) FAIL("%s: tensor %s: its data_offsets run backwards, from %lld to %lld", SHOW(file), SHOW(t->name),
                                    (long long)out->begin, (long long)out->end);
    if (out->end > data_bytes) FAIL("%s: tensor %s ends at byte %lld of the data, the file has %lld", SHOW(file), SHOW(t->name), (long long)out->end,
                                    (long long)data_bytes);
    t->bytes = out->end - out->begin;
    if (type && (bits % 8 || t->bytes != bits / 8))
        FAIL("%s: tensor %s: its shape needs %lld bytes, its data_offsets give %lld", SHOW(file), SHOW(t->name), (long long)(bits / 8 + (bits % 8 != 0)),
             (long long)t->bytes);
    return SSA_OK;
}

static ssa_status check_metadata(const char *file, const cJSON *metadata, ssa_error *err) {
    const cJSON *value;
    if (!cJSON_IsObject(metadata)) FAIL("%s: __metadata__ is %s where an object is needed", SHOW(file), io_json_kind(metadata));
    cJSON_ArrayForEach(value, metadata) {
        if (!cJSON_IsString(value)) FAIL("%s: __metadata__ entry %s is %s where a string is needed", SHOW(file), SHOW(value->string),
                                         io_json_kind(value));
    }
    return SSA_OK;
}

/* In order of data; of tensors without elements at one place, by name. */
static int by_offset(const void *a, const void *b) {
    const entry *x = a, *y = b;
    if (x->begin != y->begin) return x->begin < y->begin ? -1 : 1;
    if (x->end != y->end) return x->end < y->end ? -1 : 1;
    return strcmp(x->t.name, y->t.name);
}

static ssa_status check_cover(const char *file, const entry *e, int n, int64_t data_bytes, ssa_error *err) {
    int64_t at = 0;
    for (int i = 0; i < n; i++) {
        if (e[i].begin < at) FAIL("%s: tensors %s and %s overlap", SHOW(file), SHOW(e[i - 1].t.name), SHOW(e[i].t.name));
        if (e[i].begin > at) FAIL("%s: bytes %lld to %lld of the data, before tensor %s, belong to no tensor", SHOW(file), (long long)at,
                                  (long long)e[i].begin, SHOW(e[i].t.name));
        at = e[i].end;
    }
    if (at != data_bytes) FAIL("%s: the tensors end at byte %lld of the data, the file has %lld", SHOW(file), (long long)at, (long long)data_bytes);
    return SSA_OK;
}

/* Adds the tensors of one file. What was added before a failure is freed by close. */
static ssa_status add_file(ssa_safetensors *st, const char *path, ssa_error *err) {
    shard *grown = realloc(st->shards, sizeof *grown * (size_t)(st->n_shards + 1));
    if (!grown) return ssa_fail(err, SSA_ERR_MEMORY, "no memory to open %s", SHOW(path));
    st->shards = grown;
    shard *s = &st->shards[st->n_shards];
    *s = (shard){0};
    s->fd = -1;
    s->path = strdup(path);
    st->n_shards++;
    if (!s->path) return ssa_fail(err, SSA_ERR_MEMORY, "no memory to open %s", SHOW(path));
    SSA_TRY(io_open_regular(path, &s->fd, &s->info, err));

    uint64_t header = 0, bytes = (uint64_t)s->info.st_size; /* little-endian, like every machine this runs on */
    if (bytes < sizeof header) FAIL("%s has %llu bytes, too few for a safetensors file", SHOW(path), (unsigned long long)bytes);
    SSA_TRY(io_read_at(path, s->fd, 0, &header, sizeof header, err));
    if (header > bytes - sizeof header)
        FAIL("%s: its header is said to have %llu bytes, the file has %llu", SHOW(path), (unsigned long long)header, (unsigned long long)bytes);
    if (header > IO_JSON_LIMIT) FAIL("%s: its header has %llu bytes, at most %d are read", SHOW(path), (unsigned long long)header, IO_JSON_LIMIT);
    char *text = malloc((size_t)header + 1);
    if (!text) return ssa_fail(err, SSA_ERR_MEMORY, "no memory to open %s", SHOW(path));
    ssa_status status = io_read_at(path, s->fd, sizeof header, text, (size_t)header, err);
    if (!status) status = io_json_parse(path, text, (size_t)header, &s->header, err);
    free(text);
    if (status) return status;
    s->start = (int64_t)(sizeof header + header);

    int64_t data_bytes = (int64_t)bytes - s->start;
    int n = cJSON_GetArraySize(s->header), first = st->count; /* both stay far below 2^31: an entry takes at least 40 bytes of header */
    entry *entries = realloc(st->entries, sizeof *entries * ((size_t)first + (size_t)n + 1));
    if (!entries) return ssa_fail(err, SSA_ERR_MEMORY, "%s: no memory for its %d tensors", SHOW(path), n);
    st->entries = entries;

    const cJSON *item, *metadata = NULL;
    cJSON_ArrayForEach(item, s->header) {
        if (!strcmp(item->string, "__metadata__")) {
            if (metadata) FAIL("%s: __metadata__ appears twice", SHOW(path));
            metadata = item;
            SSA_TRY(check_metadata(path, metadata, err));
        } else {
            SSA_TRY(parse_tensor(path, item, data_bytes, &entries[st->count], err));
            entries[st->count].shard = st->n_shards - 1;
            st->count++;
        }
    }
    n = st->count - first;
    qsort(entries + first, (size_t)n, sizeof *entries, by_offset);
    return check_cover(path, entries + first, n, data_bytes, err);
}

static int name_order(const void *a, const void *b) {
    return strcmp((*(entry *const *)a)->t.name, (*(entry *const *)b)->t.name);
}

/* Sorts the names for ssa_safetensors_find; two tensors of one name, in one file or in two shards, are refused. */
static ssa_status index_names(ssa_safetensors *st, const char *path, ssa_error *err) {
    st->by_name = malloc(sizeof *st->by_name * ((size_t)st->count + 1));
    if (!st->by_name) return ssa_fail(err, SSA_ERR_MEMORY, "%s: no memory for its %d tensors", SHOW(path), st->count);
    for (int i = 0; i < st->count; i++) st->by_name[i] = &st->entries[i];
    qsort(st->by_name, (size_t)st->count, sizeof *st->by_name, name_order);
    for (int i = 1; i < st->count; i++)
        if (!name_order(&st->by_name[i - 1], &st->by_name[i])) FAIL("%s: tensor %s appears twice", SHOW(path), SHOW(st->by_name[i]->t.name));
    return SSA_OK;
}

static int text_order(const void *a, const void *b) { return strcmp(*(const char *const *)a, *(const char *const *)b); }

/* Opens the shards that a weight_map names, each once, in name order. A shard lies in the index's own folder: its name must not
 * lead elsewhere. */
static ssa_status add_shards(ssa_safetensors *st, const char *dir, const char *index, const cJSON *map, ssa_error *err) {
    const cJSON *item;
    ssa_status status = SSA_OK;
    int n = 0, size = cJSON_GetArraySize(map);
    cJSON_ArrayForEach(item, map) {
        const char *name = cJSON_GetStringValue(item);
        if (!name) FAIL("%s: the shard of tensor %s is %s where a string is needed", SHOW(index), SHOW(item->string), io_json_kind(item));
        if (!*name || *name == '.' || strchr(name, '/')) FAIL("%s: shard name %s of tensor %s leads out of the folder", SHOW(index),
                                                              *name ? SHOW(name) : "\"\"", SHOW(item->string));
    }
    const char **names = malloc(sizeof *names * ((size_t)size + 1));
    if (!names) return ssa_fail(err, SSA_ERR_MEMORY, "%s: no memory for its names", SHOW(index));
    cJSON_ArrayForEach(item, map) names[n++] = item->valuestring;
    qsort(names, (size_t)n, sizeof *names, text_order);
    for (int i = 0; i < n && !status; i++) {
        if (i && !strcmp(names[i - 1], names[i])) continue;
        char *path = io_join(dir, names[i]);
        status = path ? add_file(st, path, err) : ssa_fail(err, SSA_ERR_MEMORY, "%s: no memory for its names", SHOW(index));
        free(path);
    }
    free(names);
    return status;
}

static ssa_status open_index(ssa_safetensors *st, const char *dir, const char *path, ssa_error *err) {
    char *text;
    size_t bytes;
    cJSON *json = NULL;
    SSA_TRY(ssa_file_read(path, IO_JSON_LIMIT, &text, &bytes, err));
    ssa_status status = io_json_parse(path, text, bytes, &json, err);
    free(text);
    if (status) return status;
    const cJSON *map = cJSON_GetObjectItemCaseSensitive(json, "weight_map"), *item;
    if (!cJSON_IsObject(map) || !map->child)
        status = ssa_fail(err, SSA_ERR_INPUT, "%s: weight_map is %s where an object with names is needed", SHOW(path),
                          cJSON_IsObject(map) ? "empty" : io_json_kind(map));
    if (!status) status = add_shards(st, dir, path, map, err);
    if (!status) status = io_folder_check(dir, map, err);
    if (!status) status = index_names(st, path, err);
    if (!status) cJSON_ArrayForEach(item, map) {
        if (ssa_safetensors_find(st, item->string)) continue;
        status = ssa_fail(err, SSA_ERR_INPUT, "%s: tensor %s is not in its shard %s", SHOW(path), SHOW(item->string), SHOW(item->valuestring));
        break;
    }
    cJSON_Delete(json);
    return status;
}

static ssa_status open_path(ssa_safetensors *st, const char *path, ssa_error *err) {
    struct stat info;
    if (stat(path, &info) || !S_ISDIR(info.st_mode)) {
        SSA_TRY(add_file(st, path, err)); /* says what is wrong with a path that is not there */
        return index_names(st, path, err);
    }
    char *single = io_join(path, "model.safetensors"), *index = io_join(path, "model.safetensors.index.json");
    ssa_status status;
    if (!single || !index) {
        status = ssa_fail(err, SSA_ERR_MEMORY, "no memory to open %s", SHOW(path));
    } else if (!stat(single, &info)) {
        status = io_folder_check(path, NULL, err);
        if (!status) status = add_file(st, single, err);
        if (!status) status = index_names(st, single, err);
    } else if (!stat(index, &info)) {
        status = open_index(st, path, index, err);
    } else {
        status = ssa_fail(err, SSA_ERR_INPUT, "%s has neither model.safetensors nor model.safetensors.index.json", SHOW(path));
    }
    free(single);
    free(index);
    return status;
}

ssa_status ssa_safetensors_open(const char *path, ssa_safetensors **out, ssa_error *err) {
    *out = NULL;
    ssa_safetensors *st = calloc(1, sizeof *st);
    if (!st) return ssa_fail(err, SSA_ERR_MEMORY, "no memory to open %s", SHOW(path));
    ssa_status status = open_path(st, path, err);
    if (status) ssa_safetensors_close(st);
    else *out = st;
    return status;
}

void ssa_safetensors_close(ssa_safetensors *st) {
    if (!st) return;
    for (int i = 0; i < st->count; i++) free((void *)(uintptr_t)st->entries[i].t.data);
    for (int i = 0; i < st->n_shards; i++) {
        if (st->shards[i].fd >= 0) close(st->shards[i].fd);
        free(st->shards[i].path);
        cJSON_Delete(st->shards[i].header);
    }
    free(st->by_name);
    free(st->entries);
    free(st->shards);
    free(st);
}

/* The entry around a tensor that this file gave out. */
static entry *entry_of(const ssa_safetensors *st, const ssa_file_tensor *t) { return &st->entries[(const entry *)(const void *)t - st->entries]; }

ssa_status ssa_safetensors_load(const ssa_safetensors *st, const ssa_file_tensor *t, ssa_error *err) {
    entry       *e = entry_of(st, t);
    const shard *s = &st->shards[e->shard];
    struct stat  now;
    if (t->data || !t->bytes) return SSA_OK;
    if (fstat(s->fd, &now) || now.st_size != s->info.st_size || now.st_mtim.tv_sec != s->info.st_mtim.tv_sec || now.st_mtim.tv_nsec != s->info.st_mtim.tv_nsec)
        return ssa_fail(err, SSA_ERR_RUNTIME, "%s has changed while it was in use", SHOW(s->path));
    void *data = malloc((size_t)t->bytes);
    if (!data) return ssa_fail(err, SSA_ERR_MEMORY, "%s: no memory for tensor %s", SHOW(s->path), SHOW(t->name));
    ssa_status status = io_read_at(s->path, s->fd, s->start + e->begin, data, (size_t)t->bytes, err);
    if (status) free(data);
    else e->t.data = data;
    return status;
}

void ssa_safetensors_unload(const ssa_safetensors *st, const ssa_file_tensor *t) {
    entry *e = entry_of(st, t);
    free((void *)(uintptr_t)e->t.data);
    e->t.data = NULL;
}

int ssa_safetensors_count(const ssa_safetensors *st) { return st->count; }

const ssa_file_tensor *ssa_safetensors_at(const ssa_safetensors *st, int i) { return &st->entries[i].t; }

const ssa_file_tensor *ssa_safetensors_find(const ssa_safetensors *st, const char *name) {
    int low = 0, high = st->count;
    while (low < high) {
        int middle = low + (high - low) / 2, order = strcmp(name, st->by_name[middle]->t.name);
        if (!order) return &st->by_name[middle]->t;
        if (order < 0) high = middle;
        else low = middle + 1;
    }
    return NULL;
}

const char *ssa_safetensors_metadata(const ssa_safetensors *st, const char *key) {
    for (int i = 0; i < st->n_shards; i++) {
        const cJSON *metadata = cJSON_GetObjectItemCaseSensitive(st->shards[i].header, "__metadata__");
        const char *value = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(metadata, key));
        if (value) return value;
    }
    return NULL;
}
