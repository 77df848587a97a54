/* Comparing a device's output with the CPU's: measures, limits, and the exceptions with their reasons. */
#include "verify.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *verify_status_name(verify_status s) {
    static const char *names[] = {"ok", "failed", "unsupported", "skipped"};
    return names[s];
}

/* 16-bit outputs are rounded once, so that none is off by more than a few units, but one wrong element of a large output is lost in its sum. */
enum { SIXTEEN_BIT_ULP = 16 };

/* Results that are zero in exact arithmetic hold nothing but rounding: their error is measured against the size of the terms
 * that cancel. `size` is that size squared, an element. */
typedef struct exception {
    double size;
    const char *why;
} exception;

static exception exception_of(const verify_case *c, const char *output) {
    bool dq_dk = !strcmp(output, "dq") || !strcmp(output, "dk");
    if (c->op == SSA_RMSNORM_BWD && !strcmp(output, "dx") && VDIM(c, 'C') == 1)
        return (exception){1, "one channel: xhat is 1 or -1 whatever x is, so dx is 0 but for eps; measured against dy"};
    if ((c->op == SSA_ATTN_FULL_BWD || c->op == SSA_ATTN_SPARSE_BWD) && dq_dk && VDIM(c, 'T') == 1)
        return (exception){1, "one key: the softmax is 1 whatever q and k are, so dq and dk are 0; measured against do"};
    if (c->op == SSA_ATTN_SPARSE_BWD && dq_dk && c->attr.block_size == 1 && VDIM(c, 'K') == 1)
        return (exception){1, "each query sees its own key only: the softmax is 1, dq and dk are 0; measured against do"};
    return (exception){0, ""};
}

static void coordinates(const verify_operand *o, int64_t i, char *text, size_t size) {
    int64_t at[SSA_MAX_RANK];
    int n = 0;
    for (int k = o->rank - 1; k >= 0; k--) {
        at[k] = i % o->shape[k];
        i /= o->shape[k];
    }
    for (int k = 0; k < o->rank && n < (int)size; k++) n += snprintf(text + n, size - (size_t)n, "%s%lld", k ? "," : "[", (long long)at[k]);
    if (n < (int)size) snprintf(text + n, size - (size_t)n, "]");
}

void verify_fail(verify_row *row, const verify_operand *o, int64_t i, const char *what) {
    char at[96];
    coordinates(o, i, at, sizeof at);
    row->status = VERIFY_FAILED;
    snprintf(row->reason, sizeof row->reason, "%s at %s: %.9g, the CPU has %.9g", what, at, verify_get(o->got, o->dtype, o->before + i),
             verify_get(o->want, o->dtype, o->before + i));
}

/* Distance of neighbours at a magnitude. */
static double spacing(ssa_dtype dtype, double magnitude) {
    static const int mantissa[] = {[SSA_F32] = 23, [SSA_BF16] = 7, [SSA_F16] = 10, [SSA_I32] = 0, [SSA_F64] = 52};
    int exponent, least = dtype == SSA_F16 ? -14 : -126;
    frexp(magnitude, &exponent);
    return ldexp(1, (exponent - 1 < least ? least : exponent - 1) - mantissa[dtype]);
}

/* An element near zero among large ones carries the rounding of large terms, so units are counted at the output's rms at least. */
static double largest_ulp(const verify_operand *o, double size, int64_t *at) {
    double rms = sqrt(size / (double)(o->elements ? o->elements : 1)), worst = 0;
    for (int64_t i = 0; i < o->elements; i++) {
        double x = verify_get(o->got, o->dtype, o->before + i), want = verify_get(o->want, o->dtype, o->before + i);
        if (!isfinite(x) || !isfinite(want) || x == want) continue;
        double units = fabs(x - want) / spacing(o->dtype, fmax(fabs(want), rms));
        if (units <= worst) continue;
        worst = units;
        *at = i;
    }
    return worst;
}

