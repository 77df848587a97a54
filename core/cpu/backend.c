/* The CPU backend: memory is host memory, a program is the list of its calls, a call is one kernel of the table. */
#include "cpu.h"
#include "program.h"
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

extern const cpu_kernel cpu_table_f32[SSA_OP_COUNT], cpu_table_f64[SSA_OP_COUNT];
#ifdef SSA_CPU_V3
extern const cpu_kernel cpu_table_f32_v3[SSA_OP_COUNT];
#endif

typedef struct { ssa_buffer base; void *data; } cpu_buffer;

typedef struct {
    ssa_backend       base;
    const cpu_kernel *f32;
    ssa_program      *recording;
    void             *scratch, *widened; /* grown on demand, kept */
    size_t            scratch_bytes, widened_bytes;
    void            (*selected)(void *user, const ssa_selection *from, int32_t *idx); /* or NULL */
    void             *selected_user;
    blas              blas;
    bool              profile;
    ssa_profile_row   rows[SSA_OP_COUNT];
} cpu_backend;

enum { ALIGN = 64 };

static ssa_status cpu_alloc(ssa_backend *be, ssa_dtype dtype, int64_t elements, ssa_buffer **out, ssa_error *err) {
    (void)be;
    size_t      bytes = ((size_t)elements * ssa_dtype_size(dtype) + ALIGN - 1) / ALIGN * ALIGN;
    cpu_buffer *b = calloc(1, sizeof *b);
    if (b) b->data = aligned_alloc(ALIGN, bytes);
    if (!b || !b->data) {
        free(b);
        return ssa_fail(err, SSA_ERR_MEMORY, "out of memory: %zu bytes for a tensor", bytes);
    }
    b->base.bytes = bytes;
    *out = &b->base;
    return SSA_OK;
}

static void cpu_free(ssa_backend *be, ssa_buffer *buffer) {
    (void)be;
    free(((cpu_buffer *)buffer)->data);
    free(buffer);
}

static char *address(ssa_buffer *buffer, int64_t first) {
    return (char *)((cpu_buffer *)buffer)->data + (size_t)first * ssa_dtype_size(buffer->dtype);
}

static ssa_status cpu_write(ssa_backend *be, ssa_buffer *buffer, int64_t first, int64_t count, const void *host, ssa_error *err) {
    (void)be, (void)err;
    memcpy(address(buffer, first), host, (size_t)count * ssa_dtype_size(buffer->dtype));
    return SSA_OK;
}

static ssa_status cpu_read(ssa_backend *be, ssa_buffer *buffer, int64_t first, int64_t count, void *host, ssa_error *err) {
    (void)be, (void)err;
    memcpy(host, address(buffer, first), (size_t)count * ssa_dtype_size(buffer->dtype));
    return SSA_OK;
}

static bool grow(void **p, size_t *have, size_t bytes) {
    if (bytes <= *have) return true;
    free(*p);
    bytes = (bytes + ALIGN - 1) / ALIGN * ALIGN;
    *p = aligned_alloc(ALIGN, bytes);
    *have = *p ? bytes : 0;
    return *p != NULL;
}

static void *scratch(void *owner, size_t bytes) {
    cpu_backend *be = owner;
    return grow(&be->scratch, &be->scratch_bytes, bytes) ? be->scratch : NULL;
}

/* 16-bit operands: float copies around an f32 kernel. */
static bool narrow(const ssa_tensor *t) { return t->dtype == SSA_BF16 || t->dtype == SSA_F16; }

static ssa_status compute(cpu_backend *be, const ssa_call *call, ssa_error *err) {
    ssa_op_info info;
    cpu_args    a = {.call = call, .scratch = scratch, .owner = be, .pool = be->base.pool, .blas = &be->blas, .err = err};
    size_t      bytes = 0;
    ssa_op_describe(call->op, &info);
    for (int i = 0; i < call->count; i++)
        if (narrow(&call->t[i])) bytes += ((size_t)ssa_numel(&call->t[i]) * sizeof(float) + ALIGN - 1) / ALIGN * ALIGN;
    if (!grow(&be->widened, &be->widened_bytes, bytes))
        return ssa_fail(err, SSA_ERR_MEMORY, "out of memory: %zu bytes to widen the operands of %s", bytes, info.name);
    char *next = be->widened;
    for (int i = 0; i < call->count; i++) {
        const ssa_tensor *t = &call->t[i];
        a.p[i] = address(t->buffer, t->offset);
        if (!narrow(t)) continue;
        int64_t n = ssa_numel(t);
        if (!info.operand[i].out || info.operand[i].inout) ssa_to_f32((float *)next, a.p[i], t->dtype, n);
        a.p[i] = next;
        next += ((size_t)n * sizeof(float) + ALIGN - 1) / ALIGN * ALIGN;
    }
    bool double_precision = call->act == SSA_F64;
    for (int i = 0; i < call->count; i++) double_precision |= call->t[i].dtype == SSA_F64;
    SSA_TRY((double_precision ? cpu_table_f64 : be->f32)[call->op](&a));
    if (call->op == SSA_SELECT && be->selected) {
        ssa_dtype     real = double_precision ? SSA_F64 : SSA_F32;
        ssa_selection from = {.q = a.p[0], .q_dtype = real, .kbar = a.p[1], .kbar_dtype = real, .dim = call->dim, .attr = &call->attr};
        be->selected(be->selected_user, &from, a.p[2]);
    }
    for (int i = 0; i < call->count; i++) {
        const ssa_tensor *t = &call->t[i];
        if (narrow(t) && info.operand[i].out) ssa_from_f32(address(t->buffer, t->offset), t->dtype, a.p[i], ssa_numel(t));
    }
    return SSA_OK;
}

