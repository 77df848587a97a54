#include "train_options.h"
#include "command.h"
#include <stdlib.h>
#include <string.h>

/* The command's own options; they may stand in a config file as any other. config and defaults name files and are flags alone. */
static const struct own { const char *name, *value, *help; bool flag_alone; } own[] = {
    {"device", "NAME", "cpu, vulkan, vulkan:N, opencl, opencl:N, auto (default)", false},
    {"threads", "N", "of the CPU device, 0..128 (default 0: OMP_NUM_THREADS, else all processors)", false},
    {"resume", "DIR", "continue a run from its newest checkpoint, or from the checkpoint in DIR, with the run's options", false},
    {"config", "FILE", "options from a JSON object; flags override them", true},
    {"defaults", "FILE", "options from a JSON object, where nothing else says otherwise", true},
    {"where", "FILE", "write the run's folder and the device, one a line, when a checkpoint is there", false},
    {"dry_run", NULL, "print parameters, FLOPs a step and the memory plan, and leave", false},
    {"profile", NULL, "print device time by operation at the end", false},
    {"check", NULL, "run every operation on the CPU too and stop at the first that differs (slow)", false},
};
enum { OWN = sizeof own / sizeof *own };

static void help_line(const char *name, const char *value, const char *text, const char *choices) {
    char words[64];
    snprintf(words, sizeof words, "%s%s%s", name, value ? " " : "", value ? value : "");
    for (char *c = words; *c && *c != ' '; c++)
        if (*c == '_') *c = '-';
    printf("  --%-22s %s%s%s%s\n", words, text, choices ? " (" : "", choices ? choices : "", choices ? ")" : "");
}

static void help(void) {
    int               count;
    const ssa_option *table = ssa_train_option_table(&count);
    printf("usage: ssa train --data FILE --out DIR [options]\n       ssa train --resume DIR [options]\n\n"
           "SIGINT (Ctrl-C), SIGTERM and SIGHUP save after the step at hand and leave with status 3; SIGUSR1 saves and goes on.\n\n");
    for (int i = 0; i < OWN; i++) help_line(own[i].name, own[i].value, own[i].help, NULL);
    for (int i = 0; i < count; i++) help_line(table[i].name, NULL, table[i].help, table[i].choices);
    exit(0);
}

/* Whether there is such an option, and whether it is one that may stand without a value. */
static bool known(const char *key, bool *alone) {
    int               count;
    const ssa_option *table = ssa_train_option_table(&count);
    for (int i = 0; i < OWN; i++)
        if (!strcmp(own[i].name, key)) return *alone = !own[i].value, true;
    for (int i = 0; i < count; i++)
        if (!strcmp(table[i].name, key)) return *alone = table[i].kind == SSA_OPT_BOOL, true;
    return false;
}

static ssa_status take_flags(int argc, char **argv, ssa_settings *s, ssa_error *err) {
    for (int i = 0; i < argc; i++) {
        char        name[64], key[64];
        const char *value;
        bool        alone, separate = !strchr(argv[i], '=');
        if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h")) help();
        if (!flag_split(argc, argv, &i, name, sizeof name, &value)) return ssa_fail(err, SSA_ERR_INPUT, "what is %s? `ssa train --help` lists the options", argv[i]);
        snprintf(key, sizeof key, "%s", name + 2);
        for (char *c = key; *c; c++) if (*c == '-') *c = '_';
        if (!known(key, &alone)) return ssa_fail(err, SSA_ERR_INPUT, "there is no option %s; `ssa train --help` lists them", name);
        if (alone && separate && (!value || (strcmp(value, "true") && strcmp(value, "false")))) {
            value = "true";
            separate = false;
        }
        if (!value) return ssa_fail(err, SSA_ERR_INPUT, "%s needs a value", name);
        if (separate) i++;
        if (!strcmp(key, "config")) SSA_TRY(ssa_settings_read(s, SSA_SETTINGS_FILES, value, err));
        else if (!strcmp(key, "defaults")) SSA_TRY(ssa_settings_read(s, SSA_SETTINGS_DEFAULTS, value, err));
        else SSA_TRY(ssa_settings_add(s, key, value, err));
    }
    return SSA_OK;
}

static ssa_status text(const ssa_settings *s, const char *name, char *to, size_t capacity, ssa_error *err) {
    const char *value = ssa_settings_get(s, name);
    if (value && strlen(value) >= capacity) return ssa_fail(err, SSA_ERR_INPUT, "%s is longer than %zu characters", name, capacity - 1);
    if (value) strcpy(to, value);
    return SSA_OK;
}

static ssa_status truth(const ssa_settings *s, const char *name, bool *to, ssa_error *err) {
    const char *value = ssa_settings_get(s, name);
    *to = value && (!strcmp(value, "true") || !strcmp(value, "1"));
    return !value || *to || !strcmp(value, "false") || !strcmp(value, "0") ? SSA_OK : ssa_fail(err, SSA_ERR_INPUT, "%s is %s, neither true nor false", name, value);
}

static ssa_status whole(const ssa_settings *s, const char *name, int most, int *to, ssa_error *err) {
    const char *value = ssa_settings_get(s, name);
    char       *end;
    long        n = value ? strtol(value, &end, 10) : 0;
    *to = (int)n;
    return !value || (end != value && !*end && n >= 0 && n <= most) ? SSA_OK : ssa_fail(err, SSA_ERR_INPUT, "%s is %s, not a whole number from 0 to %d", name, value, most);
}

static ssa_status resolve(ssa_settings *s, train_command *c, ssa_error *err) {
    const char *others[OWN + 1] = {NULL};
    for (int i = 0, n = 0; i < OWN; i++)
        if (!own[i].flag_alone) others[n++] = own[i].name;
    strcpy(c->device, "auto");
    SSA_TRY(text(s, "device", c->device, sizeof c->device, err));
    SSA_TRY(text(s, "resume", c->resume, sizeof c->resume, err));
    SSA_TRY(text(s, "where", c->where, sizeof c->where, err));
    SSA_TRY(whole(s, "threads", 128, &c->threads, err));
    SSA_TRY(truth(s, "dry_run", &c->dry_run, err));
    SSA_TRY(truth(s, "profile", &c->profile, err));
    SSA_TRY(truth(s, "check", &c->check, err));
    if (c->resume[0]) {
        ssa_settings_drop(s, SSA_SETTINGS_DEFAULTS); /* the run says otherwise */
        if (ssa_settings_get(s, "preset") || ssa_settings_get(s, "init_from"))
            return ssa_fail(err, SSA_ERR_INPUT, "--resume takes the run's own options; --preset and --init-from do not go with it");
        SSA_TRY(ssa_train_resume(c->resume, &c->options, c->checkpoint, sizeof c->checkpoint, err));
    } else SSA_TRY(ssa_train_preset("quickstart", &c->options, err));
    return ssa_settings_apply(s, others, &c->options, err);
}

ssa_status train_options(int argc, char **argv, train_command *out, ssa_error *err) {
    memset(out, 0, sizeof *out);
    ssa_settings *s = ssa_settings_new();
    ssa_status    status = s ? take_flags(argc, argv, s, err) : ssa_fail(err, SSA_ERR_MEMORY, "out of memory for options");
    if (!status) status = resolve(s, out, err);
    ssa_settings_free(s);
    return status;
}
