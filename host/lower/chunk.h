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

/* Workgroups of an elementwise kernel: WG invocations, each takes EACH elements, WG apart. */
static inline int64_t elementwise_groups(const lowering *l, const char *kernel, int64_t n) {
    const variant *v = variant_for(l, kernel, NULL);
    return ceil_div(n, (int64_t)variant_value(v, "WG") * variant_value(v, "EACH"));
}

/* y = x, rounded to y's dtype, as many elements as y has. */
ssa_status lower_convert(lowering *l, ssa_tensor x, ssa_tensor y);

#endif
