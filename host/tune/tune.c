#include "tune/tune.h"
#include <stdio.h>
#include <stdlib.h>

/* Shipped choices: by device, best first, the last lines for all. `measured` or `modelled` stands at the end of each. */
static const struct { dev_type type; uint32_t vendor; const char *kernel, *name; } shipped[] = {
    /* CLBlast compiles for seconds at its first call and is tuned for GPUs; on PoCL 3.1 it reached 23 GFLOP/s where our 128-tile reaches
     * 13.5 (toolchain of 2026-11), which the compilation never earns back in a test: modelled. */
    {DEV_CPU, 0, "matmul", "default"},
};

static uint64_t class_of(uint64_t n) {
    uint64_t p = 1;
    while (p < n) p *= 2;
    return p;
}

void tune_key(const tune_point *p, bool exact, char key[TUNE_KEY]) {
    const ssa_call *c = &p->call;
    ssa_op_info     info;
    int             n = snprintf(key, TUNE_KEY, "%s", p->kernel);
    ssa_op_describe(c->op, &info);
    if (c->op == SSA_MATMUL) n += snprintf(key + n, (size_t)(TUNE_KEY - n), " %c%c", c->attr.trans_a ? 't' : 'n', c->attr.trans_b ? 't' : 'n');
    n += snprintf(key + n, (size_t)(TUNE_KEY - n), " %s %s", ssa_dtype_name(c->t[0].dtype), ssa_dtype_name(c->t[c->count - 1].dtype));
    for (char letter = 'A'; letter <= 'Z' && n < TUNE_KEY; letter++) {
        uint64_t size = (uint64_t)c->dim[letter - 'A'];
        if (size) n += snprintf(key + n, (size_t)(TUNE_KEY - n), " %c%llu", letter, (unsigned long long)(exact ? size : class_of(size)));
    }
}

/* -- what was chosen ----------------------------------------------------------------------------------------------------- */

static const char *shipped_choice(const device *dev, const char *kernel) {
    for (size_t i = 0; i < sizeof shipped / sizeof *shipped; i++)
        if (shipped[i].type == dev->info.type && (!shipped[i].vendor || shipped[i].vendor == dev->info.vendor_id) && !strcmp(shipped[i].kernel, kernel))
            return shipped[i].name;
    return NULL;
}

const char *tuner_choice(const tuner *t, const tune_point *p) {
    char               key[TUNE_KEY];
    const tune_choice *c;
    if (!t || t->mode == SSA_TUNE_OFF) return NULL;
    tune_key(p, false, key);
    c = tune_find(&t->choices, key);
    if (!c || !strcmp(c->name, "default")) return NULL;
    if (strcmp(c->name, TUNE_LIBRARY)) return c->name;
    tune_key(p, true, key);
    const tune_choice *right = tune_find(&t->checked, key);
    return p->library && right && !strcmp(right->name, "right") ? c->name : NULL;
}

/* -- deciding ------------------------------------------------------------------------------------------------------------ */

ssa_status tuner_open(tuner *t, ssa_backend *be, device *dev, ssa_tune_mode mode, ssa_error *err) {
    t->backend = be;
    t->dev = dev;
    t->mode = mode;
    return mode == SSA_TUNE_OFF ? SSA_OK : tune_store_open(&t->store, dev, &t->choices, err);
}

void tuner_close(tuner *t) {
    tune_store_close(&t->store);
    tune_free(&t->choices);
    tune_free(&t->checked);
    free(t->point);
}

void tuner_consider(tuner *t, const tune_point *p) {
    char key[TUNE_KEY], other[TUNE_KEY];
    tune_key(p, true, key);
    for (int i = 0; i < t->points; i++) {
        tune_key(&t->point[i], true, other);
        if (!strcmp(key, other)) return;
    }
    if (t->points == t->capacity) {
        int         capacity = t->capacity ? 2 * t->capacity : 32;
        tune_point *grown = realloc(t->point, (size_t)capacity * sizeof *grown);
        if (!grown) return;
        t->point = grown;
        t->capacity = capacity;
    }
    t->point[t->points++] = *p;
}

