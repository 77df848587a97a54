#include "output.h"
#include "progress.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int  failure;  /* errno of the first write that failed; stdio keeps only the fact */
static bool progress; /* what is printed is not the product */

static ssize_t write_all(const char *data, size_t bytes) {
    size_t done = 0;
    while (done < bytes) {
        ssize_t n = write(STDOUT_FILENO, data + done, bytes - done);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) {
            failure = n ? errno : ENOSPC;
            return 0;
        }
        done += (size_t)n;
    }
    return (ssize_t)done;
}

static ssize_t put(void *unused, const char *data, size_t bytes) {
    (void)unused;
    if (failure) return 0; /* no holes: what follows a lost piece is lost too */
    progress_output_begin();
    ssize_t done = write_all(data, bytes);
    progress_output_end(bytes ? data[bytes - 1] : 0);
    return done;
}

/* Runs last at exit, however that comes. */
static void check(int status, void *unused) {
    (void)unused;
    progress_end();
    if (fflush(stdout) && !failure) failure = errno;
    if (!failure && close(STDOUT_FILENO) && errno != EINTR && errno != EBADF) failure = errno; /* network disks tell here */
    bool told = !failure || (progress && failure == EPIPE);
    if (!told) fprintf(stderr, "ssa: standard output cannot be written: %s\n", strerror(failure));
    bool lost = !told || (!progress && ferror(stderr));
    if (lost && !status) _exit(1);
}

/* A descriptor that the caller closed would be given to the next file opened, and what is printed would go into that file. */
static void fill_descriptors(void) {
    for (int fd = 0; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) < 0 && errno == EBADF && open("/dev/null", O_RDONLY) < 0) exit(1); /* for reading: writes fail */
}

void output_begin(void) {
    fill_descriptors();
    signal(SIGXFSZ, SIG_IGN); /* a file beyond the limit is an error with a sentence, not the end */
    FILE *f = fopencookie(NULL, "w", (cookie_io_functions_t){.write = put});
    if (!f) exit(1);
    setvbuf(f, NULL, _IOLBF, 0); /* in a file too: lines are there when they are printed */
    stdout = f;
    on_exit(check, NULL);
}

void output_is_progress(void) {
    progress = true;
    signal(SIGPIPE, SIG_IGN);
}

bool output_lost(void) { return failure != 0; }
