/* The inverted list block -> queries, one per (batch, selection head), by count, prefix sum and scatter.
 * idx: [B,T,S,K]; lists: [B,S,L], L = N + 1 + T*K: offsets [N + 1], then the queries of block 0, of block 1, ..., each
 * ascending. Slots < 0 or of blocks that start after t are skipped. */
#include "cpu.h"

static void invert(const void *arg, pool_part part) {
    const cpu_args *a = arg;
    const int32_t  *idx = INTS(0);
    int32_t        *lists = INTS(1);
    int64_t         T = DIM('T'), S = DIM('S'), K = DIM('K'), L = DIM('L'), N = L - 1 - T * K, block = ATTR.block_size;
    for (int64_t bs = part.first; bs < part.end; bs++) {
        int32_t *next = lists + bs * L, *entries = next + N + 1;
        for (int64_t i = 0; i <= N; i++) next[i] = 0;
        for (int pass = 0; pass < 2; pass++) { /* count into next[i + 1]; then next[i] is where block i's next entry goes */
            for (int64_t t = 0; t < T; t++) {
                const int32_t *row = idx + ((bs / S * T + t) * S + bs % S) * K;
                for (int64_t c = 0; c < K; c++) {
                    if (row[c] < 0 || row[c] > t / block) continue;
                    if (pass == 0) next[row[c] + 1]++;
                    else entries[next[row[c]]++] = (int32_t)t;
                }
            }
            if (pass == 0)
                for (int64_t i = 0; i < N; i++) next[i + 1] += next[i];
        }
        for (int64_t i = N; i > 0; i--) next[i] = next[i - 1]; /* each has moved to its end, the next one's start */
        next[0] = 0;
    }
}

ssa_status CPU(sparse_lists)(const cpu_args *a) {
    pool_run(a->pool, DIM('B') * DIM('S'), 1, invert, a);
    return SSA_OK;
}
