#include "train_options.h"
#include "command.h"
#include "help.h"
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
    {"dry_run", NULL, "print parameters, FLOPs a step, the memory plan and all options, and leave", false},
    {"profile", NULL, "print device time by operation at the end", false},
    {"check", NULL, "run every operation on the CPU too and stop at the first that differs (slow)", false},
};
enum { OWN = sizeof own / sizeof *own };

static const char *flag_name(const char *name, char text[64]) {
    snprintf(text, 64, "--%s", name);
    for (char *c = text + 2; *c; c++)
        if (*c == '_') *c = '-';
    return text;
}

/* Presets by name, as ssa_train_preset_names lists them. */
enum { PRESETS = 8 };
typedef struct presets { char name[PRESETS][32]; ssa_train_options *at; int count; } presets;

static void find_presets(presets *p) {
    ssa_error none = {0};
    p->at = calloc(PRESETS, sizeof *p->at);
    for (const char *c = ssa_train_preset_names(); p->at && *c && p->count < PRESETS; c += strspn(c, ", ")) {
        size_t n = strcspn(c, ",");
        snprintf(p->name[p->count], sizeof p->name[0], "%.*s", (int)n, c);
        if (!ssa_train_preset(p->name[p->count], &p->at[p->count], &none)) p->count++;
        c += n;
    }
}

static const char *value_of(const presets *p, int i, const ssa_option *o, char text[SSA_NUMBER_SIZE]) { return ssa_train_get(&p->at[i], o, text); }

static bool varies(const presets *p, const ssa_option *o) {
    char first[SSA_NUMBER_SIZE], other[SSA_NUMBER_SIZE];
    for (int i = 1; i < p->count; i++)
        if (strcmp(value_of(p, 0, o, first), value_of(p, i, o, other))) return true;
    return false;
}

static void help_table_option(const presets *p, const ssa_option *o) {
    static const char *const values[] = {[SSA_OPT_STRING] = "TEXT", [SSA_OPT_INT] = "N", [SSA_OPT_I64] = "N", [SSA_OPT_U64] = "N", [SSA_OPT_FLOAT] = "X", [SSA_OPT_DOUBLE] = "X", [SSA_OPT_CHOICE] = "WORD"};
    char        name[64], text[400], number[SSA_NUMBER_SIZE], names[128];
    bool        preset = !strcmp(o->name, "preset"), file = o->kind == SSA_OPT_STRING && !preset;
    const char *initial = p->count ? value_of(p, 0, o, number) : "";
    int         n = snprintf(text, sizeof text, "%s", o->help);
    if (o->choices && n < (int)sizeof text) n += snprintf(text + n, sizeof text - (size_t)n, " (%s)", o->choices);
    if (*initial && !strstr(o->help, "default") && n < (int)sizeof text) snprintf(text + n, sizeof text - (size_t)n, " [%s%s]", initial, varies(p, o) && !preset ? ", by preset" : "");
    snprintf(names, sizeof names, "%s", ssa_train_preset_names());
    for (char *c = names; *c; c++) if (*c == ',') *c = ' ';
    help_option(flag_name(o->name, name), file ? "FILE" : values[o->kind], text, preset ? names : o->choices);
}

/* What differs among the presets, a row an option. */
static void help_presets(const presets *p, const ssa_option *table, int count) {
    char line[200], name[64], number[SSA_NUMBER_SIZE];
    help_text("Presets:");
    for (int k = 0; k < count; k++) {
        if (k && !varies(p, &table[k])) continue; /* the first option is their name */
        int n = snprintf(line, sizeof line, "  %-14s", k ? flag_name(table[k].name, name) : "");
        for (int i = 0; i < p->count && n < (int)sizeof line; i++) n += snprintf(line + n, sizeof line - (size_t)n, " %10s", value_of(p, i, &table[k], number));
        help_line(line);
    }
}

static void help(void) {
    int               count;
    char              name[64];
    presets           p = {.count = 0};
    const ssa_option *table = ssa_train_option_table(&count);
    find_presets(&p);
    help_usage("train --data FILE --out DIR [options]\ntrain --resume DIR [options]");
    help_text("SIGINT (Ctrl-C), SIGTERM and SIGHUP save after the step at hand and leave with status 3; SIGUSR1 saves and goes on.\n"
              "In brackets: the value without the option, which is that of the preset quickstart.");
    for (int i = 0; i < OWN; i++) help_option(flag_name(own[i].name, name), own[i].value, own[i].help, !strcmp(own[i].name, "device") ? "auto cpu vulkan opencl" : NULL);
    for (int i = 0; i < count; i++) help_table_option(&p, &table[i]);
    help_presets(&p, table, count);
    free(p.at);
    help_end();
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
    SSA_TRY(ssa_settings_apply(s, others, &c->options, err));
    c->warmup_given = c->resume[0] || ssa_settings_get(s, "warmup");
    return SSA_OK;
}

ssa_status train_options(int argc, char **argv, train_command *out, ssa_error *err) {
    static ssa_settings *s; /* --help leaves from inside: what it leaves behind stays in sight of a leak checker */
    memset(out, 0, sizeof *out);
    s = ssa_settings_new();
    ssa_status status = s ? take_flags(argc, argv, s, err) : ssa_fail(err, SSA_ERR_MEMORY, "out of memory for options");
    if (!status) status = resolve(s, out, err);
    ssa_settings_free(s);
    return status;
}