/* Our error and the CPU's own, both against f64. */
static void wide_errors(const verify_job *job, const verify_operand *o, verify_row *row) {
    const double *truth = job->wide[o - job->operand];
    double device = 0, cpu = 0, size = 0;
    if (!truth) return;
    for (int64_t i = 0; i < o->elements; i++) {
        double x = verify_get(o->got, o->dtype, o->before + i), y = verify_get(o->want, o->dtype, o->before + i);
        if (!isfinite(truth[i]) || !isfinite(x) || !isfinite(y)) continue;
        device += (x - truth[i]) * (x - truth[i]);
        cpu += (y - truth[i]) * (y - truth[i]);
        size += truth[i] * truth[i];
    }
    if (size <= 0) return;
    row->device_wide = device / size;
    row->cpu_wide = cpu / size;
}

/* Where no two f32 results agree: the CPU's is as far from f64 as the device's. A factor 16 is four times the error. */
static bool cancels(const verify_row *row) {
    return row->cpu_wide > row->limit / 16 && row->cpu_wide < 1e-4 && row->device_wide <= 16 * row->cpu_wide;
}

/* Which elements are bad: those off by ten times what the limit allows an element of their size, or of the output's mean one. */
static void fail_at_first(verify_row *row, const verify_operand *o, double size, int64_t worst_at) {
    double  mean = size / (double)o->elements;
    int64_t first = -1, bad = 0;
    char    at[96];
    for (int64_t i = 0; i < o->elements; i++) {
        double want = verify_get(o->want, o->dtype, o->before + i), d = verify_get(o->got, o->dtype, o->before + i) - want;
        if (!isfinite(want) || d * d <= 100 * row->limit * fmax(want * want, mean)) continue;
        if (first < 0) first = i;
        bad++;
    }
    coordinates(o, worst_at, at, sizeof at);
    verify_fail(row, o, bad ? first : worst_at, bad ? "first bad element" : "largest difference");
    if (!bad) return;
    size_t used = strlen(row->reason);
    snprintf(row->reason + used, sizeof row->reason - used, "; %lld of %lld are bad, the worst at %s", (long long)bad, (long long)o->elements, at);
}

/* Where the CPU's result is rightly not finite. Elsewhere it would hide a case that overflows by mistake. */
static bool may_be_infinite(const verify_case *c) {
    return c->data == DATA_INFINITE || c->data == DATA_NOT_FINITE || c->op == SSA_CAST || c->op == SSA_FILL;
}

/* Nothing is computed: every element must be the CPU's, however large its neighbours are. Numbers too small for f32's exponent may become 0
 * on devices that have no such numbers. */
static void compare_copies(const verify_operand *o, verify_row *row) {
    int64_t bad = 0, first = -1;
    for (int64_t i = 0; i < o->elements; i++) {
        double x = verify_get(o->got, o->dtype, o->before + i), want = verify_get(o->want, o->dtype, o->before + i);
        if (x == want || (isnan(x) && isnan(want)) || (x == 0 && fabs(want) < 0x1p-126)) continue;
        if (first < 0) first = i;
        bad++;
    }
    row->error = (double)bad;
    row->limit = 0;
    if (bad) verify_fail(row, o, first, "first bad element");
}

static void compare_floats(const verify_job *job, const verify_operand *o, verify_row *row) {
    exception e = exception_of(job->c, o->info.name);
    double error = 0, size = 0, worst = 0;
    int64_t worst_at = 0, furthest = 0;
    for (int64_t i = 0; i < o->elements; i++) {
        double x = verify_get(o->got, o->dtype, o->before + i), want = verify_get(o->want, o->dtype, o->before + i);
        if (!isfinite(want)) { /* the device must say the same; infinity for NaN is seen as well: exp of NaN is that on SwiftShader */
            if (isnan(want) ? isfinite(x) : x != want) {
                verify_fail(row, o, i, "differs from the CPU's non-finite value");
                row->error = INFINITY;
                return;
            }
            if (may_be_infinite(job->c)) continue;
            verify_fail(row, o, i, "both are not finite");
            row->error = INFINITY;
            return;
        }
        if (!isfinite(x)) {
            verify_fail(row, o, i, isnan(x) ? "NaN (not written?)" : "not finite");
            row->error = INFINITY;
            return;
        }
        double d = (x - want) * (x - want);
        error += d;
        size += want * want;
        if (d > worst) {
            worst = d;
            worst_at = i;
        }
    }
    size += e.size * (double)o->elements;
    row->ulp = largest_ulp(o, size, &furthest);
    wide_errors(job, o, row);
    row->error = error == 0 ? 0 : size > 0 ? error / size : INFINITY;
    if (!(row->error <= row->limit)) fail_at_first(row, o, size, worst_at);
    else if (o->dtype != SSA_F32 && row->ulp > SIXTEEN_BIT_ULP) verify_fail(row, o, furthest, "one bad element");
    else if (*e.why) snprintf(row->reason, sizeof row->reason, "%s", e.why);
    if (row->status != VERIFY_FAILED || !cancels(row)) return;
    row->status = VERIFY_OK;
    snprintf(row->reason, sizeof row->reason, "large terms cancel: against f64 the CPU is off by %.2g, the device by %.2g", row->cpu_wide,
             row->device_wide);
}

