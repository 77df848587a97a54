/* The shadow check: a backend that runs every call on a device and on the CPU, and stops at the first that differs.
 *
 * Every buffer exists twice. Before a call its inputs are copied from the device to the CPU, so that each operation is judged on
 * its own: what went wrong earlier is not counted again, operations in place (AdamW, the residual path) start from equal values,
 * and the CPU attends the blocks that the device selected. Nothing is recorded on the device: a program is the list of its calls,
 * run one by one, so the sentence names the operation. */
#include "shadow.h"
#include "program.h"
#include <stdlib.h>
#include <string.h>

typedef struct { ssa_buffer base; ssa_buffer *device, *cpu; } shadow_buffer;

typedef struct {
    ssa_backend  base;
    ssa_backend *device, *cpu;
    ssa_program *recording;
} shadow_backend;

/* -- memory ---------------------------------------------------------------------------------------------------------- */

static ssa_status half(ssa_backend *be, ssa_dtype dtype, int64_t elements, ssa_buffer **out, ssa_error *err) {
    SSA_TRY(be->vt->alloc(be, dtype, elements, out, err));
    (*out)->dtype = dtype; /* the front end fills these in for the buffer it sees */
    (*out)->elements = elements;
    return SSA_OK;
}

static ssa_status shadow_alloc(ssa_backend *backend, ssa_dtype dtype, int64_t elements, ssa_buffer **out, ssa_error *err) {
    shadow_backend *be = (shadow_backend *)backend;
    shadow_buffer  *b = calloc(1, sizeof *b);
    if (!b) return ssa_fail(err, SSA_ERR_MEMORY, "out of memory for a buffer");
    ssa_status s = half(be->device, dtype, elements, &b->device, err);
    if (!s) s = half(be->cpu, dtype, elements, &b->cpu, err);
    if (s) {
        if (b->device) be->device->vt->free(be->device, b->device);
        free(b);
        return s;
    }
    b->base.bytes = b->device->bytes;
    *out = &b->base;
    return SSA_OK;
}

static void shadow_free(ssa_backend *backend, ssa_buffer *buffer) {
    shadow_backend *be = (shadow_backend *)backend;
    shadow_buffer  *b = (shadow_buffer *)buffer;
    be->device->vt->free(be->device, b->device);
    be->cpu->vt->free(be->cpu, b->cpu);
    free(b);
}

static ssa_status shadow_write(ssa_backend *backend, ssa_buffer *buffer, int64_t first, int64_t count, const void *host, ssa_error *err) {
    shadow_backend *be = (shadow_backend *)backend;
    return be->device->vt->write(be->device, ((shadow_buffer *)buffer)->device, first, count, host, err);
}

static ssa_status shadow_read(ssa_backend *backend, ssa_buffer *buffer, int64_t first, int64_t count, void *host, ssa_error *err) {
    shadow_backend *be = (shadow_backend *)backend;
    return be->device->vt->read(be->device, ((shadow_buffer *)buffer)->device, first, count, host, err);
}

/* -- a call on both sides -------------------------------------------------------------------------------------------- */

static ssa_status fetch(ssa_backend *be, const ssa_tensor *t, void **out, ssa_error *err) {
    int64_t n = ssa_numel(t);
    *out = malloc((size_t)n * ssa_dtype_size(t->dtype));
    if (!*out) return ssa_fail(err, SSA_ERR_MEMORY, "out of memory for the shadow check of %lld elements", (long long)n);
    return be->vt->read(be, t->buffer, t->offset, n, *out, err);
}

static ssa_status both(shadow_backend *be, const ssa_call *call, shadow_operand *o, ssa_error *err) {
    ssa_call    device = *call, cpu = *call;
    ssa_op_info info;
    ssa_op_describe(call->op, &info);
    for (int i = 0; i < call->count; i++) {
        shadow_buffer *b = (shadow_buffer *)call->t[i].buffer;
        device.t[i].buffer = b->device;
        cpu.t[i].buffer = b->cpu;
        if (info.operand[i].out && !info.operand[i].inout) continue;
        SSA_TRY(fetch(be->device, &device.t[i], &o[i].before, err));
        SSA_TRY(be->cpu->vt->write(be->cpu, b->cpu, call->t[i].offset, ssa_numel(&call->t[i]), o[i].before, err));
    }
    SSA_TRY(be->device->vt->run(be->device, &device, err));
    SSA_TRY(be->cpu->vt->run(be->cpu, &cpu, err));
    for (int i = info.inputs; i < call->count; i++) {
        SSA_TRY(fetch(be->device, &device.t[i], &o[i].got, err));
        SSA_TRY(fetch(be->cpu, &cpu.t[i], &o[i].want, err));
    }
    return shadow_compare(be->cpu, be->base.name, call, o, err);
}

static ssa_status execute(shadow_backend *be, const ssa_call *call, ssa_error *err) {
    shadow_operand o[SSA_MAX_OPERANDS] = {0};
    ssa_status     s = both(be, call, o, err);
    for (int i = 0; i < call->count; i++) {
        free(o[i].before);
        free(o[i].got);
        free(o[i].want);
    }
    return s;
}

/* -- running and recording ------------------------------------------------------------------------------------------- */

static ssa_status shadow_run(ssa_backend *backend, const ssa_call *call, ssa_error *err) {
    shadow_backend *be = (shadow_backend *)backend;
    return be->recording ? program_append(be->recording, call, err) : execute(be, call, err);
}

static ssa_status shadow_record_begin(ssa_backend *backend, ssa_error *err) { return program_begin(&((shadow_backend *)backend)->recording, err); }

