/* The tools' clock. */
#ifndef SSA_CLOCK_H
#define SSA_CLOCK_H

#include <time.h>

/* Seconds that only ever grow, from an arbitrary beginning. */
static inline double clock_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

#endif
