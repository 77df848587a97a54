/* safetensors, writing: a header that depends on nothing but the tensors, then their data one after the other. */
#include "io/inside.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void put_string(FILE *f, const char *s) {
    fputc('"', f);
    for (; *s; s++) {
        if (*s == '"' || *s == '\\') fputc('\\', f);
        if ((unsigned char)*s < 32) fprintf(f, "\\u%04x", (unsigned)*s);
        else fputc(*s, f);
    }
    fputc('"', f);
}

static int name_order(const void *a, const void *b) { return strcmp(*(const char *const *)a, *(const char *const *)b); }

/* Bytes of a tensor; what could not be read back is refused here. */
static ssa_status tensor_bytes(const char *path, const ssa_file_tensor *t, int64_t *bytes, ssa_error *err) {
    bool fits = t->rank >= 0 && t->rank <= SSA_MAX_RANK && (unsigned)t->dtype < SSA_DTYPE_COUNT && strcmp(t->name, "__metadata__");
    *bytes = fits ? (int64_t)ssa_dtype_size(t->dtype) : 0;
    for (int d = 0; fits && d < t->rank; d++) fits = t->shape[d] >= 0 && !__builtin_mul_overflow(*bytes, t->shape[d], bytes);
    if (!fits) return ssa_fail(err, SSA_ERR_INPUT, "%s: tensor %s cannot be written: wrong name, rank, shape or dtype", io_show(path).text,
                               io_show(t->name).text);
    return SSA_OK;
}

static ssa_status check_names(const char *path, const ssa_file_tensor *tensors, int count, ssa_error *err) {
    ssa_status status = SSA_OK;
    const char **names = malloc(sizeof *names * ((size_t)count + 1));
    if (!names) return ssa_fail(err, SSA_ERR_MEMORY, "no memory to write %s", io_show(path).text);
    for (int i = 0; i < count; i++) names[i] = tensors[i].name;
    qsort(names, (size_t)count, sizeof *names, name_order);
    for (int i = 1; i < count && !status; i++)
        if (!strcmp(names[i - 1], names[i])) status = ssa_fail(err, SSA_ERR_INPUT, "%s: tensor %s would be written twice", io_show(path).text,
                                                               io_show(names[i]).text);
    free(names);
    return status;
}

/* The header behind its length, padded with spaces so that the data begins at a multiple of 8. */
static ssa_status make_header(const char *path, const ssa_file_tensor *tensors, int count, const char *const *metadata, char **out, size_t *bytes,
                              int64_t *largest, ssa_error *err) {
    static const char *const dtype[SSA_DTYPE_COUNT] = {[SSA_F32] = "F32", [SSA_BF16] = "BF16", [SSA_F16] = "F16", [SSA_I32] = "I32",
        [SSA_F64] = "F64"};
    uint64_t length = 0;
    int64_t offset = 0;
    *out = NULL;
    *largest = 0;
    FILE *f = open_memstream(out, bytes);
    if (!f) return ssa_fail(err, SSA_ERR_MEMORY, "no memory to write %s", io_show(path).text);
    ssa_status status = SSA_OK;
    const char *comma = "";
    fwrite(&length, sizeof length, 1, f); /* filled in below */
    fputc('{', f);
    if (metadata && metadata[0]) {
        fputs("\"__metadata__\":{", f);
        for (int i = 0; metadata[i]; i += 2) {
            if (i) fputc(',', f);
            put_string(f, metadata[i]);
            fputc(':', f);
            put_string(f, metadata[i + 1]);
        }
        fputc('}', f);
        comma = ",";
    }
    for (int i = 0; i < count && !status; i++) {
        const ssa_file_tensor *t = &tensors[i];
        int64_t size, end = 0;
        status = tensor_bytes(path, t, &size, err);
        if (status) break;
        if (__builtin_add_overflow(offset, size, &end)) status = ssa_fail(err, SSA_ERR_INPUT, "%s: its tensors are too large together",
                                                                          io_show(path).text);
        fputs(comma, f);
        put_string(f, t->name);
        fprintf(f, ":{\"dtype\":\"%s\",\"shape\":[", dtype[t->dtype]);
        for (int d = 0; d < t->rank; d++) fprintf(f, d ? ",%lld" : "%lld", (long long)t->shape[d]);
        fprintf(f, "],\"data_offsets\":[%lld,%lld]}", (long long)offset, (long long)end);
        offset = end;
        if (size > *largest) *largest = size;
        comma = ",";
    }
    fputc('}', f);
    while (ftell(f) % 8) fputc(' ', f);
    bool failed = ferror(f);
    failed |= fclose(f) != 0;
    if (!status && failed) status = ssa_fail(err, SSA_ERR_MEMORY, "no memory to write %s", io_show(path).text);
    if (!status && *bytes - sizeof length > IO_JSON_LIMIT)
        status = ssa_fail(err, SSA_ERR_INPUT, "%s: its header would have %zu bytes, at most %d can be read back", io_show(path).text, *bytes,
                          IO_JSON_LIMIT);
    if (status) {
        free(*out);
        *out = NULL;
        return status;
    }
    length = *bytes - sizeof length;
    memcpy(*out, &length, sizeof length);
    return SSA_OK;
}

ssa_status ssa_safetensors_write(const char *path, const ssa_file_tensor *tensors, int count, const char *const *metadata, ssa_fetch fetch,
                                 void *user, ssa_error *err) {
    char *header;
    size_t bytes;
    int64_t largest, size;
    io_writer w;
    SSA_TRY(check_names(path, tensors, count, err));
    SSA_TRY(make_header(path, tensors, count, metadata, &header, &bytes, &largest, err));
    void *host = malloc(largest ? (size_t)largest : 1);
    ssa_status status = host ? io_writer_open(&w, path, err) : ssa_fail(err, SSA_ERR_MEMORY, "no memory to write %s", io_show(path).text);
    if (status) {
        free(host);
        free(header);
        return status;
    }
    status = io_writer_put(&w, header, bytes, err);
    for (int i = 0; i < count && !status; i++) {
        status = tensor_bytes(path, &tensors[i], &size, err);
        if (!status) status = fetch(user, i, host, err);
        if (!status) status = io_writer_put(&w, host, (size_t)size, err);
    }
    if (!status) status = io_writer_commit(&w, err);
    io_writer_abandon(&w);
    free(host);
    free(header);
    return status;
}
