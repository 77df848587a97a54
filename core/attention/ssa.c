/* Sparse Sparse Attention (ICML 2026, arXiv 2511.20102). Both streams see the same q, k, v and gate; a coin decides for each micro-batch
 * which one goes on, the other meets it in the alignment loss of every layer:
 *   y = h_main,  h = sigmoid(gate) * o;   L = L_ce + alpha * mean over layers of 2 * mean l(h_full - h_sparse)
 * two-sided: l's gradient enters both streams. l: SmoothL1 (the code) or L2 (the paper); ungated: o in the place of h in L.
 * With alpha = 0 the main stream is computed alone. */
#include "attention.h"

static const char *const ssa_losses_of[] = {"align", NULL};

static bool ssa_trains(const ssa_model_config *c, ssa_stream main) { (void)c, (void)main; return true; }
static bool ssa_aligns(const ssa_model_config *c) { return c->alpha > 0; }

static ssa_status ssa_forward(const attention *a, const attention_kept *kept, const attention_pass *pass, ssa_tensor *y) {
    const ssa_model_config *c = a->config;
    SSA_TRY(streams_forward(a, kept, pass->main));
    if (pass->losses && a->both)
        ATTENTION_RUN(SSA_ALIGN, SSA_T(kept->o_full, kept->o_sparse, gate_of(a, kept), a->losses), .scale = 1.0f / (float)a->terms, .loss = c->loss,
                      .gated = c->align_gated, .accumulate = pass->add_losses);
    return gated_output(a, kept, pass->main, y);
}

static ssa_status ssa_backward(const attention *a, const attention_kept *kept, const attention_pass *pass, const attention_grads *g) {
    const ssa_model_config *c = a->config;
    if (!a->both) return single_backward(a, kept, pass->main, g);
    double     elements = (double)(a->B * a->T * a->Q * a->D);
    ssa_tensor d_full = g->dy; /* in place */
    ATTENTION_RUN(SSA_ALIGN_BWD, SSA_T(g->dy, kept->o_full, kept->o_sparse, gate_of(a, kept), d_full, a->d_other, d_gate_of(a, g), kept->stat),
                  .scale = (float)(c->alpha / (a->terms * elements)), .loss = c->loss, .gated = c->align_gated, .main = pass->main);
    SSA_TRY(dense_backward(a, kept, d_full, g, false));
    return sparse_backward(a, kept, a->d_other, g, true);
}

const attention_system attention_ssa = {
    .name = "ssa", .losses = ssa_losses_of, .trains = ssa_trains, .aligns = ssa_aligns, .forward = ssa_forward, .backward = ssa_backward,
    .output = gated_output,
};
