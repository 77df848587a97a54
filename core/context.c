/* Contexts, buffers and tensors: the front end's bookkeeping; the memory itself is the backend's. */
#include "context.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

ssa_status ssa_context_create(ssa_backend *backend, ssa_context **out, ssa_error *err) {
    ssa_context *ctx = calloc(1, sizeof *ctx);
    if (!ctx) {
        backend->vt->destroy(backend);
        return ssa_fail(err, SSA_ERR_MEMORY, "out of memory for a context");
    }
    ctx->backend = backend;
    *out = ctx;
    return SSA_OK;
}

void ssa_close(ssa_context *ctx) {
    if (!ctx) return;
    ssa_backend *be = ctx->backend;
    ssa_error    ignored = {0};
    be->vt->wait(be, &ignored);
    while (ctx->buffers) {
        ssa_buffer *next = ctx->buffers->next;
        be->vt->free(be, ctx->buffers);
        ctx->buffers = next;
    }
    be->vt->destroy(be);
    free(ctx);
}

const char *ssa_context_device(const ssa_context *ctx) { return ctx->backend->name; }
const char *ssa_context_description(const ssa_context *ctx) { return ctx->backend->description; }
const char *ssa_context_remark(const ssa_context *ctx) { return ctx->backend->remark; }
ssa_error  *ssa_context_error(ssa_context *ctx) { return &ctx->error; }
uint64_t    ssa_context_memory(const ssa_context *ctx) { return ctx->backend->memory_bytes; }
uint64_t    ssa_context_max_buffer(const ssa_context *ctx) { return ctx->backend->max_buffer_bytes; }
uint64_t    ssa_context_allocated(const ssa_context *ctx) { return ctx->allocated; }

void context_tell(ssa_context *ctx, bool detail, const char *format, ...) {
    const ssa_backend *be = ctx->backend;
    char               text[160];
    va_list            args;
    if (!be->activity) return;
    va_start(args, format);
    if (format) vsnprintf(text, sizeof text, format, args);
    va_end(args);
    be->activity(be->activity_user, detail, format ? text : NULL);
}

int ssa_context_validation_messages(const ssa_context *ctx) {
    const ssa_backend *be = ctx->backend;
    return be->vt->validation_messages ? be->vt->validation_messages(be) : 0;
}

ssa_status ssa_profile_read(ssa_context *ctx, ssa_profile_row *rows, int capacity, int *count) {
    ssa_backend *be = ctx->backend;
    *count = 0;
    return be->vt->profile ? be->vt->profile(be, rows, capacity, count, &ctx->error) : SSA_OK;
}

ssa_status ssa_compile_report(ssa_context *ctx, void (*each)(void *user, const ssa_compiled *kernel), void *user) {
    ssa_backend *be = ctx->backend;
    if (!be->vt->compile_report) return ssa_fail(&ctx->error, SSA_ERR_UNSUPPORTED, "%s compiles no kernels to report", be->name);
    return be->vt->compile_report(be, each, user, &ctx->error);
}

ssa_status ssa_choices_get(ssa_context *ctx, void (*line)(void *user, const char *text), void *user) {
    return ctx->backend->vt->choices_get ? ctx->backend->vt->choices_get(ctx->backend, line, user) : SSA_OK;
}

ssa_status ssa_choices_set(ssa_context *ctx, const char *line) {
    return ctx->backend->vt->choices_set ? ctx->backend->vt->choices_set(ctx->backend, line, &ctx->error) : SSA_OK;
}

ssa_status ssa_kernels_of(ssa_context *ctx, ssa_op op, int count, const ssa_tensor *operands, const ssa_attrs *attrs,
                          void (*each)(void *user, const char *kernel), void *user) {
    ssa_call call;
    SSA_TRY(ssa_call_prepare(&ctx->error, op, count, operands, attrs, &call));
    return ctx->backend->vt->kernels ? ctx->backend->vt->kernels(ctx->backend, &call, each, user, &ctx->error) : SSA_OK;
}

