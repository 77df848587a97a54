/* A model folder: what is replayed, and its values beside the file's. */
#include "golden_inside.h"
#include <cjson/cJSON.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* -- the replay -------------------------------------------------------------------------------------------------------------- */

double golden_distance(const golden_row *row, double number, const float *values) {
    if (row->values) return ssa_nmse(row->values, values, SSA_F32, row->n);
    return row->relative ? fabs(row->number / number - 1) : fabs(row->number - number);
}

void golden_pass_free(golden_pass *p) {
    for (int i = 0; i < p->count; i++) free(p->row[i].values);
    free(p->row);
    p->row = NULL;
    p->count = p->capacity = 0;
}

/* A row; n > 0: with room for a tensor. NULL: out of memory, and the context says so. */
static golden_row *add(golden_pass *p, ssa_context *ctx, const char *what, const char *name, double limit, int64_t n) {
    if (p->count == p->capacity) {
        int         capacity = p->capacity ? 2 * p->capacity : 128;
        golden_row *grown = realloc(p->row, (size_t)capacity * sizeof *grown);
        if (grown) p->row = grown, p->capacity = capacity;
    }
    float *values = n ? malloc((size_t)n * sizeof *values) : NULL;
    if (p->count == p->capacity || (n && !values)) {
        free(values);
        ssa_fail(ssa_context_error(ctx), SSA_ERR_MEMORY, "out of memory for %lld values of %s", (long long)n, name);
        return NULL;
    }
    golden_row *row = &p->row[p->count++];
    *row = (golden_row){.what = what, .updates = p->updates, .limit = limit, .values = values, .n = n};
    snprintf(row->name, sizeof row->name, "%s", name);
    return row;
}

static ssa_status add_number(golden_pass *p, ssa_context *ctx, const char *what, const char *name, double limit, double number) {
    golden_row *row = add(p, ctx, what, name, limit, 0);
    if (!row) return SSA_ERR_MEMORY;
    row->number = number;
    row->relative = limit > 0;
    return SSA_OK;
}

static ssa_status add_tensor(golden_pass *p, ssa_context *ctx, const char *what, const char *name, double limit, ssa_tensor t) {
    golden_row *row = add(p, ctx, what, name, limit, ssa_numel(&t));
    return row ? ssa_read_f32(ctx, t, row->values) : SSA_ERR_MEMORY;
}

/* The last row of a gate projection's gradient: only the selection branch's rows, 3 head + 1, may have one. */
static ssa_status add_unused_gate_rows(golden_pass *p, ssa_context *ctx, const ssa_param *param) {
    const golden_row *gradient = &p->row[p->count - 1];
    int64_t           wrong = 0;
    for (int64_t e = 0; e < gradient->n; e++) wrong += e / param->shape[1] % 3 != 1 && gradient->values[e] != 0;
    return add_number(p, ctx, "zero rows", gradient->name, 0, (double)wrong);
}

static ssa_status ran(golden_pass *p, ssa_model *m) { return p->ran ? p->ran(p, m) : SSA_OK; }

static double total(const ssa_model *m, const ssa_losses *l) { return (double)l->ce + (double)ssa_model_config_of(m)->alpha * (double)l->align; }

static ssa_status logits(const golden_plan *plan, ssa_context *ctx, ssa_model *m, golden_pass *p, const char *name) {
    int64_t     B = plan->options.batch, T = plan->options.seq, V = plan->config.vocab_size, n = plan->positions[p->main];
    golden_row *row = add(p, ctx, "logits", name, LIMIT_TENSOR, B * n * V);
    if (!row) return SSA_ERR_MEMORY;
    for (int64_t b = 0; b < B; b++) {
        SSA_TRY(ssa_model_logits(m, p->main, b * T + T - n, n, row->values + b * n * V));
        SSA_TRY(ran(p, m));
    }
    return SSA_OK;
}

static ssa_status one_mode(const golden_plan *plan, ssa_context *ctx, ssa_model *m, golden_pass *p, ssa_stream main) {
    const char *mode = main == SSA_MAIN_FULL ? "full" : "sparse";
    char        name[160];
    double      sum;
    ssa_losses  losses;
    p->main = main;
    SSA_TRY(ssa_model_eval(m, main, &sum));
    SSA_TRY(ran(p, m));
    snprintf(name, sizeof name, "eval.%s.ce", mode);
    SSA_TRY(add_number(p, ctx, "loss", name, LIMIT_LOSS, sum / (double)plan->options.targets));
    snprintf(name, sizeof name, "eval.%s.logits", mode);
    SSA_TRY(logits(plan, ctx, m, p, name));
    SSA_TRY(ssa_model_train(m, main, false));
    SSA_TRY(ssa_model_losses(m, &losses));
    SSA_TRY(ran(p, m));
    snprintf(name, sizeof name, "train.%s.total", mode);
    SSA_TRY(add_number(p, ctx, "loss", name, LIMIT_LOSS, total(m, &losses)));
    for (int i = 0; i < ssa_model_param_count(m); i++) {
        const ssa_param *param = ssa_model_param(m, i);
        snprintf(name, sizeof name, "grad.%s.%s", mode, param->name);
        SSA_TRY(add_tensor(p, ctx, "gradient", name, LIMIT_TENSOR, ssa_model_param_tensor(m, i, SSA_PARAM_GRAD)));
        if (strstr(name, "g_proj")) SSA_TRY(add_unused_gate_rows(p, ctx, param));
    }
    return SSA_OK;
}

