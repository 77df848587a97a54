#include "finite.h"
#include <math.h>

static const char *name_of(double x) { return isnan(x) ? "nan" : x > 0 ? "inf" : "-inf"; }

ssa_status check_finite(ssa_error *err, const char *what, double x) {
    return isfinite(x) ? SSA_OK : ssa_fail(err, SSA_ERR_RUNTIME, "%s is not finite: %s", what, name_of(x));
}

ssa_status check_all_finite(ssa_error *err, const char *what, const float *x, int64_t n) {
    for (int64_t i = 0; i < n; i++)
        if (!isfinite(x[i]))
            return ssa_fail(err, SSA_ERR_RUNTIME, "%s: value %lld of %lld is not finite: %s", what, (long long)i, (long long)n, name_of((double)x[i]));
    return SSA_OK;
}
