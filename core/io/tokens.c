/* Tokens: the bytes of text, or llm.c's token shards. Read with pread and not through a map: a mapped file that becomes shorter ends the
 * process with SIGBUS, a read that comes back short is a sentence. */
#include "io/tokens.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { DESCRIPTORS = 64 }; /* pieces that stay open; what is opened again for each read is checked to be the same file */

static const io_kind text_kind = {0, 0, 1, 256, "bytes"};
static const io_kind kinds[] = {
    {20240520, 1, 2, 50257, "GPT-2"},
    {20240801, 7, 4, 128256, "Llama 3"},
};

/* What the file says it is. */
static ssa_status find_kind(io_piece *p, int fd, const io_kind **out, ssa_error *err) {
    unsigned char head[IO_SHARD_HEADER];
    int32_t header[3] = {0};
    size_t n = p->bytes < (int64_t)sizeof head ? (size_t)p->bytes : sizeof head;
    SSA_TRY(io_read_at(p->path, fd, 0, head, n, err));
    memcpy(header, head, n < sizeof header ? n : sizeof header);
    *out = &text_kind;
    if (n >= sizeof *header)
        for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
            if (header[0] == kinds[i].magic) *out = &kinds[i];
    if (*out == &text_kind) {
        /* Training on the bytes of a foreign file would look like it works. */
        const char *what = io_foreign(head, n), *dot = strrchr(p->path, '.');
        if (what) return ssa_fail(err, SSA_ERR_INPUT, "%s is %s, neither text nor a token shard of llm.c", io_show(p->path).text, what);
        if (dot && !strcmp(dot, ".bin")) {
            what = io_foreign_binary(head, n);
            return ssa_fail(err, SSA_ERR_INPUT, "%s is not a token shard: it begins with %d, not with 20240520 or 20240801%s%s", io_show(p->path).text, header[0],
                            what ? ", as " : "", what ? what : "");
        }
        p->count = p->bytes;
        return SSA_OK;
    }
    if (n < sizeof head) return ssa_fail(err, SSA_ERR_INPUT, "%s: %zu bytes are too few for the header of a token shard", io_show(p->path).text, n);
    if (header[1] != (*out)->version)
        return ssa_fail(err, SSA_ERR_INPUT, "%s: token shard version %d is unknown, %d is read", io_show(p->path).text, header[1], (*out)->version);
    int64_t bytes = p->bytes - IO_SHARD_HEADER;
    p->skip = IO_SHARD_HEADER;
    p->count = header[2];
    if (p->count < 1 || p->count * (*out)->width != bytes)
        return ssa_fail(err, SSA_ERR_INPUT, "%s: its header counts %d tokens, the file has %lld bytes of them", io_show(p->path).text, header[2], (long long)bytes);
    return SSA_OK;
}

/* What meta.json beside a shard says of its vocabulary; 0: there is none. */
static ssa_status read_meta(const char *shard, int64_t *vocabulary, ssa_error *err) {
    const char *slash = strrchr(shard, '/');
    char *folder = slash ? strndup(shard, (size_t)(slash - shard) + 1) : strdup("."), *path = folder ? io_join(folder, "meta.json") : NULL, *text = NULL;
    ssa_status status = path ? SSA_OK : ssa_fail(err, SSA_ERR_MEMORY, "no memory to open %s", io_show(shard).text);
    size_t bytes;
    cJSON *json = NULL;
    *vocabulary = 0;
    if (!status && !access(path, F_OK)) {
        status = ssa_file_read(path, 1 << 20, &text, &bytes, err);
        if (!status) status = io_json_parse(path, text, bytes, &json, err);
        if (!status && (!io_json_whole(cJSON_GetObjectItemCaseSensitive(json, "vocab_size"), vocabulary) || *vocabulary < 2 || *vocabulary > INT32_MAX))
            status = ssa_fail(err, SSA_ERR_INPUT, "%s lies beside token shards and has no vocab_size of 2 to %d", io_show(path).text, INT32_MAX);
    }
    cJSON_Delete(json);
    free(text);
    free(path);
    free(folder);
    return status;
}