/* The listed sequence of main modes: losses and gradient norms of every step, parameters after the second. */
static ssa_status steps(const golden_plan *plan, ssa_context *ctx, ssa_model *m, golden_pass *p) {
    char name[160];
    for (int i = 0; i < plan->steps; i++) {
        ssa_losses losses;
        p->main = plan->modes[i];
        SSA_TRY(ssa_model_train(m, p->main, false));
        SSA_TRY(ran(p, m));
        SSA_TRY(ssa_model_update(m, i + 1, (float)plan->lr));
        SSA_TRY(ssa_model_losses(m, &losses));
        snprintf(name, sizeof name, "step %d (%s)", i + 1, p->main == SSA_MAIN_FULL ? "full" : "sparse");
        SSA_TRY(add_number(p, ctx, "loss", name, LIMIT_LOSS, total(m, &losses)));
        SSA_TRY(add_number(p, ctx, "norm", name, LIMIT_NORM, (double)losses.norm));
        for (int k = 0; k < ssa_model_param_count(m) && i == 1; k++) {
            snprintf(name, sizeof name, "after2.%s", ssa_model_param(m, k)->name);
            SSA_TRY(add_tensor(p, ctx, "parameter", name, LIMIT_AFTER, ssa_model_param_tensor(m, k, SSA_PARAM_MASTER)));
        }
        p->updates = i + 1;
    }
    return SSA_OK;
}

static ssa_status run_model(const golden_plan *plan, ssa_context *ctx, const ssa_safetensors *weights, ssa_model *m, golden_pass *p) {
    int64_t  R = plan->options.batch * plan->options.seq, T = plan->options.seq;
    int32_t *targets = malloc((size_t)R * sizeof *targets);
    if (!targets) return ssa_fail(ssa_context_error(ctx), SSA_ERR_MEMORY, "out of memory for %lld targets", (long long)R);
    for (int64_t i = 0; i < R; i++) targets[i] = i % T == T - 1 ? -1 : plan->tokens[i + 1];
    ssa_status s = ssa_model_set_batch(m, plan->tokens, targets);
    free(targets);
    if (!s) s = ssa_model_load(m, weights);
    if (!s) s = one_mode(plan, ctx, m, p, SSA_MAIN_FULL);
    if (!s) s = one_mode(plan, ctx, m, p, SSA_MAIN_SPARSE);
    if (!s) s = ssa_model_load(m, weights); /* moments to 0, and the weights as in the file */
    return s ? s : steps(plan, ctx, m, p);
}

ssa_status golden_run(const golden_plan *plan, ssa_context *ctx, const ssa_safetensors *weights, golden_pass *p) {
    ssa_model *m;
    p->updates = 0;
    SSA_TRY(ssa_model_create(ctx, &plan->config, &plan->options, &m));
    ssa_status s = run_model(plan, ctx, weights, m, p);
    ssa_model_free(m);
    return s;
}

/* -- what the folder says -------------------------------------------------------------------------------------------------------- */

static ssa_status number(const golden *g, const cJSON *object, const char *name, double *out) {
    const cJSON *v = cJSON_GetObjectItemCaseSensitive(object, name);
    if (!cJSON_IsNumber(v)) return ssa_fail(g->err, SSA_ERR_INPUT, "%s: golden.json has no number %s", g->path, name);
    *out = v->valuedouble;
    return SSA_OK;
}

/* What golden.json says of the selection overrides any default. */
static ssa_status read_selection(const golden *g, const cJSON *json, ssa_model_config *c) {
    const char *select = cJSON_GetStringValue(cJSON_GetObjectItem(json, "select")), *score = cJSON_GetStringValue(cJSON_GetObjectItem(json, "score"));
    if (select && strcmp(select, "exact") && strcmp(select, "compat")) return ssa_fail(g->err, SSA_ERR_INPUT, "%s: golden.json has select %s, neither exact nor compat", g->path, select);
    if (select) c->select = strcmp(select, "compat") ? SSA_SELECT_EXACT : SSA_SELECT_COMPAT;
    if (score) c->score = strncmp(score, "dot", 3) ? SSA_SCORE_SOFTMAX : SSA_SCORE_DOT;
    return SSA_OK;
}

