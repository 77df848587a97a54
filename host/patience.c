/* A driver's compiler that does not come back must not take the program with it (seen: SwiftShader on one ternary, until memory ran
 * out). A thread cannot be ended from outside, so it is left behind, with everything it may still use, and the device is given up. */
#include "device.h"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { DEFAULT_SECONDS = 300, MOST_SECONDS = 1000000000 };

typedef struct {
    pthread_mutex_t lock;
    pthread_cond_t  ended;
    bool            done, hang;
    void (*work)(void *arg);
    void *arg;
} job;

static void *run(void *arg) {
    job *j = arg;
    while (j->hang) pause();
    j->work(j->arg);
    pthread_mutex_lock(&j->lock);
    j->done = true;
    pthread_cond_signal(&j->ended);
    pthread_mutex_unlock(&j->lock);
    return NULL;
}

/* The driver's own handlers at exit would free what its compiler still uses. */
static void leave(int status, void *unused) {
    (void)unused;
    fflush(NULL);
    _exit(status);
}

static long seconds_allowed(void) {
    const char *text = getenv("SSA_COMPILE_SECONDS");
    char       *end = NULL;
    long        n = text ? strtol(text, &end, 10) : 0;
    if (!text || !*text || *end || n < 0) return DEFAULT_SECONDS;
    return n < MOST_SECONDS ? n : MOST_SECONDS;
}

ssa_status patience_run(device *dev, const char *kernel, void (*work)(void *arg), void *arg, ssa_error *err) {
    long            seconds = seconds_allowed();
    struct timespec until;
    pthread_t       thread;
    job            *j = seconds ? calloc(1, sizeof *j) : NULL;
    if (!seconds) {
        work(arg);
        return SSA_OK;
    }
    if (!j) return ssa_fail(err, SSA_ERR_MEMORY, "out of memory for kernel %s", kernel);
    *j = (job){.work = work, .arg = arg, .hang = dev->hang};
    dev->hang = false;
    pthread_mutex_init(&j->lock, NULL);
    pthread_cond_init(&j->ended, NULL);
    if (pthread_create(&thread, NULL, run, j)) {
        free(j);
        return ssa_fail(err, SSA_ERR_MEMORY, "there is no thread to compile kernel %s in", kernel);
    }
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += seconds;
    pthread_mutex_lock(&j->lock);
    int late = 0;
    while (!j->done && !late) late = pthread_cond_clockwait(&j->ended, &j->lock, CLOCK_MONOTONIC, &until);
    bool done = j->done;
    pthread_mutex_unlock(&j->lock);
    if (done) {
        pthread_join(thread, NULL);
        free(j);
        return SSA_OK;
    }
    pthread_detach(thread);
    dev->abandoned = true;
    on_exit(leave, NULL);
    return ssa_fail(err, SSA_ERR_DEVICE_LOST, "%s:%d is given up: its driver's compiler did not end on kernel %s within %ld s (SSA_COMPILE_SECONDS)",
                    dev->info.api, dev->info.index, kernel, seconds);
}
