/* Whether a device's selection is right. Sums in another order round otherwise, so that of two blocks of nearly the same importance
 * either may come in: a judgement on sets and scores, one for `ssa verify` and the shadow check. */
#include "ssa/judge.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

static const double near_tie = 1e-5; /* of the largest importance */

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
                score[i] += ssa_element(c->q, c->q_dtype, ((b * T + t) * Q + head) * D + d) *
                            ssa_element(c->kbar, c->kbar_dtype, ((b * N + i) * H + head / (Q / H)) * D + d);
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

/* The blocks a rule ranks among themselves, each pool on its own: exact has one, all blocks before the current one. compat with
 * top_k = block_size has two, the current superblock's and those before it (ssa_spec 1.4), so that a block of one pool is never as
 * good as one of the other, whatever their scores. room: how many of blocks first .. end - 1 are taken. */
typedef struct pool { int64_t first, end, room; } pool;

static int pools_of(const ssa_selection *c, int64_t current, pool out[2]) {
    int64_t block = c->attr->block_size, border = current / block * block;
    if (c->attr->select != SSA_SELECT_COMPAT || c->attr->top_k != block || block < 2 || border == 0) {
        out[0] = (pool){0, current, DIM('K') - 1};
        return 1;
    }
    out[0] = (pool){border, current, block / 2 - 1};
    out[1] = (pool){0, border, block / 2};
    return 2;
}

static int64_t taken_of(const int32_t *set, int64_t K, const pool *p) {
    int64_t n = 0;
    for (int64_t k = 1; k < K; k++) n += set[k] >= p->first && set[k] < p->end;
    return n;
}

ssa_verdict ssa_selection_judge(const ssa_selection *c, int64_t row, const int32_t *got, const int32_t *want, double *scratch, double *gap,
                                char why[96]) {
    int64_t T = DIM('T'), S = DIM('S'), K = DIM('K'), N = DIM('N'), current = row / S % T / c->attr->block_size;
    double  largest = 0, widest = 0;
    bool    differ = false;
    pool    pools[2];
    int     count = pools_of(c, current, pools);
    *gap = 0;
    if (!memcmp(got, want, (size_t)K * sizeof *got)) return SSA_SELECTION_EQUAL;
    if (!well_formed(got, K, current)) {
        snprintf(why, 96, "not a selection: the current block, then others once, then -1");
        return SSA_SELECTION_WRONG;
    }
    for (int p = 0; p < count; p++) {
        int64_t taken = taken_of(got, K, &pools[p]), there = pools[p].end - pools[p].first, due = pools[p].room < there ? pools[p].room : there;
        if (taken == due) continue;
        snprintf(why, 96, "takes %lld of blocks %lld..%lld, the rule is %lld", (long long)taken, (long long)pools[p].first, (long long)pools[p].end - 1,
                 (long long)due);
        return SSA_SELECTION_WRONG;
    }
    importances(c, row, scratch, scratch + N);
    for (int64_t i = 0; i < current; i++) largest = fmax(largest, fabs(scratch[i]));
    for (int p = 0; p < count; p++) {
        double gained = INFINITY, lost = -INFINITY;
        for (int64_t i = pools[p].first; i < pools[p].end; i++) {
            bool in_got = among((int32_t)i, got, K), in_want = among((int32_t)i, want, K);
            differ |= in_got != in_want;
            if (in_got && !in_want) gained = fmin(gained, scratch[i]);
            if (in_want && !in_got) lost = fmax(lost, scratch[i]);
        }
        if (lost - gained > (c->near_tie > 0 ? c->near_tie : near_tie) * largest) {
            snprintf(why, 96, "scores %.9g and %.9g, no near tie", gained, lost);
            return SSA_SELECTION_WRONG;
        }
        if (largest > 0 && lost - gained > widest * largest) widest = (lost - gained) / largest;
    }
    *gap = widest;
    return differ ? SSA_SELECTION_TIE : SSA_SELECTION_EQUAL; /* equal: in another order. What is not finite is a tie: both are as right */
}

int ssa_selection_borders(const ssa_selection *c, int64_t row, const int32_t *set, double *scratch, ssa_border out[2]) {
    int64_t T = DIM('T'), S = DIM('S'), K = DIM('K'), N = DIM('N'), current = row / S % T / c->attr->block_size;
    double  largest = 0;
    pool    pools[2];
    int     found = 0, count = pools_of(c, current, pools);
    importances(c, row, scratch, scratch + N);
    for (int64_t i = 0; i < current; i++) largest = fmax(largest, fabs(scratch[i]));
    for (int p = 0; p < count; p++) {
        ssa_border b = {-1, -1, 0};
        for (int64_t k = 1; k < K; k++)
            if (set[k] >= pools[p].first && set[k] < pools[p].end && (b.slot < 0 || scratch[set[k]] < scratch[set[b.slot]])) b.slot = (int32_t)k;
        for (int64_t i = pools[p].first; i < pools[p].end; i++)
            if (!among((int32_t)i, set, K) && (b.next < 0 || scratch[i] > scratch[b.next])) b.next = (int32_t)i;
        if (b.slot < 0 || b.next < 0) continue;
        b.gap = largest > 0 ? (scratch[set[b.slot]] - scratch[b.next]) / largest : 0;
        out[found++] = b;
    }
    return found;
}
