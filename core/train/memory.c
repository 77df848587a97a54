/* Whether a run fits into the device's memory, said before anything is allocated; and if not, what would. */
#include "context.h"
#include "train.h"

/* The largest batch that fits with these changes, or 0. */
static int64_t batch_of(ssa_context *ctx, const ssa_model_config *c, ssa_model_options mo, bool recompute, int64_t seq) {
    ssa_model_plan plan;
    ssa_error      before = *ssa_context_error(ctx);
    mo.recompute = recompute;
    mo.seq = seq;
    mo.batch = 1;
    ssa_status s = ssa_model_make_plan(ctx, c, &mo, &plan);
    *ssa_context_error(ctx) = before; /* it is only a question */
    return s ? 0 : plan.largest_batch;
}

/* The longest row of a power of two times 16 that fits with a batch of one, or 0. */
static int64_t seq_of(ssa_context *ctx, const ssa_model_config *c, const ssa_model_options *mo, bool recompute) {
    int64_t seq = 16;
    while (seq * 2 < mo->seq) seq *= 2;
    while (seq >= 16 && !batch_of(ctx, c, *mo, recompute, seq)) seq /= 2;
    return seq >= 16 ? seq : 0;
}

static void hint(ssa_context *ctx, const ssa_model_config *c, const ssa_model_options *mo, int64_t plain, char *text, size_t size) {
    int64_t again = mo->recompute ? plain : batch_of(ctx, c, *mo, true, mo->seq), seq;
    char    with[40] = "";
    if (again > plain) snprintf(with, sizeof with, plain ? ", %lld with recompute" : "%lld, with recompute", (long long)again);
    if (plain || again) snprintf(text, size, "the largest batch that fits is %.0lld%s", (long long)plain, with);
    else if ((seq = seq_of(ctx, c, mo, false))) snprintf(text, size, "no batch fits; with seq %lld a batch of 1 would", (long long)seq);
    else if ((seq = seq_of(ctx, c, mo, true))) snprintf(text, size, "no batch fits; with seq %lld and recompute a batch of 1 would", (long long)seq);
    else snprintf(text, size, "no batch of any length fits; a smaller model is needed");
}

ssa_status memory_check(ssa_context *ctx, const ssa_train_options *o, const ssa_model_options *mo, ssa_model_plan *plan, ssa_error *err) {
    ssa_status s = ssa_model_make_plan(ctx, &o->model, mo, plan);
    uint64_t   have = ssa_context_memory(ctx);
    char       what[120];
    if (s) return ssa_fail(err, s, "%s", ssa_context_error(ctx)->text);
    if (!have || plan->total <= have) return SSA_OK;
    hint(ctx, &o->model, mo, plan->largest_batch, what, sizeof what);
    return ssa_fail(err, SSA_ERR_INPUT, "batch %lld needs %.2f GiB, %s has %.2f GiB; %s", (long long)o->batch, (double)plan->total / (1 << 30), ssa_context_device(ctx),
                    (double)have / (1 << 30), what);
}
