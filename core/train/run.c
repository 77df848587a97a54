/* The folder of a run: who may write it, what it holds, what goes. A process that writes it holds OUT/.lock, so that whatever else
 * lies there under a temporary name is of a process that is gone. */
#include "io/inside.h"
#include "io/temporary.h"
#include "train.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

ssa_status run_make(const char *run, ssa_error *err) {
    char      *path = strdup(run);
    ssa_status s = path ? SSA_OK : ssa_fail(err, SSA_ERR_MEMORY, "out of memory for the path of %s", io_show(run).text);
    for (char *c = path; !s && c; c = c ? c + 1 : NULL) {
        c = strchr(c, '/');
        if (c == path) continue;
        if (c) *c = 0;
        struct stat info;
        int         error = mkdir(path, 0777) ? errno : 0;
        if (error && (stat(path, &info) || !S_ISDIR(info.st_mode))) s = ssa_fail(err, SSA_ERR_INPUT, "cannot make the folder %s: %s", io_show(run).text, strerror(error));
        if (c) *c = '/';
    }
    free(path);
    return s;
}

/* -- the lock -------------------------------------------------------------------------------------------------------------- */

enum { HOLDER = HOST_NAME_MAX + 64 };

/* "process 123 on host", where the file tells and the process is not known to be gone. */
static void holder(int fd, char out[HOLDER]) {
    char    text[HOLDER] = "", host[HOST_NAME_MAX + 1] = "", own[HOST_NAME_MAX + 1] = "";
    long    pid = 0;
    ssize_t n = pread(fd, text, sizeof text - 1, 0);
    snprintf(out, HOLDER, "another process");
    if (n <= 0 || sscanf(text, "%ld %64s", &pid, host) != 2 || pid <= 0) return;
    gethostname(own, sizeof own - 1);
    if (!strcmp(host, own) && kill((pid_t)pid, 0) && errno == ESRCH) return; /* the holder has not written its name yet */
    snprintf(out, HOLDER, "process %ld on %.*s", pid, HOST_NAME_MAX, io_show(host).text);
}

/* flock, because it goes with the process however that ends. On NFS the kernel turns it into a lock at the server, which the client's
 * end or restart frees too; a file system without locks (Lustre mounted with noflock) is used without one. */
ssa_status run_lock(const char *run, int *fd, bool *locked, ssa_error *err) {
    char *path = io_join(run, ".lock"), text[HOLDER], host[HOST_NAME_MAX + 1] = "", who[HOLDER];
    *locked = false;
    if (!path) return ssa_fail(err, SSA_ERR_MEMORY, "out of memory for the lock of %s", io_show(run).text);
    *fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
    int error = errno;
    free(path);
    if (*fd < 0) return ssa_fail(err, error == ENOSPC || error == EDQUOT || error == EIO ? SSA_ERR_RUNTIME : SSA_ERR_INPUT, "cannot write %s/.lock: %s",
                                 io_show(run).text, strerror(error));
    while (flock(*fd, LOCK_EX | LOCK_NB)) {
        if (errno == EINTR) continue;
        if (errno != EWOULDBLOCK) return SSA_OK;
        holder(*fd, who);
        run_unlock(fd);
        return ssa_fail(err, SSA_ERR_INPUT, "%s is being written by %s", io_show(run).text, who);
    }
    *locked = true;
    gethostname(host, sizeof host - 1);
    int n = snprintf(text, sizeof text, "%ld %s\n", (long)getpid(), host);
    if (ftruncate(*fd, 0) || pwrite(*fd, text, (size_t)n, 0) != n) return SSA_OK; /* only the name in another process's sentence */
    return SSA_OK;
}

/* The file stays: were it removed, a process that has it open already and one that makes it anew would both hold a lock. */
void run_unlock(int *fd) {
    if (*fd >= 0) close(*fd);
    *fd = -1;
}

/* -- removing -------------------------------------------------------------------------------------------------------------- */

static void remove_folder(const char *dir) {
    DIR *d = opendir(dir);
    for (struct dirent *e; d && (e = readdir(d));)
        if (strcmp(e->d_name, ".") && strcmp(e->d_name, "..")) unlinkat(dirfd(d), e->d_name, 0);
    if (d) closedir(d);
    rmdir(dir);
}

void run_discard(const char *run, const char *name) {
    char *path = io_join(run, name), *hidden = io_is_temporary(name) ? NULL : io_temporary_name(run, name);
    bool  moved = path && hidden && !rename(path, hidden); /* a reader finds it whole or not at all */
    if (path) remove_folder(moved ? hidden : path);
    free(hidden);
    free(path);
}

void run_sweep(const char *run) {
    DIR *d = opendir(run);
    for (struct dirent *e; d && (e = readdir(d));)
        if (io_is_temporary(e->d_name) && unlinkat(dirfd(d), e->d_name, 0)) run_discard(run, e->d_name);
    if (d) closedir(d);
}

