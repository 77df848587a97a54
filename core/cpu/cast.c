/* y = x in another dtype. 16-bit operands arrive widened to float, and the backend rounds them on the way out: what is left
 * to do here is f32 and f64 in any combination. */
#include "cpu.h"

static void cast(const void *arg, pool_part part) {
    const cpu_args *a = arg;
    bool            x64 = a->call->t[0].dtype == SSA_F64, y64 = a->call->t[1].dtype == SSA_F64;
    const float    *xf = a->p[0];
    const double   *xd = a->p[0];
    float          *yf = a->p[1];
    double         *yd = a->p[1];
    for (int64_t i = part.first; i < part.end; i++) {
        double v = x64 ? xd[i] : (double)xf[i];
        if (y64) yd[i] = v;
        else yf[i] = (float)v;
    }
}

ssa_status CPU(cast)(const cpu_args *a) {
    pool_run(a->pool, ssa_numel(&a->call->t[0]), BLOCK, cast, a);
    return SSA_OK;
}
