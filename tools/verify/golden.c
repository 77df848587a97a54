/* Golden files. Limits for f32: logits, outputs and gradients NMSE 1e-10, parameters after two AdamW steps 1e-9, losses 2e-5
 * relative, block sets identical. */
#include "golden.h"
#include <cjson/cJSON.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static const double LIMIT_TENSOR = 1e-10, LIMIT_AFTER = 1e-9, LIMIT_LOSS = 2e-5, LIMIT_NORM = 1e-4;

typedef struct golden {
    ssa_context           *ctx;
    const ssa_safetensors *st;
    const char            *path;
    FILE                  *out;
    int                   *failed;
    ssa_error             *err;
    golden_callback        each; /* or NULL: lines go to out */
    void                  *user;
} golden;

static ssa_status from_context(golden *g, ssa_status s) { return s ? ssa_fail(g->err, s, "%s: %s", g->path, ssa_context_error(g->ctx)->text) : SSA_OK; }
#define CTX(call) SSA_TRY(from_context(g, (call)))

static void line(golden *g, const char *what, const char *name, double error, double limit) {
    bool ok = error <= limit; /* a NaN is not ok */
    if (g->each) g->each(g->user, what, name, error, limit);
    if (!ok && g->failed) ++*g->failed;
    if (g->out) fprintf(g->out, "  %-6s %-10s %-52s %.2e (limit %.0e)\n", ok ? "ok" : "FAILED", what, name, error, limit);
}

static double nmse(const float *a, const float *ref, int64_t n) {
    double difference = 0, square = 0;
    for (int64_t i = 0; i < n; i++) {
        double d = (double)a[i] - (double)ref[i];
        difference += d * d;
        square += (double)ref[i] * (double)ref[i];
    }
    return difference / (square > 1e-300 ? square : 1e-300);
}

static ssa_status find(golden *g, const char *name, ssa_dtype dtype, const ssa_file_tensor **out) {
    *out = ssa_safetensors_find(g->st, name);
    if (!*out) return ssa_fail(g->err, SSA_ERR_INPUT, "%s has no tensor %s", g->path, name);
    if ((*out)->dtype != dtype) return ssa_fail(g->err, SSA_ERR_INPUT, "%s: %s is %s where %s is needed", g->path, name, ssa_dtype_name((*out)->dtype), ssa_dtype_name(dtype));
    return ssa_safetensors_load(g->st, *out, g->err);
}

static void *allocate(golden *g, int64_t n, ssa_status *s) {
    void *p = malloc((size_t)n * 4);
    if (!p) *s = ssa_fail(g->err, SSA_ERR_MEMORY, "out of memory: %lld bytes for a golden tensor", (long long)n * 4);
    return p;
}

/* Reads a device tensor and compares it with one of the file. skip: elements of the file's tensor to pass over first. */
static ssa_status compare(golden *g, const char *what, const char *name, ssa_tensor t, double limit) {
    const ssa_file_tensor *ref;
    ssa_status             s = SSA_OK;
    SSA_TRY(find(g, name, SSA_F32, &ref));
    if (ref->elements != ssa_numel(&t)) return ssa_fail(g->err, SSA_ERR_INPUT, "%s: %s has %lld elements where %lld are needed", g->path, name, (long long)ref->elements, (long long)ssa_numel(&t));
    float *values = allocate(g, ref->elements, &s);
    if (!s) s = from_context(g, ssa_read_f32(g->ctx, t, values));
    if (!s) line(g, what, name, nmse(values, ref->data, ref->elements), limit);
    free(values);
    return s;
}

/* -- a model folder ---------------------------------------------------------------------------------------------------------- */

typedef struct replay {
    golden           base;
    cJSON           *json;
    ssa_model       *model;
    ssa_safetensors *weights;
    int64_t          B, T;
} replay;

static ssa_status number(golden *g, const cJSON *object, const char *name, double *out) {
    const cJSON *v = cJSON_GetObjectItemCaseSensitive(object, name);
    if (!cJSON_IsNumber(v)) return ssa_fail(g->err, SSA_ERR_INPUT, "%s: golden.json has no number %s", g->path, name);
    *out = v->valuedouble;
    return SSA_OK;
}

static ssa_status loss_line(replay *r, const char *name, double value) {
    golden *g = &r->base;
    double  ref = 1;
    SSA_TRY(number(g, r->json, name, &ref));
    line(g, "loss", name, fabs(value / ref - 1), LIMIT_LOSS);
    return SSA_OK;
}

