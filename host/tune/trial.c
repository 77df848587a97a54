/* One candidate on data of its own. It is right if, on a smaller shape of its kind, it agrees with the CPU, and on the shape itself with
 * the portable variant (which `ssa verify` holds against the CPU), each as core/judge.c says. */
#include "tune/tune.h"
#include "ssa/judge.h"
#include <math.h>
#include <stdlib.h>

/* What the CPU may take, and what a trial may hold in device memory. */
static const double   CPU_FLOPS = 2e8;
static const uint64_t MOST_BYTES = 1ull << 30;

typedef struct {
    tuner     *t;
    ssa_call   call;
    ssa_op_info info;
    float     *input[SSA_MAX_OPERANDS]; /* on the host */
} bench;

static int64_t factor_of(const ssa_op_info *info, int operand, int axis) { return info->operand[operand].factor[axis]; }

/* Shapes from the sizes; matmul's operands may be transposed. */
static void shape_operands(bench *b) {
    for (int i = 0; i < b->call.count; i++) {
        const ssa_operand_info *o = &b->info.operand[i];
        ssa_tensor             *t = &b->call.t[i];
        for (int k = 0; k < o->rank; k++) t->shape[k] = factor_of(&b->info, i, k) * (o->letter[k] ? b->call.dim[o->letter[k] - 'A'] : 1);
        t->rank = o->rank;
        t->offset = 0;
        bool turned = b->call.op == SSA_MATMUL && ((i == 0 && b->call.attr.trans_a) || (i == 1 && b->call.attr.trans_b));
        if (turned) {
            int64_t rows = t->shape[1];
            t->shape[1] = t->shape[2];
            t->shape[2] = rows;
        }
    }
}

/* Fewer matrices first, then the longest side halved, so that thin shapes stay thin. */
static void shrink(ssa_call *c, double most_flops, uint64_t most_bytes) {
    for (;;) {
        int64_t *longest = NULL;
        double   elements = 0;
        for (int i = 0; i < 26; i++)
            if (c->dim[i] > 1 && (!longest || c->dim[i] > *longest)) longest = &c->dim[i];
        int64_t *batch = c->op == SSA_MATMUL ? &c->dim['G' - 'A'] : NULL;
        ssa_op_info info;
        ssa_op_describe(c->op, &info);
        for (int i = 0; i < info.count; i++) {
            double n = 1;
            for (int k = 0; k < info.operand[i].rank; k++) n *= (double)(info.operand[i].letter[k] ? c->dim[info.operand[i].letter[k] - 'A'] : 1);
            elements += n;
        }
        if (!longest || (ssa_call_flops(c) <= most_flops && elements * 4 <= (double)most_bytes)) return;
        if (batch && *batch > 1) *batch = (*batch + 1) / 2; else *longest = (*longest + 1) / 2;
    }
}

static float noise(uint32_t *state) { /* -1..1 */
    *state = *state * 1664525u + 1013904223u;
    return (float)(*state >> 8) * (2.0f / 16777216.0f) - 1.0f;
}

static void release(bench *b) {
    for (int i = 0; i < b->call.count; i++) {
        if (b->call.t[i].buffer) b->t->backend->vt->free(b->t->backend, b->call.t[i].buffer);
        b->call.t[i].buffer = NULL;
        free(b->input[i]);
        b->input[i] = NULL;
    }
}

static ssa_status write_floats(ssa_backend *be, const ssa_tensor *t, const float *from, ssa_error *err) {
    int64_t n = ssa_numel(t);
    if (t->dtype == SSA_F32) return be->vt->write(be, t->buffer, 0, n, from, err);
    void *narrow = malloc((size_t)n * ssa_dtype_size(t->dtype));
    if (!narrow) return ssa_fail(err, SSA_ERR_MEMORY, "out of memory to try a kernel");
    ssa_from_f32(narrow, t->dtype, from, n);
    ssa_status s = be->vt->write(be, t->buffer, 0, n, narrow, err);
    free(narrow);
    return s;
}

static ssa_status read_floats(ssa_backend *be, const ssa_tensor *t, float *to, ssa_error *err) {
    int64_t n = ssa_numel(t);
    if (t->dtype == SSA_F32) return be->vt->read(be, t->buffer, 0, n, to, err);
    void *narrow = malloc((size_t)n * ssa_dtype_size(t->dtype));
    if (!narrow) return ssa_fail(err, SSA_ERR_MEMORY, "out of memory to try a kernel");
    ssa_status s = be->vt->read(be, t->buffer, 0, n, narrow, err);
    if (!s) ssa_to_f32(to, narrow, t->dtype, n);
    free(narrow);
    return s;
}