static ssa_status find_vocabulary(const io_piece *p, const io_kind *kind, int64_t model, int64_t *out, ssa_error *err) {
    int64_t said = 256, ids = (int64_t)1 << (kind->width == 2 ? 16 : 31);
    if (kind->width > 1) SSA_TRY(read_meta(p->path, &said, err));
    if (said > ids || (!said && model > ids)) /* another tokenizer's shards, most likely */
        return ssa_fail(err, SSA_ERR_INPUT, "%s has 16-bit ids, and a vocabulary of %lld needs more; meta.json beside it may say its own (vocab_size)",
                        io_show(p->path).text, (long long)(said ? said : model));
    if (said && model && model < said)
        return ssa_fail(err, SSA_ERR_INPUT, "vocab %lld is smaller than the vocabulary of %lld that %s has", (long long)model, (long long)said, io_show(p->path).text);
    *out = said ? said : model ? model : kind->vocabulary;
    return SSA_OK;
}

static ssa_status add_piece(ssa_tokens *t, const char *path, int64_t vocabulary, ssa_error *err) {
    io_piece *p = &t->pieces[t->n];
    *p = (io_piece){.fd = -1, .path = strdup(path), .first = t->count};
    t->n++;
    if (!p->path) return ssa_fail(err, SSA_ERR_MEMORY, "no memory to open %s", io_show(path).text);
    SSA_TRY(io_open_regular(path, &p->fd, &p->info, err));
    p->bytes = (int64_t)p->info.st_size;
    if (!p->bytes) return ssa_fail(err, SSA_ERR_INPUT, "%s is empty", io_show(path).text);

    const io_kind *kind;
    int64_t        own;
    SSA_TRY(find_kind(p, p->fd, &kind, err));
    if (t->kind && kind != t->kind)
        return ssa_fail(err, SSA_ERR_INPUT, "%s has ids of %d bytes (%s), the files before it of %d (%s)", io_show(path).text, kind->width, kind->of, t->kind->width, t->kind->of);
    SSA_TRY(find_vocabulary(p, kind, vocabulary, &own, err));
    if (t->kind && own != t->vocabulary)
        return ssa_fail(err, SSA_ERR_INPUT, "%s has a vocabulary of %lld, the shards before it %lld", io_show(path).text, (long long)own, (long long)t->vocabulary);
    t->kind = kind;
    t->vocabulary = own;
    t->count += p->count;
    if (t->n > DESCRIPTORS) {
        close(p->fd);
        p->fd = -1;
    }
    return SSA_OK;
}

static bool same_file(const struct stat *a, const struct stat *b) { return a->st_dev == b->st_dev && a->st_ino == b->st_ino; }
static bool same_time(struct timespec a, struct timespec b) { return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec; }

/* The descriptor of a piece, checked to hold what was opened: another time of change means the hash is taken again. */
static ssa_status enter(io_piece *p, int *fd, ssa_error *err) {
    struct stat info;
    *fd = p->fd;
    if (*fd < 0) {
        if (io_open_regular(p->path, fd, &info, NULL)) return ssa_fail(err, SSA_ERR_RUNTIME, "%s has vanished while it was in use", io_show(p->path).text);
    } else if (fstat(*fd, &info)) {
        return ssa_fail(err, SSA_ERR_RUNTIME, "%s cannot be read: %s", io_show(p->path).text, strerror(errno));
    }
    ssa_status status = SSA_OK;
    if (info.st_size < p->bytes) {
        status = ssa_fail(err, SSA_ERR_RUNTIME, "%s has become shorter while it was in use: %lld bytes, it had %lld", io_show(p->path).text, (long long)info.st_size,
                          (long long)p->bytes);
    } else if (!same_file(&info, &p->info) || info.st_size != p->info.st_size || !same_time(info.st_mtim, p->info.st_mtim)) {
        XXH128_hash_t hash;
        status = io_hash(p, *fd, &hash, err);
        if (!status && !XXH128_isEqual(hash, p->hash)) status = ssa_fail(err, SSA_ERR_RUNTIME, "%s has changed while it was in use", io_show(p->path).text);
        if (!status) p->info = info;
    }
    if (status && p->fd < 0) close(*fd);
    return status;
}

