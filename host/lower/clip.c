/* The factor of gradient clipping: one invocation's work, but on the device, so that the host need not wait for the norm. */
#include "lower.h"

ssa_status lower_clip(lowering *l, const ssa_call *call) {
    return launch(l, &(launch_desc){.kernel = "clip", .groups = {1}, .bind = {RD(call->t[0]), WR(call->t[1])},
                                    PUSH(F(call->attr.max_norm))});
}
