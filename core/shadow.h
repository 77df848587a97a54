/* What core/shadow.c and core/shadow_compare.c share. */
#ifndef SSA_SHADOW_H
#define SSA_SHADOW_H

#include "backend.h"

/* An operand of a call that has run on both sides: images on the host, elements of the operand's dtype. */
typedef struct shadow_operand {
    void *before;      /* what both sides started from; NULL where the operand is only written */
    void *got, *want;  /* outputs: the device's, the CPU's; NULL for inputs */
} shadow_operand;

/* The first output of the call in which the device is not right, as a sentence; SSA_OK where there is none.
 * cpu: for a second opinion in f64. The call is the one the front end made: its buffers are not touched. */
ssa_status shadow_compare(ssa_backend *cpu, const char *device, const ssa_call *call, const shadow_operand *o, ssa_error *err);

#endif
