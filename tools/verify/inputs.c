/* Operands of a case: random data suited to each, and for what other operations make (stat, lists, idx, rstd) the CPU's own. */
#include "verify.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static double get(const verify_operand *o, int64_t i) { return verify_get(o->image, o->dtype, o->before + i); }
static void set(verify_operand *o, int64_t i, double value) { verify_set(o->image, o->dtype, o->before + i, value); }

verify_operand *verify_named(verify_job *job, const char *name) {
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
        int64_t t = row / S % T, c = t / block_size, used = 1, want = 1 + verify_below(state, K);
        int32_t *slot = idx + row * K;
        slot[0] = (int32_t)c;
        for (int64_t k = 1; k < K; k++) slot[k] = -1;
        for (int tries = 0; used < want && tries < 4 * K; tries++) {
            int64_t i = verify_below(state, future ? N : c + 1);
            bool there = false;
            for (int64_t k = 0; k < used; k++) there |= slot[k] == i;
            if (!there) slot[used++] = (int32_t)i;
        }
        for (int64_t k = K - 1; k > 0; k--) { /* -1 slots and the current block may stand anywhere */
            int64_t j = verify_below(state, k + 1);
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
    verify_operand *q = verify_named(job, "q"), *k = verify_named(job, "k");
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
    verify_operand *q = verify_named(job, "q"), *k = verify_named(job, "k"), *v = verify_named(job, "v"), *dout = verify_named(job, "do"), *stat = verify_named(job, "stat");
    verify_operand *idx = verify_named(job, "idx"), *lists = verify_named(job, "lists");
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

/* Tokens from -1 to V: both ends are outside the vocabulary, in the first rows and in the last. Of a vocabulary beyond 65536 every second one is beyond it too. */
static void fill_tokens(verify_job *job, verify_operand *o) {
    int64_t V = VDIM(job->c, 'V'), high = 1 << 16;
    for (int64_t i = 0; i < o->elements; i++) {
        bool    outside = job->c->data == DATA_IGNORED || (o->elements > 3 && (i < 2 || i == o->elements - 1));
        int64_t first = V > high && i % 2 ? high : 0;
        ints(o)[i] = outside ? (i % 2 ? -1 : (int32_t)V) : (int32_t)(first + verify_below(&job->random, V - first));
    }
}

static int ascending(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* Rows in ascending order of their token, equal ones in their own order. */
static ssa_status fill_order(const verify_operand *tokens, verify_operand *order) {
    const int32_t *token = (const int32_t *)(const void *)tokens->image + tokens->before;
    int64_t       *key = malloc((size_t)(order->elements + 1) * sizeof *key);
    if (!key) return SSA_ERR_MEMORY;
    for (int64_t i = 0; i < order->elements; i++) key[i] = (int64_t)token[i] * (INT64_C(1) << 32) + i;
    qsort(key, (size_t)order->elements, sizeof *key, ascending);
    for (int64_t i = 0; i < order->elements; i++) ints(order)[i] = (int32_t)(key[i] & INT64_C(0xffffffff));
    free(key);
    return SSA_OK;
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
    verify_operand *x = verify_named(job, "x"), *rstd = verify_named(job, "rstd");
    int64_t C = VDIM(job->c, 'C');
    for (int64_t r = 0; r < rstd->elements; r++) {
        double sum = 0;
        for (int64_t c = 0; c < C; c++) sum += get(x, r * C + c) * get(x, r * C + c);
        set(rstd, r, 1 / sqrt(sum / (double)C + 1e-5));
    }
}

/* Moments as after some steps, some of them zero or tiny; learning rate, step count and clip factor are drawn: no two cases have the same. */
static void fill_adamw(verify_job *job) {
    static const int steps[] = {1, 2, 7, 100, 5000};
    verify_operand *p = verify_named(job, "p"), *m = verify_named(job, "m"), *v = verify_named(job, "v"), *w = verify_named(job, "w"),
                   *grad = verify_named(job, "grad"), *step = verify_named(job, "step"), *clip = verify_named(job, "clip");
    const ssa_attrs *a = &job->c->attr;
    double n = steps[verify_random(&job->random) % (sizeof steps / sizeof *steps)];
    for (int64_t i = 0; i < v->elements; i++) {
        double root = (i % 5 == 1 ? 1e-6 : 0.01) * verify_normal(&job->random);
        if (i % 5 == 1) set(grad, i, 1e-6 * get(grad, i));
        set(v, i, i % 5 ? root * root : 0);
        set(m, i, i % 5 ? get(m, i) * (i % 5 == 1 ? 1e-6 : 0.01) : 0);
        set(w, i, get(p, i)); /* a factor of -1 leaves the weights as they are: the rounded masters */
    }
    set(step, 0, pow(10, -0.5 - 3 * verify_uniform(&job->random)));
    set(step, 1, 1 / (1 - pow((double)a->beta1, n)));
    set(step, 2, 1 / (1 - pow((double)a->beta2, n)));
    for (int i = 3; i < 8; i++) set(step, i, 0);
    set(clip, 0, 3);
    set(clip, 1, job->c->data == DATA_INFINITE ? -1 : n == 2 ? 1 : verify_uniform(&job->random));
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

static ssa_status fill_input(verify_job *job, int i) {
    const verify_case *c = job->c;
    verify_operand *o = &job->operand[i];
    const char *name = o->info.name;
    if (o->info.type == 'i') {
        if (!strcmp(name, "tokens") || !strcmp(name, "target"))
            fill_tokens(job, o);
        else if (!strcmp(name, "order"))
            return fill_order(verify_named(job, "tokens"), o);
        else if (!strcmp(name, "idx"))
            verify_random_blocks(&job->random, ints(o), VDIM(c, 'B'), VDIM(c, 'T'), VDIM(c, 'S'), VDIM(c, 'K'), c->attr.block_size,
                                 c->op == SSA_ATTN_SPARSE);
        else
            memset(ints(o), 0, (size_t)o->elements * 4); /* lists: attention_state makes them */
        return SSA_OK;
    }
    fill_normal(job, o, 0, 1);
    if (c->op == SSA_CLIP) set(o, 0, c->data == DATA_INFINITE ? INFINITY : c->attr.max_norm > 0 && c->attr.max_norm < 1e-3f ? 0x1p-40 : 6.25);
    if (c->op == SSA_ROPE && i == 1) fill_rotations(c, o);
    if ((c->op == SSA_LM_LOSS || c->op == SSA_LM_LOSS_GRAD) && !strcmp(name, "w")) /* logits of deviation 2 */
        for (int64_t k = 0; k < o->elements; k++) set(o, k, 2 / sqrt((double)VDIM(c, 'C')) * get(o, k));
    return SSA_OK;
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
        if (o->info.out) fill_output(job, i);
        else if ((s = fill_input(job, i))) return ssa_fail(err, s, "out of memory for a case of %s", job->info.name);
        verify_regime(job, i);
    }
    if (c->op == SSA_RMSNORM_BWD) fill_rstd(job);
    if (c->op == SSA_ADAMW) fill_adamw(job);
    if (c->data == DATA_SELECTED) s = selected_blocks(job, verify_named(job, "idx"));
    if (!s && (c->op == SSA_ATTN_FULL_BWD || c->op == SSA_ATTN_SPARSE_BWD)) s = attention_state(job);
    verify_spoil(job);
    if (s) {
        ssa_fail(err, s, "the CPU cannot make the operands: %s", ssa_context_error(job->cpu)->text);
        ssa_error_clear(ssa_context_error(job->cpu));
    }
    return s;
}
