/* A kernel file: the sparse stream alone, forward and backward. */
#include "golden_inside.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>


enum { Q_, K_, V_, Z_, DOUT_, KBAR_, IDX_, LISTS_, O_, STAT_, Y_, DO_, DZ_, DQ_, DK_, DV_, KERNEL_TENSORS };

static ssa_status upload(golden *g, const char *name, int heads, int64_t *shape, ssa_tensor *out) {
    const ssa_file_tensor *t;
    SSA_TRY(golden_find(g, name, SSA_F32, &t));
    if (t->rank != 4 || (shape[0] && (t->shape[1] != shape[1] || t->shape[3] != shape[3])) || (heads && t->shape[2] != heads))
        return ssa_fail(g->err, SSA_ERR_INPUT, "%s: %s has a shape that does not go with the others", g->path, name);
    memcpy(shape, t->shape, sizeof t->shape);
    CTX(ssa_tensor_create(g->ctx, SSA_F32, 4, shape, out));
    return golden_from_context(g, g->ctx, ssa_write(g->ctx, *out, t->data));
}

/* The file holds gate values; the operations take gate logits: z = log(g / (1 - g)) in column 3 head + 1. */
static ssa_status upload_gate(golden *g, int64_t rows, int64_t heads, ssa_tensor z) {
    const ssa_file_tensor *t;
    ssa_status             s = SSA_OK;
    SSA_TRY(golden_find(g, "gate", SSA_F32, &t));
    if (t->elements != rows * heads) return ssa_fail(g->err, SSA_ERR_INPUT, "%s: gate has a shape that does not go with q", g->path);
    float *values = golden_allocate(g, rows * heads * 3, &s);
    SSA_TRY(s);
    for (int64_t i = 0; i < rows * heads; i++) {
        double v = (double)((const float *)t->data)[i];
        values[3 * i] = values[3 * i + 2] = 0;
        values[3 * i + 1] = (float)log(v / (1 - v));
    }
    s = golden_from_context(g, g->ctx, ssa_write(g->ctx, z, values));
    free(values);
    return s;
}

static ssa_status compare_gate_gradient(golden *g, ssa_tensor dz) {
    const ssa_file_tensor *gate, *ref;
    ssa_status             s = SSA_OK;
    SSA_TRY(golden_find(g, "gate", SSA_F32, &gate));
    SSA_TRY(golden_find(g, "dgate", SSA_F32, &ref));
    float *values = golden_allocate(g, ssa_numel(&dz), &s);
    if (!s) s = golden_from_context(g, g->ctx, ssa_read(g->ctx, dz, values));
    for (int64_t i = 0; i < gate->elements && !s; i++) {
        float v = ((const float *)gate->data)[i];
        values[i] = values[3 * i + 1] / (v * (1 - v));
    }
    if (!s) golden_line(g, "gradient", "dgate", ssa_nmse(values, ref->data, SSA_F32, ref->elements), LIMIT_TENSOR, "");
    free(values);
    return s;
}

/* Reads a device tensor and compares it with one of the file. */
static ssa_status compare(golden *g, const char *what, const char *name, ssa_tensor t) {
    const ssa_file_tensor *ref;
    ssa_status             s = SSA_OK;
    SSA_TRY(golden_find(g, name, SSA_F32, &ref));
    if (ref->elements != ssa_numel(&t)) return ssa_fail(g->err, SSA_ERR_INPUT, "%s: %s has %lld elements where %lld are needed", g->path, name, (long long)ref->elements, (long long)ssa_numel(&t));
    float *values = golden_allocate(g, ref->elements, &s);
    if (!s) s = golden_from_context(g, g->ctx, ssa_read_f32(g->ctx, t, values));
    if (!s) golden_line(g, what, name, ssa_nmse(values, ref->data, SSA_F32, ref->elements), LIMIT_TENSOR, "");
    free(values);
    return s;
}

/* The file's blocks of a query as select writes them: the current one first, -1 behind; false where they are more than K. */
static bool in_order(const int32_t *slots, int64_t count, int32_t current, int64_t K, int32_t *out) {
    int64_t n = 0;
    out[n++] = current;
    for (int64_t i = 0; i < count; i++) {
        if (slots[i] < 0 || slots[i] == current) continue;
        if (n == K) return false;
        out[n++] = slots[i];
    }
    while (n < K) out[n++] = -1;
    return true;
}

