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

#endif
