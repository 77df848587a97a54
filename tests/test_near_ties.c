/* A golden folder in which a selection nearly ties after the first update, by less than f32 can tell, and the file took the other block:
 * recognised, and what follows judged. Beside it twins with real errors, which must fail. The folders are made here, on the CPU: weights are
 * found by bisection for which two blocks tie, and the file's side of the tie is taken by force. */
#include "suite.h"
#include "verify/golden_inside.h"
#include <math.h>
#include <string.h>
#include <unistd.h>

enum { B = 1, T = 61, LAYERS = 2, STEPS = 5 };

/* What happens to the selections of one place: updates done, main stream, layer. */
typedef struct planted {
    const golden_pass *pass;
    int64_t            calls, row; /* row < 0: the one with the smallest gap is looked for */
    bool               flip, widest;
    int32_t            block;      /* of the tie; found: the one taken at first */
    double             gap;        /* negative: the other one is taken */
} planted;

static void look(void *user, const ssa_selection *from, int32_t *idx) {
    planted *p = user;
    int64_t  K = from->dim['K' - 'A'], rows = from->dim['B' - 'A'] * from->dim['T' - 'A'] * from->dim['S' - 'A'];
    double   scratch[64];
    if (p->calls++ % LAYERS != 0 || p->pass->updates != 1) return; /* layer 0, after the first update */
    for (int64_t r = p->row < 0 ? 0 : p->row; r < (p->row < 0 ? rows : p->row + 1); r++) {
        ssa_border border[2];
        int32_t   *set = idx + r * K;
        if (!ssa_selection_borders(from, r, set, scratch, border)) continue;
        if (p->row >= 0) {
            bool among = false;
            for (int64_t k = 0; k < K; k++) among |= set[k] == p->block;
            p->gap = among ? border[0].gap : -border[0].gap;
            if (p->flip) set[border[0].slot] = border[0].next;
        } else if (p->widest ? border[0].gap > p->gap : border[0].gap < p->gap) {
            p->gap = border[0].gap;
            p->block = set[border[0].slot];
            p->row = -1 - r; /* kept apart until all are seen */
        }
    }
}

static ssa_error   err;
static int32_t     tokens[B * T];
static golden_plan plan;
static char        dir[64];

static void check(ssa_status s, const ssa_error *e) { ck_assert_msg(!s, "%s", e->text); }

