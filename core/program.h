/* A program as the list of its calls, run one by one at replay: for the backends that have nothing to compile. */
#ifndef SSA_PROGRAM_H
#define SSA_PROGRAM_H

#include "backend.h"
#include <stdlib.h>

struct ssa_program { ssa_call *calls; int count, capacity; };

static inline ssa_status program_begin(ssa_program **out, ssa_error *err) {
    *out = calloc(1, sizeof **out);
    return *out ? SSA_OK : ssa_fail(err, SSA_ERR_MEMORY, "out of memory for a program");
}

static inline ssa_status program_append(ssa_program *p, const ssa_call *call, ssa_error *err) {
    if (p->count == p->capacity) {
        int       capacity = p->capacity ? 2 * p->capacity : 64;
        ssa_call *calls = realloc(p->calls, (size_t)capacity * sizeof *calls);
        if (!calls) return ssa_fail(err, SSA_ERR_MEMORY, "out of memory for a recorded program");
        p->calls = calls;
        p->capacity = capacity;
    }
    p->calls[p->count++] = *call;
    return SSA_OK;
}

static inline void program_free(ssa_program *p) {
    if (p) free(p->calls);
    free(p);
}

#endif
