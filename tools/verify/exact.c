/* Inputs for which every partial sum is representable, so that results do not depend on order, tiles or fused multiply-adds:
 * they must be the CPU's bit for bit, on any device. Small whole numbers, never 0 (a sum of signed zeros depends on its order),
 * and factors that are powers of two. Their sums stay below 2^24 in f32; where an output is stored in 16 bits, one rounding of
 * an exact sum follows, which is defined to the last bit too. */
#include "verify.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int64_t number_between(uint64_t *state, int64_t n) { return 1 + (int64_t)(verify_uniform(state) * (double)n); }

static void whole_numbers(verify_job *job, verify_operand *o, int largest) {
    for (int64_t i = 0; i < o->elements; i++) {
        double v = (double)number_between(&job->random, largest);
        verify_set(o->image, o->dtype, o->before + i, verify_random(&job->random) & 1 ? v : -v);
    }
}

/* Quarter turns, and halves that make no rotation but are exact: rope only multiplies and adds. */
static void exact_rotations(verify_job *job, verify_operand *o) {
    static const double values[] = {1, -1, 0.5, -0.5, 2};
    for (int64_t i = 0; i < o->elements; i++)
        verify_set(o->image, o->dtype, o->before + i, values[verify_random(&job->random) % (sizeof values / sizeof *values)]);
}

static void prepare(verify_job *job) {
    for (int i = 0; i < job->info.count; i++) {
        verify_operand *o = &job->operand[i];
        bool            added = o->info.out && o->info.inout && job->c->attr.accumulate;
        if (o->dtype == SSA_I32 || o->alias >= 0 || (o->info.out && !added)) continue;
        if (job->c->op == SSA_ROPE && i == 1) exact_rotations(job, o);
        else whole_numbers(job, o, job->c->op == SSA_CAST ? 100000 : 4);
    }
}

static void compare(const verify_job *job, int i, verify_row *row) {
    const verify_operand *o = &job->operand[i];
    size_t                size = ssa_dtype_size(o->dtype);
    if (o->dtype == SSA_I32 && job->c->op != SSA_SELECT) { /* the tail of sparse_lists is undefined: the ordinary comparison knows */
        verify_compare(job, i, row);
        return;
    }
    int64_t differ = 0, first = -1;
    char    what[96];
    for (int64_t k = 0; k < o->elements; k++) {
        size_t at = (size_t)(o->before + k) * size;
        if (!memcmp(o->got + at, o->want + at, size)) continue;
        if (first < 0) first = k;
        differ++;
    }
    row->error = (double)differ;
    row->limit = 0;
    if (!differ) return;
    snprintf(what, sizeof what, "%lld of %lld elements differ in their bits, the first", (long long)differ, (long long)o->elements);
    verify_fail(row, o, first, what);
}

/* Why an operation's results cannot be exact; NULL: they can. */
static const char *why_not(ssa_op op) {
    switch (op) {
    case SSA_SWIGLU:
    case SSA_SWIGLU_BWD:
    case SSA_GATE:
    case SSA_GATE_BWD:
    case SSA_ALIGN_BWD: return "a sigmoid is rounded, and exp differs between devices";
    case SSA_RMSNORM:
    case SSA_RMSNORM_BWD:
    case SSA_CLIP:
    case SSA_ADAMW: return "a square root and a quotient are rounded";
    case SSA_ATTN_FULL:
    case SSA_ATTN_FULL_BWD:
    case SSA_ATTN_SPARSE:
    case SSA_ATTN_SPARSE_BWD: return "a softmax is rounded, and exp differs between devices";
    case SSA_LM_LOSS:
    case SSA_LM_LOSS_GRAD: return "a logarithm of a sum of exponentials is rounded";
    default: return NULL;
    }
}

static bool power_of_two(int64_t n) { return n > 0 && !(n & (n - 1)); }
static bool exact_factor(float scale) { /* a power of two, or none */
    int exponent;
    return scale == 0 || frexpf(fabsf(scale), &exponent) == 0.5f;
}