static ssa_status shadow_record_end(ssa_backend *backend, ssa_program **out, ssa_error *err) {
    (void)err;
    shadow_backend *be = (shadow_backend *)backend;
    *out = be->recording;
    be->recording = NULL;
    return SSA_OK;
}

static ssa_status shadow_replay(ssa_backend *be, ssa_program *program, ssa_error *err) {
    for (int i = 0; i < program->count; i++) SSA_TRY(execute((shadow_backend *)be, &program->calls[i], err));
    return SSA_OK;
}

static void shadow_program_free(ssa_backend *be, ssa_program *program) {
    (void)be;
    program_free(program);
}

static ssa_status shadow_wait(ssa_backend *backend, ssa_error *err) {
    shadow_backend *be = (shadow_backend *)backend;
    return be->device->vt->wait(be->device, err);
}

static ssa_status shadow_scratch(ssa_backend *backend, const ssa_call *call, uint64_t *bytes, ssa_error *err) {
    shadow_backend *be = (shadow_backend *)backend;
    *bytes = 0;
    return be->device->vt->scratch ? be->device->vt->scratch(be->device, call, bytes, err) : SSA_OK;
}

static ssa_status shadow_kernels(ssa_backend *backend, const ssa_call *call, void (*each)(void *user, const char *kernel), void *user, ssa_error *err) {
    ssa_backend *device = ((shadow_backend *)backend)->device;
    return device->vt->kernels ? device->vt->kernels(device, call, each, user, err) : SSA_OK;
}

static ssa_status shadow_compile_report(ssa_backend *backend, void (*each)(void *user, const ssa_compiled *kernel), void *user, ssa_error *err) {
    ssa_backend *device = ((shadow_backend *)backend)->device;
    if (device->vt->compile_report) return device->vt->compile_report(device, each, user, err);
    return ssa_fail(err, SSA_ERR_UNSUPPORTED, "%s compiles no kernels to report", device->name);
}

/* Choosing goes to the device: what it would run is what is checked. */
static ssa_status shadow_prepare(ssa_backend *backend, const ssa_call *call, ssa_error *err) {
    shadow_backend *be = (shadow_backend *)backend;
    return be->device->vt->prepare ? be->device->vt->prepare(be->device, call, err) : SSA_OK;
}

static ssa_status shadow_prepared(ssa_backend *backend, ssa_error *err) {
    ssa_backend *device = ((shadow_backend *)backend)->device;
    return device->vt->prepared ? device->vt->prepared(device, err) : SSA_OK;
}

static ssa_status shadow_variants(ssa_backend *backend, ssa_variant_fn each, void *user) {
    ssa_backend *device = ((shadow_backend *)backend)->device;
    return device->vt->variants ? device->vt->variants(device, each, user) : SSA_OK;
}

static ssa_status shadow_profile(ssa_backend *backend, ssa_profile_row *rows, int capacity, int *count, ssa_error *err) {
    shadow_backend *be = (shadow_backend *)backend;
    return be->device->vt->profile ? be->device->vt->profile(be->device, rows, capacity, count, err) : SSA_OK;
}

static ssa_status shadow_choices_get(ssa_backend *backend, void (*line)(void *user, const char *text), void *user) {
    ssa_backend *device = ((shadow_backend *)backend)->device;
    return device->vt->choices_get ? device->vt->choices_get(device, line, user) : SSA_OK;
}

static ssa_status shadow_choices_set(ssa_backend *backend, const char *line, ssa_error *err) {
    ssa_backend *device = ((shadow_backend *)backend)->device;
    return device->vt->choices_set ? device->vt->choices_set(device, line, err) : SSA_OK;
}

static int shadow_validation_messages(const ssa_backend *backend) {
    const shadow_backend *be = (const shadow_backend *)backend;
    return be->device->vt->validation_messages ? be->device->vt->validation_messages(be->device) : 0;
}

static void shadow_destroy(ssa_backend *backend) {
    shadow_backend *be = (shadow_backend *)backend;
    program_free(be->recording);
    be->device->vt->destroy(be->device);
    if (be->cpu) be->cpu->vt->destroy(be->cpu);
    free(be);
}

static const ssa_backend_vtable vtable = {
    .alloc = shadow_alloc, .free = shadow_free, .write = shadow_write, .read = shadow_read, .run = shadow_run,
    .record_begin = shadow_record_begin, .record_end = shadow_record_end, .replay = shadow_replay, .program_free = shadow_program_free,
    .wait = shadow_wait, .scratch = shadow_scratch, .kernels = shadow_kernels, .compile_report = shadow_compile_report, .prepare = shadow_prepare, .prepared = shadow_prepared, .variants = shadow_variants, .profile = shadow_profile, .choices_get = shadow_choices_get,
    .choices_set = shadow_choices_set, .validation_messages = shadow_validation_messages, .destroy = shadow_destroy,
};

ssa_status ssa_shadow_wrap(ssa_backend *device, ssa_backend **out, ssa_error *err) {
    shadow_backend *be = calloc(1, sizeof *be);
    if (!be) {
        device->vt->destroy(device);
        return ssa_fail(err, SSA_ERR_MEMORY, "out of memory for the shadow check");
    }
    be->base = *device; /* name and description too: a run may be checked for a while and go on unchecked with the same choices */
    be->base.vt = &vtable;
    be->device = device;
    ssa_status s = ssa_cpu_backend_create(device->threads, false, &be->cpu, err);
    if (s) shadow_destroy(&be->base);
    else *out = &be->base;
    return s;
}
