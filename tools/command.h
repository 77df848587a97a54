/* What the subcommands share. Each returns the process's exit status: 0, 2 for bad input, 1 for a failure at run time,
 * 3 (signals.h) where a signal ended it early. */
#ifndef SSA_COMMAND_H
#define SSA_COMMAND_H

#include "ssa/ssa.h"

int command_train(int argc, char **argv);
int command_eval(int argc, char **argv);
int command_generate(int argc, char **argv);
int command_devices(int argc, char **argv);
int command_verify(int argc, char **argv);

/* Prints the sentence, prefixed with "ssa: ", to stderr; returns the exit status that goes with it. */
int complain(const ssa_error *err);

/* One line on how the device came, where there is something to know (ssa_context_remark). */
void tell_remark(const ssa_context *ctx, FILE *to);

/* Flags of the small subcommands: "--name value" or "--name=value"; a bool stands alone. */
typedef enum { FLAG_STRING, FLAG_FILE /* a string, for who completes it */, FLAG_I64, FLAG_DOUBLE, FLAG_BOOL } flag_kind;
typedef struct flag {
    const char *name;     /* "--prompt" */
    flag_kind   kind;
    void       *to;       /* const char *, int64_t, double, bool */
    double      min, max; /* of numbers */
    const char *help;
} flag;
/* Fills flags from the arguments; words that are no flags go to rest (NULL: there may be none). --help prints usage and exits. */
ssa_status flags_parse(int argc, char **argv, const char *usage, const flag *flags, int count, const char **rest, int *rest_count, ssa_error *err);

/* Takes "--name value" or "--name=value" apart; *value is NULL where the flag ends the line or another follows. */
bool flag_split(int argc, char **argv, int *i, char *name, size_t capacity, const char **value);

ssa_status parse_dtype(const char *name, ssa_dtype *out, ssa_error *err);

#endif
