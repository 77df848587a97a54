/* ssa devices */
#include "command.h"

int command_devices(int argc, char **argv) {
    ssa_error  err = {0};
    bool       json = false;
    const flag flags[] = {{"--json", FLAG_BOOL, &json, 0, 0, "print a JSON array with every field"}};
    if (flags_parse(argc, argv, "devices [--json]", flags, 1, NULL, NULL, &err) || ssa_list_devices(stdout, json)) return complain(&err);
    return 0;
}
