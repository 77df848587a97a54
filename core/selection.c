/* Whether a device's selection is right. Sums in another order round otherwise, so that of two blocks of nearly the same importance
 * either may come in: a judgement on sets and scores, one for `ssa verify` and the shadow check. */
#include "ssa/ops.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

static const double near_tie = 1e-5; /* of the largest importance */

static double value(const void *image, ssa_dtype dtype, int64_t i) {
    float f;
    if (dtype == SSA_F64) return ((const double *)image)[i];
    ssa_to_f32(&f, (const char *)image + i * (int64_t)ssa_dtype_size(dtype), dtype, 1);
    return (double)f;
}

#define DIM(letter) (c->dim[(letter) - 'A'])

/* Importance of the blocks before the query's own, [N], in double (ssa_spec 1.3); score: [N] of scratch. */
static void importances(const ssa_selection *c, int64_t row, double *importance, double *score) {
    int64_t T = DIM('T'), Q = DIM('Q'), H = DIM('H'), S = DIM('S'), D = DIM('D'), N = DIM('N');
    int64_t b = row / S / T, t = row / S % T, s = row % S, current = t / c->attr->block_size, complete = (t + 1) / c->attr->block_size;
    double  scale = (double)c->attr->scale;
    for (int64_t i = 0; i < N; i++) importance[i] = 0;
    for (int64_t head = s * (Q / S); head < (s + 1) * (Q / S); head++) {
        double sum = 0, top = -INFINITY;
        for (int64_t i = 0; i < complete; i++) {
            score[i] = 0;
            for (int64_t d = 0; d < D; d++)
                score[i] += value(c->q, c->q_dtype, ((b * T + t) * Q + head) * D + d) *
                            value(c->kbar, c->kbar_dtype, ((b * N + i) * H + head / (Q / H)) * D + d);
            if (score[i] * scale > top) top = score[i] * scale;
        }
        for (int64_t i = 0; i < complete; i++) sum += exp(score[i] * scale - top);
        for (int64_t i = 0; i < current; i++)
            importance[i] += c->attr->score == SSA_SCORE_DOT ? score[i] : exp(score[i] * scale - top) / sum;
    }
}

static bool among(int32_t block, const int32_t *set, int64_t count) {
    for (int64_t k = 0; k < count; k++)
        if (set[k] == block) return true;
    return false;
}

/* Whether a query's blocks have the form that select promises: the current one first, none twice, none of the future, -1 behind. */
static bool well_formed(const int32_t *set, int64_t K, int64_t current) {
    int64_t count = 0;
    for (int64_t k = 0; k < K; k++) {
        if (set[k] < -1 || set[k] > current || (set[k] >= 0 && (count < k || among(set[k], set, k)))) return false;
        count += set[k] >= 0;
    }
    return set[0] == current;
}

ssa_verdict ssa_selection_judge(const ssa_selection *c, int64_t row, const int32_t *got, const int32_t *want, double *scratch, char why[96]) {
    int64_t T = DIM('T'), S = DIM('S'), K = DIM('K'), N = DIM('N'), current = row / S % T / c->attr->block_size, count = 0;
    double  gained = INFINITY, lost = -INFINITY, largest = 0;
    bool    differ = false;
    if (!memcmp(got, want, (size_t)K * sizeof *got)) return SSA_SELECTION_EQUAL;
    while (count < K && want[count] >= 0) count++;
    if (!well_formed(got, K, current) || among(-1, got, count) || (count < K && got[count] >= 0)) {
        snprintf(why, 96, "not a selection: the current block, then others once, then -1");
        return SSA_SELECTION_WRONG;
    }
    importances(c, row, scratch, scratch + N);
    for (int64_t k = 0; k < count; k++) {
        if (among(got[k], want, count) && among(want[k], got, count)) continue;
        differ = true;
        if (!among(got[k], want, count)) gained = fmin(gained, scratch[got[k]]);
        if (!among(want[k], got, count)) lost = fmax(lost, scratch[want[k]]);
    }
    if (!differ) return SSA_SELECTION_EQUAL; /* in another order */
    for (int64_t i = 0; i < current; i++) largest = fmax(largest, fabs(scratch[i]));
    if (!(lost - gained > near_tie * largest)) return SSA_SELECTION_TIE; /* or not finite: then both are as right */
    snprintf(why, 96, "scores %.9g and %.9g, no near tie", gained, lost);
    return SSA_SELECTION_WRONG;
}
