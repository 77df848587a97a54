/* RMSNorm (Zhang & Sennrich 2019).
 *   rstd[r] = 1 / sqrt(mean_c x[r,c]^2 + eps)
 *   y[r,c]  = x[r,c] * rstd[r] * w[c]
 * x, y: [R, C]; w: [C]; rstd: [R], kept for the backward pass. */
#include "cpu.h"

static void forward(const void *arg, pool_part part) {
    const cpu_args *a = arg;
    const real     *x = REALS(0), *w = REALS(1);
    real           *y = REALS(2), *rstd = REALS(3);
    int64_t         C = DIM('C');
    for (int64_t r = part.first; r < part.end; r++) {
        const real *xr = x + r * C;
        double      sum = 0;
#pragma omp simd reduction(+ : sum)
        for (int64_t c = 0; c < C; c++) sum += (double)xr[c] * xr[c];
        rstd[r] = (real)(1 / sqrt(sum / (double)C + (double)ATTR.eps));
        for (int64_t c = 0; c < C; c++) y[r * C + c] = xr[c] * rstd[r] * w[c];
    }
}

ssa_status CPU(rmsnorm)(const cpu_args *a) {
    pool_run(a->pool, DIM('R'), rows_of(DIM('C')), forward, a);
    return SSA_OK;
}

/* dx (+)= rstd * (w dy - xhat * mean_c(xhat w dy)),  dw[c] (+)= sum_r dy[r,c] xhat[r,c],  xhat = x * rstd.
 * dw sums the rows in order, column ranges in parallel: the result does not depend on the number of threads. */
enum { COLUMNS = 64 };

static void backward_w(const void *arg, pool_part part) {
    const cpu_args *a = arg;
    const real     *dy = REALS(0), *x = REALS(1), *rstd = REALS(3);
    real           *dw = REALS(5), sum[COLUMNS] = {0};
    int64_t         R = DIM('R'), C = DIM('C'), first = part.first, n = part.end - first;
    for (int64_t r = 0; r < R; r++)
        for (int64_t c = 0; c < n; c++) sum[c] += dy[r * C + first + c] * x[r * C + first + c] * rstd[r];
    for (int64_t c = 0; c < n; c++) dw[first + c] = ATTR.accumulate ? dw[first + c] + sum[c] : sum[c];
}

static void backward_x(const void *arg, pool_part part) {
    const cpu_args *a = arg;
    const real     *dy = REALS(0), *x = REALS(1), *w = REALS(2), *rstd = REALS(3);
    real           *dx = REALS(4);
    int64_t         C = DIM('C');
    for (int64_t r = part.first; r < part.end; r++) {
        const real *xr = x + r * C, *dyr = dy + r * C;
        double      dot = 0;
#pragma omp simd reduction(+ : dot)
        for (int64_t c = 0; c < C; c++) dot += (double)xr[c] * (double)(w[c] * dyr[c]);
        real mean = (real)(dot * rstd[r] / (double)C);
        for (int64_t c = 0; c < C; c++) {
            real g = rstd[r] * (w[c] * dyr[c] - xr[c] * rstd[r] * mean);
            dx[r * C + c] = ATTR.residual ? dx[r * C + c] + g : g;
        }
    }
}

ssa_status CPU(rmsnorm_bwd)(const cpu_args *a) {
    pool_run(a->pool, DIM('C'), COLUMNS, backward_w, a);
    pool_run(a->pool, DIM('R'), rows_of(DIM('C')), backward_x, a);
    return SSA_OK;
}
