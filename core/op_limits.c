/* How far a device's result may be from the CPU's: one table for `ssa verify` and for the shadow check.
 *
 * The measure is NMSE = sum (x - want)^2 / sum want^2. Both sides get the same inputs, rounded alike, and store alike.
 *
 *   f32   copies: nothing is computed. Pointwise: a handful of roundings of 2^-24, and exp or 1/sqrt for which Vulkan allows up to
 *         3 + 2|x| ulp; |x| about 20 gives 43 ulp = 2.6e-6, squared 7e-12. Sums: n products in any order are off by about
 *         sqrt(n) 2^-24, squared n 3.6e-15; n of the largest sums here is some 2^14, times the pointwise part before them.
 *   f16   one step between neighbours is 2^-10 to 2^-11 of the value, so a result that falls to the other neighbour has an NMSE of
 *         about 4e-7 alone; a quarter of all elements may.
 *   bf16  a step is 2^-7 to 2^-8, 3e-5; a third may. Sums with 16-bit terms in shared memory (cooperative matrices) need this. */
#include "ssa/ops.h"

typedef enum { SUMS, POINTWISE, COPIES } work; /* what is not listed below sums */

static const work kind[SSA_OP_COUNT] = {
    [SSA_FILL] = COPIES, [SSA_CAST] = COPIES, [SSA_EMBEDDING] = COPIES, [SSA_ADD] = POINTWISE, [SSA_SWIGLU] = POINTWISE,
    [SSA_SWIGLU_BWD] = POINTWISE, [SSA_ROPE] = POINTWISE, [SSA_GATE] = POINTWISE, [SSA_CLIP] = POINTWISE, [SSA_ADAMW] = POINTWISE,
};

double ssa_op_limit(ssa_op op, ssa_dtype dtype) {
    static const double f32[] = {[SUMS] = 1e-10, [POINTWISE] = 1e-11, [COPIES] = 1e-14};
    switch (dtype) {
    case SSA_I32: return 0;
    case SSA_F16: return 1e-7;
    case SSA_BF16: return 1e-5;
    default: return f32[kind[op]];
    }
}