/* Operands with random inputs; what is only written starts as NaN, so that what it held cannot matter. */
static ssa_status prepare(bench *b, ssa_backend *be, ssa_error *err) {
    uint32_t seed = 1;
    shape_operands(b);
    for (int i = 0; i < b->call.count; i++) {
        const ssa_operand_info *o = &b->info.operand[i];
        ssa_tensor             *t = &b->call.t[i];
        int64_t                 n = ssa_numel(t);
        if (!b->input[i] && !(b->input[i] = malloc((size_t)n * sizeof(float)))) return ssa_fail(err, SSA_ERR_MEMORY, "out of memory to try a kernel");
        bool read = !o->out || (o->inout && b->call.attr.accumulate);
        for (int64_t k = 0; k < n; k++) b->input[i][k] = read ? noise(&seed) : NAN;
        SSA_TRY(be->vt->alloc(be, t->dtype, n, &t->buffer, err));
        t->buffer->dtype = t->dtype;
        t->buffer->elements = n;
        SSA_TRY(write_floats(be, t, b->input[i], err));
    }
    return SSA_OK;
}

static bool agree(const bench *b, const float *got, const float *want) {
    const ssa_tensor *out = &b->call.t[b->call.count - 1];
    return ssa_judge(&(ssa_comparison){.got = got, .want = want, .dtype = SSA_F32, .n = ssa_numel(out),
                                       .limit = ssa_output_limit(b->call.op, b->call.act, out->dtype)}).verdict == SSA_AGREE;
}

/* The last operand after running the call: on the device with a variant, or on the CPU. */
static ssa_status result(bench *b, const char *kernel, const char *candidate, float **out, ssa_error *err) {
    tuner            *t = b->t;
    const ssa_tensor *y = &b->call.t[b->call.count - 1];
    if (!(*out = malloc((size_t)ssa_numel(y) * sizeof **out))) return ssa_fail(err, SSA_ERR_MEMORY, "out of memory to try a kernel");
    SSA_TRY(write_floats(t->backend, y, b->input[b->call.count - 1], err));
    SSA_TRY(t->run(t->backend, &b->call, kernel, candidate, NULL, err));
    return read_floats(t->backend, y, *out, err);
}

static ssa_status result_on_cpu(const bench *of, float **out, ssa_error *err) {
    ssa_backend *cpu;
    bench        b = {.t = of->t, .call = of->call, .info = of->info};
    tuner        stand_in = {0};
    SSA_TRY(ssa_cpu_backend_create(0, false, &cpu, err));
    stand_in.backend = cpu;
    b.t = &stand_in;
    for (int i = 0; i < b.call.count; i++) b.call.t[i].buffer = NULL;
    ssa_status        s = prepare(&b, cpu, err);
    const ssa_tensor *y = &b.call.t[b.call.count - 1];
    if (!s) s = cpu->vt->run(cpu, &b.call, err);
    if (!s && !(*out = malloc((size_t)ssa_numel(y) * sizeof **out))) s = ssa_fail(err, SSA_ERR_MEMORY, "out of memory to try a kernel");
    if (!s) s = read_floats(cpu, y, *out, err);
    release(&b);
    cpu->vt->destroy(cpu);
    return s;
}

/* Small: against the CPU. Otherwise against the portable variant. */
static ssa_status compare(bench *b, const tune_point *p, const char *candidate, bool small, bool *right, ssa_error *err) {
    float     *got = NULL, *want = NULL;
    ssa_status s = prepare(b, b->t->backend, err);
    if (!s) s = result(b, p->kernel, candidate, &got, err);
    if (!s) s = small ? result_on_cpu(b, &want, err) : result(b, p->kernel, "portable", &want, err);
    *right = !s && agree(b, got, want);
    free(got);
    free(want);
    return s;
}

ssa_status tune_try(tuner *t, const tune_point *p, const char *candidate, bool timed, tune_trial *out, ssa_error *err) {
    bench small = {.t = t, .call = p->call}, whole = {.t = t, .call = p->call};
    *out = (tune_trial){0};
    ssa_op_describe(p->call.op, &small.info);
    whole.info = small.info;
    shrink(&small.call, CPU_FLOPS, MOST_BYTES);
    shrink(&whole.call, INFINITY, MOST_BYTES < t->dev->limits.max_buffer ? MOST_BYTES : t->dev->limits.max_buffer);
    ssa_status s = compare(&small, p, candidate, true, &out->right, err);
    if (!s && out->right) s = compare(&whole, p, candidate, false, &out->right, err);
    if (!s && out->right && timed) s = t->run(t->backend, &whole.call, p->kernel, candidate, &out->seconds, err);
    release(&small);
    release(&whole);
    return s;
}
