#include "report_file.h"
#include "ssa/io.h"
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

ssa_status report_file_open(report_file *r, const char *path, ssa_error *err) {
    *r = (report_file){.path = path};
    r->out = open_memstream(&r->text, &r->bytes);
    return r->out ? SSA_OK : ssa_fail(err, SSA_ERR_MEMORY, "out of memory for %s", path);
}

ssa_status report_file_close(report_file *r, ssa_error *err) {
    bool       failed = ferror(r->out);
    ssa_status s = fclose(r->out) || failed ? ssa_fail(err, SSA_ERR_MEMORY, "out of memory for %s", r->path) : report_write(r->path, r->text, r->bytes, err);
    free(r->text);
    return s;
}

static bool is_device(const char *path) {
    struct stat st;
    return !stat(path, &st) && !S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode);
}

ssa_status report_write(const char *path, const void *text, size_t bytes, ssa_error *err) {
    if (!is_device(path)) return ssa_file_write(path, text, bytes, err);
    int  fd = open(path, O_WRONLY | O_CLOEXEC);
    bool good = fd >= 0;
    for (const char *at = text; good && bytes;) {
        ssize_t n = write(fd, at, bytes);
        good = n > 0 || (n < 0 && errno == EINTR);
        if (n > 0) at += n, bytes -= (size_t)n;
    }
    int error = errno;
    if (fd >= 0 && close(fd) && good) error = errno, good = false;
    return good ? SSA_OK : ssa_fail(err, SSA_ERR_RUNTIME, "%s cannot be written: %s", path, strerror(error));
}

ssa_status report_check(const char *path, ssa_error *err) {
    const char *slash = strrchr(path, '/');
    char       *folder = slash ? strndup(path, (size_t)(slash - path) + 1) : strdup(".");
    struct stat st;
    if (!folder) return ssa_fail(err, SSA_ERR_MEMORY, "out of memory for %s", path);
    int error = !stat(path, &st) && S_ISDIR(st.st_mode) ? EISDIR : 0;
    if (!error && access(is_device(path) ? path : folder, W_OK)) error = errno;
    free(folder);
    return error ? ssa_fail(err, SSA_ERR_INPUT, "%s cannot be written: %s", path, strerror(error)) : SSA_OK;
}
