/* Alignment loss between the full and the sparse stream (SSA, arXiv 2511.20102):
 *   value (+)= scale * 2 * mean over elements of l(h_full - h_sparse), h = o * g (gated) or o,
 *   l(d) = SmoothL1: d^2/2 if |d| < 1 else |d| - 1/2; L2: d^2. Twice, because each stream is pulled to the other.
 * o_full, o_sparse: [B,T,Q,D]; z: [B,T,3Q], g = sigmoid(z[3h+1]). Rows in fixed chunks, the chunks added in order. */
#include "cpu.h"

enum { CHUNK = 256 };

typedef struct { const cpu_args *a; double *sum; } chunk_sums;

static void sum_chunk(const void *arg, pool_part part) {
    const chunk_sums *sums = arg;
    const cpu_args   *a = sums->a;
    const real       *full = REALS(0), *sparse = REALS(1), *z = REALS(2);
    int64_t           D = DIM('D');
    bool              l2 = ATTR.loss == SSA_LOSS_L2;
    double            chunk = 0;
    for (int64_t r = part.first; r < part.end; r++) {
        real g = ATTR.gated ? sigmoid(z[3 * r + 1]) : 1, sum = 0;
#pragma omp simd reduction(+ : sum)
        for (int64_t d = 0; d < D; d++) {
            real x = (full[r * D + d] - sparse[r * D + d]) * g, size = x < 0 ? -x : x;
            sum += l2 ? x * x : size < 1 ? (real)0.5 * x * x : size - (real)0.5;
        }
        chunk += (double)sum;
    }
    sums->sum[part.first / CHUNK] = chunk;
}

ssa_status CPU(align)(const cpu_args *a) {
    real      *value = REALS(3);
    int64_t    rows = DIM('B') * DIM('T') * DIM('Q'), D = DIM('D'), chunks = (rows + CHUNK - 1) / CHUNK;
    chunk_sums sums = {a, a->scratch(a->owner, (size_t)chunks * sizeof(double))};
    double     total = 0;
    if (!sums.sum && chunks) return ssa_fail(a->err, SSA_ERR_MEMORY, "align: out of memory for partial sums");
    pool_run(a->pool, rows, CHUNK, sum_chunk, &sums);
    for (int64_t c = 0; c < chunks; c++) total += sums.sum[c];
    total *= rows ? 2 * (double)ATTR.scale / (double)(rows * D) : 0;
    *value = (real)((ATTR.accumulate ? (double)*value : 0) + total);
    return SSA_OK;
}

/* With u = scale * l'(h_full - h_sparse), l' = clamp(d, -1, 1) or 2d, and dy the gradient of the main stream's gated output:
 *   gated:   dh_full = u + [main = full] dy, dh_sparse = -u + [main = sparse] dy, do = dh g, dz = g (1-g) sum_d (dh_full o_full + dh_sparse o_sparse)
 *   ungated: do_full = u + [main = full] dy g, do_sparse = -u + [main = sparse] dy g, dz = g (1-g) sum_d dy o_main
 * dz goes to column 3h+1, other columns are 0; stat [4,B,T,Q]: [1] and [3] = delta = sum_d o do. do_full may be dy. */
static void align_bwd(const void *arg, pool_part part) {
    const cpu_args *a = arg;
    const real     *dy = REALS(0), *full = REALS(1), *sparse = REALS(2), *z = REALS(3);
    real           *do_full = REALS(4), *do_sparse = REALS(5), *dz = REALS(6), *stat = REALS(7), scale = (real)ATTR.scale;
    int64_t         rows = DIM('B') * DIM('T') * DIM('Q'), D = DIM('D');
    bool            l2 = ATTR.loss == SSA_LOSS_L2;
    bool            to_full = ATTR.main == SSA_MAIN_FULL;
    for (int64_t r = part.first; r < part.end; r++) {
        real g = sigmoid(z[3 * r + 1]), h = ATTR.gated ? g : 1, dot = 0, delta_full = 0, delta_sparse = 0;
        /* h scales o into what is compared, and the gradient of that back */
#pragma omp simd reduction(+ : dot, delta_full, delta_sparse)
        for (int64_t d = 0; d < D; d++) {
            int64_t i = r * D + d;
            real    x = (full[i] - sparse[i]) * h, y = dy[i], f = full[i], s = sparse[i];
            real    u = scale * (l2 ? 2 * x : x > 1 ? 1 : x < -1 ? -1 : x);
            real    df = u * h + (to_full ? y * g : 0), ds = -u * h + (to_full ? 0 : y * g);
            dot += y * (to_full ? f : s) + (ATTR.gated ? u * (f - s) : 0);
            delta_full += f * df;
            delta_sparse += s * ds;
            do_full[i] = df;
            do_sparse[i] = ds;
        }
        dz[3 * r] = dz[3 * r + 2] = 0;
        dz[3 * r + 1] = g * (1 - g) * dot;
        stat[rows + r] = delta_full;
        stat[3 * rows + r] = delta_sparse;
    }
}

ssa_status CPU(align_bwd)(const cpu_args *a) {
    pool_run(a->pool, DIM('B') * DIM('T') * DIM('Q'), rows_of(DIM('D')), align_bwd, a);
    return SSA_OK;
}