static ssa_status read_steps(const golden *g, const cJSON *json, golden_plan *plan) {
    enum { MOST = sizeof plan->modes / sizeof *plan->modes };
    const cJSON *modes = cJSON_GetObjectItem(json, "modes"), *losses = cJSON_GetObjectItem(json, "losses");
    plan->steps = cJSON_GetArraySize(modes);
    if (plan->steps > MOST) return ssa_fail(g->err, SSA_ERR_INPUT, "%s: golden.json has %d steps, more than %d", g->path, plan->steps, MOST);
    for (int i = 0; i < plan->steps; i++) {
        const char *mode = cJSON_GetStringValue(cJSON_GetArrayItem(modes, i));
        if (!mode || !cJSON_IsNumber(cJSON_GetArrayItem(losses, i)))
            return ssa_fail(g->err, SSA_ERR_INPUT, "%s: golden.json has no mode or loss of step %d", g->path, i + 1);
        plan->modes[i] = strcmp(mode, "full") ? SSA_MAIN_SPARSE : SSA_MAIN_FULL;
    }
    return SSA_OK;
}

static ssa_status read_positions(const golden *g, golden_plan *plan) {
    static const char *const names[] = {[SSA_MAIN_FULL] = "eval.full.logits", [SSA_MAIN_SPARSE] = "eval.sparse.logits"};
    const ssa_file_tensor   *t;
    for (int main = 0; main < 2; main++) {
        SSA_TRY(golden_find(g, names[main], SSA_F32, &t));
        int64_t n = plan->positions[main] = t->rank == 3 ? t->shape[1] : 0;
        if (n < 1 || n > plan->options.seq || t->shape[0] != plan->options.batch || t->shape[2] != plan->config.vocab_size)
            return ssa_fail(g->err, SSA_ERR_INPUT, "%s: %s is not [B, positions, vocabulary]", g->path, names[main]);
    }
    return SSA_OK;
}

static ssa_status read_plan(const golden *g, const cJSON *json, golden_plan *plan) {
    const ssa_file_tensor *tokens;
    const cJSON           *adamw = cJSON_GetObjectItem(json, "adamw"), *betas = cJSON_GetObjectItem(adamw, "betas");
    double                 eps = 0, clip = 0;
    SSA_TRY(ssa_config_read(g->path, &plan->config, g->err));
    SSA_TRY(read_selection(g, json, &plan->config));
    SSA_TRY(golden_find(g, "tokens", SSA_I32, &tokens));
    if (tokens->rank != 2 || tokens->shape[0] < 1 || tokens->shape[1] < 2) return ssa_fail(g->err, SSA_ERR_INPUT, "%s: tokens are not [B, T]", g->path);
    if (cJSON_GetArraySize(betas) != 2) return ssa_fail(g->err, SSA_ERR_INPUT, "%s: golden.json has no adamw.betas", g->path);
    SSA_TRY(number(g, adamw, "lr", &plan->lr));
    SSA_TRY(number(g, adamw, "eps", &eps));
    SSA_TRY(number(g, adamw, "grad_clip", &clip));
    int64_t B = tokens->shape[0], T = tokens->shape[1];
    plan->tokens = tokens->data;
    plan->options = (ssa_model_options){.batch = B, .seq = T, .dtype = SSA_F32, .training = true, .targets = B * (T - 1),
                                        .beta1 = (float)cJSON_GetArrayItem(betas, 0)->valuedouble,
                                        .beta2 = (float)cJSON_GetArrayItem(betas, 1)->valuedouble, .eps = (float)eps, .weight_decay = 0.1f,
                                        .max_norm = (float)clip};
    SSA_TRY(read_positions(g, plan));
    return read_steps(g, json, plan);
}

/* The file's values for the rows of a pass, found by their names. Norms may be absent. */
static ssa_status find_wants(const golden *g, const cJSON *json, const golden_pass *p, golden_want *want) {
    int step;
    for (int i = 0; i < p->count; i++) {
        const golden_row      *row = &p->row[i];
        const ssa_file_tensor *t;
        if (row->values) {
            SSA_TRY(golden_find(g, row->name, SSA_F32, &t));
            if (t->elements != row->n) return ssa_fail(g->err, SSA_ERR_INPUT, "%s: %s has %lld elements where %lld are needed", g->path, row->name, (long long)t->elements, (long long)row->n);
            want[i].values = t->data;
        } else if (!strcmp(row->what, "zero rows")) {
            want[i].number = 0;
        } else if (sscanf(row->name, "step %d", &step) == 1) {
            const cJSON *v = cJSON_GetArrayItem(cJSON_GetObjectItem(json, strcmp(row->what, "norm") ? "losses" : "grad_norms"), step - 1);
            want[i].absent = !cJSON_IsNumber(v);
            want[i].number = want[i].absent ? row->number : v->valuedouble;
        } else
            SSA_TRY(number(g, json, row->name, &want[i].number));
    }
    return SSA_OK;
}