/* Of the operations that can be exact, the cases that are; regimes bring their own data. */
static bool exact_case(const verify_case *c) {
    const ssa_attrs *a = &c->attr;
    if (why_not(c->op) || (c->data != DATA_PLAIN && c->data != DATA_IGNORED)) return false;
    switch (c->op) {
    case SSA_SELECT: return a->score == SSA_SCORE_DOT;
    case SSA_BLOCK_MEAN: { /* divides by the length of a block; the last may be shorter */
        int64_t rest = VDIM(c, 'T') % a->block_size;
        return power_of_two(a->block_size) && (!rest || power_of_two(rest));
    }
    case SSA_SUM: return exact_factor(a->scale);
    case SSA_ALIGN: return !a->gated && exact_factor(a->scale) && power_of_two(VDIM(c, 'B') * VDIM(c, 'T') * VDIM(c, 'Q') * VDIM(c, 'D')); /* divides by their count */
    default: return true;
    }
}

static ssa_status more_cases(verify_case_list *list, ssa_error *err) {
    static const char *const align[] = {"B=1 T=1 Q=1 D=16", "B=2 T=8 Q=4 D=16", "B=1 T=128 Q=2 D=64"};
    for (size_t i = 0; i < sizeof align / sizeof *align; i++)
        for (int loss = SSA_LOSS_SMOOTHL1; loss <= SSA_LOSS_L2; loss++)
            SSA_TRY(
                verify_case_add(list, SSA_ALIGN, align[i], &(ssa_attrs){.scale = 0.5f, .loss = loss, .accumulate = i == 1}, VERIFY_SAME_DTYPE, err));
    SSA_TRY(verify_case_add(list, SSA_MATMUL, "G=1 M=65 N=33 K=5000", &(ssa_attrs){0}, VERIFY_SAME_DTYPE, err));
    return verify_case_add(list, SSA_BLOCK_MEAN, "B=1 T=132 Q=4 H=2 D=64", &(ssa_attrs){.block_size = 16}, VERIFY_SAME_DTYPE, err);
}

ssa_status verify_exact_cases(verify_case_list *list, ssa_error *err) {
    SSA_TRY(verify_cases(list, err));
    ssa_status s = more_cases(list, err);
    int        kept = 0;
    for (int i = 0; i < list->count; i++)
        if (exact_case(&list->at[i])) list->at[kept++] = list->at[i];
    list->count = kept;
    return s;
}

void verify_runner_exact(verify_runner *r) {
    r->prepare = prepare;
    r->compare = compare;
    r->options.wide = false;
}

static void skip(const verify_runner *r, ssa_op op, const char *why) {
    ssa_op_info info;
    ssa_op_describe(op, &info);
    verify_row row = {.mode = r->mode, .op = info.name, .text = "all cases", .device = ssa_context_device(r->dev), .variant = r->options.variant,
                      .output = "all", .ulp = -1, .device_wide = -1, .cpu_wide = -1, .status = VERIFY_SKIPPED};
    bool matters = !r->only_ops || !regexec(&r->ops, info.name, 0, NULL, 0);
    char name[64];
    snprintf(name, sizeof name, "%s f32 all cases", info.name);
    if (r->filtered && regexec(&r->filter, name, 0, NULL, 0)) matters = false;
    snprintf(row.reason, sizeof row.reason, "cannot be exact: %s", why);
    if (matters) r->callback(r->user, &row);
}

ssa_status verify_exact(ssa_context *ctx, const verify_options *options, verify_callback callback, void *user, ssa_error *err) {
    static const ssa_dtype dtypes[] = {SSA_F32, SSA_F16, SSA_BF16};
    verify_runner    r = {.mode = "exact", .dev = ctx, .options = *options, .callback = callback, .user = user, .err = err};
    verify_case_list list = {0};
    unsigned         wanted = options->dtypes ? options->dtypes : 7;
    verify_runner_exact(&r);
    SSA_TRY(verify_runner_open(&r));
    ssa_status s = verify_exact_cases(&list, err);
    for (int op = 0; op < SSA_OP_COUNT && !s; op++) {
        const char *why = why_not((ssa_op)op);
        if (why) skip(&r, (ssa_op)op, why);
    }
    for (int round = 0, rounds = verify_rounds(&r); round < rounds && !s; round++)
        for (int i = round; i < list.count && !s; i += rounds)
            for (int d = 0; d < 3 && !s; d++)
                if (wanted >> dtypes[d] & 1) s = verify_runner_case(&r, &list.at[i], dtypes[d], i + d);
    free(list.at);
    verify_runner_close(&r);
    return s;
}
