/* Threads that share a loop; see pool.h. */
#include "pool.h"
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { SPIN_NANOSECONDS = 30000 };

struct pool {
    pthread_mutex_t lock;
    pthread_cond_t  work, done;
    int             threads;          /* the caller and the workers */
    bool            spin;             /* a processor for each thread: waiting takes nothing from the others */
    atomic_uint     loop;             /* counts the loops: what a worker without work looks at */
    bool            open, stop;       /* under the lock: there are pieces left; the workers shall leave */
    int64_t         waited;           /* the caller, the last time, in nanoseconds */
    atomic_uint     inside;           /* workers in the loop; changes under the lock */
    atomic_llong    next;             /* the first index that nobody has taken */
    int64_t         n, grain;
    void (*body)(const void *arg, pool_part part);
    const void     *arg;
    struct worker { pool *p; int thread; pthread_t id; } worker[];
};

static inline void relax(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static int64_t nanoseconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* Until when to spin: a wait that was longer the last time will be again, on a machine that is not idle. */
static int64_t spin_until(const pool *p, int64_t start, int64_t last) { return start + (p->spin && last < SPIN_NANOSECONDS ? SPIN_NANOSECONDS : 0); }

static void spin(const atomic_uint *value, unsigned is, int64_t until) {
    while (atomic_load(value) == is && nanoseconds() < until)
        for (int i = 0; i < 16; i++) relax();
}

/* The first index of a piece; beyond n: there is none left. */
static int64_t take(pool *p) { return atomic_fetch_add(&p->next, p->grain); }

static void run_pieces(pool *p, int thread, int64_t first) {
    for (; first < p->n; first = take(p)) {
        int64_t end = p->n - first < p->grain ? p->n : first + p->grain;
        p->body(p->arg, (pool_part){first, end, thread});
    }
}

static void *work(void *arg) {
    struct worker *w = arg;
    pool          *p = w->p;
    unsigned       seen = 0;
    int64_t        waited = 0;
    for (;;) {
        int64_t start = nanoseconds();
        spin(&p->loop, seen, spin_until(p, start, waited));
        pthread_mutex_lock(&p->lock);
        while (!p->stop && (!p->open || atomic_load(&p->loop) == seen)) pthread_cond_wait(&p->work, &p->lock);
        seen = atomic_load(&p->loop);
        bool    stop = p->stop;
        int64_t first = stop ? 0 : take(p); /* under the lock: who is inside has a piece, and is waited for because of that alone */
        bool    late = !stop && first >= p->n;
        if (!stop && !late) atomic_fetch_add(&p->inside, 1);
        pthread_mutex_unlock(&p->lock);
        if (stop) return NULL;
        waited = nanoseconds() - start;
        if (late) continue;
        run_pieces(p, w->thread, first);
        pthread_mutex_lock(&p->lock);
        if (atomic_fetch_sub(&p->inside, 1) == 1) pthread_cond_signal(&p->done);
        pthread_mutex_unlock(&p->lock);
    }
}

void pool_run(pool *p, int64_t n, int64_t grain, void (*body)(const void *arg, pool_part part), const void *arg) {
    if (p->threads == 1 || n <= grain) {
        for (int64_t first = 0; first < n; first += grain) body(arg, (pool_part){first, n - first < grain ? n : first + grain, 0});
        return;
    }
    pthread_mutex_lock(&p->lock);
    p->n = n, p->grain = grain, p->body = body, p->arg = arg;
    atomic_store(&p->next, 0);
    p->open = true;
    atomic_fetch_add(&p->loop, 1);
    for (int64_t helpers = (n - 1) / grain, i = 1; i <= helpers && i < p->threads; i++) pthread_cond_signal(&p->work);
    pthread_mutex_unlock(&p->lock);
    run_pieces(p, 0, take(p));
    pthread_mutex_lock(&p->lock); /* nobody comes in any more */
    p->open = false;
    pthread_mutex_unlock(&p->lock);
    int64_t start = nanoseconds(), until = spin_until(p, start, p->waited);
    for (unsigned left; (left = atomic_load(&p->inside)) && nanoseconds() < until;) spin(&p->inside, left, until);
    pthread_mutex_lock(&p->lock);
    while (atomic_load(&p->inside)) pthread_cond_wait(&p->done, &p->lock);
    pthread_mutex_unlock(&p->lock);
    p->waited = nanoseconds() - start;
}

static int processors(void) {
    cpu_set_t set;
    int       n = sched_getaffinity(0, sizeof set, &set) ? 1 : CPU_COUNT(&set);
    return n < 1 ? 1 : n < POOL_MOST_THREADS ? n : POOL_MOST_THREADS;
}

/* OMP_NUM_THREADS is a number or a list of them, one for each level of nesting; we have one level. */
static ssa_status threads_wanted(int *threads, ssa_error *err) {
    const char *text = getenv("OMP_NUM_THREADS");
    char       *end;
    if (*threads < 0 || *threads > POOL_MOST_THREADS) return ssa_fail(err, SSA_ERR_INPUT, "threads %d is out of range 0..%d", *threads, POOL_MOST_THREADS);
    if (*threads) return SSA_OK;
    *threads = processors();
    if (!text || !*text) return SSA_OK;
    long n = strtol(text, &end, 10);
    if (end == text || end[strspn(end, " ,0123456789")] || n < 1 || n > POOL_MOST_THREADS)
        return ssa_fail(err, SSA_ERR_INPUT, "the environment's OMP_NUM_THREADS is %.60s, not a number of threads from 1 to %d", text, POOL_MOST_THREADS);
    *threads = (int)n;
    return SSA_OK;
}

ssa_status pool_create(int threads, pool **out, ssa_error *err) {
    *out = NULL;
    SSA_TRY(threads_wanted(&threads, err));
    pool *p = calloc(1, sizeof *p + (size_t)threads * sizeof *p->worker);
    if (!p) return ssa_fail(err, SSA_ERR_MEMORY, "out of memory for %d threads", threads);
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->work, NULL);
    pthread_cond_init(&p->done, NULL);
    p->spin = threads <= processors();
    sigset_t all, before; /* the program's signals are for its own threads */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int why = 0;
    for (p->threads = 1; p->threads < threads && !why;) {
        struct worker *w = &p->worker[p->threads];
        *w = (struct worker){.p = p, .thread = p->threads};
        why = pthread_create(&w->id, NULL, work, w);
        if (!why) p->threads++;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (!why) {
        *out = p;
        return SSA_OK;
    }
    int started = p->threads;
    pool_destroy(p);
    return ssa_fail(err, SSA_ERR_RUNTIME, "only %d of %d CPU threads could be started (%s): ask for fewer with --threads", started, threads, strerror(why));
}

void pool_destroy(pool *p) {
    if (!p) return;
    pthread_mutex_lock(&p->lock);
    p->stop = true;
    atomic_fetch_add(&p->loop, 1);
    pthread_cond_broadcast(&p->work);
    pthread_mutex_unlock(&p->lock);
    for (int i = 1; i < p->threads; i++) pthread_join(p->worker[i].id, NULL);
    pthread_cond_destroy(&p->done);
    pthread_cond_destroy(&p->work);
    pthread_mutex_destroy(&p->lock);
    free(p);
}

int pool_threads(const pool *p) { return p->threads; }
