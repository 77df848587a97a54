/* Names for files and folders that are written before they get their own: .NAME.PID.RANDOM.tmp beside the target. No other process,
 * thread or host that shares the folder uses the same, and what a killed process left can be told by its name. */
#ifndef IO_TEMPORARY_H
#define IO_TEMPORARY_H

#include <stdbool.h>

/* folder: with or without a slash at its end. Both give -1 or NULL where nothing could be made (errno). */
int   io_temporary_file(const char *folder, const char *name, char **path); /* a descriptor for writing; *path is the caller's to free */
char *io_temporary_folder(const char *folder, const char *name);
char *io_temporary_name(const char *folder, const char *name);              /* the name alone; NULL: out of memory */
bool  io_is_temporary(const char *name);                                    /* whether a file's name is such a one */

#endif
