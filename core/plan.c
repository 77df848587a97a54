/* Planning: a backend that counts memory and work instead of doing it, so that a model can be planned by creating it. */
#include "context.h"
#include <stdlib.h>

typedef struct {
    ssa_backend  base;
    ssa_backend *device; /* asked for the scratch its lowering needs */
    ssa_plan     plan;
} plan_backend;

static ssa_status plan_alloc(ssa_backend *be, ssa_dtype dtype, int64_t elements, ssa_buffer **out, ssa_error *err) {
    bool        narrow = dtype == SSA_BF16 || dtype == SSA_F16;
    ssa_buffer *b = calloc(1, sizeof *b);
    if (!b) return ssa_fail(err, SSA_ERR_MEMORY, "out of memory for a plan");
    b->bytes = ((uint64_t)elements * (narrow && be->widens_16bit ? 4 : ssa_dtype_size(dtype)) + 255) / 256 * 256;
    *out = b;
    return SSA_OK;
}

static void plan_free(ssa_backend *be, ssa_buffer *buffer) { (void)be; free(buffer); }

static ssa_status plan_write(ssa_backend *be, ssa_buffer *buffer, int64_t first, int64_t count, const void *host, ssa_error *err) {
    (void)be, (void)buffer, (void)first, (void)count, (void)host, (void)err;
    return SSA_OK;
}

static ssa_status plan_read(ssa_backend *be, ssa_buffer *buffer, int64_t first, int64_t count, void *host, ssa_error *err) {
    (void)be, (void)buffer, (void)first, (void)count, (void)host;
    return ssa_fail(err, SSA_ERR_UNSUPPORTED, "a plan has no data to read");
}

static ssa_status plan_run(ssa_backend *backend, const ssa_call *call, ssa_error *err) {
    plan_backend *be = (plan_backend *)backend;
    uint64_t      bytes = 0;
    be->plan.flops += ssa_call_flops(call);
    if (be->device->vt->scratch) SSA_TRY(be->device->vt->scratch(be->device, call, &bytes, err));
    if (bytes > be->plan.scratch_bytes) be->plan.scratch_bytes = bytes;
    return SSA_OK;
}

static ssa_status plan_record_begin(ssa_backend *be, ssa_error *err) { (void)be, (void)err; return SSA_OK; }

static ssa_status plan_record_end(ssa_backend *be, ssa_program **out, ssa_error *err) {
    (void)be, (void)err;
    *out = NULL;
    return SSA_OK;
}

static ssa_status plan_replay(ssa_backend *be, ssa_program *program, ssa_error *err) { (void)be, (void)program, (void)err; return SSA_OK; }
static void       plan_program_free(ssa_backend *be, ssa_program *program) { (void)be, (void)program; }
static ssa_status plan_wait(ssa_backend *be, ssa_error *err) { (void)be, (void)err; return SSA_OK; }
static void       plan_destroy(ssa_backend *be) { free(be); }

static const ssa_backend_vtable vtable = {
    .alloc = plan_alloc, .free = plan_free, .write = plan_write, .read = plan_read, .run = plan_run, .record_begin = plan_record_begin,
    .record_end = plan_record_end, .replay = plan_replay, .program_free = plan_program_free, .wait = plan_wait, .destroy = plan_destroy,
};

ssa_status ssa_plan_open(const ssa_context *device, ssa_context **out, ssa_error *err) {
    plan_backend *be = calloc(1, sizeof *be);
    if (!be) return ssa_fail(err, SSA_ERR_MEMORY, "out of memory for a plan");
    be->base = *device->backend;
    be->base.vt = &vtable;
    be->device = device->backend;
    return ssa_context_create(&be->base, out, err);
}

ssa_plan *ssa_plan_of(ssa_context *plan) { return &((plan_backend *)plan->backend)->plan; }

double ssa_call_flops(const ssa_call *call) {
#define N(letter) ((double)call->dim[(letter) - 'A'])
    double causal = N('B') * N('Q') * N('T') * (N('T') + 1) / 2 * N('D'); /* one product of dense causal attention: 2 flops each */
    double keys = N('T') < N('K') * call->attr.block_size ? N('T') : N('K') * call->attr.block_size;
    double chosen = N('B') * N('Q') * N('T') * keys * N('D');
    switch (call->op) {
    case SSA_MATMUL: return 2 * N('G') * N('M') * N('N') * N('K');
    case SSA_LM_LOSS: return 2 * N('R') * N('C') * N('V');
    case SSA_LM_LOSS_GRAD: return 6 * N('R') * N('C') * N('V');
    case SSA_ATTN_FULL: return 4 * causal;
    case SSA_ATTN_FULL_BWD: return 10 * causal;
    case SSA_SELECT: return causal * 2 / call->attr.block_size;
    case SSA_ATTN_SPARSE: return 4 * chosen;
    case SSA_ATTN_SPARSE_BWD: return 10 * chosen;
    default: break;
    }
    double elements = 0;
    for (int i = 0; i < call->count; i++) {
        double n = (double)ssa_numel(&call->t[i]);
        if (n > elements) elements = n;
    }
    return 4 * elements; /* elementwise: of no weight beside the products above */
#undef N
}
