/* Full attention (Vaswani et al. 2017), causal, with a head gate as in the authors' baseline, or without as in a plain Llama:
 *   y = sigmoid(gate) * o,  o[t] = sum_{j<=t} softmax_j(scale q_t . k_j) v_j
 * Trained dense. Its sparse mode is training-free: the sparse stream's selection over the same q, k, v. */
#include "attention.h"

static const char *const no_losses[] = {NULL};

static bool full_trains(const ssa_model_config *c, ssa_stream main) { (void)c; return main == SSA_MAIN_FULL; }
static bool full_aligns(const ssa_model_config *c) { (void)c; return false; }

static ssa_status full_forward(const attention *a, const attention_kept *kept, const attention_pass *pass, ssa_tensor *y) {
    SSA_TRY(streams_forward(a, kept, pass->main));
    return gated_output(a, kept, pass->main, y);
}

static ssa_status full_backward(const attention *a, const attention_kept *kept, const attention_pass *pass, const attention_grads *g) {
    return single_backward(a, kept, pass->main, g);
}

const attention_system attention_full = {
    .name = "full", .losses = no_losses, .trains = full_trains, .aligns = full_aligns, .forward = full_forward, .backward = full_backward,
    .output = gated_output,
};
