/* The shadow check's judgement: is what the device wrote right?
 *
 * Numbers: NMSE within the limits of core/op_limits.c, and no element far off by itself, which a mean over millions would hide.
 * What fails gets a second opinion: a result in which large terms cancel (a gradient that is zero but for rounding) is far from
 * the CPU's in relative terms though nothing is wrong. The CPU then computes it once more in f64, and the device is right if it
 * is not much further from that than the CPU's own f32.
 * Indices: select as sets of blocks, near ties allowed; sparse_lists up to the last offset; others bit for bit. */
#include "shadow.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DIM(call, letter) ((call)->dim[(letter) - 'A'])

static const double cpu_error = 25;  /* second opinion: 5 times the CPU's own error, squared */

/* What a single element may be off by, squared, in limits: 1e-3 of it in f32 and f64, 3e-3 in f16 and 3e-2 in bf16, which is a few
 * steps between neighbours. */
static double one_element(double limit) { return limit < 1e-8 ? 1e4 : 100; }

static double value(const void *image, ssa_dtype dtype, int64_t i) {
    float f;
    if (dtype == SSA_F32) return (double)((const float *)image)[i];
    if (dtype == SSA_F64) return ((const double *)image)[i];
    if (dtype == SSA_I32) return ((const int32_t *)image)[i];
    ssa_to_f32(&f, (const char *)image + 2 * i, dtype, 1);
    return (double)f;
}

/* -- the sentence ---------------------------------------------------------------------------------------------------- */

static int put(char *text, size_t size, int n, const ssa_tensor *t) {
    for (int k = 0; k < t->rank && n < (int)size; k++)
        n += snprintf(text + n, size - (size_t)n, "%s%lld", k ? "," : "[", (long long)t->shape[k]);
    if (n < (int)size) n += snprintf(text + n, size - (size_t)n, "]");
    return n;
}

/* "shadow check: OP: y[2,7] is 1.5 on vulkan:0, 1 on the CPU (NMSE ..., limit ...); x f32[2,60,48], ..." */
static ssa_status report(ssa_error *err, const char *device, const ssa_call *call, int operand, int64_t i, const shadow_operand *o,
                         const char *why) {
    ssa_op_info       info;
    const ssa_tensor *t = &call->t[operand];
    ssa_tensor        at = *t;
    char              index[96], shapes[300] = "";
    int               n = 0;
    int64_t           rest = i;
    ssa_op_describe(call->op, &info);
    for (int k = t->rank - 1; k >= 0; k--) {
        at.shape[k] = rest % t->shape[k];
        rest /= t->shape[k];
    }
    put(index, sizeof index, 0, &at);
    for (int k = 0; k < call->count && n < (int)sizeof shapes; k++) {
        n += snprintf(shapes + n, sizeof shapes - (size_t)n, "%s%s %s", k ? ", " : "", info.operand[k].name, ssa_dtype_name(call->t[k].dtype));
        if (n < (int)sizeof shapes) n = put(shapes, sizeof shapes, n, &call->t[k]);
    }
    return ssa_fail(err, SSA_ERR_RUNTIME, "shadow check: %s: %s%s is %.9g on %s, %.9g on the CPU (%s); %s", info.name, info.operand[operand].name,
                    index, value(o[operand].got, t->dtype, i), device, value(o[operand].want, t->dtype, i), why, shapes);
}

/* -- numbers --------------------------------------------------------------------------------------------------------- */

/* Distance from a reference: sums over the elements that count, and the first element that is far off by itself. */
typedef struct { double error, size, worst; int64_t counted, worst_at, first_off; } distance;

/* Elements that neither side touched (the other half of stat) say nothing, and may hold anything. */
static bool untouched(const shadow_operand *o, size_t element, int64_t i) {
    if (!o->before) return false;
    size_t      at = (size_t)i * element;
    const char *before = (const char *)o->before + at;
    return !memcmp(before, (const char *)o->got + at, element) && !memcmp(before, (const char *)o->want + at, element);
}

