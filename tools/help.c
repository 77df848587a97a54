#include "help.h"
#include "ssa/ssa.h"
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

typedef enum { TEXT, MAN, BASH, ZSH, FISH, FORMS } form;
static form        as = TEXT;
static const char *of = ""; /* the command at hand */
static bool        usage, words, options; /* one has been said */

/* -- escaping -------------------------------------------------------------------------------------------------------------------- */

static void roff(const char *s) {
    bool start = true; /* a point or an apostrophe there would be a request */
    for (; *s; start = *s++ == '\n') {
        if (start && (*s == '.' || *s == '\'')) printf("\\&");
        if (*s == '\\') printf("\\e");
        else if (*s == '-') printf("\\-");
        else putchar(*s);
    }
}

/* Within single quotes of a shell; also: further characters that stand behind a backslash. */
static void quoted(const char *s, const char *also) {
    for (; *s; s++) {
        if (*s == '\'') printf("'\\''");
        else if (strchr(also, *s)) printf("\\%c", *s);
        else putchar(*s);
    }
}

/* -- what a command says ----------------------------------------------------------------------------------------------------------- */

void help_usage(const char *lines) {
    if (usage) return; /* of a part: of its options */
    usage = true;
    if (as == TEXT)
        for (bool first = true; *lines; first = false) {
            printf("%s ssa %.*s\n", first ? "usage:" : "      ", (int)strcspn(lines, "\n"), lines);
            lines += strcspn(lines, "\n");
            lines += *lines == '\n';
        }
    if (as == TEXT) printf("\n");
    if (as != MAN) return;
    printf(".SS %s\n.nf\n", of);
    roff(lines);
    printf("\n.fi\n");
}

void help_text(const char *text) {
    bool listed = words || options;
    if (as == TEXT) printf("%s%s\n%s", listed ? "\n" : "", text, listed ? "" : "\n");
    if (as == MAN) printf(".PP\n"), roff(text), printf("\n");
}

void help_line(const char *line) {
    if (as == TEXT) printf("%s\n", line);
    if (as == MAN) printf(".br\n\\fC"), roff(line), printf("\\fR\n");
}

void help_word(const char *name, const char *text) {
    switch (as) {
    case TEXT: printf("  %-12s %s\n", name, text); break;
    case MAN: printf(".TP\n.B %s\n", name), roff(text), printf("\n"); break;
    case BASH: printf("%s ", name); break;
    case ZSH: printf("%s %s", words ? "" : "  ((CURRENT == 3)) && compadd --", name); break;
    case FISH: printf("complete -c ssa -n '__fish_seen_subcommand_from %s' -a %s -d '", of, name), quoted(text, ""), printf("'\n"); break;
    default: break;
    }
    words = true;
}

static bool is_file(const char *value) { return value && (!strcmp(value, "FILE") || !strcmp(value, "DIR")); }

void help_option(const char *name, const char *value, const char *text, const char *choices) {
    char with_value[80];
    if (!options && words && (as == TEXT || as == ZSH)) printf("\n");
    if (!options && as == ZSH) printf("  _arguments \\\n");
    options = true;
    snprintf(with_value, sizeof with_value, "%s%s%s", name, value ? " " : "", value ? value : "");
    switch (as) {
    case TEXT:
    case MAN:
        if (as == TEXT) printf("  %-24s %s", with_value, text);
        else printf(".TP\n.B "), roff(with_value), printf("\n"), roff(text);
        printf("\n");
        break;
    case BASH: printf("%s ", name); break;
    case ZSH:
        printf("    '%s", name);
        if (value) printf("=");
        printf("["), quoted(text, "[]:"), printf("]");
        if (value && choices) printf(":%s:(%s)", value, choices);
        else if (value) printf(":%s:%s", value, is_file(value) ? "_files" : "");
        printf("' \\\n");
        break;
    case FISH:
        printf("complete -c ssa -n '__fish_seen_subcommand_from %s' -l %s -d '", of, name + 2), quoted(text, ""), printf("'");
        if (value) printf(is_file(value) ? " -r -F" : " -x");
        if (value && choices) printf(" -a '%s'", choices);
        printf("\n");
        break;
    default: break;
    }
}

