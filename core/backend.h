/* The contract of a backend: what carries out operations. The front end (core/ops.c) has checked every call it hands over.
 *
 * There are two kinds: core/cpu (the truth) and host/lower (operations -> kernel launches on a device of host/device.h).
 * Everything here is called from one thread at a time. A failure fills `err` with one sentence. */
#ifndef SSA_BACKEND_H
#define SSA_BACKEND_H

#include "pool.h"
#include "ssa/device.h"
#include "ssa/ops.h"

typedef struct ssa_backend ssa_backend;

/* Memory of one dtype. Backends put this first in their own struct. */
struct ssa_buffer {
    ssa_dtype   dtype;    /* as the caller sees it */
    int64_t     elements;
    uint64_t    bytes;    /* as allocated */
    ssa_buffer *next, *prev; /* the context's list */
};

typedef struct ssa_backend_vtable {
    /* Contents of a new buffer are undefined. */
    ssa_status (*alloc)(ssa_backend *be, ssa_dtype dtype, int64_t elements, ssa_buffer **out, ssa_error *err);
    void (*free)(ssa_backend *be, ssa_buffer *buffer);

    /* Host arrays hold the buffer's dtype. Ordered after all calls issued before; write may return before the data has
     * landed as long as `host` is no longer needed; read returns when the data is there. */
    ssa_status (*write)(ssa_backend *be, ssa_buffer *buffer, int64_t first, int64_t count, const void *host, ssa_error *err);
    ssa_status (*read)(ssa_backend *be, ssa_buffer *buffer, int64_t first, int64_t count, void *host, ssa_error *err);

    /* Runs a call, in order after those before, or appends it to the program being recorded. */
    ssa_status (*run)(ssa_backend *be, const ssa_call *call, ssa_error *err);
    ssa_status (*record_begin)(ssa_backend *be, ssa_error *err);
    ssa_status (*record_end)(ssa_backend *be, ssa_program **out, ssa_error *err);
    ssa_status (*replay)(ssa_backend *be, ssa_program *program, ssa_error *err);
    void (*program_free)(ssa_backend *be, ssa_program *program);
    ssa_status (*wait)(ssa_backend *be, ssa_error *err);

    /* Optional (may be NULL). prepare shows a call of a program that will be recorded, nothing runs; prepared chooses kernels for all that
     * were shown, and may run them on memory of its own. */
    ssa_status (*prepare)(ssa_backend *be, const ssa_call *call, ssa_error *err);
    ssa_status (*prepared)(ssa_backend *be, ssa_error *err);
    ssa_status (*scratch)(ssa_backend *be, const ssa_call *call, uint64_t *bytes, ssa_error *err); /* workspace a call needs */
    ssa_status (*kernels)(ssa_backend *be, const ssa_call *call, void (*each)(void *user, const char *kernel), void *user, ssa_error *err);
    ssa_status (*variants)(ssa_backend *be, ssa_variant_fn each, void *user);
    ssa_status (*profile)(ssa_backend *be, ssa_profile_row *rows, int capacity, int *count, ssa_error *err);
    ssa_status (*choices_get)(ssa_backend *be, void (*line)(void *user, const char *text), void *user);
    ssa_status (*choices_set)(ssa_backend *be, const char *line, ssa_error *err);
    int (*validation_messages)(const ssa_backend *be);
    ssa_status (*compile_report)(ssa_backend *be, void (*each)(void *user, const ssa_compiled *kernel), void *user, ssa_error *err);

    void (*destroy)(ssa_backend *be);
} ssa_backend_vtable;

/* Backends put this first in their own struct. */
struct ssa_backend {
    const ssa_backend_vtable *vt;
    char     name[32];         /* canonical device name */
    char     description[784]; /* a name and a driver of dev_info */
    uint64_t memory_bytes, max_buffer_bytes;
    pool    *pool;         /* the CPU's threads; NULL: a GPU */
    int      threads;      /* of the host, as asked for when it was opened; 0: see pool_create */
    void   (*activity)(void *user, bool detail, const char *what); /* see ssa_open_options */
    void    *activity_user;
    char     remark[480];  /* see ssa_context_remark */
    bool     has_f64;
    bool     widens_16bit; /* bf16 and f16 tensors take 4 bytes an element */
};

/* Wraps a backend into a context, which owns it from then on (also on failure). */
ssa_status ssa_context_create(ssa_backend *backend, ssa_context **out, ssa_error *err);

/* A context that plans for `device`: it counts what is allocated and issued, and does nothing (core/plan.c). */
typedef struct ssa_plan { uint64_t scratch_bytes; double flops; } ssa_plan;
ssa_status ssa_plan_open(const ssa_context *device, ssa_context **out, ssa_error *err);
ssa_plan  *ssa_plan_of(ssa_context *plan);

/* Floating-point operations of a call; sparse attention counts the selected blocks only. */
double ssa_call_flops(const ssa_call *call);

/* Wraps a device's backend, which it owns from then on (also on failure): every call runs on the CPU too, the first that differs
 * fails with a sentence that names it (core/shadow.c). */
ssa_status ssa_shadow_wrap(ssa_backend *device, ssa_backend **out, ssa_error *err);

/* The CPU backend (core/cpu/backend.c). threads: as for pool_create. */
ssa_status ssa_cpu_backend_create(int threads, bool profile, ssa_backend **out, ssa_error *err);
void       ssa_cpu_backend_use_portable(ssa_backend *be); /* kernels without AVX2 from here on */
/* See ssa_open_options. */
void ssa_cpu_backend_watch(ssa_backend *cpu, void (*selected)(void *user, const ssa_selection *from, int32_t *idx), void *user);

#endif