static distance measure(const shadow_operand *o, ssa_dtype dtype, int64_t n, const void *image, const void *reference, ssa_dtype reference_dtype,
                        double limit) {
    distance d = {.first_off = -1};
    size_t   element = ssa_dtype_size(dtype);
    for (int64_t i = 0; i < n; i++) {
        double want = value(reference, reference_dtype, i), x = value(image, dtype, i) - want;
        if (untouched(o, element, i) || !isfinite(want) || !isfinite(x)) continue;
        d.counted++;
        d.size += want * want;
        d.error += x * x;
        if (x * x <= d.worst) continue;
        d.worst = x * x;
        d.worst_at = i;
    }
    double mean = d.counted ? d.size / (double)d.counted : 0;
    for (int64_t i = 0; i < n && d.first_off < 0; i++) {
        double want = value(reference, reference_dtype, i), x = value(image, dtype, i) - want;
        if (!untouched(o, element, i) && isfinite(x) && x * x > one_element(limit) * limit * (want * want + mean)) d.first_off = i;
    }
    return d;
}

static bool within(const distance *d, double limit) { return d->error <= limit * d->size && d->first_off < 0; }

/* The call once more in f64; *out: output `operand`, malloc'ed. */
static ssa_status in_f64(ssa_backend *cpu, const ssa_call *call, const shadow_operand *o, int operand, double **out, ssa_error *err) {
    ssa_call   wide = *call;
    ssa_status s = SSA_OK;
    *out = NULL;
    wide.act = SSA_F64;
    for (int i = 0; i < call->count; i++) wide.t[i].buffer = NULL;
    for (int i = 0; i < call->count && !s; i++) {
        ssa_tensor *t = &wide.t[i];
        int64_t     n = ssa_numel(t);
        t->offset = 0;
        if (t->dtype != SSA_I32) t->dtype = SSA_F64;
        s = cpu->vt->alloc(cpu, t->dtype, n, &t->buffer, err);
        if (s) break;
        t->buffer->dtype = t->dtype;
        t->buffer->elements = n;
        if (!o[i].before) continue;
        double *numbers = t->dtype == SSA_F64 ? malloc((size_t)n * sizeof *numbers) : NULL;
        if (t->dtype == SSA_F64 && !numbers) s = ssa_fail(err, SSA_ERR_MEMORY, "out of memory for the shadow check in f64");
        for (int64_t k = 0; k < n && numbers; k++) numbers[k] = value(o[i].before, call->t[i].dtype, k);
        if (!s) s = cpu->vt->write(cpu, t->buffer, 0, n, numbers ? (void *)numbers : o[i].before, err);
        free(numbers);
    }
    if (!s) s = cpu->vt->run(cpu, &wide, err);
    int64_t n = ssa_numel(&wide.t[operand]);
    if (!s && !(*out = malloc((size_t)n * sizeof **out))) s = ssa_fail(err, SSA_ERR_MEMORY, "out of memory for the shadow check in f64");
    if (!s) s = cpu->vt->read(cpu, wide.t[operand].buffer, 0, n, *out, err);
    for (int i = 0; i < call->count; i++)
        if (wide.t[i].buffer) cpu->vt->free(cpu, wide.t[i].buffer);
    return s;
}

static ssa_status second_opinion(ssa_backend *cpu, const ssa_call *call, const shadow_operand *o, int operand, double limit, bool *right,
                                 ssa_error *err) {
    double    *truth;
    ssa_dtype  dtype = call->t[operand].dtype;
    int64_t    n = ssa_numel(&call->t[operand]);
    *right = false;
    if (call->act == SSA_F64 || dtype == SSA_F64) return SSA_OK;
    ssa_status s = in_f64(cpu, call, o, operand, &truth, err);
    if (!s) {
        distance device = measure(&o[operand], dtype, n, o[operand].got, truth, SSA_F64, limit);
        distance ours = measure(&o[operand], dtype, n, o[operand].want, truth, SSA_F64, limit);
        *right = device.error <= cpu_error * ours.error && device.worst <= cpu_error * ours.worst;
    }
    free(truth);
    return s;
}

/* Whether an input holds a value that is not finite: what follows from it is not the operation's doing. */
static bool inputs_finite(const ssa_call *call, const shadow_operand *o) {
    for (int i = 0; i < call->count; i++)
        for (int64_t k = 0, n = ssa_numel(&call->t[i]); k < n && o[i].before && call->t[i].dtype != SSA_I32; k++)
            if (!isfinite(value(o[i].before, call->t[i].dtype, k))) return false;
    return true;
}

