/* CLBlast or our own kernel: which is faster is decided once per class of shapes (layout, and M, N, K, batch rounded up to powers of
 * two), because CLBlast's tuned parameters win on some shapes and lose on others. On some devices it has given wrong results (CLBlast
 * #533, #149), for one shape and not for its neighbour: so its values are checked for every shape that it is to compute, once, and a
 * shape for which they are wrong, or cannot be checked, is ours. On a device that is a CPU our own kernel is taken without measuring: CLBlast compiles for seconds at its first call.
 * SSA_GEMM=own never takes CLBlast, clblast takes it wherever it is right, measure measures on CPUs too. */
#include "ocl.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    bool     trans_a, trans_b, clblast;
    uint64_t M, N, K, batch;
    double   clblast_s, own_s;
} choice;

/* A shape that CLBlast was asked for, and whether its values were right. */
typedef struct { dev_gemm shape; bool right; } checked;

enum { FORCE_NONE, FORCE_OWN, FORCE_CLBLAST, FORCE_MEASURE };

struct ocl_gemm {
    ocl_clblast *library; /* NULL: none here */
    int          force;
    bool         measuring;
    choice      *list;
    int          count, capacity;
    checked     *shapes;
    int          shape_count, shape_capacity;
};

static ocl_gemm *gemm_state(ocl_device *d) {
    if (d->gemm || !(d->gemm = calloc(1, sizeof *d->gemm))) return d->gemm;
    static const char *const words[] = {"", "own", "clblast", "measure"};
    const char *env = getenv("SSA_GEMM");
    for (int i = FORCE_OWN; env && i <= FORCE_MEASURE; i++)
        if (!strcmp(env, words[i])) d->gemm->force = i;
    if (d->gemm->force != FORCE_OWN) d->gemm->library = ocl_clblast_open();
    return d->gemm;
}

ocl_clblast *ocl_gemm_library(ocl_device *d) {
    ocl_gemm *state = gemm_state(d);
    return state ? state->library : NULL;
}

void ocl_gemm_free(ocl_device *d) {
    if (!d->gemm) return;
    ocl_clblast_close(d, d->gemm->library);
    free(d->gemm->list);
    free(d->gemm->shapes);
    free(d->gemm);
    d->gemm = NULL;
}

static uint64_t round_up(uint64_t n) {
    uint64_t p = 1;
    while (p < n) p *= 2;
    return p;
}

static choice *find(ocl_gemm *state, const choice *c) {
    for (int i = 0; i < state->count; i++) {
        choice *o = &state->list[i];
        if (o->trans_a == c->trans_a && o->trans_b == c->trans_b && o->M == c->M && o->N == c->N && o->K == c->K && o->batch == c->batch) return o;
    }
    return NULL;
}

static choice *add(ocl_gemm *state, const choice *c) {
    if (state->count == state->capacity) {
        int     capacity = state->capacity ? 2 * state->capacity : 32;
        choice *grown = realloc(state->list, (size_t)capacity * sizeof *grown);
        if (!grown) return NULL;
        state->list = grown;
        state->capacity = capacity;
    }
    state->list[state->count] = *c;
    return &state->list[state->count++];
}

static void decide(ocl_device *d, ocl_gemm *state, choice *c, const dev_gemm *g) {
    if (d->base.info.type == DEV_CPU && state->force == FORCE_NONE) return;
    if (state->force == FORCE_CLBLAST) {
        c->clblast = true; /* wherever it is right: see right_here */
        return;
    }
    ocl_measured m = ocl_gemm_measure(d, state->library, g);
    c->clblast_s = m.clblast;
    c->own_s = m.own;
    c->clblast = m.right && (m.own <= 0 || m.clblast < m.own);
}

static bool same_shape(const dev_gemm *a, const dev_gemm *b) {
    return a->trans_a == b->trans_a && a->trans_b == b->trans_b && a->M == b->M && a->N == b->N && a->K == b->K && a->batch == b->batch;
}

/* Whether CLBlast is right for this very shape: asked the first time (with and without accumulate), remembered then. */
static bool remember(ocl_gemm *state, checked c) {
    if (state->shape_count == state->shape_capacity) {
        int      capacity = state->shape_capacity ? 2 * state->shape_capacity : 32;
        checked *grown = realloc(state->shapes, (size_t)capacity * sizeof *grown);
        if (!grown) return false;
        state->shapes = grown;
        state->shape_capacity = capacity;
    }
    state->shapes[state->shape_count++] = c;
    return true;
}