static void leave(const io_piece *p, int fd) {
    if (p->fd < 0) close(fd);
}

static ssa_status scan(ssa_tokens *t, FILE *progress, ssa_error *err) {
    io_watch watch = {.progress = progress};
    for (int i = 0; i < t->n; i++) watch.total += t->pieces[i].bytes;
    for (int i = 0; i < t->n; i++) {
        io_piece *p = &t->pieces[i];
        int fd = p->fd;
        if (fd < 0) SSA_TRY(io_open_regular(p->path, &fd, &p->info, err));
        ssa_status status = io_scan(t, p, fd, &watch, err);
        leave(p, fd);
        if (status) return status;
    }
    return SSA_OK;
}

ssa_status ssa_tokens_open(const char *data, const ssa_tokens_options *options, ssa_tokens **out, ssa_error *err) {
    io_files files;
    *out = NULL;
    SSA_TRY(io_files_find(data, &files, err));
    ssa_tokens *t = calloc(1, sizeof *t);
    if (t) {
        t->path = strdup(data);
        t->pieces = calloc((size_t)files.n, sizeof *t->pieces);
    }
    ssa_status status = t && t->path && t->pieces ? SSA_OK : ssa_fail(err, SSA_ERR_MEMORY, "no memory to open %s", io_show(data).text);
    for (int i = 0; i < files.n && !status; i++) status = add_piece(t, files.paths[i], options ? options->vocabulary : 0, err);
    io_files_free(&files);
    if (!status) status = scan(t, options ? options->progress : NULL, err);
    if (status) ssa_tokens_close(t);
    else *out = t;
    return status;
}

void ssa_tokens_close(ssa_tokens *t) {
    if (!t) return;
    for (int i = 0; i < t->n; i++) {
        if (t->pieces[i].fd >= 0) close(t->pieces[i].fd);
        free(t->pieces[i].path);
    }
    free(t->pieces);
    free(t->path);
    free(t);
}

int64_t ssa_tokens_count(const ssa_tokens *t) { return t->count; }
int64_t ssa_tokens_vocabulary(const ssa_tokens *t) { return t->vocabulary; }
bool    ssa_tokens_are_bytes(const ssa_tokens *t) { return t->kind->width == 1; }

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

static ssa_status get_from(const ssa_tokens *t, const io_piece *p, int fd, int64_t skip, int64_t n, int32_t *out, ssa_error *err) {
    unsigned char raw[8192];
    int width = t->kind->width;
    for (int64_t got = 0; got < n;) {
        int64_t take = n - got < (int64_t)sizeof raw / width ? n - got : (int64_t)sizeof raw / width;
        SSA_TRY(io_read_at(p->path, fd, p->skip + (skip + got) * width, raw, (size_t)(take * width), err));
        for (int64_t i = 0; i < take; i++) {
            const unsigned char *from = raw + i * width;
            uint32_t token = width == 1 ? from[0] : width == 2 ? (uint32_t)(from[0] | from[1] << 8)
                           : from[0] | (uint32_t)from[1] << 8 | (uint32_t)from[2] << 16 | (uint32_t)from[3] << 24;
            if (token >= t->vocabulary) /* checked when it was opened: it has been written since */
                return ssa_fail(err, SSA_ERR_RUNTIME, "%s has changed while it was in use: token %u at position %lld is beyond the vocabulary of %lld", io_show(p->path).text,
                                token, (long long)(skip + got + i), (long long)t->vocabulary);
            out[got + i] = (int32_t)token;
        }
        got += take;
    }
    return SSA_OK;
}

ssa_status ssa_tokens_get(const ssa_tokens *t, int64_t first, int64_t n, int32_t *out, ssa_error *err) {
    for (int at = find_piece(t, first); n > 0; at++) {
        io_piece *p = &t->pieces[at];
        int64_t skip = first - p->first, take = p->count - skip < n ? p->count - skip : n;
        int fd;
        SSA_TRY(enter(p, &fd, err));
        ssa_status status = get_from(t, p, fd, skip, take, out, err);
        leave(p, fd);
        if (status) return status;
        out += take;
        first += take;
        n -= take;
    }
    return SSA_OK;
}
