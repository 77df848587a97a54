/* AdamW, element by element. Learning rate, bias corrections and the clip factor come from device memory: they change from
 * step to step, while the recorded launch stays. */
#include "chunk.h"

ssa_status lower_adamw(lowering *l, const ssa_call *call) {
    const ssa_attrs *a = &call->attr;
    ssa_tensor       grad = call->t[0], step = call->t[1], clip = call->t[2], p = call->t[3], m = call->t[4], v = call->t[5], w = call->t[6];
    int64_t          E = DIM('E'), most = binding_elements(l, SSA_F32);
    for (int64_t i = 0; i < E; i += most) {
        int64_t n = min_i64(most, E - i);
        SSA_TRY(launch(l, &(launch_desc){.kernel = "adamw", .act = w.dtype, .groups = {elementwise_groups(l, "adamw", n)},
                                         .bind = {RD(ssa_view(grad, i, n)), RD(step), RD(clip), RW(ssa_view(p, i, n)), RW(ssa_view(m, i, n)),
                                                  RW(ssa_view(v, i, n)), WR(ssa_view(w, i, n))},
                                         PUSH(U(n), F(a->beta1), F(a->beta2), F(a->eps), F(a->weight_decay)), .flops = 16.0 * (double)n,
                                         .bytes = (double)(n * (28 + element_bytes(l, w.dtype)))}));
    }
    return SSA_OK;
}
