/* From the importances of a query's earlier blocks to the blocks it sees: the current block c first, then the best of the earlier
 * ones. Equal scores: the newer block. A score that is NaN ranks as infinity: a block with NaN is taken, and the NaN seen.
 * compat with top_k = block_size: at most block_size/2 of the current superblock (c included) and block_size/2 of those
 * before; in the first superblock all (the rule of the released kernel). */
#ifndef SSA_CPU_RANK_H
#define SSA_CPU_RANK_H

#include "cpu.h"

/* Inserts block i into the `taken` best so far, at most `room`: descending score, then descending block. Blocks come ascending. */
static int64_t insert(int32_t *best, int64_t taken, int64_t room, const real *score, int32_t i) {
    if (room <= 0 || (taken == room && score[i] < score[best[taken - 1]])) return taken;
    int64_t at = taken < room ? taken++ : taken - 1;
    for (; at > 0 && score[i] >= score[best[at - 1]]; at--) best[at] = best[at - 1];
    best[at] = i;
    return taken;
}

/* score: of blocks 0..c-1; best: 2 K of scratch; out: K slots, unused ones -1 */
static inline void rank(const cpu_args *a, int64_t c, real *score, int32_t *best, int32_t *out) {
    int64_t  K = DIM('K'), half = ATTR.block_size / 2, n_far = 0, n_near = 0, slot = 1;
    bool     halves = ATTR.select == SSA_SELECT_COMPAT && ATTR.top_k == ATTR.block_size && ATTR.top_k > half;
    int64_t  super = halves && c >= ATTR.block_size ? c / ATTR.block_size * ATTR.block_size : 0; /* the superblock's first block */
    int64_t  quota_far = super ? half : 0, quota_near = super ? half - 1 : K - 1;
    int32_t *near = best, *far = best + K;
    for (int64_t i = 0; i < c; i++) score[i] = isnan(score[i]) ? INFINITY : score[i];
    for (int64_t i = 0; i < super; i++) n_far = insert(far, n_far, quota_far < K ? quota_far : K, score, (int32_t)i);
    for (int64_t i = super; i < c; i++) n_near = insert(near, n_near, quota_near < K ? quota_near : K, score, (int32_t)i);
    out[0] = (int32_t)c;
    for (int64_t i = 0, j = 0; slot < K && (i < n_near || j < n_far);) /* both sorted; a near block is the newer one */
        out[slot++] = j == n_far || (i < n_near && score[near[i]] >= score[far[j]]) ? near[i++] : far[j++];
    for (; slot < K; slot++) out[slot] = -1;
}

#endif
