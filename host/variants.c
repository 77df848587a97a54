#include "variants.h"
#include <stdio.h>

#define NEEDS(...)     {__VA_ARGS__}
#define WHEN(...)      {__VA_ARGS__}
#define CONSTANTS(...) {__VA_ARGS__}
/* The macros of a line expand to several arguments before the line itself is taken apart. */
#define VARIANT(...) VARIANT_OF(__VA_ARGS__)
#define VARIANT_OF(kernel, name, source, ...) {#kernel, #name, #source, __VA_ARGS__},

static const variant list[] = {
#include "variants.def"
};
enum { COUNT = sizeof list / sizeof *list };

const variant *variant_at(int i) { return i >= 0 && i < COUNT ? &list[i] : NULL; }

const variant *variant_named(const char *kernel, const char *name) {
    for (int i = 0; i < COUNT; i++)
        if (!strcmp(list[i].kernel, kernel) && !strcmp(list[i].name, name)) return &list[i];
    return NULL;
}

bool variant_runs(const variant *v, const dev_limits *l, char *why, int size) {
    const variant_needs *n = &v->needs;
    const struct { const char *what; uint64_t needs, has; } numbers[] = {{"invocations", n->invocations, l->max_invocations},
                                                                         {"bytes of shared memory", n->shared_bytes, l->shared_bytes}};
    for (int i = 0; i < 2; i++)
        if (numbers[i].needs > numbers[i].has) {
            if (why) snprintf(why, (size_t)size, "needs %llu %s, the device has %llu", (unsigned long long)numbers[i].needs, numbers[i].what,
                              (unsigned long long)numbers[i].has);
            return false;
        }
    if (n->subgroup && (n->subgroup < l->subgroup_min || n->subgroup > l->subgroup_max)) {
        if (why) snprintf(why, (size_t)size, "needs subgroups of %u, the device offers %u..%u", n->subgroup, l->subgroup_min, l->subgroup_max);
        return false;
    }
    if (capabilities_have(&l->can, n->features, &n->matrix)) return true;
    dev_capabilities missing = {.features = n->features & ~l->can.features, .matrices = n->matrix.M != 0, .matrix = {n->matrix}};
    char             word[64] = "";
    capabilities_word(&missing, 0, word, sizeof word);
    if (why) snprintf(why, (size_t)size, "needs %s, which the device has not", word);
    return false;
}

bool variant_fits(const variant *v, const variant_size *sizes) {
    for (int i = 0; i < VARIANT_MOST_CONDITIONS && v->when[i].size; i++) {
        const variant_condition *c = &v->when[i];
        const variant_size      *s = sizes;
        while (s && s->letter && s->letter != c->size) s++;
        if (!s || !s->letter) return false;
        if (c->rule == '>' ? s->value < c->value : c->rule == '<' ? s->value > c->value : s->value % c->value != 0) return false;
    }
    return true;
}

const variant *variant_first(const char *kernel, const dev_limits *limits, const variant_size *sizes) {
    for (int i = 0; i < COUNT; i++)
        if (!strcmp(list[i].kernel, kernel) && variant_runs(&list[i], limits, NULL, 0) && variant_fits(&list[i], sizes)) return &list[i];
    return NULL;
}

int variant_constant_index(const variant *v, const char *name) {
    for (int i = 0; i < DEV_MAX_CONSTANTS && v->constant[i].name; i++)
        if (!strcmp(v->constant[i].name, name)) return i;
    return -1;
}

uint32_t variant_value(const variant *v, const char *name) {
    int i = variant_constant_index(v, name);
    return i < 0 ? 0 : v->constant[i].kind == CONSTANT_OF_CALL ? v->constant[i].value[v->constant[i].count - 1] : v->constant[i].value[0];
}

ssa_status variants_check(const char *forced, const dev_limits *limits, ssa_error *err) {
    for (const char *p = forced; p && *p; p += strcspn(p, ","), p += *p == ',') {
        char kernel[64], name[64], why[128];
        int  used = 0;
        if (sscanf(p, "%63[^=,]=%63[^=,]%n", kernel, name, &used) != 2 || (p[used] && p[used] != ','))
            return ssa_fail(err, SSA_ERR_INPUT, "variants: \"%.*s\" is not KERNEL=VARIANT", (int)strcspn(p, ","), p);
        const variant *v = variant_named(kernel, name);
        if (!v && !strcmp(kernel, "matmul") && !strcmp(name, "clblast")) continue; /* the device's library, where it has one */
        if (!v) return ssa_fail(err, SSA_ERR_INPUT, "kernel %s has no variant %s", kernel, name);
        if (!variant_runs(v, limits, why, sizeof why)) return ssa_fail(err, SSA_ERR_UNSUPPORTED, "variant %s of kernel %s %s", name, kernel, why);
    }
    return SSA_OK;
}
