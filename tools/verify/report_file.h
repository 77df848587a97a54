/* Files that a user names for a report: whole or not there, also where two processes write the same one; devices and pipes
 * (/dev/stdout, a FIFO) are written as they are. */
#ifndef SSA_VERIFY_REPORT_FILE_H
#define SSA_VERIFY_REPORT_FILE_H

#include "ssa/status.h"
#include <stddef.h>
#include <stdio.h>

typedef struct report_file {
    FILE       *out; /* written to memory, and to the file by report_file_close */
    const char *path;
    char       *text;
    size_t      bytes;
} report_file;

ssa_status report_file_open(report_file *r, const char *path, ssa_error *err);
ssa_status report_file_close(report_file *r, ssa_error *err);
ssa_status report_write(const char *path, const void *text, size_t bytes, ssa_error *err);
/* Whether report_write has a chance: the folder is there and ours to write. */
ssa_status report_check(const char *path, ssa_error *err);

#endif
