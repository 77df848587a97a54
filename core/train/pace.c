/* How fast a run goes, how far it is, and its line about a step. */
#include "train.h"

train_pace pace_of(const ssa_train_options *o, int64_t first, int64_t step, double elapsed, double flops) {
    double done = (double)(step - first), tokens = (double)(o->batch * o->seq * o->accum);
    return (train_pace){.elapsed = elapsed, .tokens_per_s = done * tokens / elapsed, .flops_per_s = done * flops / elapsed, .tokens_seen = (double)step * tokens,
                        .left = elapsed / done * (double)((o->stop_at ? o->stop_at : o->steps) - step)};
}

/* "6.88 k", "43.1 G" */
static const char *with_prefix(char text[24], double x) {
    static const char *const prefix[] = {"", " k", " M", " G", " T", " P"};
    int                      i = 0;
    while (i < 5 && x >= 999.5) x /= 1000, i++;
    snprintf(text, 24, x >= 99.95 ? "%.0f%s" : "%.3g%s", x, prefix[i]);
    return text;
}

void pace_print(FILE *to, const ssa_train_options *o, int64_t step, const ssa_losses *l, const char *mode, const train_pace *p) {
    char flops[24], seen[24], elapsed[SSA_DURATION_SIZE], left[SSA_DURATION_SIZE];
    fprintf(to, "step %lld/%lld  ce %.4f (%s)  align %.5f  norm %.3f  lr %.2e  %.0f tokens/s  %sFLOP/s  %s tokens seen  %s, %s left\n", (long long)step, (long long)o->steps, (double)l->ce,
            mode, (double)l->align, (double)l->norm, ssa_train_lr(o, step), p->tokens_per_s, with_prefix(flops, p->flops_per_s), with_prefix(seen, p->tokens_seen),
            ssa_duration_print(elapsed, p->elapsed), ssa_duration_print(left, p->left));
    fflush(to);
}