/* g_proj: only the selection branch's rows, 3 head + 1, may have a gradient. */
static ssa_status check_unused_gate_rows(replay *r, int i) {
    golden          *g = &r->base;
    const ssa_param *p = ssa_model_param(r->model, i);
    ssa_status       s = SSA_OK;
    float           *values = allocate(g, p->shape[0] * p->shape[1], &s);
    int64_t          wrong = 0;
    if (!s) s = from_context(g, ssa_read_f32(g->ctx, ssa_model_param_tensor(r->model, i, SSA_PARAM_GRAD), values));
    for (int64_t e = 0; !s && e < p->shape[0] * p->shape[1]; e++) wrong += e / p->shape[1] % 3 != 1 && values[e] != 0;
    if (!s && wrong) line(g, "zero rows", p->name, (double)wrong, 0);
    free(values);
    return s;
}

static ssa_status logits(replay *r, const char *mode, int main) {
    golden                *g = &r->base;
    const ssa_file_tensor *ref;
    char                   name[64];
    ssa_status             s = SSA_OK;
    snprintf(name, sizeof name, "eval.%s.logits", mode);
    SSA_TRY(find(g, name, SSA_F32, &ref));
    int64_t V = ssa_model_config_of(r->model)->vocab_size, n = ref->rank == 3 ? ref->shape[1] : 0;
    if (n < 1 || n > r->T || ref->shape[0] != r->B || ref->shape[2] != V) return ssa_fail(g->err, SSA_ERR_INPUT, "%s: %s is not [B, positions, vocabulary]", g->path, name);
    float *values = allocate(g, r->B * n * V, &s);
    for (int64_t b = 0; b < r->B && !s; b++) s = from_context(g, ssa_model_logits(r->model, main, b * r->T + r->T - n, n, values + b * n * V));
    if (!s) line(g, "logits", name, nmse(values, ref->data, ref->elements), LIMIT_TENSOR);
    free(values);
    return s;
}

static ssa_status one_mode(replay *r, const char *mode, int main) {
    golden    *g = &r->base;
    char       name[160];
    double     sum;
    ssa_losses losses;
    CTX(ssa_model_eval(r->model, main, &sum));
    snprintf(name, sizeof name, "eval.%s.ce", mode);
    SSA_TRY(loss_line(r, name, sum / (double)(r->B * (r->T - 1))));
    SSA_TRY(logits(r, mode, main));
    CTX(ssa_model_train(r->model, main, false));
    CTX(ssa_model_losses(r->model, &losses));
    snprintf(name, sizeof name, "train.%s.total", mode);
    SSA_TRY(loss_line(r, name, (double)losses.ce + (double)ssa_model_config_of(r->model)->alpha * (double)losses.align));
    for (int i = 0; i < ssa_model_param_count(r->model); i++) {
        const ssa_param *p = ssa_model_param(r->model, i);
        snprintf(name, sizeof name, "grad.%s.%s", mode, p->name);
        SSA_TRY(compare(g, "gradient", name, ssa_model_param_tensor(r->model, i, SSA_PARAM_GRAD), LIMIT_TENSOR));
        if (strstr(p->name, "g_proj")) SSA_TRY(check_unused_gate_rows(r, i));
    }
    return SSA_OK;
}

