/* Golden files of the authors' code on the lane's device; and that a wrong alpha or a wrong selection rule is noticed. */
#include "suite.h"
#include "verify/golden.h"
#include <glob.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>


static ssa_context *open_device(void) {
    ssa_error    err = {0};
    ssa_context *ctx;
    bool         validate = getenv("SSA_TEST_VALIDATE") != NULL;
    ck_assert_msg(!ssa_open(test_device("cpu"), &(ssa_open_options){.validate = validate}, &ctx, &err), "%s", err.text);
    return ctx;
}

static void replay(const char *path) {
    ssa_error    err = {0};
    int          failed = 0;
    ssa_context *ctx = open_device();
    printf("%s on %s\n", path, ssa_context_description(ctx));
    ssa_status s = verify_golden(ctx, path, stdout, &failed, &err);
    fflush(stdout);
    int messages = ssa_context_validation_messages(ctx);
    ssa_close(ctx);
    ck_assert_msg(!s, "%s", err.text);
    ck_assert_msg(!failed, "%s: %d values beyond their limits", path, failed);
    ck_assert_msg(!messages, "%d validation messages", messages);
}

START_TEST(model) {
    if (getenv("SSA_TEST_SLOW") && !getenv("SSA_TEST_FULL")) SKIP("minutes on such a driver (SSA_TEST_FULL=1 runs it)");
    replay("tests/golden/aligned_llama_nsa");
}
END_TEST
START_TEST(kernel) { replay("tests/golden/sparse_T291_HQ32_H2_D16_B16_K4.safetensors"); }
END_TEST

/* compat with top_k = block_size, where the released kernel's rule is not the exact one. */
START_TEST(compat) { replay("tests/golden/sparse_T405_HQ16_H1_D32_B16_K16.safetensors"); }
END_TEST

/* Further files, of the folder that SSA_GOLDEN names. */
START_TEST(further) {
    const char *dir = getenv("SSA_GOLDEN");
    char        pattern[1024];
    glob_t      found = {0};
    snprintf(pattern, sizeof pattern, "%s/*/golden.json", dir);
    glob(pattern, 0, NULL, &found);
    snprintf(pattern, sizeof pattern, "%s/sparse_*.safetensors", dir);
    glob(pattern, GLOB_APPEND, NULL, &found);
    ck_assert_msg(found.gl_pathc > 0, "SSA_GOLDEN: nothing golden in %s", dir);
    for (size_t i = 0; i < found.gl_pathc; i++) {
        char *end = strstr(found.gl_pathv[i], "/golden.json");
        if (end) *end = 0;
        replay(found.gl_pathv[i]);
    }
    globfree(&found);
}
END_TEST

/* The machinery must be able to fail: a copy of the folder that claims another selection rule. */
START_TEST(notices) {
    char         dir[] = "/tmp/ssa_golden_XXXXXX", command[512];
    ssa_error    err = {0};
    int          failed = 0;
    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(command, sizeof command, "cp tests/golden/aligned_llama_nsa/* %s && sed -i 's/\"softmax[^\"]*\"/\"dot\"/' %s/golden.json", dir, dir);
    ck_assert_int_eq(system(command), 0);
    ssa_context *ctx = open_device();
    ssa_status   s = verify_golden(ctx, dir, NULL, &failed, &err);
    ssa_close(ctx);
    snprintf(command, sizeof command, "rm -r %s", dir);
    ck_assert_int_eq(system(command), 0);
    ck_assert_msg(!s, "%s", err.text);
    ck_assert_int_gt(failed, 10);
}
END_TEST

int main(void) {
    if (!test_available(test_device("cpu"))) return TEST_SKIPPED;
    Suite *suite = suite_create("golden");
    TCase *t = tcase_create("golden");
    tcase_set_timeout(t, 900);
    tcase_add_test(t, model);
    tcase_add_test(t, kernel);
    tcase_add_test(t, compat);
    if (getenv("SSA_GOLDEN")) tcase_add_test(t, further);
    if (!strcmp(test_device("cpu"), "cpu")) tcase_add_test(t, notices); /* once is enough */
    suite_add_tcase(suite, t);
    return run_suite(suite);
}
