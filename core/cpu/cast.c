/* y = x in another dtype. 16-bit operands arrive widened to float, and the backend rounds them on the way out: what is left
 * to do here is f32 and f64 in any combination. */
#include "cpu.h"

ssa_status CPU(cast)(const cpu_args *a) {
    int64_t       E = ssa_numel(&a->call->t[0]);
    bool          x64 = a->call->t[0].dtype == SSA_F64, y64 = a->call->t[1].dtype == SSA_F64;
    const float  *xf = a->p[0];
    const double *xd = a->p[0];
    float        *yf = a->p[1];
    double       *yd = a->p[1];
#pragma omp parallel for
    for (int64_t i = 0; i < E; i++) {
        double v = x64 ? xd[i] : (double)xf[i];
        if (y64) yd[i] = v;
        else yf[i] = (float)v;
    }
    return SSA_OK;
}
