#include "shader/cache.h"
#include "io/temporary.h"
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

enum { PATH_BYTES = 4096 };
typedef struct { char magic[8]; uint64_t bytes, hash; } cache_header;
static const char magic[8] = "SSAcach1";

/* The folder's path, without a trailing slash; false if there is no sensible place. */
static bool cache_folder(char path[PATH_BYTES]) {
    const char *own = getenv("SSA_CACHE_DIR"), *xdg = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    int         n = -1;
    if (own && *own) n = snprintf(path, PATH_BYTES, "%s", own);
    else if (xdg && *xdg == '/') n = snprintf(path, PATH_BYTES, "%s/ssa", xdg);
    else if (home && *home) n = snprintf(path, PATH_BYTES, "%s/.cache/ssa", home);
    return n > 0 && n < PATH_BYTES - 128;
}

static void make_folders(const char *folder) {
    char path[PATH_BYTES];
    snprintf(path, sizeof path, "%s", folder);
    for (char *p = path + 1; *p; p++)
        if (*p == '/') {
            *p = 0;
            mkdir(path, 0777);
            *p = '/';
        }
    mkdir(path, 0777);
}

bool cache_load(const char *name, void **data, size_t *bytes) {
    char         path[PATH_BYTES];
    cache_header h;
    void        *content = NULL;
    if (!cache_folder(path)) return false;
    size_t used = strlen(path);
    snprintf(path + used, sizeof path - used, "/%s", name);
    FILE *f = fopen(path, "rb");
    if (!f) return false;
    bool good = fread(&h, sizeof h, 1, f) == 1 && !memcmp(h.magic, magic, sizeof magic) && h.bytes > 0 && h.bytes < (uint64_t)1 << 28;
    if (good) {
        content = malloc((size_t)h.bytes);
        good = content && fread(content, 1, (size_t)h.bytes, f) == h.bytes && fgetc(f) == EOF && XXH3_64bits(content, (size_t)h.bytes) == h.hash;
    }
    fclose(f);
    if (!good) {
        free(content);
        return false;
    }
    *data = content;
    *bytes = (size_t)h.bytes;
    return true;
}

void cache_store(const char *name, const void *data, size_t bytes) {
    char         folder[PATH_BYTES], path[PATH_BYTES + 256], *temporary;
    cache_header h = {.bytes = bytes, .hash = XXH3_64bits(data, bytes)};
    memcpy(h.magic, magic, sizeof magic);
    if (!cache_folder(folder)) return;
    make_folders(folder);
    if ((size_t)snprintf(path, sizeof path, "%s/%s", folder, name) >= sizeof path) return;
    int fd = io_temporary_file(folder, name, &temporary);
    if (fd < 0) return;
    FILE *f = fdopen(fd, "wb");
    bool  good = f && fwrite(&h, sizeof h, 1, f) == 1 && fwrite(data, 1, bytes, f) == bytes;
    good = (f ? !fclose(f) : !close(fd)) && good;
    if (!good || rename(temporary, path)) remove(temporary);
    free(temporary);
}