/* The listed sequence of main modes: losses and gradient norms of every step, parameters after the second. */
static ssa_status steps(replay *r, double lr) {
    golden      *g = &r->base;
    const cJSON *modes = cJSON_GetObjectItem(r->json, "modes"), *losses = cJSON_GetObjectItem(r->json, "losses"), *norms = cJSON_GetObjectItem(r->json, "grad_norms");
    char         name[160];
    CTX(ssa_model_load(r->model, r->weights)); /* moments to 0, and the weights as in the file */
    for (int i = 0; i < cJSON_GetArraySize(modes); i++) {
        const cJSON *mode = cJSON_GetArrayItem(modes, i), *loss = cJSON_GetArrayItem(losses, i), *norm = cJSON_GetArrayItem(norms, i);
        ssa_losses   got;
        if (!cJSON_IsString(mode) || !cJSON_IsNumber(loss)) return ssa_fail(g->err, SSA_ERR_INPUT, "%s: golden.json has no mode or loss of step %d", g->path, i + 1);
        CTX(ssa_model_train(r->model, strcmp(mode->valuestring, "full") ? SSA_MAIN_SPARSE : SSA_MAIN_FULL, false));
        CTX(ssa_model_update(r->model, i + 1, (float)lr));
        CTX(ssa_model_losses(r->model, &got));
        double total = (double)got.ce + (double)ssa_model_config_of(r->model)->alpha * (double)got.align;
        snprintf(name, sizeof name, "step %d (%s)", i + 1, mode->valuestring);
        line(g, "loss", name, fabs(total / loss->valuedouble - 1), LIMIT_LOSS);
        if (cJSON_IsNumber(norm)) line(g, "norm", name, fabs((double)got.norm / norm->valuedouble - 1), LIMIT_NORM);
        if (i != 1) continue;
        for (int p = 0; p < ssa_model_param_count(r->model); p++) {
            snprintf(name, sizeof name, "after2.%s", ssa_model_param(r->model, p)->name);
            SSA_TRY(compare(g, "parameter", name, ssa_model_param_tensor(r->model, p, SSA_PARAM_MASTER), LIMIT_AFTER));
        }
    }
    return SSA_OK;
}

/* What golden.json says of the selection overrides any default. */
static ssa_status selection(replay *r, ssa_model_config *c) {
    golden     *g = &r->base;
    const char *select = cJSON_GetStringValue(cJSON_GetObjectItem(r->json, "select")), *score = cJSON_GetStringValue(cJSON_GetObjectItem(r->json, "score"));
    if (select && strcmp(select, "exact") && strcmp(select, "compat")) return ssa_fail(g->err, SSA_ERR_INPUT, "%s: golden.json has select %s, neither exact nor compat", g->path, select);
    if (select) c->select = strcmp(select, "compat") ? SSA_SELECT_EXACT : SSA_SELECT_COMPAT;
    if (score) c->score = strncmp(score, "dot", 3) ? SSA_SCORE_SOFTMAX : SSA_SCORE_DOT;
    return SSA_OK;
}

static ssa_status replay_model(replay *r) {
    golden                *g = &r->base;
    ssa_model_config       c;
    const ssa_file_tensor *tokens;
    const cJSON           *adamw = cJSON_GetObjectItem(r->json, "adamw"), *betas = cJSON_GetObjectItem(adamw, "betas");
    double                 lr = 0, eps = 0, clip = 0;
    SSA_TRY(ssa_config_read(g->path, &c, g->err));
    SSA_TRY(selection(r, &c));
    SSA_TRY(find(g, "tokens", SSA_I32, &tokens));
    if (tokens->rank != 2 || tokens->shape[0] < 1 || tokens->shape[1] < 2) return ssa_fail(g->err, SSA_ERR_INPUT, "%s: tokens are not [B, T]", g->path);
    if (cJSON_GetArraySize(betas) != 2) return ssa_fail(g->err, SSA_ERR_INPUT, "%s: golden.json has no adamw.betas", g->path);
    SSA_TRY(number(g, adamw, "lr", &lr));
    SSA_TRY(number(g, adamw, "eps", &eps));
    SSA_TRY(number(g, adamw, "grad_clip", &clip));
    r->B = tokens->shape[0];
    r->T = tokens->shape[1];
    ssa_model_options o = {.batch = r->B, .seq = r->T, .dtype = SSA_F32, .training = true, .targets = r->B * (r->T - 1), .beta1 = (float)cJSON_GetArrayItem(betas, 0)->valuedouble,
                           .beta2 = (float)cJSON_GetArrayItem(betas, 1)->valuedouble, .eps = (float)eps, .weight_decay = 0.1f, .max_norm = (float)clip};
    CTX(ssa_model_create(g->ctx, &c, &o, &r->model));
    CTX(ssa_model_load(r->model, r->weights));
    ssa_status s = SSA_OK;
    int32_t   *targets = allocate(g, tokens->elements, &s);
    const int32_t *x = tokens->data;
    for (int64_t i = 0; !s && i < tokens->elements; i++) targets[i] = i % r->T == r->T - 1 ? -1 : x[i + 1];
    if (!s) s = from_context(g, ssa_model_set_batch(r->model, x, targets));
    free(targets);
    SSA_TRY(s);
    SSA_TRY(one_mode(r, "full", SSA_MAIN_FULL));
    SSA_TRY(one_mode(r, "sparse", SSA_MAIN_SPARSE));
    return steps(r, lr);
}

