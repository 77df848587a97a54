/* What the fuzz targets share: a folder in memory for the input, and what every reader promises. */
#ifndef FUZZ_H
#define FUZZ_H

#include "ssa/status.h"
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char fuzz_dir[64];

static void fuzz_leave(void) {
    char command[80];
    snprintf(command, sizeof command, "rm -rf %s", fuzz_dir);
    if (system(command)) fprintf(stderr, "%s is left\n", fuzz_dir);
}

/* The readers take paths, so the input becomes a file; /dev/shm, because a disk would be the fuzzer's speed limit. */
static const char *fuzz_path(const char *name) {
    static char path[4][128];
    static int  next;
    if (!fuzz_dir[0]) {
        strcpy(fuzz_dir, "/dev/shm/ssa_fuzz_XXXXXX");
        if (!mkdtemp(fuzz_dir)) abort();
        atexit(fuzz_leave);
    }
    char *p = path[next++ % 4];
    snprintf(p, sizeof path[0], "%s/%s", fuzz_dir, name);
    return p;
}

static const char *fuzz_file(const char *name, const uint8_t *data, size_t size) {
    const char *path = fuzz_path(name);
    FILE       *f = fopen(path, "wb");
    if (!f || fwrite(data, 1, size, f) != size || fclose(f)) abort();
    return path;
}

/* A failure is one sentence without control characters, and nothing else leaves one. */
static void fuzz_sentence(ssa_status s, const ssa_error *err) {
    if (s != err->status || (s != SSA_OK) != (err->text[0] != 0)) abort();
    for (const char *c = err->text; *c; c++)
        if ((unsigned char)*c < ' ' || *c == 127) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
