/* Choosing among the variants of a kernel, and a device's library, by measurement: above the devices, the same for all of them.
 *
 * Before a program is recorded the front end shows the calls it will hold (backend.h: prepare). Lowering them without running tells the
 * points at which there is something to choose; each is looked up in what the run recorded, in what this machine has measured before, in
 * what is shipped, and otherwise measured: every candidate is checked against the reference on data of its own, then timed, the best
 * is kept. Nothing is measured while recording. A choice holds for a class of shapes (sizes rounded up to powers of two), but a library's
 * values are checked for every shape that it is given. */
#ifndef SSA_TUNE_H
#define SSA_TUNE_H

#include "backend.h"
#include "tune/choices.h"
#include "tune/store.h"
#include "variants.h"

/* Something to choose: a kernel for a call whose operands are all floats. */
typedef struct tune_point {
    const char  *kernel;
    ssa_call     call;      /* operands have shapes and dtypes, no buffers */
    variant_size sizes[8];  /* for variant_fits */
    bool         library;   /* the device's library could run it */
} tune_point;

/* "matmul nt f32 f32 512 1024 128 1": the class; exact: sizes as they are. */
void tune_key(const tune_point *p, bool exact, char key[TUNE_KEY]);

#define TUNE_LIBRARY "clblast" /* the name of the one library that a device has */

typedef struct tuner {
    ssa_backend *backend; /* operands are allocated, written and read through it */
    device      *dev;
    /* Runs a call with one variant (or the library) in place of what would be chosen; with `seconds`, times it. backend.c */
    ssa_status (*run)(ssa_backend *be, const ssa_call *call, const char *kernel, const char *name, double *seconds, ssa_error *err);
    ssa_tune_mode mode;
    tune_choices  choices;
    tune_choices  checked; /* exact keys of shapes for which the library was right (name "right") or not ("wrong") */
    tune_store    store;
    tune_point   *point;   /* to be decided */
    int           points, capacity;
} tuner;

ssa_status tuner_open(tuner *t, ssa_backend *be, device *dev, ssa_tune_mode mode, ssa_error *err);
void       tuner_close(tuner *t);
/* Notes a point, once; one for which there is no memory keeps its default. */
void       tuner_consider(tuner *t, const tune_point *p);
/* Decides all points noted since. A candidate that fails is passed over; only a lost device and missing memory are errors. */
ssa_status tuner_decide(tuner *t, ssa_error *err);
/* The candidate chosen for a point; NULL: lowering's default. The library only where it was right for this very shape. */
const char *tuner_choice(const tuner *t, const tune_point *p);

/* trial.c: one candidate on data of its own. right: its values agree with the reference; seconds: 0 where it could not be timed. */
typedef struct tune_trial { bool right; double seconds; } tune_trial;
ssa_status tune_try(tuner *t, const tune_point *p, const char *candidate, bool timed, tune_trial *out, ssa_error *err);

#endif