/* Sets, not sequences; the file may have more slots than there are blocks. Near ties may have fallen otherwise than in the file: what comes
 * behind then takes the file's, so that all of it can be compared. */
static ssa_status compare_blocks(golden *g, ssa_selection from, ssa_tensor kbar, ssa_tensor idx) {
    const ssa_file_tensor *ref;
    ssa_status             s = SSA_OK;
    char                   why[96] = "", note[160] = "";
    double                 gap, widest = 0;
    SSA_TRY(golden_find(g, "block_indices", SSA_I32, &ref));
    int64_t  K = from.dim['K' - 'A'], N = from.dim['N' - 'A'], T = from.dim['T' - 'A'], S = from.dim['S' - 'A'], rows = ssa_numel(&idx) / K;
    int64_t  slots = ref->elements / rows, differ = 0, ties = 0;
    int32_t *got = golden_allocate(g, rows * K, &s), *want = golden_allocate(g, K, &s);
    float   *means = golden_allocate(g, ssa_numel(&kbar), &s);
    double  *scratch = golden_allocate(g, 4 * N, &s);
    if (!s) s = golden_from_context(g, g->ctx, ssa_read(g->ctx, idx, got));
    if (!s) s = golden_from_context(g, g->ctx, ssa_read(g->ctx, kbar, means));
    from.kbar = means;
    for (int64_t r = 0; r < rows && !s; r++) {
        int32_t     current = (int32_t)(r / S % T / from.attr->block_size);
        bool        fits = in_order((const int32_t *)ref->data + r * slots, slots, current, K, want);
        ssa_verdict verdict = fits ? ssa_selection_judge(&from, r, got + r * K, want, scratch, &gap, why) : SSA_SELECTION_WRONG;
        differ += verdict == SSA_SELECTION_WRONG;
        if (verdict != SSA_SELECTION_TIE) continue;
        ties++;
        widest = fmax(widest, gap);
        memcpy(got + r * K, want, (size_t)K * sizeof *got);
    }
    if (ties) snprintf(note, sizeof note, "%lld near ties, by %.1e of the largest importance; what follows has the file's blocks", (long long)ties, widest);
    if (!s && ties) s = golden_from_context(g, g->ctx, ssa_write(g->ctx, idx, got));
    if (!s) golden_line(g, "blocks", "sets that differ", (double)differ, 0, differ ? why : note);
    free(got);
    free(want);
    free(means);
    free(scratch);
    return s;
}

