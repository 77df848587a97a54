/* ssa: train, evaluate and check sparse sparse attention models on any GPU. */
#include "command.h"
#include "output.h"
#include "progress.h"
#include <stdlib.h>
#include <string.h>

static const struct { const char *name; int (*run)(int, char **); const char *help; } commands[] = {
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
    fprintf(to, "\n`ssa COMMAND --help` tells a command's options. Devices: cpu, vulkan, vulkan:N, opencl, opencl:N, auto.\n"
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

int main(int argc, char **argv) {
    output_begin();
    if (argc < 2) {
        usage(stderr);
        return 2;
    }
    if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") || !strcmp(argv[1], "help")) {
        usage(stdout);
        return 0;
    }
    for (int i = 0; i < COMMANDS; i++)
        if (!strcmp(argv[1], commands[i].name)) return commands[i].run(argc - 2, argv + 2);
    fprintf(stderr, "ssa: there is no command %s; `ssa --help` lists them\n", argv[1]);
    return 2;
}
