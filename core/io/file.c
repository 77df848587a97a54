/* Files: reading, in parts and whole, and writing so that an interruption or a full disk leaves the old file. */
#include "io/inside.h"
#include "io/temporary.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

io_shown io_show(const char *s) {
    io_shown out;
    size_t n = strlen(s), room = sizeof out.text - 1, at = 0;
    if (n > room) {
        at = 3;
        memcpy(out.text, "...", 3);
        s += n - (room - at);
        while ((*s & 0xc0) == 0x80) s++; /* not into the middle of a UTF-8 character */
    }
    for (; *s; s++) out.text[at++] = (unsigned char)*s < 32 || *s == 127 ? '?' : *s;
    out.text[at] = 0;
    return out;
}

char *io_join(const char *folder, const char *name) {
    size_t a = strlen(folder), b = strlen(name);
    char *out = malloc(a + b + 2);
    if (!out) return NULL;
    memcpy(out, folder, a);
    if (a && folder[a - 1] != '/') out[a++] = '/';
    memcpy(out + a, name, b + 1);
    return out;
}

/* Without O_NONBLOCK a named pipe would wait for a writer before it could be refused. */
ssa_status io_open_regular(const char *path, int *fd, struct stat *info, ssa_error *err) {
    *fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (*fd < 0) return ssa_fail(err, SSA_ERR_INPUT, "%s cannot be opened: %s", io_show(path).text, strerror(errno));
    if (fstat(*fd, info) || !S_ISREG(info->st_mode)) {
        close(*fd);
        *fd = -1;
        return ssa_fail(err, SSA_ERR_INPUT, "%s is not a regular file", io_show(path).text);
    }
    return SSA_OK;
}

ssa_status io_read_at(const char *path, int fd, int64_t at, void *out, size_t n, ssa_error *err) {
    char *to = out;
    for (size_t got = 0; got < n;) {
        ssize_t k = pread(fd, to + got, n - got, (off_t)(at + (int64_t)got));
        if (k < 0 && errno == EINTR) continue;
        if (k < 0) return ssa_fail(err, SSA_ERR_RUNTIME, "%s cannot be read: %s", io_show(path).text, strerror(errno));
        if (!k) return ssa_fail(err, SSA_ERR_RUNTIME, "%s has become shorter while it was in use: %lld bytes are left", io_show(path).text, (long long)(at + (int64_t)got));
        got += (size_t)k;
    }
    return SSA_OK;
}

ssa_status ssa_file_read(const char *path, size_t limit, char **out, size_t *bytes, ssa_error *err) {
    int fd;
    struct stat info;
    size_t got = 0;
    *out = NULL;
    *bytes = 0;
    SSA_TRY(io_open_regular(path, &fd, &info, err));
    size_t size = (size_t)info.st_size;
    if (size > limit) {
        close(fd);
        return ssa_fail(err, SSA_ERR_INPUT, "%s has %zu bytes, at most %zu are read", io_show(path).text, size, limit);
    }
    char *text = malloc(size + 1);
    if (!text) {
        close(fd);
        return ssa_fail(err, SSA_ERR_MEMORY, "no memory for the %zu bytes of %s", size, io_show(path).text);
    }
    while (got < size) {
        ssize_t n = read(fd, text + got, size - got);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) {
            int error = errno;
            close(fd);
            free(text);
            return ssa_fail(err, SSA_ERR_RUNTIME, "%s cannot be read: %s", io_show(path).text, strerror(error));
        }
        if (n == 0) break; /* it became shorter meanwhile */
        got += (size_t)n;
    }
    close(fd);
    text[got] = 0;
    *out = text;
    *bytes = got;
    return SSA_OK;
}

/* A folder that is missing or not ours to write is the caller's input; a full or failing disk is not. */
static ssa_status write_failed(const char *path, int error, ssa_error *err) {
    bool input = error == ENOENT || error == ENOTDIR || error == EACCES || error == EPERM || error == EROFS || error == ENAMETOOLONG;
    return ssa_fail(err, input ? SSA_ERR_INPUT : SSA_ERR_RUNTIME, "%s cannot be written: %s", io_show(path).text, strerror(error));
}

ssa_status io_writer_open(io_writer *w, const char *path, ssa_error *err) {
    struct stat st;
    *w = (io_writer){.path = path, .fd = -1};
    /* The rename would replace a device or a pipe by a file. */
    if (stat(path, &st) == 0 && !S_ISREG(st.st_mode)) return ssa_fail(err, SSA_ERR_INPUT, "%s cannot be written: it is not a regular file",
                                                                      io_show(path).text);
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    size_t folder = slash ? (size_t)(slash - path) + 1 : 0;
    if (!*name) return ssa_fail(err, SSA_ERR_INPUT, "%s cannot be written: it names no file", io_show(path).text);
    w->folder = slash ? strndup(path, folder) : strdup("./");
    if (!w->folder) return ssa_fail(err, SSA_ERR_MEMORY, "no memory to write %s", io_show(path).text);
    w->fd = io_temporary_file(w->folder, name, &w->temp);
    if (w->fd < 0) {
        int error = errno;
        io_writer_abandon(w);
        return write_failed(path, error, err);
    }
    return SSA_OK;
}

ssa_status io_writer_put(io_writer *w, const void *data, size_t bytes, ssa_error *err) {
    const char *at = data;
    while (bytes) {
        /* Linux writes at most 2^31 - 4096 bytes a call anyway; smaller pieces keep a signal from waiting for gigabytes. */
        ssize_t n = write(w->fd, at, bytes < (64u << 20) ? bytes : 64u << 20);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return write_failed(w->path, n ? errno : ENOSPC, err);
        at += n;
        bytes -= (size_t)n;
    }
    return SSA_OK;
}

ssa_status io_writer_commit(io_writer *w, ssa_error *err) {
    int fd = w->fd, folder;
    if (fsync(fd)) return write_failed(w->path, errno, err);
    w->fd = -1;
    if (close(fd) && errno != EINTR) return write_failed(w->path, errno, err); /* network disks report a full quota here */
    if (rename(w->temp, w->path)) return write_failed(w->path, errno, err);
    free(w->temp);
    w->temp = NULL;
    folder = open(w->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder >= 0) {
        /* Makes the new name survive a power cut. Some file systems cannot sync a folder; the file itself is safe by then. */
        int failed = fsync(folder) && errno == EIO;
        close(folder);
        if (failed) return write_failed(w->path, EIO, err);
    }
    io_writer_abandon(w);
    return SSA_OK;
}

void io_writer_abandon(io_writer *w) {
    if (w->fd >= 0) close(w->fd);
    if (w->temp) unlink(w->temp);
    free(w->temp);
    free(w->folder);
    *w = (io_writer){.path = w->path, .fd = -1};
}

ssa_status ssa_file_write(const char *path, const void *data, size_t bytes, ssa_error *err) {
    io_writer w;
    SSA_TRY(io_writer_open(&w, path, err));
    ssa_status status = io_writer_put(&w, data, bytes, err);
    if (!status) status = io_writer_commit(&w, err);
    io_writer_abandon(&w);
    return status;
}
