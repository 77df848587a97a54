/* Signals that ask a long command to end well. */
#ifndef SSA_SIGNALS_H
#define SSA_SIGNALS_H

#include "ssa/train.h"

enum { EXIT_INTERRUPTED = 3 }; /* ended early because a signal asked for it, with what was done kept */

/* What the signals asked for so far: SIGINT, SIGTERM, SIGHUP and SIGXCPU set .stop to their number, SIGUSR1 counts .save up. */
extern ssa_train_requests requested;

/* From here on. A signal that the caller ignores (nohup, & in a script) stays ignored. `until`: what is finished first ("this step"),
 * for the sentence on standard error. SIGINT or SIGTERM a second time ends the process at once. saves: whether SIGUSR1 means anything. */
void signals_catch(const char *until, bool saves);

#endif
