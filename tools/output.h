/* Standard output that cannot be written is noticed, whatever was printed by whom, and wherever the process leaves. */
#ifndef SSA_OUTPUT_H
#define SSA_OUTPUT_H

#include <stdbool.h>

/* The first thing main does. From then on every end of the process checks that what was printed has arrived: if not, it says so on
 * standard error, and an exit status of 0 becomes 1. stdout is then a stream of ours: its descriptor is STDOUT_FILENO, not fileno(stdout). */
void output_begin(void);

/* For commands whose product is files: who closes the pipe ends the printing (SIGPIPE is ignored), not the work, and is no failure.
 * Other commands end with the pipe, as head expects it. */
void output_is_progress(void);

/* Whether something could not be written: nobody reads what a longer computation would print. */
bool output_lost(void);

#endif
