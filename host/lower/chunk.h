/* What lowerings share: how much of a tensor a binding may hold, elementwise kernels, conversion. */
#ifndef SSA_LOWER_CHUNK_H
#define SSA_LOWER_CHUNK_H

#include "lower.h"

/* Elements of `dtype` that fit a binding (which may have to start up to 256 bytes early); at most 2^30, so that indices of
 * a grid that overshoots still fit 32 bits. */
static inline int64_t binding_elements(const lowering *l, ssa_dtype dtype) {
    uint64_t n = (lowered_limits(l)->max_range - 256) / (uint64_t)element_bytes(l, dtype), most = (uint64_t)1 << 30;
    return (int64_t)(n < most ? n : most);
}

/* Elementwise kernels: WG invocations, each takes EACH elements, WG apart. */
enum { ELEMENTWISE_WG = 128, ELEMENTWISE_EACH = 4 };
static inline int64_t elementwise_groups(int64_t n) { return ceil_div(n, ELEMENTWISE_WG * ELEMENTWISE_EACH); }
#define ELEMENTWISE .constants = {{"WG", ELEMENTWISE_WG}, {"EACH", ELEMENTWISE_EACH}}

/* y = x, rounded to y's dtype, as many elements as y has. */
ssa_status lower_convert(lowering *l, ssa_tensor x, ssa_tensor y);

#endif
