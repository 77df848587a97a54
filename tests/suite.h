/* What the Check suites share: the device by environment, whether it is there, skipping, running. */
#ifndef SSA_TESTS_SUITE_H
#define SSA_TESTS_SUITE_H

#include "ssa/ssa.h"
#include <check.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { TEST_SKIPPED = 77 };

static inline const char *test_device(const char *otherwise) {
    const char *name = getenv("SSA_TEST_DEVICE");
    return name && *name ? name : otherwise;
}

/* Looked up in a process of its own: a driver that has started threads must not be there when Check forks. False where there is no such
 * device; one that is there and cannot be opened is for the suite to fail on. */
static inline bool test_available(const char *name) {
    pid_t child = fork();
    if (child == 0) {
        ssa_context *ctx = NULL;
        ssa_error    err = {0};
        ssa_status   s = ssa_open(name, NULL, &ctx, &err);
        bool absent = s == SSA_ERR_UNSUPPORTED || (s == SSA_ERR_INPUT && !strncmp(err.text, "no device ", 10));
        if (s) printf("%s: %s\n", absent ? "skipped" : name, err.text);
        else printf("%s: %s\n", name, ssa_context_description(ctx));
        ssa_close(ctx);
        exit(absent ? TEST_SKIPPED : 0);
    }
    int status = 0;
    return !(child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == TEST_SKIPPED);
}

/* -- skipping: Check has no word for it. A test that cannot run here leaves through SKIP, which is counted (in memory that forked tests
 * share) and said when the suite ends; tools/test gathers the lines that begin with "skipped: ". */
enum { MOST_SKIPS = 32 };
typedef struct test_skips { int count; char reason[MOST_SKIPS][256]; } test_skips;
static test_skips *skips;

__attribute__((format(printf, 2, 3))) static inline void test_skip(const char *function, const char *format, ...) {
    char   *reason = skips->reason[skips->count < MOST_SKIPS ? skips->count : MOST_SKIPS - 1];
    size_t  name = strlen(function) > 3 && !strcmp(function + strlen(function) - 3, "_fn") ? strlen(function) - 3 : strlen(function); /* Check's */
    int     n = snprintf(reason, sizeof skips->reason[0], "%.*s: ", (int)name, function);
    va_list args;
    va_start(args, format);
    vsnprintf(reason + n, sizeof skips->reason[0] - (size_t)n, format, args);
    va_end(args);
    skips->count++;
}
#define SKIP(...) do { test_skip(__func__, __VA_ARGS__); return; } while (0)

/* Exit status of the suite: TEST_SKIPPED where every test was. */
static inline int run_suite_as(Suite *suite, enum fork_status forks) {
    skips = mmap(NULL, sizeof *skips, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (skips == MAP_FAILED) return EXIT_FAILURE;
    SRunner *runner = srunner_create(suite);
    srunner_set_fork_status(runner, forks);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner), run = srunner_ntests_run(runner);
    srunner_free(runner);
    for (int i = 0; i < skips->count && i < MOST_SKIPS; i++) printf("skipped: %s\n", skips->reason[i]);
    if (skips->count) printf("%d of %d tests skipped\n", skips->count, run);
    if (!run) printf("no test ran\n");
    return failed || !run ? EXIT_FAILURE : skips->count == run ? TEST_SKIPPED : EXIT_SUCCESS;
}
static inline int run_suite(Suite *suite) { return run_suite_as(suite, CK_FORK); }

#endif
