/* Every operation of the table on a device against the CPU: one test an operation, driven by tools/verify. On the CPU itself:
 * guard zones and replay, the same bits whatever the number of threads, and gradients against finite differences.
 *
 *   SSA_TEST_DEVICE=cpu|vulkan|vulkan:1|opencl   the device (default vulkan); not there: exit 77, which ctest shows as skipped
 *   SSA_TEST_VALIDATE=1                          Khronos validation on; a single message fails the test
 *   CK_RUN_CASE=rmsnorm                          one operation
 *   SSA_TEST_SLOW=1                              not the cases that are there for their size
 *   SSA_TEST_FULL=1                              the larger cases too */
#include "context.h"
#include "suite.h"
#include "verify/verify.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SECONDS_A_TEST = 600, LISTED = 12 };

typedef struct {
    int rows, failed, unsupported;
    char first[1024];
} tally;

static bool wanted(const char *variable) {
    const char *value = getenv(variable);
    return value && *value && strcmp(value, "0");
}

static void count(void *user, const verify_row *row) {
    tally *t = user;
    t->rows++;
    if (row->status == VERIFY_UNSUPPORTED && !t->unsupported++) snprintf(t->first, sizeof t->first, "%s", row->reason);
    if (row->status != VERIFY_FAILED) return;
    char line[1024];
    snprintf(line, sizeof line, "%s %s %s [%s]: %s = %.3g, limit %.3g: %s", row->op, ssa_dtype_name(row->dtype), row->text, row->device, row->output,
             row->error, row->limit, row->reason);
    if (!t->failed++) snprintf(t->first, sizeof t->first, "%s", line);
    if (t->failed <= LISTED) fprintf(stderr, "FAILED %s\n", line);
}

static verify_options only(const char *op, char *filter, size_t size) {
    snprintf(filter, size, "^%s ", op);
    return (verify_options){.filter = filter, .full = wanted("SSA_TEST_FULL"), .small = wanted("SSA_TEST_SLOW"), .seed = 1};
}

static void conformance(ssa_op op) {
    ssa_context *ctx = NULL;
    ssa_error err = {0};
    tally t = {0};
    char filter[64];
    verify_options o = only(ssa_op_name(op), filter, sizeof filter);
    ssa_open_options open = {.validate = wanted("SSA_TEST_VALIDATE")};
    ck_assert_msg(ssa_open(test_device("vulkan"), &open, &ctx, &err) == SSA_OK, "%s", err.text);
    ck_assert_msg(verify_ops(ctx, &o, count, &t, &err) == SSA_OK, "%s", err.text);
    int messages = ssa_context_validation_messages(ctx);
    ssa_close(ctx);
    ck_assert_msg(t.rows > 0, "%s has no cases", ssa_op_name(op));
    ck_assert_msg(!t.failed, "%d of %d results of %s are wrong, the first: %s", t.failed, t.rows, ssa_op_name(op), t.first);
    ck_assert_msg(t.unsupported < t.rows, "%s is not supported on %s at all: %s", ssa_op_name(op), test_device("vulkan"), t.first);
    ck_assert_msg(!messages, "%d validation messages during %s", messages, ssa_op_name(op));
}

#define OP(ID, name, inputs, outputs, attributes)                                                                                                    \
    START_TEST(ops_##name) { conformance(SSA_##ID); }                                                                                                \
    END_TEST
#include "ssa/ops.def"
#undef OP

static ssa_context *repeated;

static void set_threads(void *user, int i) {
    (void)user;
    ssa_error err = {0};
    pool_destroy(repeated->backend->pool);
    ck_assert_msg(!pool_create(i + 1, &repeated->backend->pool, &err), "%s", err.text);
}

/* One, two and three threads. f32 alone: 16-bit operands run the same kernels. */
START_TEST(threads) {
    ssa_context *ctx = NULL;
    ssa_error err = {0};
    tally t = {0};
    verify_options o = {.dtypes = 1u << SSA_F32, .full = wanted("SSA_TEST_FULL"), .seed = 2};
    ck_assert_msg(ssa_open("cpu", &(ssa_open_options){.threads = 3}, &ctx, &err) == SSA_OK, "%s", err.text);
    repeated = ctx;
    ck_assert_msg(verify_repeat(ctx, &o, 3, set_threads, count, &t, &err) == SSA_OK, "%s", err.text);
    ssa_close(ctx);
    ck_assert_int_gt(t.rows, 100);
    ck_assert_msg(!t.failed, "%d of %d results depend on the number of threads, the first: %s", t.failed, t.rows, t.first);
}
END_TEST

START_TEST(gradients) {
    ssa_error err = {0};
    tally t = {0};
    ck_assert_msg(verify_grad(&(verify_options){.seed = 3}, count, &t, &err) == SSA_OK, "%s", err.text);
    ck_assert_int_gt(t.rows, 60);
    ck_assert_msg(!t.failed, "%d of %d gradients are wrong, the first: %s", t.failed, t.rows, t.first);
}
END_TEST

/* A test case of its own, so that CK_RUN_CASE=rmsnorm runs that operation alone. */
static void add_test(Suite *suite, const char *name, const TTest *test) {
    TCase *tc = tcase_create(name);
    tcase_set_timeout(tc, SECONDS_A_TEST);
    tcase_add_test(tc, test);
    suite_add_tcase(suite, tc);
}

int main(void) {
    const char *name = test_device("vulkan");
    if (!test_available(name)) return TEST_SKIPPED;
    Suite *suite = suite_create("operations");
#define OP(ID, name, inputs, outputs, attributes) add_test(suite, #name, ops_##name);
#include "ssa/ops.def"
#undef OP
    if (!strcmp(name, "cpu")) {
        add_test(suite, "threads", threads);
        add_test(suite, "gradients", gradients);
    }
    return run_suite(suite);
}
