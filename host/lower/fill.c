/* Fill writes a bit pattern of 4 or 2 bytes, so that one kernel serves all dtypes. */
#include "chunk.h"
#include <math.h>

static uint32_t bits(float value, ssa_dtype dtype, int64_t bytes) {
    if (dtype == SSA_I32) return (uint32_t)(int32_t)lrintf(value);
    if (bytes == 4) return F(value);
    uint16_t half;
    ssa_from_f32(&half, dtype, &value, 1);
    return half;
}

ssa_status lower_fill(lowering *l, const ssa_call *call) {
    ssa_tensor y = call->t[0];
    int64_t    E = DIM('E'), size = element_bytes(l, y.dtype), most = binding_elements(l, y.dtype);
    for (int64_t i = 0; i < E; i += most) {
        int64_t n = min_i64(most, E - i);
        SSA_TRY(launch(l, &(launch_desc){.kernel = "fill", .act = y.dtype, .groups = {elementwise_groups(l, "fill", n)},
                                         .bind = {WR(ssa_view(y, i, n))}, PUSH(U(n), bits(call->attr.value, y.dtype, size)),
                                         .bytes = (double)(size * n)}));
    }
    return SSA_OK;
}