static ssa_status verify_model(golden *g) {
    replay           r = {.base = *g};
    ssa_safetensors *st = NULL;
    char             path[4096], *text = NULL;
    size_t           bytes;
    snprintf(path, sizeof path, "%s/golden.json", g->path);
    ssa_status s = ssa_file_read(path, 1 << 20, &text, &bytes, g->err);
    if (!s && !(r.json = cJSON_ParseWithLength(text, bytes))) s = ssa_fail(g->err, SSA_ERR_INPUT, "%s is not JSON", path);
    snprintf(path, sizeof path, "%s/golden.safetensors", g->path);
    if (!s) s = ssa_safetensors_open(path, &st, g->err);
    if (!s) s = ssa_safetensors_open(g->path, &r.weights, g->err);
    r.base.st = st;
    if (!s) s = replay_model(&r);
    ssa_model_free(r.model);
    ssa_safetensors_close(st);
    ssa_safetensors_close(r.weights);
    cJSON_Delete(r.json);
    free(text);
    return s;
}

/* -- a kernel file: the sparse stream alone ------------------------------------------------------------------------------------ */

enum { Q_, K_, V_, Z_, DOUT_, KBAR_, IDX_, LISTS_, O_, STAT_, Y_, DO_, DZ_, DQ_, DK_, DV_, KERNEL_TENSORS };

static ssa_status upload(golden *g, const char *name, int heads, int64_t *shape, ssa_tensor *out) {
    const ssa_file_tensor *t;
    SSA_TRY(find(g, name, SSA_F32, &t));
    if (t->rank != 4 || (shape[0] && (t->shape[1] != shape[1] || t->shape[3] != shape[3])) || (heads && t->shape[2] != heads))
        return ssa_fail(g->err, SSA_ERR_INPUT, "%s: %s has a shape that does not go with the others", g->path, name);
    memcpy(shape, t->shape, sizeof t->shape);
    CTX(ssa_tensor_create(g->ctx, SSA_F32, 4, shape, out));
    return from_context(g, ssa_write(g->ctx, *out, t->data));
}

/* The file holds gate values; the operations take gate logits: z = log(g / (1 - g)) in column 3 head + 1. */
static ssa_status upload_gate(golden *g, int64_t rows, int64_t heads, ssa_tensor z) {
    const ssa_file_tensor *t;
    ssa_status             s = SSA_OK;
    SSA_TRY(find(g, "gate", SSA_F32, &t));
    if (t->elements != rows * heads) return ssa_fail(g->err, SSA_ERR_INPUT, "%s: gate has a shape that does not go with q", g->path);
    float *values = allocate(g, rows * heads * 3, &s);
    SSA_TRY(s);
    for (int64_t i = 0; i < rows * heads; i++) {
        double v = (double)((const float *)t->data)[i];
        values[3 * i] = values[3 * i + 2] = 0;
        values[3 * i + 1] = (float)log(v / (1 - v));
    }
    s = from_context(g, ssa_write(g->ctx, z, values));
    free(values);
    return s;
}

static ssa_status compare_gate_gradient(golden *g, ssa_tensor dz) {
    const ssa_file_tensor *gate, *ref;
    ssa_status             s = SSA_OK;
    SSA_TRY(find(g, "gate", SSA_F32, &gate));
    SSA_TRY(find(g, "dgate", SSA_F32, &ref));
    float *values = allocate(g, ssa_numel(&dz), &s);
    if (!s) s = from_context(g, ssa_read(g->ctx, dz, values));
    for (int64_t i = 0; i < gate->elements && !s; i++) {
        float v = ((const float *)gate->data)[i];
        values[i] = values[3 * i + 1] / (v * (1 - v));
    }
    if (!s) line(g, "gradient", "dgate", nmse(values, ref->data, ref->elements), LIMIT_TENSOR);
    free(values);
    return s;
}

static int ascending(const void *a, const void *b) { return *(const int32_t *)a - *(const int32_t *)b; }