ssa_status ssa_variants(ssa_context *ctx, ssa_variant_fn each, void *user) {
    return ctx->backend->vt->variants ? ctx->backend->vt->variants(ctx->backend, each, user) : SSA_OK;
}

int64_t ssa_numel(const ssa_tensor *t) {
    int64_t n = 1;
    for (int i = 0; i < t->rank; i++) n *= t->shape[i];
    return n;
}

ssa_status ssa_tensor_create(ssa_context *ctx, ssa_dtype dtype, int rank, const int64_t *shape, ssa_tensor *out) {
    ssa_backend *be = ctx->backend;
    ssa_tensor   t = {.rank = rank, .dtype = dtype};
    int64_t      elements = 1;
    if (rank < 1 || rank > SSA_MAX_RANK) return ssa_fail(&ctx->error, SSA_ERR_INPUT, "tensor rank %d is out of range 1..%d", rank, SSA_MAX_RANK);
    if (dtype == SSA_F64 && !be->has_f64) return ssa_fail(&ctx->error, SSA_ERR_UNSUPPORTED, "dtype f64 exists on the CPU only, not on %s", be->name);
    for (int i = 0; i < rank; i++) {
        if (shape[i] < 1) return ssa_fail(&ctx->error, SSA_ERR_INPUT, "tensor dimension %d is %lld, below 1", i, (long long)shape[i]);
        if (elements > INT64_MAX / 8 / shape[i]) return ssa_fail(&ctx->error, SSA_ERR_INPUT, "tensor of more than 2^60 elements");
        elements *= t.shape[i] = shape[i];
    }
    SSA_TRY(be->vt->alloc(be, dtype, elements, &t.buffer, &ctx->error));
    t.buffer->dtype = dtype;
    t.buffer->elements = elements;
    t.buffer->prev = NULL;
    t.buffer->next = ctx->buffers;
    if (ctx->buffers) ctx->buffers->prev = t.buffer;
    ctx->buffers = t.buffer;
    ctx->allocated += t.buffer->bytes;
    *out = t;
    return SSA_OK;
}

void ssa_tensor_free(ssa_context *ctx, ssa_tensor *t) {
    ssa_buffer *b = t->buffer;
    if (!b) return;
    if (b->prev) b->prev->next = b->next; else ctx->buffers = b->next;
    if (b->next) b->next->prev = b->prev;
    ctx->allocated -= b->bytes;
    ctx->backend->vt->free(ctx->backend, b);
    memset(t, 0, sizeof *t);
}

ssa_tensor ssa_view_shape(ssa_tensor t, int64_t first, int rank, const int64_t *shape) {
    t.offset += first;
    t.rank = rank;
    for (int i = 0; i < rank; i++) t.shape[i] = shape[i];
    return t;
}

static ssa_status check_host_copy(ssa_context *ctx, const ssa_tensor *t, const char *what) {
    if (ctx->recording) return ssa_fail(&ctx->error, SSA_ERR_INPUT, "%s while a program is being recorded", what);
    if (!t->buffer || t->offset < 0 || t->offset + ssa_numel(t) > t->buffer->elements)
        return ssa_fail(&ctx->error, SSA_ERR_INPUT, "%s of a tensor outside its buffer", what);
    return SSA_OK;
}

ssa_status ssa_write(ssa_context *ctx, ssa_tensor t, const void *host) {
    SSA_TRY(check_host_copy(ctx, &t, "write"));
    return ctx->backend->vt->write(ctx->backend, t.buffer, t.offset, ssa_numel(&t), host, &ctx->error);
}

ssa_status ssa_read(ssa_context *ctx, ssa_tensor t, void *host) {
    SSA_TRY(check_host_copy(ctx, &t, "read"));
    return ctx->backend->vt->read(ctx->backend, t.buffer, t.offset, ssa_numel(&t), host, &ctx->error);
}

/* The _f32 forms convert piece by piece, so that a large tensor needs no second copy on the host. */
enum { PIECE = 1 << 20 };

