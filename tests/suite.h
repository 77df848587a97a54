/* What the Check suites share: the device by environment, whether it is there, running. */
#ifndef SSA_TESTS_SUITE_H
#define SSA_TESTS_SUITE_H

#include "ssa/ssa.h"
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

enum { TEST_SKIPPED = 77 };

static inline const char *test_device(const char *otherwise) {
    const char *name = getenv("SSA_TEST_DEVICE");
    return name && *name ? name : otherwise;
}

/* Looked up in a process of its own: a driver that has started threads must not be there when Check forks. */
static inline bool test_available(const char *name) {
    pid_t child = fork();
    if (child == 0) {
        ssa_context *ctx = NULL;
        ssa_error    err = {0};
        ssa_status   s = ssa_open(name, NULL, &ctx, &err);
        fprintf(stderr, "%s: %s\n", name, s ? err.text : ssa_context_description(ctx));
        ssa_close(ctx);
        exit(s ? TEST_SKIPPED : 0);
    }
    int status = 0;
    return child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static inline int run_suite(Suite *suite) {
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

#endif
