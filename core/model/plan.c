/* What a model takes, without allocating anything: it is created on a planning context, which counts. */
#include "model.h"
#include <stdlib.h>

static ssa_status count(ssa_model *m, ssa_model_plan *out) {
    ssa_plan *plan = ssa_plan_of(m->ctx);
    SSA_TRY(model_allocate(m));
    ssa_stream main = m->attention.system->trains(&m->config, SSA_MAIN_SPARSE) ? SSA_MAIN_SPARSE : SSA_MAIN_FULL;
    plan->flops = 0;
    SSA_TRY(m->options.training ? model_micro_batch(m, (layer_pass){.main = main, .losses = true}) : model_evaluation(m, SSA_MAIN_SPARSE));
    plan->flops *= m->options.accum;
    if (m->options.training) SSA_TRY(model_optimizer(m));
    *out = (ssa_model_plan){.parameters = ssa_model_param_elements(m), .flops_step = plan->flops, .weights = m->weights.bytes,
                            .optimizer = m->optimizer.bytes, .activations = m->activations.bytes, .scratch = plan->scratch_bytes};
    out->total = out->weights + out->optimizer + out->activations + out->scratch;
    return SSA_OK;
}

static ssa_status plan_once(ssa_context *ctx, const ssa_model_config *config, const ssa_model_options *options, ssa_model_plan *out) {
    ssa_context *plan;
    ssa_error   *err = ssa_context_error(ctx);
    SSA_TRY(ssa_plan_open(ctx, &plan, err));
    ssa_model m = {.ctx = plan, .config = *config, .options = *options};
    ssa_status s = count(&m, out);
    if (s) ssa_fail(err, s, "%s", ssa_context_error(plan)->text);
    model_release(&m);
    ssa_close(plan);
    return s;
}

ssa_status ssa_model_make_plan(ssa_context *ctx, const ssa_model_config *config, const ssa_model_options *options, ssa_model_plan *out) {
    SSA_TRY(plan_once(ctx, config, options, out));
    uint64_t memory = ssa_context_memory(ctx);
    int64_t  fits = 0, beyond = 0;
    ssa_model_options o = *options;
    /* Doubling from 1 until a batch does not fit, then halving the gap. A plan that fails (a buffer too large) does not fit. */
    for (o.batch = 1; o.batch <= 65536; o.batch *= 2) {
        ssa_model_plan p;
        ssa_error      before = *ssa_context_error(ctx);
        ssa_status     s = plan_once(ctx, config, &o, &p);
        *ssa_context_error(ctx) = before;
        if (s || (memory && p.total > memory)) { beyond = o.batch; break; }
        fits = o.batch;
    }
    while (beyond - fits > 1) {
        ssa_model_plan p;
        ssa_error      before = *ssa_context_error(ctx);
        o.batch = (fits + beyond) / 2;
        ssa_status s = plan_once(ctx, config, &o, &p);
        *ssa_context_error(ctx) = before;
        if (s || (memory && p.total > memory)) beyond = o.batch; else fits = o.batch;
    }
    out->largest_batch = fits;
    return SSA_OK;
}