/* -- beside the device ------------------------------------------------------------------------------------------------------------ */

/* The blocks that the device selected, program after program, layer after layer. */
typedef struct kept_blocks {
    const golden *g;
    int32_t      *at;
    int64_t       count, capacity;
} kept_blocks;

static ssa_status keep_blocks(golden_pass *p, ssa_model *m) {
    kept_blocks            *k = p->user;
    const ssa_model_config *c = ssa_model_config_of(m);
    bool                    both = c->attention == SSA_ATTENTION_SSA && c->alpha > 0;
    for (int l = 0; l < c->n_layers && (both || p->main == SSA_MAIN_SPARSE); l++) {
        ssa_tensor idx = ssa_model_blocks(m, l);
        int64_t    n = ssa_numel(&idx);
        if (k->count + n > k->capacity) {
            int64_t  capacity = 2 * k->capacity + 64 * n;
            int32_t *grown = realloc(k->at, (size_t)capacity * sizeof *grown);
            if (!grown) return ssa_fail(ssa_context_error(k->g->ctx), SSA_ERR_MEMORY, "out of memory for the blocks of %d layers", c->n_layers);
            k->at = grown;
            k->capacity = capacity;
        }
        SSA_TRY(ssa_read(k->g->ctx, idx, k->at + k->count));
        k->count += n;
    }
    return SSA_OK;
}

static ssa_status compare(golden *g, const golden_plan *plan, const ssa_safetensors *weights, const golden_pass *p, const golden_want *want,
                          const kept_blocks *kept) {
    golden_verdict verdict = {0};
    bool           beyond = false;
    for (int i = 0; i < p->count; i++) beyond |= !(golden_distance(&p->row[i], want[i].number, want[i].values) <= p->row[i].limit);
    ssa_status s = beyond ? golden_judge(g, plan, weights, p, want, kept->at, kept->count, &verdict) : SSA_OK;
    for (int i = 0; i < p->count && !s; i++) {
        const golden_row *row = &p->row[i];
        if (want[i].absent) continue;
        bool              explained = verdict.explained && verdict.explained[i];
        golden_line(g, row->what, row->name, explained ? verdict.error[i] : golden_distance(row, want[i].number, want[i].values), row->limit,
                    explained ? verdict.note : "");
    }
    if (!s && verdict.wrong) golden_line(g, "blocks", "queries whose blocks are wrong", verdict.wrong, 0, verdict.why);
    free(verdict.explained);
    free(verdict.error);
    return s;
}

static ssa_status replay(golden *g, const cJSON *json, const ssa_safetensors *weights) {
    golden_plan plan = {0};
    kept_blocks kept = {.g = g};
    golden_pass p = {.ran = keep_blocks, .user = &kept};
    SSA_TRY(read_plan(g, json, &plan));
    ssa_status   s = golden_from_context(g, g->ctx, golden_run(&plan, g->ctx, weights, &p));
    golden_want *want = calloc((size_t)p.count + 1, sizeof *want);
    if (!s && !want) s = ssa_fail(g->err, SSA_ERR_MEMORY, "out of memory for %d golden values", p.count);
    if (!s) s = find_wants(g, json, &p, want);
    if (!s) s = compare(g, &plan, weights, &p, want, &kept);
    free(want);
    free(kept.at);
    golden_pass_free(&p);
    return s;
}

ssa_status golden_model(golden *g) {
    ssa_safetensors *st = NULL, *weights = NULL;
    cJSON           *json = NULL;
    char             path[4096], *text = NULL;
    size_t           bytes;
    snprintf(path, sizeof path, "%s/golden.json", g->path);
    ssa_status s = ssa_file_read(path, 1 << 20, &text, &bytes, g->err);
    if (!s && !(json = cJSON_ParseWithLength(text, bytes))) s = ssa_fail(g->err, SSA_ERR_INPUT, "%s is not JSON", path);
    snprintf(path, sizeof path, "%s/golden.safetensors", g->path);
    if (!s) s = ssa_safetensors_open(path, &st, g->err);
    if (!s) s = ssa_safetensors_open(g->path, &weights, g->err);
    g->st = st;
    if (!s) s = replay(g, json, weights);
    ssa_safetensors_close(st);
    ssa_safetensors_close(weights);
    cJSON_Delete(json);
    free(text);
    return s;
}
