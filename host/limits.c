/* SSA_LIMITS: a device pretends to be smaller than it is, so that the paths for small devices are tested on large ones. */
#include "device.h"
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

static void lower64(uint64_t *v, uint64_t to) { if (to < *v) *v = to; }
static void lower32(uint32_t *v, uint64_t to) { if (to < *v) *v = (uint32_t)to; }

static bool lower(dev_limits *l, const char *key, uint64_t v) {
    if (!strcmp(key, "range")) lower64(&l->max_range, v);
    else if (!strcmp(key, "buffer")) lower64(&l->max_buffer, v);
    else if (!strcmp(key, "heap")) lower64(&l->heap, v);
    else if (!strcmp(key, "groups")) for (int i = 0; i < 3; i++) lower32(&l->max_groups[i], v);
    else if (!strcmp(key, "invocations")) lower32(&l->max_invocations, v);
    else if (!strcmp(key, "shared")) lower32(&l->shared_bytes, v);
    else if (!strcmp(key, "push")) lower32(&l->push_bytes, v);
    else if (!strcmp(key, "bindings")) lower32(&l->max_bindings, v);
    else if (!strcmp(key, "subgroup")) lower32(&l->subgroup_max, v);
    else if (!strcmp(key, "storage16")) {
        l->storage16 = l->storage16 && v;
        if (!v) l->can.features &= ~DEV_STORAGE16;
    } else if (!strcmp(key, "matrix")) {
        if (!v) l->can.features &= ~DEV_MATRIX, l->can.matrices = 0;
    }
    else return false;
    /* A largest subgroup below the smallest there is: none. */
    if (l->subgroup_max < l->subgroup_min) l->subgroup_min = l->subgroup_max = 0;
    return true;
}

static ssa_status override(dev_limits *limits, const char *p, ssa_error *err) {
    while (p && *p) {
        char   key[32] = "", *end;
        size_t item = strcspn(p, ","), n = strcspn(p, "=,");
        if (n < sizeof key) memcpy(key, p, n);
        if (n >= sizeof key || p[n] != '=' || !isdigit((unsigned char)p[n + 1]))
            return ssa_fail(err, SSA_ERR_INPUT, "SSA_LIMITS: \"%.*s\" is not KEY=NUMBER", (int)(item < 64 ? item : 64), p);
        uint64_t v = strtoull(p + n + 1, &end, 10);
        if (end != p + item) return ssa_fail(err, SSA_ERR_INPUT, "SSA_LIMITS: \"%.*s\" is not KEY=NUMBER", (int)(item < 64 ? item : 64), p);
        if (!lower(limits, key, v))
            return ssa_fail(
                err, SSA_ERR_INPUT,
                "SSA_LIMITS: unknown limit %s (there are range, buffer, heap, groups, invocations, shared, push, bindings, subgroup, storage16, matrix)",
                key);
        p += item + (p[item] == ',');
    }
    return SSA_OK;
}

ssa_status limits_override(dev_limits *limits, const char *more, ssa_error *err) {
    SSA_TRY(override(limits, getenv("SSA_LIMITS"), err));
    return override(limits, more, err);
}
