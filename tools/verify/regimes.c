/* The data of the regimes in which kernels go wrong while ordinary numbers look right: scores in the hundreds, exact ties, every
 * pattern of a 16-bit type, one element that is not finite. */
#include "verify.h"
#include <math.h>
#include <string.h>

static void set(verify_operand *o, int64_t i, double value) { verify_set(o->image, o->dtype, o->before + i, value); }

/* -most .. most, never 0 */
static double whole(verify_job *job, int most) {
    double v = 1 + (double)verify_below(&job->random, most);
    return verify_random(&job->random) & 1 ? v : -v;
}

static void fill_whole(verify_job *job, verify_operand *o, int most) {
    for (int64_t i = 0; i < o->elements; i++) set(o, i, whole(job, most));
}

/* Whole numbers: with D = 16 or 64 the scores are exact multiples of a power of two, up to some hundreds, so that devices differ in
 * exp and log alone. Every third token's are small, or nearly every softmax would be one-hot. */
static void large_scores(verify_job *job, verify_operand *o) {
    const char *name = o->info.name;
    int64_t     each = VDIM(job->c, 'Q') * VDIM(job->c, 'D');
    if (!strcmp(name, "k") || !strcmp(name, "kbar")) fill_whole(job, o, 2);
    if (!strcmp(name, "q"))
        for (int64_t i = 0; i < o->elements; i++) set(o, i, whole(job, i / each % 3 == 1 ? 2 : 200));
}

/* exp(-z) overflows below -88, exp(z) above 88; its square root, and what f16 holds, at half of it or less. */
static double large_exponent(verify_job *job, int64_t i) {
    static const double values[] = {100, -100, 300, -300, 11, -11, 50, -50};
    return values[i % 8] * (0.9 + 0.2 * verify_uniform(&job->random));
}

static void large(verify_job *job, verify_operand *o) {
    const char *name = o->info.name;
    switch (job->c->op) {
    case SSA_CAST:
        for (int64_t i = 0; i < o->elements; i++) set(o, i, 3e4 * verify_normal(&job->random)); /* beyond f16's largest number */
        break;
    case SSA_SWIGLU:
    case SSA_SWIGLU_BWD:
        for (int64_t i = 0; i < o->elements; i += 7) set(o, i, (i % 2 ? -100 : 100) * verify_uniform(&job->random));
        for (int64_t i = 3; i < o->elements && !strcmp(name, "gate"); i += 7) set(o, i, large_exponent(job, i / 7));
        break;
    case SSA_GATE:
    case SSA_GATE_BWD:
    case SSA_ALIGN:
    case SSA_ALIGN_BWD:
        for (int64_t i = 1; i < o->elements && !strcmp(name, "z"); i += 3) set(o, i, large_exponent(job, i / 3));
        break;
    case SSA_LM_LOSS:
    case SSA_LM_LOSS_GRAD:
        if (!strcmp(name, "h")) fill_whole(job, o, 15);
        if (!strcmp(name, "w")) fill_whole(job, o, 4);
        break;
    default: large_scores(job, o);
    }
}

/* Scores that are small whole numbers, so that they are equal or far apart, with neighbouring blocks alike in pairs or more. */
static void ties(verify_job *job, verify_operand *o) {
    const verify_case *c = job->c;
    int64_t            each = VDIM(c, 'H') * VDIM(c, 'D'), N = VDIM(c, 'N');
    if (o->info.out) return;
    fill_whole(job, o, 2);
    if (strcmp(o->info.name, "kbar")) return;
    for (int64_t i = 0; i < o->elements; i++)
        if (i / each % N % 3) set(o, i, verify_get(o->image, o->dtype, o->before + i - each)); /* blocks 0, 1, 2 alike; 3, 4, 5; ... */
}

/* 16 bits: every pattern in turn. f32: every pattern of the upper half with what decides a rounding to bf16 or f16 below it. */
static void patterns(verify_operand *o) {
    static const uint32_t below[] = {0x0000, 0x0001, 0x7fff, 0x8000, 0x8001, 0xffff, 0x0fff, 0x1000, 0x1001, 0x2fff, 0x3000, 0x3001};
    enum { BELOW = sizeof below / sizeof *below };
    if (o->info.out) return;
    for (int64_t i = 0; i < o->elements; i++) {
        char *at = o->image + (size_t)(o->before + i) * ssa_dtype_size(o->dtype);
        if (o->dtype == SSA_F32) {
            uint32_t bits = (uint32_t)(i / BELOW * 31 & 0xffff) << 16 | below[i % BELOW]; /* 31 is odd: all of them, in any order */
            memcpy(at, &bits, sizeof bits);
        } else {
            uint16_t bits = (uint16_t)i;
            memcpy(at, &bits, sizeof bits);
        }
    }
}

void verify_regime(verify_job *job, int i) {
    verify_operand *o = &job->operand[i];
    if (o->dtype == SSA_I32) return;
    switch (job->c->data) {
    case DATA_LARGE:
        if (!o->info.out) large(job, o);
        break;
    case DATA_ZERO_ROWS:
        for (int64_t k = 0; k < o->elements && !strcmp(o->info.name, "x"); k++)
            if (k / VDIM(job->c, 'C') % 3 == 1) set(o, k, 0);
        break;
    case DATA_TIES: ties(job, o); break;
    case DATA_BITS: patterns(o); break;
    default: break;
    }
}

/* Where an element that is not finite says the same on every device: what is masked may meet 0 * NaN in one device's tiles and not in
 * another's, so a key is the first, which every query sees, and a query the last, which sees every key. */
static int64_t spoilt_element(const verify_case *c, const verify_operand *o) {
    const char *name = o->info.name;
    switch (c->op) {
    case SSA_SELECT:
    case SSA_ATTN_FULL:
    case SSA_ATTN_FULL_BWD:
    case SSA_ATTN_SPARSE:
    case SSA_ATTN_SPARSE_BWD:
        if (*name == 'k' || *name == 'v') return 1;
        if (!strcmp(name, "stat")) return isnan(c->bad_value) ? o->elements / 2 - 1 : o->elements - 1; /* lse; delta */
        return o->elements - VDIM(c, 'D') / 2;
    case SSA_ADAMW:
        if (!strcmp(name, "step")) return 0;
        if (!strcmp(name, "clip")) return 1;
        break;
    default: break;
    }
    return !strcmp(name, "z") ? o->elements / 6 * 3 + 1 : o->elements / 2;
}

void verify_spoil(verify_job *job) {
    const verify_case *c = job->c;
    if (c->data == DATA_NOT_FINITE) set(&job->operand[c->bad], spoilt_element(c, &job->operand[c->bad]), c->bad_value);
}