ssa_status ssa_write_f32(ssa_context *ctx, ssa_tensor t, const float *host) {
    if (t.dtype == SSA_F32) return ssa_write(ctx, t, host);
    void *piece = malloc(PIECE * 8);
    if (!piece) return ssa_fail(&ctx->error, SSA_ERR_MEMORY, "out of memory for a conversion buffer");
    ssa_status s = SSA_OK;
    for (int64_t i = 0, n = ssa_numel(&t); i < n && !s; i += PIECE) {
        int64_t count = n - i < PIECE ? n - i : PIECE;
        ssa_from_f32(piece, t.dtype, host + i, count);
        s = ssa_write(ctx, ssa_view(t, i, count), piece);
    }
    free(piece);
    return s;
}

ssa_status ssa_read_f32(ssa_context *ctx, ssa_tensor t, float *host) {
    if (t.dtype == SSA_F32) return ssa_read(ctx, t, host);
    void *piece = malloc(PIECE * 8);
    if (!piece) return ssa_fail(&ctx->error, SSA_ERR_MEMORY, "out of memory for a conversion buffer");
    ssa_status s = SSA_OK;
    for (int64_t i = 0, n = ssa_numel(&t); i < n && !s; i += PIECE) {
        int64_t count = n - i < PIECE ? n - i : PIECE;
        s = ssa_read(ctx, ssa_view(t, i, count), piece);
        if (!s) ssa_to_f32(host + i, piece, t.dtype, count);
    }
    free(piece);
    return s;
}

ssa_status ssa_copy_between(ssa_context *from, ssa_tensor src, ssa_context *to, ssa_tensor dst) {
    if (src.dtype != dst.dtype || ssa_numel(&src) != ssa_numel(&dst))
        return ssa_fail(&to->error, SSA_ERR_INPUT, "copy between tensors of different dtype or size");
    void *piece = malloc(PIECE * 8);
    if (!piece) return ssa_fail(&to->error, SSA_ERR_MEMORY, "out of memory for a copy buffer");
    ssa_status s = SSA_OK;
    for (int64_t i = 0, n = ssa_numel(&src); i < n && !s; i += PIECE) {
        int64_t count = n - i < PIECE ? n - i : PIECE;
        s = ssa_read(from, ssa_view(src, i, count), piece);
        if (!s) s = ssa_write(to, ssa_view(dst, i, count), piece);
    }
    free(piece);
    return s;
}

ssa_status ssa_prepare_begin(ssa_context *ctx) {
    if (ctx->recording || ctx->preparing) return ssa_fail(&ctx->error, SSA_ERR_INPUT, "a program is being %s already", ctx->recording ? "recorded" : "prepared");
    ctx->preparing = true;
    return SSA_OK;
}

ssa_status ssa_prepare_end(ssa_context *ctx) {
    if (!ctx->preparing) return ssa_fail(&ctx->error, SSA_ERR_INPUT, "no program is being prepared");
    ctx->preparing = false;
    return ctx->backend->vt->prepared ? ctx->backend->vt->prepared(ctx->backend, &ctx->error) : SSA_OK;
}

ssa_status ssa_record_begin(ssa_context *ctx) {
    if (ctx->recording) return ssa_fail(&ctx->error, SSA_ERR_INPUT, "a program is being recorded already");
    SSA_TRY(ctx->backend->vt->record_begin(ctx->backend, &ctx->error));
    ctx->recording = true;
    return SSA_OK;
}

ssa_status ssa_record_end(ssa_context *ctx, ssa_program **out) {
    if (!ctx->recording) return ssa_fail(&ctx->error, SSA_ERR_INPUT, "no program is being recorded");
    ctx->recording = false;
    return ctx->backend->vt->record_end(ctx->backend, out, &ctx->error);
}

ssa_status ssa_replay(ssa_context *ctx, ssa_program *program) {
    return ctx->backend->vt->replay(ctx->backend, program, &ctx->error);
}

void ssa_program_free(ssa_context *ctx, ssa_program *program) {
    if (program) ctx->backend->vt->program_free(ctx->backend, program);
}

ssa_status ssa_wait(ssa_context *ctx) { return ctx->backend->vt->wait(ctx->backend, &ctx->error); }
