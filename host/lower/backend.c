/* The GPU backend: lowers calls into launches and hands them to its device, at once or recorded. */
#include "gemm.h"
#include <stdio.h>
#include <stdlib.h>

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
} gpu_backend;

struct lowering {
    gpu_backend      *be;   /* NULL: dry run */
    const ssa_call   *call;
    const dev_limits *limits;
    ssa_error        *err;
    uint64_t          scratch_used, scratch_peak;
    double            flops, bytes;
    void            (*each)(void *user, const char *kernel); /* dry run: told the kernels, or NULL */
    void             *user;
};

static const lower_fn lowerings[SSA_OP_COUNT] = {
#define OP(ID, name, inputs, outputs, attributes) lower_##name,
#include "ssa/ops.def"
#undef OP
};

const ssa_call   *lowered_call(const lowering *l) { return l->call; }
const dev_limits *lowered_limits(const lowering *l) { return l->limits; }
ssa_error        *lowering_error(lowering *l) { return l->err; }

static bool widened(const dev_limits *limits, ssa_dtype dtype) { return (dtype == SSA_BF16 || dtype == SSA_F16) && !limits->storage16; }
int64_t element_bytes(const lowering *l, ssa_dtype dtype) { return widened(l->limits, dtype) ? 4 : (int64_t)ssa_dtype_size(dtype); }

/* -- memory ---------------------------------------------------------------------------------------------------------- */

