/* What a training step asks of a backend once the model stands: batches and step values are written, programs replayed, 8 numbers read.
 * Nothing is allocated, freed, run call by call (which is lowered) or recorded. */
#include "context.h"
#include "suite.h"

static struct { int alloc, free, run, record, prepare, write, read, replay; int64_t most_read; } count;
static const ssa_backend_vtable *real;

static ssa_status count_alloc(ssa_backend *be, ssa_dtype dtype, int64_t elements, ssa_buffer **out, ssa_error *err) {
    count.alloc++;
    return real->alloc(be, dtype, elements, out, err);
}
static void count_free(ssa_backend *be, ssa_buffer *buffer) {
    count.free++;
    real->free(be, buffer);
}
static ssa_status count_run(ssa_backend *be, const ssa_call *call, ssa_error *err) {
    count.run++;
    return real->run(be, call, err);
}
static ssa_status count_record(ssa_backend *be, ssa_error *err) {
    count.record++;
    return real->record_begin(be, err);
}
static ssa_status count_prepare(ssa_backend *be, const ssa_call *call, ssa_error *err) {
    count.prepare++;
    return real->prepare(be, call, err);
}
static ssa_status count_write(ssa_backend *be, ssa_buffer *buffer, int64_t first, int64_t n, const void *host, ssa_error *err) {
    count.write++;
    return real->write(be, buffer, first, n, host, err);
}
static ssa_status count_read(ssa_backend *be, ssa_buffer *buffer, int64_t first, int64_t n, void *host, ssa_error *err) {
    count.read++;
    if (n > count.most_read) count.most_read = n;
    return real->read(be, buffer, first, n, host, err);
}
static ssa_status count_replay(ssa_backend *be, ssa_program *program, ssa_error *err) {
    count.replay++;
    return real->replay(be, program, err);
}

START_TEST(a_step_only_replays) {
    enum { B = 2, T = 20, ACCUM = 2, STEPS = 3 };
    ssa_error          err = {0};
    ssa_context       *ctx;
    ssa_model         *m;
    ssa_train_options  o;
    ssa_losses         losses;
    ssa_model_options  mo = {.batch = B, .seq = T, .training = true, .accum = ACCUM, .beta1 = 0.9f, .beta2 = 0.95f, .eps = 1e-8f, .max_norm = 1};
    int32_t            x[B * T], y[B * T];
    ssa_backend_vtable counting;
    ck_assert(!ssa_train_preset("quickstart", &o, NULL));
    o.model.vocab_size = 256, o.model.n_layers = 2, o.model.hidden_size = 32, o.model.intermediate_size = 48, o.model.block_size = 8, o.model.top_k = 2;
    o.model.n_heads = 2, o.model.n_kv_heads = 1, o.model.head_dim = 16;
    ck_assert_msg(!ssa_open(test_device("cpu"), &(ssa_open_options){.tune = SSA_TUNE_OFF}, &ctx, &err), "%s", err.text);
    ck_assert_msg(!ssa_model_create(ctx, &o.model, &mo, &m) && !ssa_model_init(m, 1), "%s", ssa_context_error(ctx)->text);
    for (int i = 0; i < B * T; i++) x[i] = 'a' + i % 20, y[i] = 'a' + (i + 1) % 20;

    real = ctx->backend->vt;
    counting = *real;
    counting.alloc = count_alloc, counting.free = count_free, counting.run = count_run, counting.record_begin = count_record;
    counting.write = count_write, counting.read = count_read, counting.replay = count_replay;
    if (real->prepare) counting.prepare = count_prepare;
    ctx->backend->vt = &counting;
    for (int step = 1; step <= STEPS; step++) {
        for (int a = 0; a < ACCUM; a++) {
            ck_assert(!ssa_model_set_batch(m, x, y));
            ck_assert(!ssa_model_train(m, (ssa_stream)((step + a) & 1), a > 0));
        }
        ck_assert(!ssa_model_update(m, step, 1e-3f));
        ck_assert_msg(!ssa_model_losses(m, &losses), "%s", ssa_context_error(ctx)->text);
    }
    ctx->backend->vt = real;
    ck_assert_msg(!count.alloc && !count.free && !count.run && !count.record && !count.prepare, "%d allocations, %d freed, %d calls run, %d recorded, %d prepared",
                  count.alloc, count.free, count.run, count.record, count.prepare);
    ck_assert_int_eq(count.replay, STEPS * (ACCUM + 1));
    ck_assert_int_eq(count.read, STEPS);
    ck_assert_int_eq(count.most_read, 8);
    ck_assert_int_eq(count.write, STEPS * (3 * ACCUM + 1)); /* inputs, targets and their order; the step's values */
    ck_assert(losses.ce > 0 && losses.norm > 0);
    ssa_model_free(m);
    ssa_close(ctx);
}
END_TEST

int main(void) {
    if (!test_available(test_device("cpu"))) return TEST_SKIPPED;
    Suite *suite = suite_create("loop");
    TCase *t = tcase_create("loop");
    tcase_set_timeout(t, 300);
    tcase_add_test(t, a_step_only_replays);
    suite_add_tcase(suite, t);
    return run_suite(suite);
}
