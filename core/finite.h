/* The one rule on numbers that are not finite: a loss, a logit, an attention statistic or a weight to be saved that is NaN or
 * infinite is a failure at run time, wherever it comes up. Who hands such a number out asks here first. */
#ifndef SSA_FINITE_H
#define SSA_FINITE_H

#include "ssa/status.h"
#include <stdint.h>

/* SSA_ERR_RUNTIME, "WHAT is not finite: nan". what: as it begins the sentence, "the cross-entropy". */
ssa_status check_finite(ssa_error *err, const char *what, double x);
/* The same over an array; the sentence names the first that is not finite: "WHAT: value 3 of 256 is not finite: inf". */
ssa_status check_all_finite(ssa_error *err, const char *what, const float *x, int64_t n);

#endif