static ssa_status run_kernels(golden *g, ssa_tensor *t) {
    const char *block = ssa_safetensors_metadata(g->st, "block_size"), *top = ssa_safetensors_metadata(g->st, "top_k"), *select = ssa_safetensors_metadata(g->st, "select"),
               *score = ssa_safetensors_metadata(g->st, "score");
    if (!block || !top || !select) return ssa_fail(g->err, SSA_ERR_INPUT, "%s: its metadata has no block_size, top_k or select", g->path);
    int     s = atoi(block), top_k = atoi(top);
    int64_t q[4] = {0}, k[4] = {0}, other[4];
    if (s < 1 || top_k < 1) return ssa_fail(g->err, SSA_ERR_INPUT, "%s: block_size %s or top_k %s is not a positive number", g->path, block, top);
    SSA_TRY(upload(g, "q", 0, q, &t[Q_]));
    memcpy(other, q, sizeof q);
    SSA_TRY(upload(g, "k", 0, other, &t[K_]));
    memcpy(k, other, sizeof k);
    SSA_TRY(upload(g, "v", (int)k[2], other, &t[V_]));
    memcpy(other, q, sizeof q);
    SSA_TRY(upload(g, "dout", (int)q[2], other, &t[DOUT_]));
    int64_t B = q[0], T = q[1], Q = q[2], D = q[3], H = k[2], N = (T + s - 1) / s, K = top_k < N ? top_k : N;
    float   scale = 1.0f / sqrtf((float)D);
    CTX(ssa_tensor_new(g->ctx, SSA_F32, &t[Z_], B, T, 3 * Q));
    SSA_TRY(upload_gate(g, B * T, Q, t[Z_]));
    CTX(ssa_tensor_new(g->ctx, SSA_F32, &t[KBAR_], B, N, H, D));
    CTX(ssa_tensor_new(g->ctx, SSA_I32, &t[IDX_], B, T, H, K));
    CTX(ssa_tensor_new(g->ctx, SSA_I32, &t[LISTS_], B, H, N + 1 + T * K));
    CTX(ssa_tensor_new(g->ctx, SSA_F32, &t[STAT_], 2, B, T, Q));
    CTX(ssa_tensor_new(g->ctx, SSA_F32, &t[DZ_], B, T, 3 * Q));
    int of_q[] = {O_, Y_, DO_, DQ_};
    for (int i = 0; i < 4; i++) CTX(ssa_tensor_create(g->ctx, SSA_F32, 4, q, &t[of_q[i]]));
    CTX(ssa_tensor_create(g->ctx, SSA_F32, 4, k, &t[DK_]));
    CTX(ssa_tensor_create(g->ctx, SSA_F32, 4, k, &t[DV_]));

    CTX(SSA_CALL(g->ctx, SSA_BLOCK_MEAN, SSA_T(t[K_], t[KBAR_]), .block_size = s));
    ssa_attrs              a = {.select = strcmp(select, "compat") ? SSA_SELECT_EXACT : SSA_SELECT_COMPAT,
                                .score = score && !strncmp(score, "dot", 3) ? SSA_SCORE_DOT : SSA_SCORE_SOFTMAX, .block_size = s, .top_k = top_k, .scale = scale};
    ssa_call               call;
    const ssa_file_tensor *file_q;
    SSA_TRY(golden_find(g, "q", SSA_F32, &file_q));
    CTX(ssa_call_prepare(ssa_context_error(g->ctx), SSA_SELECT, 3, (ssa_tensor[]){t[Q_], t[KBAR_], t[IDX_]}, &a, &call));
    CTX(ssa_run(g->ctx, SSA_SELECT, 3, call.t, &a));
    SSA_TRY(compare_blocks(g, (ssa_selection){.q = file_q->data, .dim = call.dim, .attr = &a, .q_dtype = SSA_F32, .kbar_dtype = SSA_F32}, t[KBAR_], t[IDX_]));
    CTX(SSA_CALL(g->ctx, SSA_ATTN_SPARSE, SSA_T(t[Q_], t[K_], t[V_], t[IDX_], t[O_], t[STAT_]), .scale = scale, .block_size = s));
    CTX(SSA_CALL(g->ctx, SSA_GATE, SSA_T(t[O_], t[Z_], t[Y_]), .value = 0));
    CTX(SSA_CALL(g->ctx, SSA_GATE_BWD, SSA_T(t[DOUT_], t[O_], t[Z_], t[DO_], t[DZ_], t[STAT_]), .value = 0));
    CTX(SSA_CALL(g->ctx, SSA_SPARSE_LISTS, SSA_T(t[IDX_], t[LISTS_]), .block_size = s));
    CTX(SSA_CALL(g->ctx, SSA_ATTN_SPARSE_BWD, SSA_T(t[DO_], t[Q_], t[K_], t[V_], t[IDX_], t[LISTS_], t[STAT_], t[DQ_], t[DK_], t[DV_]), .scale = scale, .block_size = s));

    SSA_TRY(compare(g, "output", "out", t[Y_]));
    SSA_TRY(compare(g, "gradient", "dq", t[DQ_]));
    SSA_TRY(compare(g, "gradient", "dk", t[DK_]));
    SSA_TRY(compare(g, "gradient", "dv", t[DV_]));
    return compare_gate_gradient(g, t[DZ_]);
}

ssa_status golden_kernel(golden *g) {
    ssa_safetensors *st;
    ssa_tensor       t[KERNEL_TENSORS] = {0};
    SSA_TRY(ssa_safetensors_open(g->path, &st, g->err));
    g->st = st;
    ssa_status s = run_kernels(g, t);
    for (int i = 0; i < KERNEL_TENSORS; i++) ssa_tensor_free(g->ctx, &t[i]);
    ssa_safetensors_close(st);
    return s;
}
