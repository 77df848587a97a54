/* y[r] = w[tokens[r]]; a token outside 0..V-1 gives a row of zeros. tokens: [R]; w: [V, C]; y: [R, C]. */
#include "cpu.h"

static void forward(const void *arg, pool_part part) {
    const cpu_args *a = arg;
    const int32_t  *tokens = INTS(0);
    const real     *w = REALS(1);
    real           *y = REALS(2);
    int64_t         V = DIM('V'), C = DIM('C');
    for (int64_t r = part.first; r < part.end; r++) {
        int64_t v = tokens[r];
        if (v >= 0 && v < V) memcpy(y + r * C, w + v * C, (size_t)C * sizeof(real));
        else memset(y + r * C, 0, (size_t)C * sizeof(real));
    }
}

ssa_status CPU(embedding)(const cpu_args *a) {
    pool_run(a->pool, DIM('R'), rows_of(DIM('C')), forward, a);
    return SSA_OK;
}

/* dw[v] (+)= sum of dy[r] over the rows r with tokens[r] = v, ascending. order lists the rows sorted by token, so a token's
 * rows are one run of it; whoever meets the start of a run sums all of it, and no two threads meet in a row of dw. */
static void clear(const void *arg, pool_part part) {
    const cpu_args *a = arg;
    int64_t         C = DIM('C');
    memset(REALS(3) + part.first * C, 0, (size_t)((part.end - part.first) * C) * sizeof(real));
}

static void backward(const void *arg, pool_part part) {
    const cpu_args *a = arg;
    const int32_t  *tokens = INTS(0), *order = INTS(1);
    const real     *dy = REALS(2);
    real           *dw = REALS(3);
    int64_t         R = DIM('R'), V = DIM('V'), C = DIM('C');
    for (int64_t start = part.first; start < part.end; start++) {
        int64_t v = tokens[order[start]];
        if (v < 0 || v >= V || (start > 0 && tokens[order[start - 1]] == v)) continue;
        real *sum = dw + v * C;
        for (int64_t i = start; i < R && tokens[order[i]] == v; i++) {
            const real *dyr = dy + order[i] * C;
#pragma omp simd
            for (int64_t c = 0; c < C; c++) sum[c] += dyr[c];
        }
    }
}

ssa_status CPU(embedding_bwd)(const cpu_args *a) {
    if (!ATTR.accumulate) pool_run(a->pool, DIM('V'), rows_of(DIM('C')), clear, a);
    pool_run(a->pool, DIM('R'), rows_of(DIM('C')), backward, a);
    return SSA_OK;
}
