#include "io/temporary.h"
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { ATTEMPTS = 16 };

static uint64_t random_bits(void) {
    uint64_t        bits;
    struct timespec t;
    if (getrandom(&bits, sizeof bits, GRND_NONBLOCK) == sizeof bits) return bits;
    clock_gettime(CLOCK_REALTIME, &t); /* an old or very young kernel: made with O_EXCL, so a clash is only one more attempt */
    return (uint64_t)t.tv_sec << 32 ^ (uint64_t)t.tv_nsec;
}

char *io_temporary_name(const char *folder, const char *name) {
    size_t n = strlen(folder);
    char  *path;
    /* Of long names a part: the file system allows 255 bytes, and the target may have them all. */
    int made = asprintf(&path, "%s%s.%.200s.%ld.%016llx.tmp", folder, n && folder[n - 1] != '/' ? "/" : "", name, (long)getpid(),
                        (unsigned long long)random_bits());
    return made < 0 ? NULL : path;
}

int io_temporary_file(const char *folder, const char *name, char **path) {
    for (int i = 0; i < ATTEMPTS && (*path = io_temporary_name(folder, name)); i++) {
        int fd = open(*path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666), error = errno;
        if (fd >= 0) return fd;
        free(*path);
        *path = NULL;
        errno = error;
        if (error != EEXIST) break;
    }
    return -1;
}

char *io_temporary_folder(const char *folder, const char *name) {
    char *path;
    for (int i = 0; i < ATTEMPTS && (path = io_temporary_name(folder, name)); i++) {
        if (!mkdir(path, 0777)) return path;
        int error = errno;
        free(path);
        errno = error;
        if (error != EEXIST) break;
    }
    return NULL;
}

bool io_is_temporary(const char *name) {
    size_t n = strlen(name);
    return name[0] == '.' && n > 4 && !strcmp(name + n - 4, ".tmp");
}
