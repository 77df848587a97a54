/* Work in a child process; see fence.h. */
#include "fence.h"
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const long POLL_NANOSECONDS = 500000;

typedef struct { bool done; char memory[]; } shared;

static void child(void (*work)(void *memory), shared *s) {
    const int handled[] = {SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT};
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
    for (size_t i = 0; i < sizeof handled / sizeof *handled; i++) signal(handled[i], SIG_DFL);
    work(s->memory);
    s->done = true;
    _exit(0);
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

bool fence_run(void (*work)(void *memory), void *memory, size_t bytes, int seconds, char reason[FENCE_REASON]) {
    shared *s = mmap(NULL, sizeof *s + bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pid_t   id = -1, ended = 0;
    int     status = 0;
    double  until = now() + seconds;
    if (s != MAP_FAILED) {
        memcpy(s->memory, memory, bytes);
        id = fork();
        if (id == 0) child(work, s);
    }
    if (id < 0) {
        snprintf(reason, FENCE_REASON, "could not be tried in a child process (%s)", strerror(errno));
        if (s != MAP_FAILED) munmap(s, sizeof *s + bytes);
        return false;
    }
    /* ECHILD: the host ignores SIGCHLD, and the child is gone. */
    while ((ended = waitpid(id, &status, WNOHANG)) == 0 && now() < until) nanosleep(&(struct timespec){0, POLL_NANOSECONDS}, NULL);
    if (ended == 0) {
        kill(id, SIGKILL);
        waitpid(id, &status, 0);
        snprintf(reason, FENCE_REASON, "did not end within %d s", seconds);
    } else if (ended > 0 && WIFSIGNALED(status)) snprintf(reason, FENCE_REASON, "crashed (%s)", strsignal(WTERMSIG(status)));
    else snprintf(reason, FENCE_REASON, "ended the process with status %d", ended > 0 ? WEXITSTATUS(status) : -1);
    bool done = s->done && ended != 0;
    if (done) memcpy(memory, s->memory, bytes);
    munmap(s, sizeof *s + bytes);
    return done;
}

bool fence_alone(void) {
#ifdef __SANITIZE_ADDRESS__
    return false; /* the leak checker would end the child for what drivers leave behind when they are unloaded */
#else
    DIR *tasks = opendir("/proc/self/task");
    int  n = 0;
    if (!tasks) return false;
    for (struct dirent *d; (d = readdir(tasks));) n += d->d_name[0] != '.';
    closedir(tasks);
    return n == 1;
#endif
}
