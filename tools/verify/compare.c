/* A device's output beside the CPU's as a row: what the judge says (ssa/judge.h), the case's exceptions with their reasons, and how it is
 * told. */
#include "verify.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *verify_status_name(verify_status s) {
    static const char *names[] = {"ok", "failed", "unsupported", "skipped"};
    return names[s];
}

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
static double largest_ulp(const verify_operand *o, double size) {
    double rms = sqrt(size / (double)(o->elements ? o->elements : 1)), worst = 0;
    for (int64_t i = 0; i < o->elements; i++) {
        double x = verify_get(o->got, o->dtype, o->before + i), want = verify_get(o->want, o->dtype, o->before + i);
        if (!isfinite(x) || !isfinite(want) || x == want) continue;
        worst = fmax(worst, fabs(x - want) / spacing(o->dtype, fmax(fabs(want), rms)));
    }
    return worst;
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

/* An operand's elements of an image, without the guards. */
static const void *inside(const verify_operand *o, const char *image) { return image + (size_t)o->before * ssa_dtype_size(o->dtype); }

static void compare_floats(const verify_job *job, const verify_operand *o, verify_row *row) {
    exception      e = exception_of(job->c, o->info.name);
    ssa_comparison c = {.got = inside(o, o->got), .want = inside(o, o->want), .dtype = o->dtype, .n = o->elements, .limit = row->limit,
                        .f64 = job->wide[o - job->operand], .most_f64 = 1e-4, .terms = e.size, .infinite = may_be_infinite(job->c)};
    ssa_judgement  j = ssa_judge(&c);
    char           worst[96];
    row->error = j.nmse;
    if (j.verdict == SSA_NEITHER_IS_FINITE) {
        verify_fail(row, o, j.at, "both are not finite");
        return;
    }
    if (j.verdict == SSA_NOT_FINITE) {
        double x = verify_get(c.got, o->dtype, j.at);
        bool   finite = isfinite(verify_get(c.want, o->dtype, j.at));
        verify_fail(row, o, j.at, !finite ? "differs from the CPU's non-finite value" : isnan(x) ? "NaN (not written?)" : "not finite");
        return;
    }
    row->ulp = largest_ulp(o, j.size);
    row->device_wide = j.got_f64;
    row->cpu_wide = j.want_f64;
    if (j.verdict == SSA_AGREE_IN_F64)
        snprintf(row->reason, sizeof row->reason, "large terms cancel: against f64 the CPU is off by %.2g, the device by %.2g", row->cpu_wide,
                 row->device_wide);
    else if (j.verdict == SSA_AGREE)
        snprintf(row->reason, sizeof row->reason, "%s", e.why);
    else {
        verify_fail(row, o, j.at, j.bad ? "first bad element" : "largest difference");
        coordinates(o, j.worst_at, worst, sizeof worst);
        size_t used = strlen(row->reason);
        if (j.bad)
            snprintf(row->reason + used, sizeof row->reason - used, "; %lld of %lld are bad, the worst at %s", (long long)j.bad, (long long)o->elements,
                     worst);
    }
}

static void compare_integers(const verify_job *job, const verify_operand *o, verify_row *row) {
    int64_t first;
    row->limit = 0;
    row->error = (double)ssa_integers_differ(job->c->op, job->c->dim, inside(o, o->got), inside(o, o->want), o->elements, &first);
    if (row->error > 0) verify_fail(row, o, first, "differs");
}

static void compare_selection(const verify_job *job, const verify_operand *o, verify_row *row) {
    const verify_operand *q = &job->operand[0], *kbar = &job->operand[1];
    ssa_selection judged = {.q = inside(q, q->image), .q_dtype = q->dtype, .kbar = inside(kbar, kbar->image), .kbar_dtype = kbar->dtype,
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
    row->limit = ssa_output_limit(job->c->op, job->act, o->dtype);
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
