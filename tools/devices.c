/* ssa devices */
#include "command.h"
#include "output.h"
#include "progress.h"
#include <stdlib.h>

int command_devices(int argc, char **argv) {
    ssa_error  err = {0};
    bool       json = false;
    const flag flags[] = {{"--json", FLAG_BOOL, &json, 0, 0, "print a JSON array with every field"}};
    ssa_status s = flags_parse(argc, argv, "devices [--json]", flags, 1, NULL, NULL, &err);
    if (s) return complain(&err);
    progress_opening();
    s = ssa_list_devices(stdout, json);
    if (s == SSA_ERR_INPUT) ssa_fail(&err, s, "the devices cannot be listed with SSA_LIMITS=\"%.100s\"", getenv("SSA_LIMITS"));
    else if (s && !output_lost()) ssa_fail(&err, s, "the devices cannot be listed");
    return err.status ? complain(&err) : 0;
}