static double nanoseconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return 1e9 * (double)t.tv_sec + (double)t.tv_nsec;
}

static ssa_status execute(cpu_backend *be, const ssa_call *call, ssa_error *err) {
    if (!be->profile) return compute(be, call, err);
    double           start = nanoseconds();
    ssa_status       s = compute(be, call, err);
    ssa_profile_row *row = &be->rows[call->op];
    row->launches++;
    row->ns += nanoseconds() - start;
    return s;
}

/* Only operations that ran, and from the beginning the next time. */
static ssa_status cpu_profile(ssa_backend *backend, ssa_profile_row *rows, int capacity, int *count, ssa_error *err) {
    (void)err;
    cpu_backend *be = (cpu_backend *)backend;
    *count = 0;
    for (int op = 0; op < SSA_OP_COUNT; op++) {
        ssa_profile_row *row = &be->rows[op];
        if (row->launches && *count < capacity) rows[(*count)++] = (ssa_profile_row){ssa_op_name((ssa_op)op), row->launches, row->ns};
        *row = (ssa_profile_row){0};
    }
    return SSA_OK;
}

static ssa_status cpu_run(ssa_backend *backend, const ssa_call *call, ssa_error *err) {
    cpu_backend *be = (cpu_backend *)backend;
    return be->recording ? program_append(be->recording, call, err) : execute(be, call, err);
}

static ssa_status cpu_record_begin(ssa_backend *backend, ssa_error *err) { return program_begin(&((cpu_backend *)backend)->recording, err); }

static ssa_status cpu_record_end(ssa_backend *backend, ssa_program **out, ssa_error *err) {
    (void)err;
    cpu_backend *be = (cpu_backend *)backend;
    *out = be->recording;
    be->recording = NULL;
    return SSA_OK;
}

static ssa_status cpu_replay(ssa_backend *be, ssa_program *program, ssa_error *err) {
    for (int i = 0; i < program->count; i++) SSA_TRY(execute((cpu_backend *)be, &program->calls[i], err));
    return SSA_OK;
}

static void cpu_program_free(ssa_backend *be, ssa_program *program) {
    (void)be;
    program_free(program);
}

static ssa_status cpu_wait(ssa_backend *be, ssa_error *err) { (void)be, (void)err; return SSA_OK; }

static void cpu_destroy(ssa_backend *backend) {
    cpu_backend *be = (cpu_backend *)backend;
    program_free(be->recording);
    pool_destroy(be->base.pool);
    free(be->scratch);
    free(be->widened);
    free(be);
}

static const ssa_backend_vtable vtable = {
    .alloc = cpu_alloc, .free = cpu_free, .write = cpu_write, .read = cpu_read, .run = cpu_run, .record_begin = cpu_record_begin,
    .record_end = cpu_record_end, .replay = cpu_replay, .program_free = cpu_program_free, .wait = cpu_wait, .profile = cpu_profile, .destroy = cpu_destroy,
};

void ssa_cpu_backend_watch(ssa_backend *cpu, void (*selected)(void *user, const ssa_selection *from, int32_t *idx), void *user) {
    cpu_backend *be = (cpu_backend *)cpu;
    be->selected = selected;
    be->selected_user = user;
}

ssa_status ssa_cpu_backend_create(int threads, bool profile, ssa_backend **out, ssa_error *err) {
    cpu_backend *be = calloc(1, sizeof *be);
    if (!be) return ssa_fail(err, SSA_ERR_MEMORY, "out of memory for the CPU backend");
    const char *variant = "portable code";
    ssa_status  s = pool_create(threads, &be->base.pool, err);
    if (!s) s = blas_open(&be->blas, pool_threads(be->base.pool), err);
    if (s) {
        cpu_destroy(&be->base);
        return s;
    }
    be->profile = profile;
    be->f32 = cpu_table_f32;
#ifdef SSA_CPU_V3
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && !getenv("SSA_CPU_PORTABLE")) {
        be->f32 = cpu_table_f32_v3;
        variant = "AVX2";
    }
#endif
    be->base.vt = &vtable;
    be->base.threads = threads;
    be->base.has_f64 = true;
    be->base.memory_bytes = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
    be->base.max_buffer_bytes = be->base.memory_bytes;
    snprintf(be->base.name, sizeof be->base.name, "cpu");
    snprintf(be->base.description, sizeof be->base.description, "CPU, %d threads, %s", pool_threads(be->base.pool), variant);
    *out = &be->base;
    return SSA_OK;
}

void ssa_cpu_backend_use_portable(ssa_backend *backend) {
    cpu_backend *be = (cpu_backend *)backend;
    char        *variant = strrchr(be->base.description, ',');
    be->f32 = cpu_table_f32;
    if (variant) snprintf(variant, sizeof be->base.description - (size_t)(variant - be->base.description), ", portable code");
}
