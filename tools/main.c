/* ssa: train, evaluate and check sparse sparse attention models on any GPU. */
#include "command.h"
#include "help.h"
#include "output.h"
#include "progress.h"
#include <stdlib.h>
#include <string.h>

static const help_command commands[] = {
    {"train", command_train, "train a model on a text or on token shards"},
    {"eval", command_eval, "validation loss under full and sparse attention, and attention sparsity"},
    {"generate", command_generate, "continue a prompt"},
    {"devices", command_devices, "list the devices and what they can do"},
    {"verify", command_verify, "check a device: operations, gradients, golden files, your kernel"},
};
enum { COMMANDS = sizeof commands / sizeof *commands };

static void usage(FILE *to) {
    fprintf(to, "usage: ssa COMMAND [options]\n\n");
    for (int i = 0; i < COMMANDS; i++) fprintf(to, "  %-10s %s\n", commands[i].name, commands[i].help);
    fprintf(to, "\n`ssa help COMMAND` tells a command's options, `ssa --version` the version. Devices: cpu, vulkan, vulkan:N, opencl, opencl:N, auto.\n"
                "Exit status: 0 done, 1 failed while running, 2 bad input, 3 ended early by a signal with what was done kept.\n");
}

int complain(const ssa_error *err) {
    progress_end();
    fprintf(stderr, "ssa: %s\n", err->text[0] ? err->text : "failed");
    return ssa_exit_status(err->status);
}

void tell_remark(const ssa_context *ctx, FILE *to) {
    const char *remark = ssa_context_remark(ctx);
    if (*remark) fprintf(to, "%s\n", remark);
}

static int no_command(const char *name) {
    fprintf(stderr, "ssa: there is no command %s; `ssa --help` lists them\n", name);
    return 2;
}

/* "ssa help train", "ssa help verify kernel"; the other forms are for the build. */
static int help_on(int argc, char **argv) {
    int status = help_generate(argv[0], commands, COMMANDS);
    if (status >= 0) return status;
    for (int i = 0; i < COMMANDS; i++)
        if (!strcmp(argv[0], commands[i].name)) {
            argv[0] = argc > 1 ? argv[1] : "--help"; /* a mode, then --help */
            if (argc > 1) argv[1] = "--help";
            return commands[i].run(argc > 1 ? 2 : 1, argv);
        }
    return no_command(argv[0]);
}

int main(int argc, char **argv) {
    output_begin();
    if (argc < 2) {
        usage(stderr);
        return 2;
    }
    if (!strcmp(argv[1], "--version") || !strcmp(argv[1], "version")) {
        printf("ssa %s\n", SSA_VERSION);
        return 0;
    }
    bool help = !strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") || !strcmp(argv[1], "help");
    if (help && argc == 2) {
        usage(stdout);
        return 0;
    }
    if (help) return help_on(argc - 2, argv + 2);
    for (int i = 0; i < COMMANDS; i++)
        if (!strcmp(argv[1], commands[i].name)) return commands[i].run(argc - 2, argv + 2);
    return no_command(argv[1]);
}
