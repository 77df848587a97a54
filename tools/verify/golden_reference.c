/* Values beyond their limits: a near tie of the selection that fell to the other side, or an error?
 *
 * Two blocks whose importances differ by less than f32 can tell may each come in, and everything behind differs from the file by what one
 * block is worth. Three things together say that this has happened and that nothing else has; each is a replay on the CPU:
 *
 *   1. The device's blocks, held against those of a replay that attends them itself, are the same or nearly tied with them: the device's
 *      selection is right.
 *   2. That replay, with the device's blocks, gives the device's values within the file's limits: all else is right on the device.
 *   3. A replay that selects for itself, with at most MOST_FLIPS near ties taken the other way, gives the file's values within its limits:
 *      the file and we mean the same model. A file whose numbers come of anything else (another decay, another rule) does not get past.
 *
 * The ties of 3 are looked for where importances differ by less than NEAR of the largest: parameters are compared to 1e-9 (NMSE) after two
 * updates, so no importance is surer than 3e-5. */
#include "golden_inside.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_FLIPS = 4, MOST_TIES = 24 };
static const double NEAR = 3e-5;

/* A near tie: of a query's blocks, the one in `slot` against `next`. */
typedef struct tie {
    int        updates, layer;
    ssa_stream main;
    int64_t    row;
    ssa_border border;
} tie;

/* What the CPU's selections are watched for. */
typedef struct watch {
    const golden_pass *pass;
    int                layers;
    int64_t            calls;
    const int32_t     *given; /* blocks to attend, call after call; NULL: its own, but for the flips */
    int64_t            left;  /* of given, in elements */
    tie                flip[MOST_FLIPS];
    int                flips;
    tie                near[MOST_TIES]; /* those with the smallest gaps */
    int                nears;
    tie                widest;          /* given: the widest tie between them and the CPU's own */
    int                ties, wrong;
    bool               failed;          /* out of memory, or given does not go with the calls */
    char               why[96];
} watch;

static bool same_place(const tie *a, const tie *b) {
    return a->updates == b->updates && a->layer == b->layer && a->main == b->main && a->row == b->row;
}

static void keep_near(watch *w, const tie *t) {
    int at = w->nears < MOST_TIES ? w->nears : MOST_TIES - 1;
    for (int i = 0; i < w->nears; i++)
        if (same_place(&w->near[i], t) && w->near[i].border.slot == t->border.slot) return; /* another program of the same weights */
    if (w->nears == MOST_TIES && t->border.gap >= w->near[at].border.gap) return;
    if (w->nears < MOST_TIES) w->nears++;
    for (; at > 0 && w->near[at - 1].border.gap > t->border.gap; at--) w->near[at] = w->near[at - 1];
    w->near[at] = *t;
}

/* Its own blocks, a near tie that is on the list taken the other way. */
static void flip_and_look(watch *w, const ssa_selection *from, tie t, int32_t *set, double *scratch) {
    ssa_border border[2];
    for (int i = 0; i < w->flips; i++)
        if (same_place(&w->flip[i], &t)) {
            set[w->flip[i].border.slot] = w->flip[i].border.next;
            return;
        }
    for (int i = 0, n = ssa_selection_borders(from, t.row, set, scratch, border); i < n; i++) {
        t.border = border[i];
        if (fabs(t.border.gap) < NEAR) keep_near(w, &t);
    }
}

static void take_given(watch *w, const ssa_selection *from, tie t, int32_t *set, const int32_t *given, int64_t K, double *scratch) {
    double      gap;
    char        why[96];
    ssa_verdict verdict = ssa_selection_judge(from, t.row, given, set, scratch, &gap, why);
    if (verdict == SSA_SELECTION_WRONG && !w->wrong++) snprintf(w->why, sizeof w->why, "%s", why);
    if (verdict == SSA_SELECTION_TIE) {
        t.border.gap = gap;
        if (!w->ties++ || gap > w->widest.border.gap) w->widest = t;
    }
    memcpy(set, given, (size_t)K * sizeof *set);
}

static void selected(void *user, const ssa_selection *from, int32_t *idx) {
    watch        *w = user;
    const int64_t K = from->dim['K' - 'A'], rows = from->dim['B' - 'A'] * from->dim['T' - 'A'] * from->dim['S' - 'A'];
    ssa_selection near = *from;
    double       *scratch = malloc((size_t)from->dim['N' - 'A'] * 2 * sizeof *scratch);
    tie           t = {.updates = w->pass->updates, .layer = (int)(w->calls++ % w->layers), .main = w->pass->main};
    near.near_tie = NEAR;
    if (!scratch || (w->given && w->left < rows * K)) {
        w->failed = true;
        free(scratch);
        return;
    }
    for (t.row = 0; t.row < rows; t.row++) {
        if (w->given) take_given(w, &near, t, idx + t.row * K, w->given + t.row * K, K, scratch);
        else flip_and_look(w, &near, t, idx + t.row * K, scratch);
    }
    if (w->given) {
        w->given += rows * K;
        w->left -= rows * K;
    }
    free(scratch);
}

