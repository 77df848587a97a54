/* Asking an API's loader and drivers for their devices, and the choice among them. */
#include "device.h"
#include "fence.h"
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

enum { DEFAULT_SECONDS = 60, MOST_SECONDS = 1000000 };

static int seconds_allowed(void) {
    const char *text = getenv("SSA_DRIVER_SECONDS");
    char       *end = NULL;
    long        n = text ? strtol(text, &end, 10) : 0;
    if (!text || !*text || *end || n < 0) return DEFAULT_SECONDS;
    return n < MOST_SECONDS ? (int)n : MOST_SECONDS;
}

typedef struct { probe_list *list; probe_found found; } in_child;

static void ask_in_child(void *memory) {
    in_child *c = memory;
    int       null = open("/dev/null", O_WRONLY | O_CLOEXEC); /* what drivers remark they will remark again when they are used */
    if (null >= 0) dup2(null, STDOUT_FILENO), dup2(null, STDERR_FILENO);
    c->list(c->found.info, c->found.limits, PROBE_CAPACITY, &c->found.count, &c->found.reason);
}

/* A driver that crashes or hangs while it starts takes a child with it and not us. Only where a child can do what we can, and the
 * drivers have not been started in this process before: some do not survive a fork. */
static bool fence_possible(const char *loader) {
    void *loaded = dlopen(loader, RTLD_LAZY | RTLD_NOLOAD);
    if (loaded) dlclose(loaded);
    return !loaded && seconds_allowed() && fence_alone();
}

void probe(const char *api, const char *loader, probe_list *list, probe_found *out) {
    char      why[FENCE_REASON];
    in_child *c = fence_possible(loader) ? calloc(1, sizeof *c) : NULL;
    memset(out, 0, sizeof *out);
    if (!c) {
        if (list(out->info, out->limits, PROBE_CAPACITY, &out->count, &out->reason)) out->count = 0;
    } else {
        c->list = list;
        if (fence_run(ask_in_child, c, sizeof *c, seconds_allowed(), why)) *out = c->found;
        else ssa_fail(&out->reason, SSA_ERR_RUNTIME, "the %s loader or a driver of it %s when asked for its devices", api, why);
        free(c);
    }
    if (out->count > PROBE_CAPACITY)
        ssa_fail(&out->reason, SSA_ERR_UNSUPPORTED, "%d %s devices are more than the %d that are taken; its driver's own variables can hide some", out->count, api, PROBE_CAPACITY);
    if (out->reason.status) out->count = 0;
}

bool probe_choose(const probe_found *found, int apis, dev_type type, int *api, int *index) {
    for (*api = 0; *api < apis; ++*api)
        for (*index = 0; *index < found[*api].count; ++*index)
            if (found[*api].info[*index].type == type) return true;
    return false;
}