static ssa_status gpu_alloc(ssa_backend *backend, ssa_dtype dtype, int64_t elements, ssa_buffer **out, ssa_error *err) {
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

static void gpu_free(ssa_backend *backend, ssa_buffer *buffer) {
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

/* -- lowering -------------------------------------------------------------------------------------------------------- */

ssa_status scratch(lowering *l, ssa_dtype dtype, int64_t elements, ssa_tensor *out) {
    uint64_t first = l->scratch_used, bytes = ((uint64_t)elements * 4 + 255) / 256 * 256;
    *out = (ssa_tensor){.offset = (int64_t)(first / 4), .shape = {elements}, .rank = 1, .dtype = dtype};
    l->scratch_used += bytes;
    if (l->scratch_used > l->scratch_peak) l->scratch_peak = l->scratch_used;
    gpu_backend *be = l->be;
    if (!be) return SSA_OK;
    if (!be->scratch || be->scratch->base.bytes < l->scratch_used) {
        /* A larger one. The old one lives on: launches of this call, or a recorded program, may refer to it. What this call
         * has put there already stays there, so a fresh scratch starts at 0 for this piece. */
        uint64_t    size = 1 << 20;
        ssa_buffer *fresh;
        while (size < l->scratch_used) size *= 2;
        if (size > be->dev->limits.max_buffer) size = be->dev->limits.max_buffer;
        SSA_TRY(gpu_alloc(&be->base, SSA_F32, (int64_t)(size / 4), &fresh, l->err));
        if (be->scratch) {
            gpu_buffer **grown = realloc(be->retired, (size_t)(be->retired_count + 1) * sizeof *grown);
            if (!grown) {
                gpu_free(&be->base, fresh);
                return ssa_fail(l->err, SSA_ERR_MEMORY, "out of memory for scratch");
            }
            be->retired = grown;
            be->retired[be->retired_count++] = be->scratch;
        }
        be->scratch = (gpu_buffer *)fresh;
    }
    out->buffer = &be->scratch->base;
    return SSA_OK;
}

static int storage(const lowering *l, ssa_dtype dtype) {
    if (widened(l->limits, dtype)) return 0;
    return dtype == SSA_BF16 ? 1 : dtype == SSA_F16 ? 2 : 0;
}

static dev_launch *append(gpu_backend *be, ssa_error *err) {
    launch_list *list = &be->list;
    if (list->count == list->capacity) {
        int         capacity = list->capacity ? 2 * list->capacity : 64;
        dev_launch *item = realloc(list->item, (size_t)capacity * sizeof *item);
        if (!item) {
            ssa_fail(err, SSA_ERR_MEMORY, "out of memory for the launch list");
            return NULL;
        }
        list->item = item;
        list->capacity = capacity;
    }
    dev_launch *la = &list->item[list->count++];
    memset(la, 0, sizeof *la);
    return la;
}

static ssa_status bind(lowering *l, dev_binding *out, const launch_binding *b, const char *kernel) {
    const gpu_buffer *g = (const gpu_buffer *)b->t.buffer;
    out->buffer = g->memory;
    out->element_bytes = g->element_bytes;
    out->offset = (uint64_t)b->t.offset * g->element_bytes;
    out->bytes = (uint64_t)ssa_numel(&b->t) * g->element_bytes;
    out->access = b->access;
    /* The device may have to start the binding up to 256 bytes earlier. */
    if (out->bytes + out->offset % 256 > l->limits->max_range)
        return ssa_fail(l->err, SSA_ERR_UNSUPPORTED, "%s: kernel %s needs a binding of %llu bytes, the device allows %llu", ssa_op_name(l->call->op), kernel,
                        (unsigned long long)out->bytes, (unsigned long long)l->limits->max_range);
    /* Kernels index by 32 bits: off[i] + index, for every element up to the binding's last. off[i] counts from the binding where bindings
     * have offsets (and so a range below that of the largest buffer), else from the buffer's start. */
    bool     whole = l->limits->max_range >= l->limits->max_buffer;
    uint64_t first = (whole ? out->offset : out->offset % 256) / out->element_bytes, end = first + out->bytes / out->element_bytes;
    if (end > (uint64_t)1 << 32)
        return ssa_fail(l->err, SSA_ERR_UNSUPPORTED, "%s: kernel %s binds elements up to %llu, and its 32-bit indices reach 4294967296", ssa_op_name(l->call->op),
                        kernel, (unsigned long long)end);
    return SSA_OK;
}

ssa_status launch(lowering *l, const launch_desc *d) {
    l->flops += d->flops;
    l->bytes += d->bytes;
    if (l->each) l->each(l->user, d->kernel);
    if (!l->be) return SSA_OK;
    int64_t groups[3];
    for (int i = 0; i < 3; i++) {
        groups[i] = d->groups[i] ? d->groups[i] : 1;
        if (groups[i] < 0) return ssa_fail(l->err, SSA_ERR_RUNTIME, "kernel %s: negative group count", d->kernel);
    }
    int64_t max_x = l->limits->max_groups[0];
    if (groups[0] > max_x && groups[1] == 1) {
        groups[1] = ceil_div(groups[0], max_x);
        groups[0] = ceil_div(groups[0], groups[1]);
    }
    for (int i = 0; i < 3; i++)
        if (groups[i] > l->limits->max_groups[i])
            return ssa_fail(l->err, SSA_ERR_UNSUPPORTED, "%s: kernel %s needs %lld workgroups in dimension %d, the device allows %u", ssa_op_name(l->call->op), d->kernel,
                            (long long)groups[i], i, l->limits->max_groups[i]);
    if (groups[0] * groups[1] > UINT32_MAX) /* GROUP has 32 bits */
        return ssa_fail(l->err, SSA_ERR_UNSUPPORTED, "%s: kernel %s needs %lld workgroups, and counts them in 32 bits", ssa_op_name(l->call->op), d->kernel,
                        (long long)(groups[0] * groups[1]));
    dev_launch *la = append(l->be, l->err);
    if (!la) return SSA_ERR_MEMORY;
    la->op = ssa_op_name(l->call->op);
    for (int i = 0; i < 3; i++) la->groups[i] = (uint32_t)groups[i];
    while (la->bindings < DEV_MAX_BINDINGS && d->bind[la->bindings].t.buffer) {
        SSA_TRY(bind(l, &la->bind[la->bindings], &d->bind[la->bindings], d->kernel));
        la->bindings++;
    }
    la->params = d->push_count;
    memcpy(la->param, d->push, sizeof la->param);
    la->flops = d->flops;
    la->bytes = d->bytes;
    dev_kernel_desc k = {.name = d->kernel, .act = storage(l, d->act), .act2 = storage(l, d->act2), .bindings = la->bindings, .params = la->params, .subgroup = d->subgroup};
    while (k.constant_count < DEV_MAX_CONSTANTS && d->constants[k.constant_count].name) {
        k.constants[k.constant_count] = d->constants[k.constant_count];
        k.constant_count++;
    }
    return l->be->dev->vt->kernel(l->be->dev, &k, &la->kernel, l->err);
}

ssa_status launch_gemm(lowering *l, const dev_gemm *g, ssa_tensor a, ssa_tensor b, ssa_tensor c, bool *taken) {
    uint64_t   workspace = 0;
    ssa_tensor space = {0};
    uint64_t   before = l->scratch_used;
    *taken = false;
    if (!l->be || !l->be->dev->vt->gemm_offer || a.dtype != SSA_F32 || b.dtype != SSA_F32 || c.dtype != SSA_F32) return SSA_OK;
    if (!l->be->dev->vt->gemm_offer(l->be->dev, g, &workspace)) return SSA_OK;
    if (workspace) SSA_TRY(scratch(l, SSA_F32, (int64_t)(workspace + 3) / 4, &space));
    double flops = 2.0 * (double)g->M * (double)g->N * (double)g->K * (double)g->batch;
    l->flops += flops;
    dev_launch *la = append(l->be, l->err);
    if (!la) return SSA_ERR_MEMORY;
    la->op = ssa_op_name(l->call->op);
    la->gemm = *g;
    la->flops = flops;
    la->bindings = workspace ? 4 : 3;
    launch_binding bindings[4] = {RD(a), RD(b), RW(c), RW(space)};
    for (int i = 0; i < la->bindings; i++) SSA_TRY(bind(l, &la->bind[i], &bindings[i], "gemm"));
    l->scratch_used = before; /* the workspace is done with when the product is: the next one may have it */
    *taken = true;
    return SSA_OK;
}

/* What a device's gemm_offer times its library against, see device.h. In the middle of another operation's lowering: its list
 * is set aside; scratch may be shared, since that operation has not written anything yet. */
static ssa_status own_gemm(void *backend, const dev_gemm *g, dev_buffer *a, dev_buffer *b, dev_buffer *c, ssa_error *err) {
    gpu_backend *be = backend;
    launch_list  kept = be->list;
    ssa_call     call = {.op = SSA_MATMUL};
    lowering     l = {.be = be, .call = &call, .limits = &be->dev->limits, .err = err};
    gpu_buffer   matrix[3] = {{.memory = a, .element_bytes = 4}, {.memory = b, .element_bytes = 4}, {.memory = c, .element_bytes = 4}};
    gemm_desc    d = {g->trans_a, g->trans_b, g->accumulate, (int64_t)g->batch, (int64_t)g->M, (int64_t)g->N, (int64_t)g->K, {0}, {0}, {0}};
    ssa_tensor  *operand[3] = {&d.a, &d.b, &d.c}, work = {0};
    int64_t      elements[3] = {d.batch * d.M * d.K, d.batch * d.K * d.N, d.batch * d.M * d.N};
    for (int i = 0; i < 3; i++)
        *operand[i] = (ssa_tensor){.buffer = &matrix[i].base, .shape = {elements[i]}, .rank = 1, .dtype = SSA_F32};
    be->list = (launch_list){0};
    ssa_status s = lower_gemm_batch(&l, &d, &work);
    if (!s) s = be->dev->vt->run(be->dev, be->list.item, be->list.count, err);
    free(be->list.item);
    be->list = kept;
    return s;
}

static ssa_status lower(gpu_backend *be, const ssa_call *call, ssa_error *err) {
    lowering l = {.be = be, .call = call, .limits = &be->dev->limits, .err = err};
    return lowerings[call->op](&l, call);
}

ssa_status lower_estimate(const ssa_call *call, const dev_limits *limits, uint64_t *scratch_bytes, double *flops, double *bytes, ssa_error *err) {
    lowering l = {.call = call, .limits = limits, .err = err};
    SSA_TRY(lowerings[call->op](&l, call));
    *scratch_bytes = l.scratch_peak;
    *flops = l.flops;
    *bytes = l.bytes;
    return SSA_OK;
}

/* -- running --------------------------------------------------------------------------------------------------------- */

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

static ssa_status gpu_scratch(ssa_backend *backend, const ssa_call *call, uint64_t *bytes, ssa_error *err) {
    double flops, moved;
    return lower_estimate(call, &((gpu_backend *)backend)->dev->limits, bytes, &flops, &moved, err);
}

static ssa_status gpu_kernels(ssa_backend *backend, const ssa_call *call, void (*each)(void *user, const char *kernel), void *user, ssa_error *err) {
    lowering l = {.call = call, .limits = &((gpu_backend *)backend)->dev->limits, .err = err, .each = each, .user = user};
    return lowerings[call->op](&l, call);
}

static ssa_status gpu_choices_get(ssa_backend *backend, void (*line)(void *user, const char *text), void *user) {
    device *dev = ((gpu_backend *)backend)->dev;
    return dev->vt->choices_get ? dev->vt->choices_get(dev, line, user) : SSA_OK;
}

/* A device without choices ignores those of another, so that a run can move between devices. */
static ssa_status gpu_choices_set(ssa_backend *backend, const char *line, ssa_error *err) {
    device *dev = ((gpu_backend *)backend)->dev;
    return dev->vt->choices_set ? dev->vt->choices_set(dev, line, err) : SSA_OK;
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
    if (be->scratch) gpu_free(backend, &be->scratch->base);
    for (int i = 0; i < be->retired_count; i++) gpu_free(backend, &be->retired[i]->base);
    be->dev->vt->destroy(be->dev);
    free(be->retired);
    free(be->list.item);
    free(be);
}

static const ssa_backend_vtable vtable = {
    .alloc = gpu_alloc, .free = gpu_free, .write = gpu_write, .read = gpu_read, .run = gpu_run, .record_begin = gpu_record_begin,
    .record_end = gpu_record_end, .replay = gpu_replay, .program_free = gpu_program_free, .wait = gpu_wait, .scratch = gpu_scratch, .kernels = gpu_kernels, .choices_get = gpu_choices_get, .choices_set = gpu_choices_set, .profile = gpu_profile,
    .validation_messages = gpu_validation_messages, .compile_report = gpu_compile_report, .destroy = gpu_destroy,
};

ssa_status gpu_backend_create(device *dev, ssa_backend **out, ssa_error *err) {
    gpu_backend *be = calloc(1, sizeof *be);
    if (!be) {
        dev->vt->destroy(dev);
        return ssa_fail(err, SSA_ERR_MEMORY, "out of memory for a backend");
    }
    be->base.vt = &vtable;
    be->dev = dev;
    dev->own_gemm = own_gemm;
    dev->backend = be;
    be->base.widens_16bit = !dev->limits.storage16;
    be->base.memory_bytes = dev->limits.heap;
    be->base.max_buffer_bytes = dev->limits.max_buffer;
    snprintf(be->base.name, sizeof be->base.name, "%s:%d", dev->info.api, dev->info.index);
    snprintf(be->base.description, sizeof be->base.description, "%.150s, %.80s", dev->info.name, dev->info.driver);
    *out = &be->base;
    return SSA_OK;
}
