/* The shadow check: is what the device wrote right? core/judge.c says so of numbers, with a second opinion in f64 from the CPU where it
 * is needed, and of indices; core/selection.c of blocks. */
#include "shadow.h"
#include "ssa/judge.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

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
                    index, ssa_element(o[operand].got, t->dtype, i), device, ssa_element(o[operand].want, t->dtype, i), why, shapes);
}

/* -- numbers --------------------------------------------------------------------------------------------------------- */

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
        for (int64_t k = 0; k < n && numbers; k++) numbers[k] = ssa_element(o[i].before, call->t[i].dtype, k);
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

/* Whether an input holds a value that is not finite: what follows from it is not the operation's doing. */
static bool inputs_finite(const ssa_call *call, const shadow_operand *o) {
    for (int i = 0; i < call->count; i++)
        for (int64_t k = 0, n = ssa_numel(&call->t[i]); k < n && o[i].before && call->t[i].dtype != SSA_I32; k++)
            if (!isfinite(ssa_element(o[i].before, call->t[i].dtype, k))) return false;
    return true;
}

static ssa_status compare_numbers(ssa_backend *cpu, const char *device, const ssa_call *call, const shadow_operand *o, int operand, ssa_error *err) {
    ssa_dtype      dtype = call->t[operand].dtype;
    ssa_comparison c = {.got = o[operand].got, .want = o[operand].want, .dtype = dtype, .n = ssa_numel(&call->t[operand]),
                        .limit = ssa_output_limit(call->op, call->act, dtype), .before = o[operand].before, .most_f64 = INFINITY};
    ssa_judgement  j = ssa_judge(&c);
    char           text[96];
    if (j.verdict == SSA_NEITHER_IS_FINITE) {
        if (inputs_finite(call, o)) return report(err, device, call, operand, j.at, o, "not finite, though every input is");
        c.infinite = true;
        j = ssa_judge(&c);
    }
    if ((j.verdict == SSA_TOO_FAR || j.verdict == SSA_ONE_TOO_FAR) && call->act != SSA_F64 && dtype != SSA_F64) {
        double *truth;
        SSA_TRY(in_f64(cpu, call, o, operand, &truth, err));
        c.f64 = truth;
        j = ssa_judge(&c);
        free(truth);
    }
    if (j.verdict == SSA_AGREE || j.verdict == SSA_AGREE_IN_F64) return SSA_OK;
    if (j.verdict == SSA_NOT_FINITE) return report(err, device, call, operand, j.at, o, "not finite");
    snprintf(text, sizeof text, "NMSE %.2e, limit %.0e", j.nmse, c.limit);
    return report(err, device, call, operand, j.at, o, text);
}

/* -- indices --------------------------------------------------------------------------------------------------------- */

static ssa_status compare_indices(const char *device, const ssa_call *call, const shadow_operand *o, int operand, ssa_error *err) {
    int64_t first;
    if (!ssa_integers_differ(call->op, call->dim, o[operand].got, o[operand].want, ssa_numel(&call->t[operand]), &first)) return SSA_OK;
    return report(err, device, call, operand, first, o, "they must be equal");
}

static ssa_status compare_selection(const char *device, const ssa_call *call, const shadow_operand *o, int operand, ssa_error *err) {
    int64_t       K = call->dim['K' - 'A'], N = call->dim['N' - 'A'];
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
