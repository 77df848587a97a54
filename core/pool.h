/* The host's threads: a loop over [0, n) in pieces of `grain`, which are handed out one by one.
 *
 * Made for machines that are not idle. A thread that the system has put aside holds up nothing but the piece it has: the others
 * take the rest, and one that wakes too late is not waited for. A thread without work spins for some microseconds (loops follow
 * one another closely) and then sleeps. Pieces depend on n and grain alone, never on the number of threads, so neither do results
 * whose sums stay inside a piece. */
#ifndef SSA_POOL_H
#define SSA_POOL_H

#include "ssa/status.h"
#include <stdint.h>

enum { POOL_MOST_THREADS = 128 };

typedef struct pool pool;

/* One piece: indices first..end-1, on thread 0..pool_threads-1 (0 is the caller); a thread has one piece at a time. */
typedef struct pool_part { int64_t first, end; int thread; } pool_part;

/* threads: 1..POOL_MOST_THREADS, the caller included; 0: what OMP_NUM_THREADS says, as batch systems set it, else the processors
 * that this process may use. Errors: a number out of range, an OMP_NUM_THREADS that is none, threads that cannot be started. */
ssa_status pool_create(int threads, pool **out, ssa_error *err);
void       pool_destroy(pool *p); /* NULL: nothing */
int        pool_threads(const pool *p);

/* Returns when body has run over all of [0, n). From one thread at a time, and never from inside a body. */
void pool_run(pool *p, int64_t n, int64_t grain, void (*body)(const void *arg, pool_part part), const void *arg);

#endif
