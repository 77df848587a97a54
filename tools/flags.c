/* Command-line flags. */
#include "command.h"
#include "help.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

bool flag_split(int argc, char **argv, int *i, char *name, size_t capacity, const char **value) {
    const char *word = argv[*i], *equals = strchr(word, '=');
    if (strncmp(word, "--", 2) || !word[2]) return false;
    size_t n = equals ? (size_t)(equals - word) : strlen(word);
    if (n >= capacity) n = capacity - 1;
    memcpy(name, word, n);
    name[n] = 0;
    if (equals) *value = equals + 1;
    else if (*i + 1 < argc && strncmp(argv[*i + 1], "--", 2)) *value = argv[*i + 1];
    else *value = NULL;
    return true;
}

static const char *choices_of(const char *name) {
    static const char *const choices[][2] = {{"--device", "auto cpu vulkan opencl"}, {"--dtype", "f32 bf16 f16"}, {"--mode", "sparse full"}};
    for (size_t i = 0; i < sizeof choices / sizeof *choices; i++)
        if (!strcmp(choices[i][0], name)) return choices[i][1];
    return NULL;
}

_Noreturn static void help(const char *usage, const flag *flags, int count) {
    static const char *const values[] = {[FLAG_STRING] = "TEXT", [FLAG_FILE] = "FILE", [FLAG_I64] = "N", [FLAG_DOUBLE] = "X", [FLAG_BOOL] = NULL};
    help_usage(usage);
    for (int i = 0; i < count; i++) help_option(flags[i].name, values[flags[i].kind], flags[i].help, choices_of(flags[i].name));
    help_end();
}

static ssa_status set(const flag *f, const char *value, ssa_error *err) {
    if (!value) return ssa_fail(err, SSA_ERR_INPUT, "%s needs a value", f->name);
    if (f->kind == FLAG_STRING || f->kind == FLAG_FILE) {
        *(const char **)f->to = value;
        return SSA_OK;
    }
    double d;
    if (!ssa_number_read(value, &d)) return ssa_fail(err, SSA_ERR_INPUT, "%s is %s where a number is needed", f->name, value);
    if (f->kind == FLAG_I64 && d != floor(d)) return ssa_fail(err, SSA_ERR_INPUT, "%s is %s where a whole number is needed", f->name, value);
    if (d < f->min || d > f->max) return ssa_fail(err, SSA_ERR_INPUT, "%s %s is out of range %.12g..%.12g", f->name, value, f->min, f->max);
    if (f->kind == FLAG_I64) *(int64_t *)f->to = (int64_t)d; else *(double *)f->to = d;
    return SSA_OK;
}

ssa_status flags_parse(int argc, char **argv, const char *usage, const flag *flags, int count, const char **rest, int *rest_count, ssa_error *err) {
    if (rest_count) *rest_count = 0;
    for (int i = 0; i < argc; i++) {
        char        name[64];
        const char *value;
        if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h")) help(usage, flags, count);
        if (!flag_split(argc, argv, &i, name, sizeof name, &value)) {
            if (!rest) return ssa_fail(err, SSA_ERR_INPUT, "what is %s? `ssa %.*s --help` lists the options", argv[i], (int)strcspn(usage, " "), usage);
            rest[(*rest_count)++] = argv[i];
            continue;
        }
        const flag *f = NULL;
        for (int k = 0; k < count; k++)
            if (!strcmp(flags[k].name, name)) f = &flags[k];
        if (!f) return ssa_fail(err, SSA_ERR_INPUT, "there is no option %s; `ssa %.*s --help` lists them", name, (int)strcspn(usage, " "), usage);
        if (f->kind == FLAG_BOOL) { /* alone, or with =true or =false: the next word is not its value */
            const char *equals = strchr(argv[i], '=');
            if (equals && strcmp(equals, "=true") && strcmp(equals, "=false")) return ssa_fail(err, SSA_ERR_INPUT, "%s is %s, neither true nor false", name, equals + 1);
            *(bool *)f->to = !equals || !strcmp(equals, "=true");
            continue;
        }
        SSA_TRY(set(f, value, err));
        if (!strchr(argv[i], '=')) i++;
    }
    return SSA_OK;
}

ssa_status parse_dtype(const char *name, ssa_dtype *out, ssa_error *err) {
    for (int d = SSA_F32; d <= SSA_F16; d++)
        if (!strcmp(name, ssa_dtype_name((ssa_dtype)d))) {
            *out = (ssa_dtype)d;
            return SSA_OK;
        }
    return ssa_fail(err, SSA_ERR_INPUT, "dtype is %s, not one of: f32 bf16 f16", name);
}
