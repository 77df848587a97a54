/* The GPU backend: lowers calls into launches and hands them to its device, at once or recorded. */
#include "gemm.h"
#include "inside.h"
#include <stdio.h>
#include <stdlib.h>

static const lower_fn lowerings[SSA_OP_COUNT] = {
#define OP(ID, name, inputs, outputs, attributes) lower_##name,
#include "ssa/ops.def"
#undef OP
};

/* -- memory ---------------------------------------------------------------------------------------------------------- */

ssa_status gpu_alloc(ssa_backend *backend, ssa_dtype dtype, int64_t elements, ssa_buffer **out, ssa_error *err) {
    gpu_backend *be = (gpu_backend *)backend;
    gpu_buffer  *b = calloc(1, sizeof *b);
    if (!b) return ssa_fail(err, SSA_ERR_MEMORY, "out of memory for a buffer");
    b->element_bytes = widened(&be->dev->limits, dtype) ? 4 : (uint32_t)ssa_dtype_size(dtype);
    b->base.dtype = dtype;
    b->base.elements = elements;
    b->base.bytes = (uint64_t)elements * b->element_bytes;
    if (b->base.bytes > be->dev->limits.max_buffer) {
        ssa_fail(err, SSA_ERR_MEMORY, "a tensor of %llu bytes is beyond %s's largest buffer of %llu", (unsigned long long)b->base.bytes, be->base.name, (unsigned long long)be->dev->limits.max_buffer);
        free(b);
        return SSA_ERR_MEMORY;
    }
    ssa_status s = be->dev->vt->alloc(be->dev, b->base.bytes, &b->memory, err);
    if (s) free(b); else *out = &b->base;
    return s;
}

void gpu_free(ssa_backend *backend, ssa_buffer *buffer) {
    gpu_backend *be = (gpu_backend *)backend;
    be->dev->vt->free(be->dev, ((gpu_buffer *)buffer)->memory);
    free(buffer);
}

/* Host copies of widened tensors pass through pieces of float. */
enum { PIECE = 1 << 18 };

static ssa_status gpu_write(ssa_backend *backend, ssa_buffer *buffer, int64_t first, int64_t count, const void *host, ssa_error *err) {
    gpu_backend *be = (gpu_backend *)backend;
    gpu_buffer  *b = (gpu_buffer *)buffer;
    uint64_t     size = b->element_bytes;
    if (!widened(&be->dev->limits, buffer->dtype)) return be->dev->vt->write(be->dev, b->memory, (uint64_t)first * size, (uint64_t)count * size, host, err);
    float *piece = malloc(PIECE * sizeof *piece);
    if (!piece) return ssa_fail(err, SSA_ERR_MEMORY, "out of memory for a conversion buffer");
    ssa_status s = SSA_OK;
    for (int64_t i = 0; i < count && !s; i += PIECE) {
        int64_t n = min_i64(PIECE, count - i);
        ssa_to_f32(piece, (const char *)host + (size_t)i * ssa_dtype_size(buffer->dtype), buffer->dtype, n);
        s = be->dev->vt->write(be->dev, b->memory, (uint64_t)(first + i) * size, (uint64_t)n * size, piece, err);
    }
    free(piece);
    return s;
}

static ssa_status gpu_read(ssa_backend *backend, ssa_buffer *buffer, int64_t first, int64_t count, void *host, ssa_error *err) {
    gpu_backend *be = (gpu_backend *)backend;
    gpu_buffer  *b = (gpu_buffer *)buffer;
    uint64_t     size = b->element_bytes;
    if (!widened(&be->dev->limits, buffer->dtype)) return be->dev->vt->read(be->dev, b->memory, (uint64_t)first * size, (uint64_t)count * size, host, err);
    float *piece = malloc(PIECE * sizeof *piece);
    if (!piece) return ssa_fail(err, SSA_ERR_MEMORY, "out of memory for a conversion buffer");
    ssa_status s = SSA_OK;
    for (int64_t i = 0; i < count && !s; i += PIECE) {
        int64_t n = min_i64(PIECE, count - i);
        s = be->dev->vt->read(be->dev, b->memory, (uint64_t)(first + i) * size, (uint64_t)n * size, piece, err);
        if (!s) ssa_from_f32((char *)host + (size_t)i * ssa_dtype_size(buffer->dtype), buffer->dtype, piece, n);
    }
    free(piece);
    return s;
}

/* -- running --------------------------------------------------------------------------------------------------------- */

static ssa_status lower(gpu_backend *be, const ssa_call *call, ssa_error *err) {
    lowering l = {.be = be, .forced = be->dev->variants, .tuner = &be->tuner, .call = call, .limits = &be->dev->limits, .err = err};
    return lowerings[call->op](&l, call);
}