/* Sets, not sequences; the file may have more slots than there are blocks. */
static ssa_status compare_blocks(golden *g, ssa_tensor idx, int64_t K) {
    const ssa_file_tensor *ref;
    ssa_status             s = SSA_OK;
    SSA_TRY(find(g, "block_indices", SSA_I32, &ref));
    int64_t  rows = ssa_numel(&idx) / K, slots = ref->elements / rows, differ = 0;
    int32_t *values = allocate(g, ssa_numel(&idx), &s), *want = allocate(g, slots, &s);
    if (!s) s = from_context(g, ssa_read(g->ctx, idx, values));
    for (int64_t r = 0; r < rows && !s; r++) {
        memcpy(want, (const int32_t *)ref->data + r * slots, (size_t)slots * 4);
        qsort(want, (size_t)slots, 4, ascending);
        qsort(values + r * K, (size_t)K, 4, ascending);
        /* From the largest down; what is left over on either side must be unused. */
        bool equal = true;
        for (int64_t i = 0; i < (slots > K ? slots : K); i++) {
            int32_t a = i < K ? values[r * K + K - 1 - i] : -1, b = i < slots ? want[slots - 1 - i] : -1;
            equal &= a == b;
        }
        differ += !equal;
    }
    if (!s) line(g, "blocks", "sets that differ", (double)differ, 0);
    free(values);
    free(want);
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
    CTX(SSA_CALL(g->ctx, SSA_SELECT, SSA_T(t[Q_], t[KBAR_], t[IDX_]), .select = strcmp(select, "compat") ? SSA_SELECT_EXACT : SSA_SELECT_COMPAT,
                 .score = score && !strncmp(score, "dot", 3) ? SSA_SCORE_DOT : SSA_SCORE_SOFTMAX, .block_size = s, .top_k = top_k, .scale = scale));
    CTX(SSA_CALL(g->ctx, SSA_ATTN_SPARSE, SSA_T(t[Q_], t[K_], t[V_], t[IDX_], t[O_], t[STAT_]), .scale = scale, .block_size = s));
    CTX(SSA_CALL(g->ctx, SSA_GATE, SSA_T(t[O_], t[Z_], t[Y_]), .value = 0));
    CTX(SSA_CALL(g->ctx, SSA_GATE_BWD, SSA_T(t[DOUT_], t[O_], t[Z_], t[DO_], t[DZ_], t[STAT_]), .value = 0));
    CTX(SSA_CALL(g->ctx, SSA_SPARSE_LISTS, SSA_T(t[IDX_], t[LISTS_]), .block_size = s));
    CTX(SSA_CALL(g->ctx, SSA_ATTN_SPARSE_BWD, SSA_T(t[DO_], t[Q_], t[K_], t[V_], t[IDX_], t[LISTS_], t[STAT_], t[DQ_], t[DK_], t[DV_]), .scale = scale, .block_size = s));

    SSA_TRY(compare_blocks(g, t[IDX_], K));
    SSA_TRY(compare(g, "output", "out", t[Y_], LIMIT_TENSOR));
    SSA_TRY(compare(g, "gradient", "dq", t[DQ_], LIMIT_TENSOR));
    SSA_TRY(compare(g, "gradient", "dk", t[DK_], LIMIT_TENSOR));
    SSA_TRY(compare(g, "gradient", "dv", t[DV_], LIMIT_TENSOR));
    return compare_gate_gradient(g, t[DZ_]);
}

static ssa_status verify_kernel(golden *g) {
    ssa_safetensors *st;
    ssa_tensor       t[KERNEL_TENSORS] = {0};
    SSA_TRY(ssa_safetensors_open(g->path, &st, g->err));
    g->st = st;
    ssa_status s = run_kernels(g, t);
    for (int i = 0; i < KERNEL_TENSORS; i++) ssa_tensor_free(g->ctx, &t[i]);
    ssa_safetensors_close(st);
    return s;
}

static ssa_status replay_path(golden *g) {
    struct stat info;
    if (stat(g->path, &info)) return ssa_fail(g->err, SSA_ERR_INPUT, "there is no file or folder %s", g->path);
    return S_ISDIR(info.st_mode) ? verify_model(g) : verify_kernel(g);
}

ssa_status verify_golden(ssa_context *ctx, const char *path, FILE *out, int *failed, ssa_error *err) {
    return replay_path(&(golden){.ctx = ctx, .path = path, .out = out, .failed = failed, .err = err});
}

ssa_status verify_golden_each(ssa_context *ctx, const char *path, golden_callback each, void *user, ssa_error *err) {
    return replay_path(&(golden){.ctx = ctx, .path = path, .err = err, .each = each, .user = user});
}