static ssa_status compare_numbers(ssa_backend *cpu, const char *device, const ssa_call *call, const shadow_operand *o, int operand, ssa_error *err) {
    ssa_dtype dtype = call->t[operand].dtype;
    int64_t   n = ssa_numel(&call->t[operand]);
    double    limit = fmax(ssa_op_limit(call->op, call->act), ssa_op_limit(call->op, dtype));
    bool      right;
    char      text[96];
    for (int64_t i = 0; i < n; i++) {
        double x = value(o[operand].got, dtype, i), want = value(o[operand].want, dtype, i);
        if ((isfinite(x) && isfinite(want)) || untouched(&o[operand], ssa_dtype_size(dtype), i)) continue;
        bool same = isnan(want) ? isnan(x) : x == want;
        if (!same) return report(err, device, call, operand, i, o, "not finite");
        if (inputs_finite(call, o)) return report(err, device, call, operand, i, o, "not finite, though every input is");
    }
    distance d = measure(&o[operand], dtype, n, o[operand].got, o[operand].want, dtype, limit);
    if (within(&d, limit)) return SSA_OK;
    SSA_TRY(second_opinion(cpu, call, o, operand, limit, &right, err));
    if (right) return SSA_OK;
    snprintf(text, sizeof text, "NMSE %.2e, limit %.0e", d.size > 0 ? d.error / d.size : INFINITY, limit);
    return report(err, device, call, operand, d.first_off >= 0 ? d.first_off : d.worst_at, o, text);
}

/* -- indices --------------------------------------------------------------------------------------------------------- */

static ssa_status compare_indices(const char *device, const ssa_call *call, const shadow_operand *o, int operand, ssa_error *err) {
    const int32_t *got = o[operand].got, *want = o[operand].want;
    int64_t        N = DIM(call, 'N'), L = DIM(call, 'L');
    if (call->op == SSA_SPARSE_LISTS) N = (DIM(call, 'T') + call->attr.block_size - 1) / call->attr.block_size;
    for (int64_t i = 0, n = ssa_numel(&call->t[operand]); i < n; i++) {
        /* entries behind the last offset are undefined */
        if (call->op == SSA_SPARSE_LISTS && i % L >= N + 1 + want[i / L * L + N]) continue;
        if (got[i] != want[i]) return report(err, device, call, operand, i, o, "they must be equal");
    }
    return SSA_OK;
}

static ssa_status compare_selection(const char *device, const ssa_call *call, const shadow_operand *o, int operand, ssa_error *err) {
    int64_t       K = DIM(call, 'K'), N = DIM(call, 'N');
    ssa_selection judged = {.q = o[0].before, .kbar = o[1].before, .q_dtype = call->t[0].dtype, .kbar_dtype = call->t[1].dtype,
                            .dim = call->dim, .attr = &call->attr};
    double       *scratch = malloc((size_t)N * 2 * sizeof *scratch);
    ssa_status    s = scratch ? SSA_OK : ssa_fail(err, SSA_ERR_MEMORY, "out of memory for the shadow check of %lld blocks", (long long)N);
    for (int64_t row = 0, rows = ssa_numel(&call->t[operand]) / K; row < rows && !s; row++) {
        const int32_t *got = (const int32_t *)o[operand].got + row * K, *want = (const int32_t *)o[operand].want + row * K;
        char           why[96];
        double         gap;
        int64_t        first = 0;
        if (ssa_selection_judge(&judged, row, got, want, scratch, &gap, why) != SSA_SELECTION_WRONG) continue;
        while (got[first] == want[first]) first++;
        s = report(err, device, call, operand, row * K + first, o, why);
    }
    free(scratch);
    return s;
}

ssa_status shadow_compare(ssa_backend *cpu, const char *device, const ssa_call *call, const shadow_operand *o, ssa_error *err) {
    for (int i = 0; i < call->count; i++) {
        if (!o[i].got) continue;
        if (call->op == SSA_SELECT) SSA_TRY(compare_selection(device, call, o, i, err));
        else if (call->t[i].dtype == SSA_I32) SSA_TRY(compare_indices(device, call, o, i, err));
        else SSA_TRY(compare_numbers(cpu, device, call, o, i, err));
    }
    return SSA_OK;
}