ssa_status lower_estimate(const ssa_call *call, const dev_limits *limits, const char *forced, uint64_t *scratch_bytes, double *flops, double *bytes, ssa_error *err) {
    lowering l = {.call = call, .limits = limits, .forced = forced, .err = err};
    SSA_TRY(lowerings[call->op](&l, call));
    *scratch_bytes = l.scratch_peak;
    *flops = l.flops;
    *bytes = l.bytes;
    return SSA_OK;
}

static ssa_status gpu_run(ssa_backend *backend, const ssa_call *call, ssa_error *err) {
    gpu_backend *be = (gpu_backend *)backend;
    if (be->recording) return lower(be, call, err);
    be->list.count = 0;
    SSA_TRY(lower(be, call, err));
    return be->dev->vt->run(be->dev, be->list.item, be->list.count, err);
}

static ssa_status gpu_record_begin(ssa_backend *backend, ssa_error *err) {
    (void)err;
    gpu_backend *be = (gpu_backend *)backend;
    be->list.count = 0;
    be->recording = true;
    return SSA_OK;
}

static ssa_status gpu_record_end(ssa_backend *backend, ssa_program **out, ssa_error *err) {
    gpu_backend *be = (gpu_backend *)backend;
    be->recording = false;
    ssa_program *p = calloc(1, sizeof *p);
    if (!p) return ssa_fail(err, SSA_ERR_MEMORY, "out of memory for a program");
    ssa_status s = be->dev->vt->record(be->dev, be->list.item, be->list.count, &p->recorded, err);
    if (s) free(p); else *out = p;
    return s;
}

static ssa_status gpu_replay(ssa_backend *backend, ssa_program *program, ssa_error *err) {
    gpu_backend *be = (gpu_backend *)backend;
    return be->dev->vt->replay(be->dev, program->recorded, err);
}

static void gpu_program_free(ssa_backend *backend, ssa_program *program) {
    gpu_backend *be = (gpu_backend *)backend;
    be->dev->vt->recorded_free(be->dev, program->recorded);
    free(program);
}

static ssa_status gpu_wait(ssa_backend *backend, ssa_error *err) {
    gpu_backend *be = (gpu_backend *)backend;
    return be->dev->vt->wait(be->dev, err);
}

/* -- choosing -------------------------------------------------------------------------------------------------------- */

static ssa_status gpu_prepare(ssa_backend *backend, const ssa_call *call, ssa_error *err) {
    gpu_backend *be = (gpu_backend *)backend;
    lowering     l = {.call = call, .limits = &be->dev->limits, .forced = be->dev->variants, .tuner = &be->tuner, .considering = true, .err = err};
    return lowerings[call->op](&l, call);
}

static ssa_status gpu_prepared(ssa_backend *backend, ssa_error *err) { return tuner_decide(&((gpu_backend *)backend)->tuner, err); }

/* What the tuner runs: one call with one candidate. */
static ssa_status run_candidate(ssa_backend *backend, const ssa_call *call, const char *kernel, const char *name, double *seconds, ssa_error *err) {
    gpu_backend *be = (gpu_backend *)backend;
    char         forced[2 * TUNE_NAME];
    if ((size_t)snprintf(forced, sizeof forced, "%s=%s", kernel, name) >= sizeof forced) return ssa_fail(err, SSA_ERR_RUNTIME, "kernel name %s is too long", kernel);
    lowering l = {.be = be, .forced = forced, .call = call, .limits = &be->dev->limits, .err = err};
    be->list.count = 0;
    SSA_TRY(lowerings[call->op](&l, call));
    if (seconds) return be->dev->vt->time(be->dev, be->list.item, be->list.count, seconds, err);
    return be->dev->vt->run(be->dev, be->list.item, be->list.count, err);
}

static ssa_status gpu_scratch(ssa_backend *backend, const ssa_call *call, uint64_t *bytes, ssa_error *err) {
    double flops, moved;
    const device *dev = ((gpu_backend *)backend)->dev;
    return lower_estimate(call, &dev->limits, dev->variants, bytes, &flops, &moved, err);
}

static ssa_status gpu_kernels(ssa_backend *backend, const ssa_call *call, void (*each)(void *user, const char *kernel), void *user, ssa_error *err) {
    const device *dev = ((gpu_backend *)backend)->dev;
    lowering      l = {.call = call, .limits = &dev->limits, .forced = dev->variants, .err = err, .each = each, .user = user};
    return lowerings[call->op](&l, call);
}

