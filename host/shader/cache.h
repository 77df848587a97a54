/* A folder of compiled kernels: $SSA_CACHE_DIR, else $XDG_CACHE_HOME/ssa, else ~/.cache/ssa. Files carry their size and a hash
 * of their content and are written under another name first, so that a broken or half-written one is never believed. Whatever
 * goes wrong here only costs a compilation. */
#ifndef SSA_CACHE_H
#define SSA_CACHE_H

#include <stdbool.h>
#include <stddef.h>

/* name: a file name, usually the hash of everything the content depends on. *data is the caller's to free. */
bool cache_load(const char *name, void **data, size_t *bytes);
void cache_store(const char *name, const void *data, size_t bytes);

#endif
