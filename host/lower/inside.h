/* The inside of the GPU backend, for host/lower/backend.c and launch.c only: lowerings see lower.h. */
#ifndef SSA_LOWER_INSIDE_H
#define SSA_LOWER_INSIDE_H

#include "lower.h"

typedef struct {
    ssa_buffer  base;
    dev_buffer *memory;
    uint32_t    element_bytes;
} gpu_buffer;

typedef struct { dev_launch *item; int count, capacity; } launch_list;

struct ssa_program { dev_recorded *recorded; };

typedef struct {
    ssa_backend base;
    device     *dev;
    launch_list list;       /* launches of the call at hand, or of the program being recorded */
    bool        recording;
    gpu_buffer *scratch;    /* shared by all operations: each uses it from its start */
    gpu_buffer **retired;   /* smaller scratch that recorded programs still refer to */
    int         retired_count;
    tuner       tuner;
} gpu_backend;

struct lowering {
    gpu_backend      *be;   /* NULL: dry run */
    const char       *forced; /* variants, see ssa_open_options; may be NULL */
    tuner            *tuner;  /* what was chosen; NULL: defaults */
    bool              considering; /* dry run that tells the tuner what there is to choose */
    const ssa_call   *call;
    const dev_limits *limits;
    ssa_error        *err;
    uint64_t          scratch_used, scratch_peak;
    double            flops, bytes;
    void            (*each)(void *user, const char *source); /* dry run: told the kernels' sources, or NULL */
    void             *user;
};

static inline bool widened(const dev_limits *limits, ssa_dtype dtype) { return (dtype == SSA_BF16 || dtype == SSA_F16) && !limits->storage16; }

/* backend.c */
ssa_status gpu_alloc(ssa_backend *backend, ssa_dtype dtype, int64_t elements, ssa_buffer **out, ssa_error *err);
void       gpu_free(ssa_backend *backend, ssa_buffer *buffer);

#endif
