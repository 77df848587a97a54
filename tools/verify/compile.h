/* ssa verify compile. */
#ifndef SSA_VERIFY_COMPILE_H
#define SSA_VERIFY_COMPILE_H

#include "ssa/ssa.h"

typedef struct compile_options {
    const char *filter, *exceptions, *json; /* or NULL */
    double      seconds;                    /* cases beyond it are skipped; 0: none is */
    bool        quiet;                      /* only variants that are not ok */
    void      (*activity)(void *user, bool detail, const char *what); /* told what is being done; or NULL */
} compile_options;

/* Compiles every variant on a context with compile_only and prints each. *failed: a variant or a case did. Errors: files that cannot be read
 * or written, a filter that is none; and SSA_ERR_UNSUPPORTED where no variant is ok. */
ssa_status mode_compile(ssa_context *ctx, const compile_options *o, bool *failed, ssa_error *err);

#endif
