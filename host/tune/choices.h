/* Choices made by timing: which variant of a kernel, or which library, runs a class of shapes. Lines of text, so that a run can record
 * them in trainer.json and set them again when it resumes: bits are promised for equal choices.
 *
 *   matmul nt f32 f32 512 1024 128 1 = clblast (0.12 ms against 0.31)
 *
 * What follows the name is for people. */
#ifndef SSA_TUNE_CHOICES_H
#define SSA_TUNE_CHOICES_H

#include "ssa/status.h"
#include <stdbool.h>

enum { TUNE_KEY = 112, TUNE_NAME = 32 };
/* Where a choice comes from; a later kind takes the place of an earlier one, never the other way round. */
typedef enum { TUNE_SHIPPED, TUNE_STORED, TUNE_MEASURED, TUNE_RECORDED } tune_origin;

typedef struct tune_choice {
    char        key[TUNE_KEY];   /* kernel and class of shapes */
    char        name[TUNE_NAME]; /* of the variant or library */
    double      seconds, second; /* of the chosen one and of the runner-up; 0: not timed */
    tune_origin origin;
} tune_choice;

typedef struct tune_choices { tune_choice *item; int count, capacity; } tune_choices;

const tune_choice *tune_find(const tune_choices *c, const char *key); /* NULL: nothing was chosen */
ssa_status         tune_put(tune_choices *c, const tune_choice *choice, ssa_error *err);
void               tune_free(tune_choices *c);

void tune_line(const tune_choice *choice, char *text, int size);
bool tune_parse(const char *line, tune_choice *out); /* false: not such a line */

#endif
