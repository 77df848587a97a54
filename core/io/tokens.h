/* What rows.c needs of tokens beside the public functions. */
#ifndef IO_TOKENS_H
#define IO_TOKENS_H

#include "ssa/io.h"

const char *io_tokens_path(const ssa_tokens *t); /* as it was given, for sentences */

#endif
