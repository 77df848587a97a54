/* The inside of a context, for core/ only. */
#ifndef SSA_CONTEXT_H
#define SSA_CONTEXT_H

#include "backend.h"

struct ssa_context {
    ssa_backend *backend;
    ssa_error    error;
    ssa_buffer  *buffers; /* every live buffer, newest first */
    uint64_t     allocated;
    bool         recording, preparing;
};

/* Tells who opened the context what is being done, see ssa_open_options; a format of NULL ends a detail. */
void context_tell(ssa_context *ctx, bool detail, const char *format, ...) __attribute__((format(printf, 3, 4)));

#endif
