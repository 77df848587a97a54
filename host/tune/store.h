/* Choices on disk, beside the compiled kernels: one file for a device, its driver and our kernel sources, so that a new driver or a changed
 * kernel starts anew. A line "? KEY = NAME" is a trial that began and did not end: the process died of it, and the candidate is not
 * tried again. */
#ifndef SSA_TUNE_STORE_H
#define SSA_TUNE_STORE_H

#include "device.h"
#include "tune/choices.h"

typedef struct tune_store {
    char         name[40];  /* of the file */
    tune_choices deadly;    /* key "KEY = NAME": trials that ended the process */
} tune_store;

/* What is remembered about this device goes into `choices`. A store that cannot be read is an empty one. */
ssa_status tune_store_open(tune_store *s, const device *dev, tune_choices *choices, ssa_error *err);
/* Says that a candidate is about to be tried; tune_store_save forgets it. */
void tune_store_trial(tune_store *s, const tune_choices *choices, const char *key, const char *candidate);
bool tune_store_is_deadly(const tune_store *s, const char *key, const char *candidate);
/* Writes the measured and stored choices; a disk that is full only costs another measurement. */
void tune_store_save(tune_store *s, const tune_choices *choices);
void tune_store_close(tune_store *s);

#endif