_Noreturn void help_end(void) {
    if (as == ZSH && options) printf("    '*: :_files'\n");
    exit(0);
}

/* -- the whole ----------------------------------------------------------------------------------------------------------------------- */

/* What a command says, in a process of its own: it leaves behind help_end. */
static bool part(const help_command *c, form f) {
    char *argv[] = {"--help", NULL};
    int   status;
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        as = f;
        of = c->name;
        c->run(1, argv);
        exit(1); /* it ought to have left */
    }
    return pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status) && !WEXITSTATUS(status);
}

static bool man(const help_command *c, int count) {
    bool good = true;
    printf(".TH SSA 1 \"\" \"ssa %s\" \"User Commands\"\n.SH NAME\nssa \\- train, evaluate and check sparse sparse attention models on any GPU\n", SSA_VERSION);
    printf(".SH SYNOPSIS\n.B ssa\n.I COMMAND\n[options]\n.SH COMMANDS\n");
    for (int i = 0; i < count; i++) printf(".TP\n.B %s\n%s\n", c[i].name, c[i].help);
    printf(".SH OPTIONS\n");
    for (int i = 0; i < count; i++) good &= part(&c[i], MAN);
    printf(".SH EXIT STATUS\n0 done; 1 failed while running; 2 bad input; 3 ended early by a signal, with what was done kept.\n");
    return good;
}

static bool bash(const help_command *c, int count) {
    bool good = true;
    printf("# bash completion of ssa, made by `ssa help --bash`\n_ssa() {\n    local word=${COMP_WORDS[COMP_CWORD]} words\n    case ${COMP_WORDS[1]} in\n");
    for (int i = 0; i < count; i++) {
        printf("    %s) words='", c[i].name);
        good &= part(&c[i], BASH);
        printf("' ;;\n");
    }
    printf("    esac\n    [ \"$COMP_CWORD\" = 1 ] && words='");
    for (int i = 0; i < count; i++) printf("%s ", c[i].name);
    printf("help version'\n    COMPREPLY=($(compgen -W \"$words\" -- \"$word\"))\n}\ncomplete -o bashdefault -o default -F _ssa ssa\n");
    return good;
}

static bool zsh(const help_command *c, int count) {
    bool good = true;
    printf("#compdef ssa\n# made by `ssa help --zsh`\nlocal -a commands=(\n");
    for (int i = 0; i < count; i++) printf("  '%s:", c[i].name), quoted(c[i].help, ":"), printf("'\n");
    printf(")\n((CURRENT == 2)) && { _describe command commands; return; }\ncase $words[2] in\n");
    for (int i = 0; i < count; i++) {
        printf("%s)\n", c[i].name);
        good &= part(&c[i], ZSH);
        printf("  ;;\n");
    }
    printf("esac\n");
    return good;
}

static bool fish(const help_command *c, int count) {
    bool good = true;
    printf("# made by `ssa help --fish`\n");
    for (int i = 0; i < count; i++) printf("complete -c ssa -n __fish_use_subcommand -f -a %s -d '", c[i].name), quoted(c[i].help, ""), printf("'\n");
    for (int i = 0; i < count; i++) good &= part(&c[i], FISH);
    return good;
}

int help_generate(const char *name, const help_command *commands, int count) {
    static const struct { const char *name; bool (*make)(const help_command *, int); } forms[] = {{"--man", man}, {"--bash", bash}, {"--zsh", zsh}, {"--fish", fish}};
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++)
        if (!strcmp(name, forms[i].name)) return forms[i].make(commands, count) ? 0 : 1;
    return -1;
}