static void setup(void) {
    uint64_t state = 7;
    memset(&err, 0, sizeof err);
    for (int i = 0; i < B * T; i++) tokens[i] = (int32_t)((state = state * 6364136223846793005u + 1442695040888963407u) >> 33) % 40;
    plan = (golden_plan){.tokens = tokens, .positions = {8, 8}, .modes = {SSA_MAIN_SPARSE, SSA_MAIN_SPARSE, SSA_MAIN_FULL, SSA_MAIN_SPARSE, SSA_MAIN_FULL},
                         .steps = STEPS, .lr = 1e-3};
    ssa_config_default(&plan.config);
    ssa_model_config *c = &plan.config;
    c->vocab_size = 40, c->hidden_size = 32, c->intermediate_size = 48, c->n_layers = LAYERS, c->n_heads = 4, c->n_kv_heads = 2, c->head_dim = 16;
    c->block_size = 4, c->top_k = 4, c->initializer_range = 0.3f, c->max_position_embeddings = 128;
    plan.options = (ssa_model_options){.batch = B, .seq = T, .dtype = SSA_F32, .training = true, .targets = B * (T - 1), .beta1 = 0.9f, .beta2 = 0.95f,
                                       .eps = 1e-8f, .weight_decay = 0.1f, .max_norm = 1};
    snprintf(dir, sizeof dir, "/tmp/ssa_ties_XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
}

static void teardown(void) {
    char command[128];
    snprintf(command, sizeof command, "rm -r %s", dir);
    ck_assert_int_eq(system(command), 0);
}

static const char *at(const char *name) {
    static char path[128];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    return path;
}

/* The model with one weight of layer 0, of a KV head's keys, moved by `shift`: model.safetensors. */
static void write_weights(double shift, int64_t head) {
    ssa_context *cpu;
    ssa_model   *m;
    float        w;
    check(ssa_open("cpu", NULL, &cpu, &err), &err);
    ssa_error *e = ssa_context_error(cpu);
    check(ssa_model_create(cpu, &plan.config, &plan.options, &m), e);
    check(ssa_model_init(m, 3), e);
    for (int i = 0; i < ssa_model_param_count(m); i++)
        if (strstr(ssa_model_param(m, i)->name, "layers.0.self_attn.k_proj")) {
            ssa_tensor one = ssa_view(ssa_model_param_tensor(m, i, SSA_PARAM_MASTER), head * plan.config.head_dim * plan.config.hidden_size + 5, 1);
            check(ssa_read(cpu, one, &w), e);
            w += (float)shift;
            check(ssa_write(cpu, one, &w), e);
        }
    check(ssa_model_save(m, at("model.safetensors"), SSA_F32), e);
    ssa_model_free(m);
    ssa_close(cpu);
}

static void run(const golden_plan *what, planted *p, golden_pass *pass) {
    ssa_context     *cpu;
    ssa_safetensors *weights;
    *pass = (golden_pass){0};
    p->pass = pass;
    p->calls = 0;
    check(ssa_open("cpu", &(ssa_open_options){.selected = look, .selected_user = p}, &cpu, &err), &err);
    check(ssa_safetensors_open(dir, &weights, &err), &err);
    check(golden_run(what, cpu, weights, pass), ssa_context_error(cpu));
    ssa_safetensors_close(weights);
    ssa_close(cpu);
}

static double gap_at(double shift, planted *p) {
    golden_plan two = plan;
    golden_pass pass;
    two.steps = 2;
    write_weights(shift, p->row < 0 ? 0 : p->row % 2);
    run(&two, p, &pass);
    golden_pass_free(&pass);
    return p->gap;
}

static ssa_status fetch(void *user, int i, void *host, ssa_error *e) {
    const ssa_file_tensor *t = (const ssa_file_tensor *)user + i;
    (void)e;
    memcpy(host, t->data, (size_t)t->elements * 4);
    return SSA_OK;
}

/* golden.json and golden.safetensors from a replay. */
static void write_golden(const golden_pass *p) {
    ssa_file_tensor t[256] = {{.name = "tokens", .dtype = SSA_I32, .rank = 2, .shape = {B, T}, .data = tokens, .elements = B * T}};
    int             count = 1;
    FILE           *f = fopen(at("golden.json"), "w");
    fprintf(f, "{\"select\": \"exact\", \"adamw\": {\"lr\": 0.001, \"betas\": [0.9, 0.95], \"eps\": 1e-8, \"grad_clip\": 1}, \"modes\": [");
    for (int i = 0; i < STEPS; i++) fprintf(f, "%s\"%s\"", i ? ", " : "", plan.modes[i] == SSA_MAIN_FULL ? "full" : "sparse");
    for (int kind = 0; kind < 2; kind++) {
        fprintf(f, "], \"%s\": [", kind ? "grad_norms" : "losses");
        for (int i = 0, n = 0; i < p->count; i++)
            if (!strncmp(p->row[i].name, "step", 4) && !strcmp(p->row[i].what, kind ? "norm" : "loss")) fprintf(f, "%s%.17g", n++ ? ", " : "", p->row[i].number);
    }
    fprintf(f, "]");
    for (int i = 0; i < p->count; i++) {
        const golden_row *r = &p->row[i];
        bool              logits = !strcmp(r->what, "logits");
        if (r->values)
            t[count++] = (ssa_file_tensor){.name = r->name, .dtype = SSA_F32, .rank = logits ? 3 : 1, .shape = {logits ? B : r->n, 8, 40}, .data = r->values, .elements = r->n};
        else if (strncmp(r->name, "step", 4) && strcmp(r->what, "zero rows")) fprintf(f, ", \"%s\": %.17g", r->name, r->number);
    }
    fprintf(f, "}\n");
    ck_assert(!fclose(f));
    check(ssa_safetensors_write(at("golden.safetensors"), t, count, NULL, fetch, t, &err), &err);
    check(ssa_config_write(dir, &plan.config, &err), &err);
}

typedef struct lines { int ok, failed, noted; char note[200]; } lines;

static void count_line(void *user, const char *what, const char *name, double error, double limit, const char *note) {
    lines *n = user;
    (void)what, (void)name;
    if (error <= limit) n->ok++;
    else n->failed++;
    if (!*note) return;
    n->noted++;
    snprintf(n->note, sizeof n->note, "%s", note);
}

static lines verify(void) {
    ssa_context *ctx;
    lines        n = {0};
    check(ssa_open(test_device("cpu"), NULL, &ctx, &err), &err);
    check(verify_golden_each(ctx, dir, count_line, &n, &err), &err);
    ssa_close(ctx);
    printf("%d ok, %d failed, %d noted: %s\n", n.ok, n.failed, n.noted, n.note);
    return n;
}

/* Weights for which the nearest tie after one update is nearer than f32 tells. */
static planted plant(void) {
    planted p = {.row = -1, .gap = INFINITY};
    double  low = 0, high = 0;
    gap_at(0, &p);
    ck_assert_int_lt((int)p.row, 0);
    p.row = -1 - p.row;
    for (double step = 1e-3; high == 0 && step < 1; step *= 1.5)
        for (int sign = -1; sign <= 1 && high == 0; sign += 2)
            if (gap_at(sign * step, &p) < 0) high = sign * step;
    ck_assert_msg(high != 0, "no shift of the weight turns the tie round");
    for (int i = 0; i < 40 && fabs(high - low) > 1e-9; i++) {
        double middle = (low + high) / 2;
        if (gap_at(middle, &p) < 0) high = middle;
        else low = middle;
    }
    double gap = gap_at(low, &p);
    printf("query %lld: gap %.2e\n", (long long)p.row, gap);
    ck_assert(fabs(gap) < 2e-6);
    return p;
}

START_TEST(near_tie) {
    golden_pass pass;
    planted     p = plant();
    lines       n;
    run(&plan, &p, &pass); /* as it is: everything agrees, and nothing is said */
    write_golden(&pass);
    golden_pass_free(&pass);
    n = verify();
    ck_assert(n.failed == 0 && n.ok > 40);
    p.flip = true;
    run(&plan, &p, &pass);
    write_golden(&pass);
    golden_pass_free(&pass);
    n = verify();
    ck_assert_msg(n.failed == 0 && n.noted > 5 && n.ok > 40, "%d failed, %d noted", n.failed, n.noted);
    ck_assert_msg(strstr(n.note, "near tie: the blocks of query "), "%s", n.note);
}
END_TEST

/* The same tie, and steps that are not what golden.json says: 2 % of the learning rate. */
START_TEST(twin_with_another_step) {
    golden_pass pass;
    golden_plan other = plan;
    planted     p = plant();
    p.flip = true;
    other.lr *= 1.02;
    run(&other, &p, &pass);
    write_golden(&pass);
    golden_pass_free(&pass);
    ck_assert_int_gt(verify().failed, 5);
}
END_TEST

/* Another block too, but of a query where the scores leave no doubt. */
START_TEST(twin_with_a_wrong_block) {
    golden_pass pass;
    planted     p = plant();
    planted     wide = {.row = -1, .widest = true, .gap = 0};
    gap_at(0, &wide);
    wide.row = -1 - wide.row;
    wide.flip = true;
    ck_assert(wide.row != p.row && wide.gap > 1e-2);
    run(&plan, &wide, &pass);
    write_golden(&pass);
    golden_pass_free(&pass);
    ck_assert_int_gt(verify().failed, 5);
}
END_TEST

int main(void) {
    if (!test_available(test_device("cpu"))) return TEST_SKIPPED;
    Suite *suite = suite_create("near_ties");
    TCase *t = tcase_create("near_ties");
    tcase_set_timeout(t, 300);
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, near_tie);
    tcase_add_test(t, twin_with_another_step);
    tcase_add_test(t, twin_with_a_wrong_block);
    suite_add_tcase(suite, t);
    return run_suite(suite);
}