static int32_t integer(const verify_operand *o, const char *image, int64_t i) { return (int32_t)verify_get(image, o->dtype, o->before + i); }

static void compare_integers(const verify_job *job, const verify_operand *o, verify_row *row) {
    int64_t N = VDIM(job->c, 'N'), L = VDIM(job->c, 'L');
    row->limit = 0;
    for (int64_t i = 0; i < o->elements; i++) {
        /* entries behind the last offset are undefined */
        if (job->c->op == SSA_SPARSE_LISTS && i % L > N && i % L >= N + 1 + integer(o, o->want, i / L * L + N)) continue;
        if (integer(o, o->got, i) == integer(o, o->want, i)) continue;
        row->error++;
        if (row->status == VERIFY_OK) verify_fail(row, o, i, "differs");
    }
}

static void compare_selection(const verify_job *job, const verify_operand *o, verify_row *row) {
    const verify_operand *q = &job->operand[0], *kbar = &job->operand[1];
    ssa_selection judged = {.q = q->image + q->before * (int64_t)ssa_dtype_size(q->dtype), .q_dtype = q->dtype,
                            .kbar = kbar->image + kbar->before * (int64_t)ssa_dtype_size(kbar->dtype), .kbar_dtype = kbar->dtype,
                            .dim = job->c->dim, .attr = &job->c->attr};
    int64_t K = VDIM(job->c, 'K'), rows = o->elements / K, ties = 0;
    double *scratch = malloc((size_t)VDIM(job->c, 'N') * 2 * sizeof *scratch);
    row->limit = 0.01; /* near ties are rare in random data */
    for (int64_t r = 0; r < rows && scratch && row->status == VERIFY_OK; r++) {
        const int32_t *got = (const int32_t *)o->got + o->before + r * K, *want = (const int32_t *)o->want + o->before + r * K;
        char why[96];
        double gap;
        int64_t k = 0;
        ssa_verdict verdict = ssa_selection_judge(&judged, r, got, want, scratch, &gap, why);
        ties += verdict == SSA_SELECTION_TIE;
        if (verdict != SSA_SELECTION_WRONG) continue;
        while (got[k] == want[k]) k++;
        verify_fail(row, o, r * K + k, why);
    }
    free(scratch);
    row->error = (double)ties / (double)rows;
    if (row->status == VERIFY_OK && ties)
        snprintf(row->reason, sizeof row->reason, "%lld of %lld queries differ in near ties", (long long)ties, (long long)rows);
    if (row->status == VERIFY_OK && row->error > row->limit && rows > 100) row->status = VERIFY_FAILED;
}

/* No near ties: the order of the blocks is part of the result. */
static bool determined(const verify_case *c) { return c->data == DATA_TIES || c->data == DATA_NOT_FINITE; }

void verify_compare(const verify_job *job, int i, verify_row *row) {
    const verify_operand *o = &job->operand[i];
    row->status = VERIFY_OK;
    row->reason[0] = 0;
    row->error = 0;
    row->limit = fmax(ssa_op_limit(job->c->op, job->act), ssa_op_limit(job->c->op, o->dtype));
    if (job->c->op == SSA_SELECT && determined(job->c))
        compare_integers(job, o, row);
    else if (job->c->op == SSA_SELECT)
        compare_selection(job, o, row);
    else if (o->dtype == SSA_I32)
        compare_integers(job, o, row);
    else if (job->c->op == SSA_CAST || job->c->op == SSA_FILL || job->c->op == SSA_EMBEDDING)
        compare_copies(o, row);
    else
        compare_floats(job, o, row);
}
