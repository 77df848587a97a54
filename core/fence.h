/* Work in a child process: for libraries that can crash or hang where no error code can be had. */
#ifndef SSA_FENCE_H
#define SSA_FENCE_H

#include <stdbool.h>
#include <stddef.h>

enum { FENCE_REASON = 160 };

/* Runs work(memory) in a child that sees `bytes` of memory as they are here; what it leaves there is copied back. False where it did
 * not come to its end, with the reason as the rest of a sentence: "crashed (Segmentation fault)", "did not end within 60 s". Only from
 * a process whose other threads, if any, hold no lock that the work needs; see fence_alone. */
bool fence_run(void (*work)(void *memory), void *memory, size_t bytes, int seconds, char reason[FENCE_REASON]);

/* Whether this is the process's only thread: then a child can do whatever the process can. */
bool fence_alone(void);

#endif