static bool right_here(ocl_device *d, ocl_gemm *state, const dev_gemm *g) {
    for (int i = 0; i < state->shape_count; i++)
        if (same_shape(&state->shapes[i].shape, g)) return state->shapes[i].right;
    checked c = {*g, ocl_gemm_right(d, state->library, g)};
    return remember(state, c) && c.right;
}

bool ocl_gemm_offer(device *dev, const dev_gemm *g, uint64_t *workspace) {
    ocl_device *d = (ocl_device *)dev;
    ocl_gemm   *state = gemm_state(d);
    *workspace = 0; /* the device keeps it, see ocl_clblast_prepare */
    if (!state || !state->library || state->measuring || d->lost.status || !g->M || !g->N || !g->K || !g->batch) return false;
    choice wanted = {.trans_a = g->trans_a, .trans_b = g->trans_b};
    wanted.M = round_up(g->M), wanted.N = round_up(g->N), wanted.K = round_up(g->K), wanted.batch = round_up(g->batch);
    choice *c = find(state, &wanted);
    state->measuring = true; /* our own kernel, being timed, must not ask for CLBlast */
    if (!c) {
        decide(d, state, &wanted, g);
        c = add(state, &wanted);
    }
    bool right = c && c->clblast && right_here(d, state, g); /* also where an earlier run chose it */
    state->measuring = false;
    return right && !d->lost.status && ocl_clblast_prepare(d, state->library, g);
}

ssa_status ocl_choices_get(device *dev, void (*line)(void *user, const char *text), void *user) {
    ocl_gemm *state = ((ocl_device *)dev)->gemm;
    char      text[160];
    for (int i = 0; state && i < state->count; i++) {
        const choice *c = &state->list[i];
        snprintf(text, sizeof text, "gemm %c%c %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %s", c->trans_a ? 't' : 'n', c->trans_b ? 't' : 'n', c->M,
                 c->N, c->K, c->batch, c->clblast ? "clblast" : "own");
        if (c->clblast_s > 0 && c->own_s > 0) {
            size_t n = strlen(text);
            snprintf(text + n, sizeof text - n, " (%.3g ms against %.3g)", 1e3 * (c->clblast ? c->clblast_s : c->own_s),
                     1e3 * (c->clblast ? c->own_s : c->clblast_s));
        }
        line(user, text);
    }
    for (int i = 0; state && i < state->shape_count; i++) {
        const dev_gemm *g = &state->shapes[i].shape;
        if (state->shapes[i].right) continue;
        snprintf(text, sizeof text, "wrong %c%c %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " clblast", g->trans_a ? 't' : 'n', g->trans_b ? 't' : 'n',
                 g->M, g->N, g->K, g->batch);
        line(user, text);
    }
    return SSA_OK;
}

ssa_status ocl_choices_set(device *dev, const char *line, ssa_error *err) {
    ocl_device        *d = (ocl_device *)dev;
    ocl_gemm          *state = gemm_state(d);
    char               layout[3], who[16];
    unsigned long long M, N, K, batch;
    if (!state) return ssa_fail(err, SSA_ERR_MEMORY, "out of memory for the choices of matrix products");
    bool wrong = !strncmp(line, "wrong ", 6); /* of one shape, and stays so: the run goes on with the bits of our own kernel */
    bool read = sscanf(line + strcspn(line, " "), " %2[nt] %llu %llu %llu %llu %15s", layout, &M, &N, &K, &batch, who) == 6 && strlen(layout) == 2 &&
                (wrong || !strncmp(line, "gemm ", 5));
    if (!read || (strcmp(who, "clblast") && strcmp(who, "own")))
        return ssa_fail(err, SSA_ERR_INPUT, "opencl:%d does not understand the recorded choice \"%.100s\"", dev->info.index, line);
    if (wrong) {
        checked shape = {{.trans_a = layout[0] == 't', .trans_b = layout[1] == 't', .M = M, .N = N, .K = K, .batch = batch}, false};
        return remember(state, shape) ? SSA_OK : ssa_fail(err, SSA_ERR_MEMORY, "out of memory for the choices of matrix products");
    }
    choice  c = {.trans_a = layout[0] == 't', .trans_b = layout[1] == 't', .clblast = !strcmp(who, "clblast"), .M = M, .N = N, .K = K,
                 .batch = batch};
    choice *o = find(state, &c);
    if (c.clblast && !state->library)
        return ssa_fail(err, SSA_ERR_UNSUPPORTED, "the run chose CLBlast for \"%.100s\", and CLBlast is not here", line);
    if (!o && !add(state, &c)) return ssa_fail(err, SSA_ERR_MEMORY, "out of memory for the choices of matrix products");
    if (o) o->clblast = c.clblast;
    return SSA_OK;
}