/* -- its checkpoints --------------------------------------------------------------------------------------------------------- */

/* The step of "step-000060"; -1: another name. */
int64_t run_step_of(const char *name) {
    char *end;
    if (strncmp(name, "step-", 5) || name[5] < '0' || name[5] > '9') return -1;
    errno = 0;
    long long step = strtoll(name + 5, &end, 10);
    return *end || errno ? -1 : step;
}

static int by_step(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

ssa_status run_list(const char *run, int64_t **steps, int *count, ssa_error *err) {
    DIR       *d = opendir(run);
    ssa_status s = d ? SSA_OK : ssa_fail(err, SSA_ERR_INPUT, "cannot read the folder %s: %s", io_show(run).text, strerror(errno));
    *steps = NULL;
    *count = 0;
    for (struct dirent *e; d && !s && (e = readdir(d));) {
        int64_t step = run_step_of(e->d_name);
        char   *file = step < 0 ? NULL : io_join(e->d_name, "trainer.json");
        bool    whole = file && !faccessat(dirfd(d), file, R_OK, 0);
        free(file);
        if (!whole) continue;
        int64_t *more = realloc(*steps, (size_t)(*count + 1) * sizeof **steps);
        if (!more) s = ssa_fail(err, SSA_ERR_MEMORY, "out of memory for the checkpoints of %s", io_show(run).text);
        else (*steps = more)[(*count)++] = step;
    }
    if (d) closedir(d);
    if (!s && *count) qsort(*steps, (size_t)*count, sizeof **steps, by_step);
    if (s) free(*steps), *steps = NULL;
    return s;
}

ssa_status run_prune(const char *run, int keep, int64_t current, int64_t best, ssa_error *err) {
    int      count;
    int64_t *steps;
    SSA_TRY(run_list(run, &steps, &count, err));
    for (int i = 0; i < count - keep; i++) {
        char name[32];
        snprintf(name, sizeof name, RUN_STEP, (long long)steps[i]);
        if (steps[i] != current && steps[i] != best) run_discard(run, name);
    }
    free(steps);
    return SSA_OK;
}

static ssa_status rename_old(const char *run, int64_t step, char name[64], ssa_error *err) {
    char       from[32];
    char      *path = NULL, *other = NULL;
    ssa_status s = SSA_OK;
    snprintf(from, sizeof from, RUN_STEP, (long long)step);
    for (int i = 0; !other && !s; i++) {
        if (i) snprintf(name, 64, "%s.old%d", from, i); else snprintf(name, 64, "%s.old", from);
        other = io_join(run, name);
        if (!other) s = ssa_fail(err, SSA_ERR_MEMORY, "out of memory for the path of %s", name);
        else if (!access(other, F_OK)) free(other), other = NULL;
    }
    if (!s && !(path = io_join(run, from))) s = ssa_fail(err, SSA_ERR_MEMORY, "out of memory for the path of %s", from);
    if (!s && rename(path, other)) s = ssa_fail(err, SSA_ERR_RUNTIME, "cannot rename %s: %s", io_show(path).text, strerror(errno));
    free(path);
    free(other);
    return s;
}

ssa_status run_set_aside(const char *run, int64_t step, int64_t best, FILE *progress, ssa_error *err) {
    int        count;
    int64_t   *steps;
    bool       there = false, moved = false;
    SSA_TRY(run_list(run, &steps, &count, err));
    ssa_status s = SSA_OK;
    for (int i = 0; i < count && !s; i++) {
        char name[64];
        there |= steps[i] == best;
        if (steps[i] <= step) continue;
        moved = true;
        s = rename_old(run, steps[i], name, err);
        if (!s && progress) fprintf(progress, "the run goes on from step %lld: its checkpoint of step %lld is %s/%s now\n", (long long)step, (long long)steps[i], run, name);
    }
    free(steps);
    if (s || !moved) return s;
    if (there) return run_link_best(run, best, err);
    char *link = io_join(run, "best");
    if (link) unlink(link);
    free(link);
    return SSA_OK;
}

ssa_status run_link_best(const char *run, int64_t step, ssa_error *err) {
    char  name[32], *link = io_join(run, "best"), *temporary = io_temporary_name(run, "best");
    snprintf(name, sizeof name, RUN_STEP, (long long)step);
    bool bad = !link || !temporary || symlink(name, temporary);
    int  error = bad ? errno : 0;
    if (!bad && rename(temporary, link)) {
        error = errno;
        unlink(temporary);
    }
    free(link);
    free(temporary);
    /* Without links (FAT, some network disks) trainer.json alone tells which step it is. */
    if (!error || error == EPERM || error == EOPNOTSUPP || error == ENOSYS) return SSA_OK;
    return ssa_fail(err, SSA_ERR_RUNTIME, "cannot make the link %s/best: %s", io_show(run).text, strerror(error));
}
