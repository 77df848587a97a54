/* Nothing is silent: while nothing is printed for some seconds, what is being done stands on standard error, on a terminal as one line
 * that lives until the next output, in a file as a line every five seconds. */
#ifndef SSA_PROGRESS_H
#define SSA_PROGRESS_H

#include <stdbool.h>
#include <stddef.h>

/* Around calls that may start drivers: those are asked for their devices in a child, which is only possible while the process has no
 * other thread, so an alarm does the telling. */
void progress_opening(void);

/* From here on, by a thread. What is being done is told as it begins; a detail ends with the next phase, or with NULL. */
void progress_begin(const char *phase);
void progress_phase(const char *format, ...) __attribute__((format(printf, 1, 2)));
void progress_detail(const char *format, ...) __attribute__((format(printf, 1, 2)));
void progress_activity(void *unused, bool detail, const char *what); /* for ssa_open_options */

/* No more of it: what comes now is a message on standard error. */
void progress_end(void);

/* output.c, around everything that it writes to standard output: takes the live line away; remembers when it was, and whether a line is open. */
void progress_output_begin(void);
void progress_output_end(char last);

#endif
