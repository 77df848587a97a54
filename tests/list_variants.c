/* For compile lanes without a device: writes every OpenCL kernel, its includes in place, to a folder, and prints a line for each line of
 * host/variants.def and each of its constants' values: KERNEL<TAB>-DNAME=VALUE ... -DACT=a -DACT2=b. Of what a call gives, the least and the
 * most; all values with --all. With --needs one line for each line of the list: NAME<TAB>SOURCE<TAB>-DNAME=VALUE ...<TAB>SHARED BYTES, of what a call gives
 * the most. usage: list_variants FOLDER [--all|--needs] */
#include "shader/embed.h"
#include "variants.h"
#include <stdio.h>
#include <stdlib.h>

typedef struct { char name[8][64]; int count; } included;

static void inline_source(FILE *to, const char *text, included *seen) {
    for (; *text; text += strcspn(text, "\n"), text += *text == '\n') {
        char   name[64];
        bool   known = false;
        size_t n = strcspn(text, "\n");
        if (sscanf(text, "#include \"%63[^\"\n]\"", name) != 1) {
            fprintf(to, "%.*s\n", (int)n, text);
            continue;
        }
        for (int i = 0; i < seen->count; i++) known = known || !strcmp(seen->name[i], name);
        const char *inner = known || seen->count == 8 ? NULL : kernel_source(ssa_opencl_sources, "opencl", name);
        if (!inner) continue;
        snprintf(seen->name[seen->count++], sizeof seen->name[0], "%s", name);
        inline_source(to, inner, seen);
    }
}

/* Every combination of the constants' values, counted through like the digits of a number. */
static void lines(const variant *v, bool all, int acts, bool act2) {
    int at[DEV_MAX_CONSTANTS] = {0}, n = 0;
    while (n < DEV_MAX_CONSTANTS && v->constant[n].name) n++;
    for (int i = 0; i < n || !n;) {
        for (int act = 0; act < acts; act++) {
            printf("%s\t", v->source);
            for (int k = 0; k < n; k++) printf("-D%s=%u ", v->constant[k].name, v->constant[k].value[at[k]]);
            printf("-DACT=%d -DACT2=%d\n", act, act2 ? act : 0);
        }
        for (i = 0; i < n; i++) {
            const variant_constant *c = &v->constant[i];
            at[i] = c->kind == CONSTANT_OF_CALL && !all && at[i] == 0 ? c->count - 1 : at[i] + 1;
            if (at[i] < c->count && c->count > 1) break;
            at[i] = 0;
        }
        if (!n) return;
    }
}

static void needs(const variant *v) {
    printf("%s=%s\t%s\t", v->kernel, v->name, v->source);
    for (int k = 0; k < DEV_MAX_CONSTANTS && v->constant[k].name; k++)
        printf("-D%s=%u ", v->constant[k].name, variant_value(v, v->constant[k].name));
    printf("\t%u\n", v->needs.shared_bytes);
}

int main(int argc, char **argv) {
    if (argc < 2) return 2;
    bool all = argc > 2 && !strcmp(argv[2], "--all"), only_needs = argc > 2 && !strcmp(argv[2], "--needs");
    for (int i = 0; variant_at(i); i++) {
        const variant *v = variant_at(i);
        char           file[80], path[4096];
        snprintf(file, sizeof file, "%s.cl", v->source);
        const char *text = kernel_source(ssa_opencl_sources, "opencl", file);
        if (!text) {
            fprintf(stderr, "no opencl/%s for the variant %s of kernel %s\n", file, v->name, v->kernel);
            return 1;
        }
        if (only_needs) {
            needs(v);
            continue;
        }
        snprintf(path, sizeof path, "%s/%s", argv[1], file);
        FILE    *to = fopen(path, "w");
        included seen = {.count = 0};
        if (!to) return 1;
        inline_source(to, text, &seen);
        if (fclose(to)) return 1;
        bool act = strstr(text, "load_act(") || strstr(text, "store_act(") || strstr(text, "act_t"), act2 = strstr(text, "act2");
        lines(v, all, act || act2 ? 3 : 1, act2);
    }
    return 0;
}