static ssa_status gpu_variants(ssa_backend *backend, ssa_variant_fn each, void *user) {
    const dev_limits *limits = &((gpu_backend *)backend)->dev->limits;
    for (int i = 0; variant_at(i); i++) {
        const variant *v = variant_at(i);
        char           why[128] = "";
        bool           runs = variant_runs(v, limits, why, sizeof why);
        if (runs && v == variant_first(v->kernel, limits, NULL) && strcmp(v->kernel, "matmul")) snprintf(why, sizeof why, "default");
        each(user, v->kernel, v->name, v->source, runs, why);
    }
    return SSA_OK;
}

static ssa_status gpu_choices_get(ssa_backend *backend, void (*line)(void *user, const char *text), void *user) {
    const tune_choices *c = &((gpu_backend *)backend)->tuner.choices;
    char                text[TUNE_KEY + TUNE_NAME + 48];
    for (int i = 0; i < c->count; i++) {
        tune_line(&c->item[i], text, sizeof text);
        line(user, text);
    }
    return SSA_OK;
}

static ssa_status gpu_choices_set(ssa_backend *backend, const char *line, ssa_error *err) {
    tune_choice c;
    if (!tune_parse(line, &c)) return ssa_fail(err, SSA_ERR_INPUT, "%s does not understand the recorded choice \"%.100s\"", backend->name, line);
    c.origin = TUNE_RECORDED;
    return tune_put(&((gpu_backend *)backend)->tuner.choices, &c, err);
}

static ssa_status gpu_profile(ssa_backend *backend, ssa_profile_row *rows, int capacity, int *count, ssa_error *err) {
    gpu_backend *be = (gpu_backend *)backend;
    return be->dev->vt->profile ? be->dev->vt->profile(be->dev, rows, capacity, count, err) : SSA_OK;
}

static int gpu_validation_messages(const ssa_backend *backend) {
    const gpu_backend *be = (const gpu_backend *)backend;
    return be->dev->vt->validation_messages ? be->dev->vt->validation_messages(be->dev) : 0;
}

static ssa_status gpu_compile_report(ssa_backend *backend, void (*each)(void *user, const ssa_compiled *kernel), void *user, ssa_error *err) {
    gpu_backend *be = (gpu_backend *)backend;
    if (!be->dev->vt->compile_report) return ssa_fail(err, SSA_ERR_UNSUPPORTED, "%s was not opened to compile only", backend->name);
    return be->dev->vt->compile_report(be->dev, each, user, err);
}

static void gpu_destroy(ssa_backend *backend) {
    gpu_backend *be = (gpu_backend *)backend;
    tuner_close(&be->tuner);
    if (be->scratch) gpu_free(backend, &be->scratch->base);
    for (int i = 0; i < be->retired_count; i++) gpu_free(backend, &be->retired[i]->base);
    be->dev->vt->destroy(be->dev);
    free(be->retired);
    free(be->list.item);
    free(be);
}

static const ssa_backend_vtable vtable = {
    .alloc = gpu_alloc, .free = gpu_free, .write = gpu_write, .read = gpu_read, .run = gpu_run, .record_begin = gpu_record_begin,
    .record_end = gpu_record_end, .replay = gpu_replay, .program_free = gpu_program_free, .wait = gpu_wait, .scratch = gpu_scratch, .kernels = gpu_kernels,
    .variants = gpu_variants, .prepare = gpu_prepare, .prepared = gpu_prepared, .choices_get = gpu_choices_get, .choices_set = gpu_choices_set, .profile = gpu_profile,
    .validation_messages = gpu_validation_messages, .compile_report = gpu_compile_report, .destroy = gpu_destroy,
};

ssa_status gpu_backend_create(device *dev, ssa_tune_mode tune, ssa_backend **out, ssa_error *err) {
    gpu_backend *be = calloc(1, sizeof *be);
    if (!be) {
        dev->vt->destroy(dev);
        return ssa_fail(err, SSA_ERR_MEMORY, "out of memory for a backend");
    }
    be->base.vt = &vtable;
    be->dev = dev;
    be->tuner.run = run_candidate;
    be->base.widens_16bit = !dev->limits.storage16;
    be->base.memory_bytes = dev->limits.heap;
    be->base.max_buffer_bytes = dev->limits.max_buffer;
    snprintf(be->base.name, sizeof be->base.name, "%s:%d", dev->info.api, dev->info.index);
    snprintf(be->base.description, sizeof be->base.description, "%s, %s", dev->info.name, dev->info.driver);
    ssa_status s = tuner_open(&be->tuner, &be->base, dev, tune, err);
    if (s) gpu_destroy(&be->base); else *out = &be->base;
    return s;
}