/* Tries one candidate; a failure that is not the whole device's is this candidate's. */
static ssa_status attempt(tuner *t, const tune_point *p, const char *key, const char *name, bool timed, tune_trial *out, ssa_error *err) {
    ssa_error why = {0};
    *out = (tune_trial){0};
    if (tune_store_is_deadly(&t->store, key, name)) return SSA_OK;
    tune_store_trial(&t->store, &t->choices, key, name);
    ssa_status s = tune_try(t, p, name, timed, out, &why);
    tune_store_save(&t->store, &t->choices);
    if (s == SSA_ERR_DEVICE_LOST || s == SSA_ERR_MEMORY) return ssa_fail(err, s, "%s", why.text);
    if (s) *out = (tune_trial){0};
    return SSA_OK;
}

/* Tries one candidate and keeps it where it beats the best so far. */
static ssa_status compete(tuner *t, const tune_point *p, const char *name, tune_choice *best, ssa_error *err) {
    tune_trial trial;
    SSA_TRY(attempt(t, p, best->key, name, true, &trial, err));
    if (!trial.right || trial.seconds <= 0) return SSA_OK;
    if (!best->seconds || trial.seconds < best->seconds) {
        best->second = best->seconds;
        best->seconds = trial.seconds;
        snprintf(best->name, sizeof best->name, "%s", name);
    } else if (!best->second || trial.seconds < best->second) best->second = trial.seconds;
    return SSA_OK;
}

static ssa_status measure(tuner *t, const tune_point *p, const char *key, ssa_error *err) {
    tune_choice best = {.origin = TUNE_MEASURED, .name = "default"};
    snprintf(best.key, sizeof best.key, "%s", key);
    for (int i = 0; variant_at(i); i++) {
        const variant *v = variant_at(i);
        if (!strcmp(v->kernel, p->kernel) && variant_runs(v, &t->dev->limits, NULL, 0) && variant_fits(v, p->sizes))
            SSA_TRY(compete(t, p, v->name, &best, err));
    }
    if (p->library) SSA_TRY(compete(t, p, TUNE_LIBRARY, &best, err));
    SSA_TRY(tune_put(&t->choices, &best, err));
    tune_store_save(&t->store, &t->choices);
    return SSA_OK;
}

static ssa_status decide(tuner *t, const tune_point *p, ssa_error *err) {
    char key[TUNE_KEY], exact[TUNE_KEY];
    tune_key(p, false, key);
    tune_key(p, true, exact);
    if (!tune_find(&t->choices, key)) {
        const char *name = shipped_choice(t->dev, p->kernel);
        if (name) {
            tune_choice c = {.origin = TUNE_SHIPPED};
            snprintf(c.key, sizeof c.key, "%s", key);
            snprintf(c.name, sizeof c.name, "%s", name);
            SSA_TRY(tune_put(&t->choices, &c, err));
        } else if (t->mode == SSA_TUNE_SEARCH) SSA_TRY(measure(t, p, key, err));
    }
    const tune_choice *c = tune_find(&t->choices, key);
    if (!c || strcmp(c->name, TUNE_LIBRARY) || tune_find(&t->checked, exact)) return SSA_OK;
    tune_trial  trial = {0};
    tune_choice checked = {0};
    if (p->library) SSA_TRY(attempt(t, p, exact, TUNE_LIBRARY, false, &trial, err));
    snprintf(checked.key, sizeof checked.key, "%s", exact);
    snprintf(checked.name, sizeof checked.name, "%s", trial.right ? "right" : "wrong");
    return tune_put(&t->checked, &checked, err);
}

ssa_status tuner_decide(tuner *t, ssa_error *err) {
    ssa_status s = SSA_OK;
    for (int i = 0; i < t->points && !s && t->mode != SSA_TUNE_OFF; i++) s = decide(t, &t->point[i], err);
    t->points = 0;
    return s;
}
