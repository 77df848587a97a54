/* AdamW (Loshchilov & Hutter 2019), decoupled decay. grad, p, m, v, w: one shape; step: [0] learning rate, [1] 1/(1-beta1^n),
 * [2] 1/(1-beta2^n); clip: [1] factor, -1 to skip the step.
 *   g = grad * clip[1];  m = b1 m + (1-b1) g;  v = b2 v + (1-b2) g^2
 *   p = p - lr wd p - lr (m c1) / (sqrt(v c2) + eps);  w = p, rounded to the weights' dtype (w may be p)
 * A skipped step leaves p, m and v; w is p as ever. */
#include "simd.h"

static void update(const void *arg, pool_part part) {
    const cpu_args *a = arg;
    const real     *grad = REALS(0), *step = REALS(1), *clip = REALS(2);
    real           *p = REALS(3), *m = REALS(4), *v = REALS(5), *w = REALS(6);
    real            lr = step[0], c1 = step[1], c2 = step[2], factor = clip[1];
    real            b1 = (real)ATTR.beta1, b2 = (real)ATTR.beta2, eps = (real)ATTR.eps, decay = lr * (real)ATTR.weight_decay;
    if (factor < 0) {
#pragma omp simd
        for (int64_t i = part.first; i < part.end; i++) w[i] = p[i];
        return;
    }
#pragma omp simd
    for (int64_t i = part.first; i < part.end; i++) {
        real g = grad[i] * factor;
        real mi = b1 * m[i] + (1 - b1) * g, vi = b2 * v[i] + (1 - b2) * g * g;
        real pi = p[i] - decay * p[i] - lr * (mi * c1) / (real_sqrt(vi * c2) + eps);
        m[i] = mi;
        v[i] = vi;
        p[i] = pi;
        w[i] = pi;
    }
}

ssa_status CPU(adamw)(const cpu_args *a) {
    pool_run(a->pool, ssa_numel(&a->call->t[0]), BLOCK, update, a);
    return SSA_OK;
}
