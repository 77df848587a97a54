/* Kernel sources: embedded at build time, or read from SSA_KERNEL_DIR. */
#include "shader/embed.h"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Files read so far. Kept for good: callers hold the pointers, and a process reads a few dozen files at most. */
typedef struct kept_file {
    struct kept_file *next;
    char             *text, path[];
} kept_file;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static kept_file      *kept;

static char *read_text(const char *path) {
    FILE *f = fopen(path, "rb");
    char *text = NULL;
    long  size = -1;
    if (!f) return NULL;
    if (!fseek(f, 0, SEEK_END)) size = ftell(f);
    if (size >= 0 && !fseek(f, 0, SEEK_SET)) text = malloc((size_t)size + 1);
    if (text) text[fread(text, 1, (size_t)size, f)] = 0;
    fclose(f);
    return text;
}

static const char *file_source(const char *root, const char *folder, const char *name) {
    char path[4096];
    if (snprintf(path, sizeof path, "%s/%s/%s", root, folder, name) >= (int)sizeof path) return NULL;
    pthread_mutex_lock(&lock);
    kept_file *k = kept;
    while (k && strcmp(k->path, path)) k = k->next;
    char *text = k ? k->text : read_text(path);
    if (text && !k) {
        k = malloc(sizeof *k + strlen(path) + 1);
        if (k) {
            k->next = kept;
            k->text = text;
            strcpy(k->path, path);
            kept = k;
        } else {
            free(text);
            text = NULL;
        }
    }
    pthread_mutex_unlock(&lock);
    return text;
}

bool kernel_lanes_reversed(void) {
    const char *lanes = getenv("SSA_LANES");
    return lanes && !strcmp(lanes, "reversed");
}

const char *kernel_source(const embedded_source *list, const char *folder, const char *name) {
    const char *root = getenv("SSA_KERNEL_DIR");
    const char *text = root && *root ? file_source(root, folder, name) : NULL;
    for (; !text && list->name; list++)
        if (!strcmp(list->name, name)) text = list->text;
    return text;
}
