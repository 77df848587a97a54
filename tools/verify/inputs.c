/* Operands of a case: random data suited to each, and for what other operations make (stat, lists, idx, rstd) the CPU's own. */
#include "verify.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* splitmix64 (Steele et al. 2014): one word of state, and the whole sequence depends on the case's seed alone. */
uint64_t verify_random(uint64_t *state) {
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

double verify_uniform(uint64_t *state) { return (double)(verify_random(state) >> 11) * 0x1p-53; }

double verify_normal(uint64_t *state) {
    double u = verify_uniform(state), v = verify_uniform(state);
    return sqrt(-2 * log(1 - u)) * cos(6.283185307179586 * v);
}

static int64_t below(uint64_t *state, int64_t n) { return (int64_t)(verify_uniform(state) * (double)n); }

double verify_get(const void *image, ssa_dtype dtype, int64_t i) {
    const char *p = (const char *)image + (size_t)i * ssa_dtype_size(dtype);
    float f;
    switch (dtype) {
    case SSA_F64: {
        double d;
        memcpy(&d, p, sizeof d);
        return d;
    }
    case SSA_I32: {
        int32_t k;
        memcpy(&k, p, sizeof k);
        return k;
    }
    case SSA_F32: memcpy(&f, p, sizeof f); return f;
    default: ssa_to_f32(&f, p, dtype, 1); return f;
    }
}

void verify_set(void *image, ssa_dtype dtype, int64_t i, double value) {
    char *p = (char *)image + (size_t)i * ssa_dtype_size(dtype);
    float f = (float)value;
    int32_t k = (int32_t)value;
    switch (dtype) {
    case SSA_F64: memcpy(p, &value, sizeof value); break;
    case SSA_I32: memcpy(p, &k, sizeof k); break;
    case SSA_F32: memcpy(p, &f, sizeof f); break;
    default: ssa_from_f32(p, dtype, &f, 1);
    }
}

static double get(const verify_operand *o, int64_t i) { return verify_get(o->image, o->dtype, o->before + i); }
static void set(verify_operand *o, int64_t i, double value) { verify_set(o->image, o->dtype, o->before + i, value); }

static verify_operand *named(verify_job *job, const char *name) {
    for (int i = 0; i < job->info.count; i++)
        if (!strcmp(job->info.operand[i].name, name)) return &job->operand[i];
    return NULL;
}

static void fill_normal(verify_job *job, verify_operand *o, double mean, double deviation) {
    for (int64_t i = 0; i < o->elements; i++) set(o, i, mean + deviation * verify_normal(&job->random));
}

static void poison(verify_operand *o, int64_t first, int64_t count) {
    for (int64_t i = first; i < first + count; i++) set(o, i, o->dtype == SSA_I32 ? 0x7fffffff : NAN);
}

static ssa_status upload(verify_operand *o, verify_job *job) { return ssa_write(job->cpu, ssa_view(o->cpu, -o->before, o->total), o->image); }
static ssa_status fetch(verify_operand *o, verify_job *job) { return ssa_read(job->cpu, ssa_view(o->cpu, -o->before, o->total), o->image); }

void verify_random_blocks(uint64_t *state, int32_t *idx, int64_t B, int64_t T, int64_t S, int64_t K, int block_size, bool future) {
    int64_t N = (T + block_size - 1) / block_size;
    for (int64_t row = 0; row < B * T * S; row++) {
        int64_t t = row / S % T, c = t / block_size, used = 1, want = 1 + below(state, K);
        int32_t *slot = idx + row * K;
        slot[0] = (int32_t)c;
        for (int64_t k = 1; k < K; k++) slot[k] = -1;
        for (int tries = 0; used < want && tries < 4 * K; tries++) {
            int64_t i = below(state, future ? N : c + 1);
            bool there = false;
            for (int64_t k = 0; k < used; k++) there |= slot[k] == i;
            if (!there) slot[used++] = (int32_t)i;
        }
        for (int64_t k = K - 1; k > 0; k--) { /* -1 slots and the current block may stand anywhere */
            int64_t j = below(state, k + 1);
            int32_t swap = slot[k];
            slot[k] = slot[j];
            slot[j] = swap;
        }
    }
}

static int32_t *ints(verify_operand *o) { return (int32_t *)(void *)o->image + o->before; }

/* The blocks that select gives for the q and k of this case. */
static ssa_status selected_blocks(verify_job *job, verify_operand *idx) {
    const verify_case *c = job->c;
    ssa_context *cpu = job->cpu;
    verify_operand *q = named(job, "q"), *k = named(job, "k");
    ssa_tensor kbar;
    SSA_TRY(ssa_tensor_new(cpu, SSA_F32, &kbar, VDIM(c, 'B'), VDIM(c, 'N'), VDIM(c, 'H'), VDIM(c, 'D')));
    ssa_status s = upload(q, job);
    if (!s) s = upload(k, job);
    if (!s) s = SSA_CALL(cpu, SSA_BLOCK_MEAN, SSA_T(k->cpu, kbar), .block_size = c->attr.block_size);
    if (!s)
        s = SSA_CALL(cpu, SSA_SELECT, SSA_T(q->cpu, kbar, idx->cpu), .block_size = c->attr.block_size, .top_k = (int32_t)VDIM(c, 'K'),
                     .scale = c->attr.scale);
    if (!s) s = ssa_read(cpu, idx->cpu, ints(idx));
    ssa_tensor_free(cpu, &kbar);
    return s;
}

/* lse from the forward pass, delta = sum_d o * do from its output; also the inverted list of the sparse one. */
static ssa_status attention_state(verify_job *job) {
    const verify_case *c = job->c;
    ssa_context *cpu = job->cpu;
    verify_operand *q = named(job, "q"), *k = named(job, "k"), *v = named(job, "v"), *dout = named(job, "do"), *stat = named(job, "stat");
    verify_operand *idx = named(job, "idx"), *lists = named(job, "lists");
    ssa_tensor o;
    int64_t D = VDIM(c, 'D'), rows = stat->elements / 2;
    for (int i = 0; i < job->info.inputs; i++) SSA_TRY(upload(&job->operand[i], job));
    SSA_TRY(ssa_tensor_create(cpu, job->act, 4, q->shape, &o));
    ssa_status s = idx ? SSA_CALL(cpu, SSA_ATTN_SPARSE, SSA_T(q->cpu, k->cpu, v->cpu, idx->cpu, o, stat->cpu), .scale = c->attr.scale,
                                  .block_size = c->attr.block_size)
                       : SSA_CALL(cpu, SSA_ATTN_FULL, SSA_T(q->cpu, k->cpu, v->cpu, o, stat->cpu), .scale = c->attr.scale);
    if (!s && lists) s = SSA_CALL(cpu, SSA_SPARSE_LISTS, SSA_T(idx->cpu, lists->cpu), .block_size = c->attr.block_size);
    if (!s) s = fetch(stat, job);
    if (!s && lists) s = fetch(lists, job);
    void *host = malloc((size_t)(rows * D) * ssa_dtype_size(job->act));
    if (!host && !s) s = ssa_fail(ssa_context_error(cpu), SSA_ERR_MEMORY, "out of memory for a case");
    if (!s) s = ssa_read(cpu, o, host);
    for (int64_t r = 0; r < rows && !s; r++) {
        double delta = 0;
        for (int64_t d = 0; d < D; d++) delta += verify_get(host, job->act, r * D + d) * get(dout, r * D + d);
        set(stat, rows + r, delta);
    }
    free(host);
    ssa_tensor_free(cpu, &o);
    return s;
}

/* Tokens from -1 to V: both ends are outside the vocabulary. */
static void fill_tokens(verify_job *job, verify_operand *o) {
    int64_t V = VDIM(job->c, 'V');
    for (int64_t i = 0; i < o->elements; i++)
        ints(o)[i] = job->c->data == DATA_IGNORED ? (i % 2 ? -1 : (int32_t)V)
                     : i < 2 && o->elements > 3   ? (i ? -1 : (int32_t)V)
                                                  : (int32_t)below(&job->random, V);
}

/* Rows in ascending order of their token, equal ones in their own order (insertion sort: stable). */
static void fill_order(const verify_operand *tokens, verify_operand *order) {
    const int32_t *token = (const int32_t *)(const void *)tokens->image + tokens->before;
    int32_t *row = ints(order);
    for (int64_t i = 0; i < order->elements; i++) {
        int64_t j = i;
        for (; j > 0 && token[row[j - 1]] > token[i]; j--) row[j] = row[j - 1];
        row[j] = (int32_t)i;
    }
}

static void fill_rotations(const verify_case *c, verify_operand *o) {
    int64_t D = VDIM(c, 'D'), P = VDIM(c, 'P');
    for (int64_t p = 0; p < P; p++)
        for (int64_t d = 0; d < D / 2; d++) {
            double angle = (double)p * pow(10000, -2.0 * (double)d / (double)D);
            set(o, p * D + d, cos(angle));
            set(o, p * D + D / 2 + d, sin(angle));
        }
}

/* The statistics of rmsnorm's forward pass. */
static void fill_rstd(verify_job *job) {
    verify_operand *x = named(job, "x"), *rstd = named(job, "rstd");
    int64_t C = VDIM(job->c, 'C');
    for (int64_t r = 0; r < rstd->elements; r++) {
        double sum = 0;
        for (int64_t c = 0; c < C; c++) sum += get(x, r * C + c) * get(x, r * C + c);
        set(rstd, r, 1 / sqrt(sum / (double)C + 1e-5));
    }
}

static void scale_by(verify_operand *o, double factor) {
    for (int64_t i = 0; i < o->elements; i++) set(o, i, factor * get(o, i));
}

static void fill_adamw(verify_job *job) {
    verify_operand *p = named(job, "p"), *m = named(job, "m"), *v = named(job, "v"), *w = named(job, "w"), *step = named(job, "step"),
                   *clip = named(job, "clip");
    for (int64_t i = 0; i < v->elements; i++) {
        double root = 0.01 * verify_normal(&job->random);
        set(v, i, i % 5 ? root * root : 0);
        set(m, i, i % 5 ? get(m, i) * 0.01 : 0);
        set(w, i, get(p, i)); /* a factor of -1 leaves the weights as they are: the rounded masters */
    }
    set(step, 0, 1e-3);
    set(step, 1, 1 / (1 - pow(0.9, 7)));
    set(step, 2, 1 / (1 - pow(0.95, 7)));
    for (int i = 3; i < 8; i++) set(step, i, 0);
    set(clip, 0, 3);
    set(clip, 1, job->c->data == DATA_INFINITE ? -1 : 0.31);
}

/* What an output holds before the run: what it is added to, or poison. */
static void fill_output(verify_job *job, int i) {
    verify_operand *o = &job->operand[i];
    const ssa_attrs *a = &job->c->attr;
    int64_t plane = o->elements / o->shape[0];
    bool residual = !strcmp(o->info.name, "dx");
    if (!strcmp(o->info.name, "stat")) { /* planes that the operation does not write must stay as they are */
        bool forward = job->c->op == SSA_ATTN_FULL || job->c->op == SSA_ATTN_SPARSE;
        fill_normal(job, o, 0, 1);
        for (int64_t s = 0; s < o->shape[0]; s++)
            if (forward == (s % 2 == 0)) poison(o, s * plane, plane);
    } else if (o->info.inout && (job->c->op == SSA_ADAMW || (residual ? a->residual : a->accumulate))) {
        fill_normal(job, o, 0, 1);
    } else
        poison(o, 0, o->elements);
}

static void fill_input(verify_job *job, int i) {
    const verify_case *c = job->c;
    verify_operand *o = &job->operand[i];
    const char *name = o->info.name;
    if (o->info.type == 'i') {
        if (!strcmp(name, "tokens") || !strcmp(name, "target"))
            fill_tokens(job, o);
        else if (!strcmp(name, "order"))
            fill_order(named(job, "tokens"), o);
        else if (!strcmp(name, "idx"))
            verify_random_blocks(&job->random, ints(o), VDIM(c, 'B'), VDIM(c, 'T'), VDIM(c, 'S'), VDIM(c, 'K'), c->attr.block_size,
                                 c->op == SSA_ATTN_SPARSE);
        else
            memset(ints(o), 0, (size_t)o->elements * 4); /* lists: attention_state makes them */
        return;
    }
    fill_normal(job, o, 0, 1);
    if (c->op == SSA_CLIP) set(o, 0, c->data == DATA_INFINITE ? INFINITY : 6.25);
    if (c->op == SSA_ROPE && i == 1) fill_rotations(c, o);
    if ((c->op == SSA_LM_LOSS || c->op == SSA_LM_LOSS_GRAD) && !strcmp(name, "w"))
        scale_by(o, (c->data == DATA_LARGE ? 20 : 2) / sqrt((double)VDIM(c, 'C'))); /* logits of deviation 2, or 20: near one-hot */
    if (c->data == DATA_LARGE) {
        if (c->op == SSA_CAST) scale_by(o, 3e4); /* beyond f16's largest number */
        if (c->op == SSA_SWIGLU || c->op == SSA_SWIGLU_BWD)
            for (int64_t k = 0; k < o->elements; k += 7) set(o, k, (k % 2 ? -100 : 100) * verify_uniform(&job->random));
        if (!strcmp(name, "z")) scale_by(o, 40);
        if (!strcmp(name, "q")) scale_by(o, 12);
    }
    if (c->data == DATA_ZERO_ROWS && !strcmp(name, "x"))
        for (int64_t k = 0; k < o->elements; k++)
            if (k / VDIM(c, 'C') % 3 == 1) set(o, k, 0);
}

ssa_status verify_fill(verify_job *job, ssa_error *err) {
    const verify_case *c = job->c;
    ssa_status s = SSA_OK;
    for (int i = 0; i < job->info.count; i++) {
        verify_operand *o = &job->operand[i];
        if (o->alias >= 0) continue; /* holds the input's data */
        /* Guards: a read beyond an input meets NaN (integers: -1, which every operation skips), a write beyond an output shows.
         * 64 + i % 32 is exact in every dtype. */
        for (int64_t k = 0; k < o->total; k++)
            if (k < o->before || k >= o->before + o->elements)
                verify_set(o->image, o->dtype, k, o->dtype == SSA_I32 ? -1 : o->info.out ? 64 + (double)(k % 32) : NAN);
        if (o->info.out)
            fill_output(job, i);
        else
            fill_input(job, i);
    }
    if (c->op == SSA_RMSNORM_BWD) fill_rstd(job);
    if (c->op == SSA_ADAMW) fill_adamw(job);
    if (c->data == DATA_SELECTED) s = selected_blocks(job, named(job, "idx"));
    if (!s && (c->op == SSA_ATTN_FULL_BWD || c->op == SSA_ATTN_SPARSE_BWD)) s = attention_state(job);
    if (s) {
        ssa_fail(err, s, "the CPU cannot make the operands: %s", ssa_context_error(job->cpu)->text);
        ssa_error_clear(ssa_context_error(job->cpu));
    }
    return s;
}