static ssa_status replay(const golden *g, const golden_plan *plan, const ssa_safetensors *weights, watch *w, golden_pass *p) {
    ssa_context *cpu;
    *p = (golden_pass){0};
    w->pass = p;
    w->layers = plan->config.n_layers;
    w->calls = 0;
    w->nears = 0;
    SSA_TRY(ssa_open("cpu", &(ssa_open_options){.selected = selected, .selected_user = w}, &cpu, g->err));
    ssa_status s = golden_from_context(g, cpu, golden_run(plan, cpu, weights, p));
    ssa_close(cpu);
    return s;
}

static double distance(const golden_row *row, const golden_want *want) { return golden_distance(row, want->number, want->values); }

/* How far a replay is beyond the file's limits: 0 nowhere. *first: updates before the first row that is. */
static double excess(const golden_pass *p, const golden_want *want, int *first) {
    double sum = 0;
    *first = -1;
    for (int i = 0; i < p->count; i++) {
        double d = distance(&p->row[i], &want[i]), beyond = d / fmax(p->row[i].limit, 1e-12);
        if (want[i].absent || d <= p->row[i].limit) continue;
        if (*first < 0) *first = p->row[i].updates;
        sum += isfinite(beyond) ? log1p(beyond) : 1e3;
    }
    return sum;
}

/* Finds the near ties that the file took the other way, one by one: of those before the first row that is off, the one that brings the
 * replay nearest to the file. best: the replay with the flips of w. */
static ssa_status follow_file(const golden *g, const golden_plan *plan, const ssa_safetensors *weights, const golden_want *want, watch *w,
                              golden_pass *best) {
    int first;
    SSA_TRY(replay(g, plan, weights, w, best));
    double off = excess(best, want, &first);
    while (off > 0 && w->flips < MOST_FLIPS) {
        watch  found = *w;
        bool   better = false;
        for (int i = 0; i < w->nears; i++) {
            watch       trial = *w;
            golden_pass p;
            int         then;
            if (w->near[i].updates > first) continue;
            trial.flip[trial.flips++] = w->near[i];
            ssa_status s = replay(g, plan, weights, &trial, &p);
            double     now = s ? INFINITY : excess(&p, want, &then);
            if (now < 0.9 * off) {
                golden_pass worse = *best;
                *best = p;
                p = worse;
                off = now;
                first = then;
                found = trial;
                better = true;
            }
            golden_pass_free(&p);
            SSA_TRY(s);
            if (off <= 0) break;
        }
        if (!better) break;
        *w = found;
        w->pass = best;
    }
    return SSA_OK;
}

static void tell(char *note, size_t size, const watch *file, const watch *device) {
    const tie *t = file->flips ? &file->flip[0] : &device->widest;
    snprintf(note, size, "near tie: the blocks of query %lld in layer %d after %d updates differ by %.1e of the largest importance; beside the CPU with "
             "this device's blocks", (long long)t->row, t->layer, t->updates, fabs(t->border.gap));
}

ssa_status golden_judge(const golden *g, const golden_plan *plan, const ssa_safetensors *weights, const golden_pass *device, const golden_want *want,
                        const int32_t *blocks, int64_t block_count, golden_verdict *out) {
    watch       with_device = {.given = blocks, .left = block_count}, with_file = {0};
    golden_pass same = {0}, file = {0};
    out->explained = calloc((size_t)device->count + 1, sizeof *out->explained);
    out->error = calloc((size_t)device->count + 1, sizeof *out->error);
    ssa_status s = out->explained && out->error ? SSA_OK : ssa_fail(g->err, SSA_ERR_MEMORY, "out of memory for %d golden values", device->count);
    if (!s && blocks) s = replay(g, plan, weights, &with_device, &same);
    out->wrong = with_device.wrong;
    snprintf(out->why, sizeof out->why, "%s", with_device.why);
    bool right = blocks && !with_device.wrong && !with_device.failed && same.count == device->count;
    if (!s && right) s = follow_file(g, plan, weights, want, &with_file, &file);
    right = right && !with_file.failed && file.count == device->count && with_device.ties + with_file.flips > 0;
    for (int i = 0; i < device->count && !s && right; i++) {
        const golden_row *row = &device->row[i];
        out->error[i] = golden_distance(row, same.row[i].number, same.row[i].values);
        out->explained[i] = !(distance(row, &want[i]) <= row->limit) && out->error[i] <= row->limit && distance(&file.row[i], &want[i]) <= row->limit;
    }
    if (!s && right) tell(out->note, sizeof out->note, &with_file, &with_device);
    golden_pass_free(&same);
    golden_pass_free(&file);
    return s;
}
