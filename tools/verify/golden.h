/* Replays golden files: outputs of the authors' own code (see tests/golden/README.md) against a device. */
#ifndef SSA_VERIFY_GOLDEN_H
#define SSA_VERIFY_GOLDEN_H

#include "ssa/ssa.h"

/* path: a model folder (config.json, model.safetensors, golden.json, golden.safetensors) or a kernel file
 * (sparse_*.safetensors), told apart by what it is. One line a tensor goes to `out` (NULL: only failures are counted).
 * *failed counts the lines beyond their limit. A file that cannot be read is an error.
 *
 * A selection in which two blocks are nearly tied may fall to the other side in f32, and everything behind it differs from the file
 * though nothing is wrong. Where that is so, proved on the CPU (golden_reference.c), the line's error is the one beside the CPU with the
 * device's own blocks, and its note says which query, and by what gap. */
ssa_status verify_golden(ssa_context *ctx, const char *path, FILE *out, int *failed, ssa_error *err);

/* The same, each line to a callback; note: empty, or what was said above. */
typedef void (*golden_callback)(void *user, const char *what, const char *name, double error, double limit, const char *note);
ssa_status verify_golden_each(ssa_context *ctx, const char *path, golden_callback each, void *user, ssa_error *err);

#endif
