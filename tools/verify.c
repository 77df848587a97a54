/* ssa verify */
#include "command.h"
#include "verify/golden.h"
#include <stdlib.h>
#include <string.h>

/* ssa verify golden [--device NAME] PATH... */
static int golden(int argc, char **argv) {
    ssa_error    err = {0};
    ssa_context *ctx;
    const char  *device = "auto", **paths = calloc((size_t)argc + 1, sizeof *paths);
    int          count = 0, failed = 0;
    const flag   flags[] = {{"--device", FLAG_STRING, &device, 0, 0, "cpu, vulkan, vulkan:N, opencl, opencl:N, auto (default)"}};
    if (!paths) return 1;
    ssa_status s = flags_parse(argc, argv, "verify golden [--device NAME] PATH... (model folders and kernel files)", flags, 1, paths, &count, &err);
    if (!s && !count) s = ssa_fail(&err, SSA_ERR_INPUT, "verify golden needs a model folder or a kernel file");
    if (!s) s = ssa_open(device, NULL, &ctx, &err);
    if (!s) {
        printf("%s (%s)\n", ssa_context_device(ctx), ssa_context_description(ctx));
        for (int i = 0; i < count && !s; i++) {
            int before = failed;
            printf("%s\n", paths[i]);
            s = verify_golden(ctx, paths[i], stdout, &failed, &err);
            if (!s) printf("  %s\n", failed == before ? "all within limits" : "NOT within limits");
        }
        ssa_close(ctx);
    }
    free(paths);
    if (s) return complain(&err);
    if (failed) fprintf(stderr, "ssa: %d golden values are beyond their limits\n", failed);
    return failed ? 1 : 0;
}

int command_verify(int argc, char **argv) {
    if (argc > 0 && !strcmp(argv[0], "golden")) return golden(argc - 1, argv + 1);
    if (argc > 0 && !strcmp(argv[0], "compile")) return verify_compile(argc - 1, argv + 1);
    if (argc > 0 && (!strcmp(argv[0], "--help") || !strcmp(argv[0], "-h"))) {
        printf("usage: ssa verify golden [--device NAME] PATH...\n\nReplays golden files (outputs of the authors' code) and prints the error of every tensor.\n");
        return 0;
    }
    fprintf(stderr, "ssa: verify needs a mode: golden\n");
    return 2;
}
