/* Help, in every form in which it is read: the text of --help, the man page, the completions of shells. Commands say what they take from the
 * tables they parse by, and the form is chosen here. */
#ifndef SSA_HELP_H
#define SSA_HELP_H

typedef struct help_command {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *help;
} help_command;

/* `ssa help --man|--bash|--zsh|--fish`: the whole of it on standard output. Each command is run with --help in a child. */
int help_generate(const char *form, const help_command *commands, int count);

/* What a command says, in this order: how it is called (lines), words on it, the words that may follow it, its options. help_end leaves the
 * process with status 0. value ("FILE"), and choices (with spaces between, for completion), may be NULL. */
void help_usage(const char *lines);
void help_text(const char *text);
void help_line(const char *line); /* of a table */
void help_word(const char *name, const char *text);
void help_option(const char *name, const char *value, const char *text, const char *choices);
_Noreturn void help_end(void);

#endif
