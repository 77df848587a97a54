#include "tune/store.h"
#include "shader/cache.h"
#include "shader/embed.h"
#include <stdio.h>
#include <stdlib.h>
#include <xxhash.h>

enum { FORMAT = 1 };

static uint64_t hash_text(uint64_t seed, const char *text) { return XXH3_64bits_withSeed(text, strlen(text) + 1, seed); }

/* Everything that a measurement rests on. */
static uint64_t identity(const device *dev) {
    const dev_info        *i = &dev->info;
    const bool             vulkan = !strcmp(i->api, "vulkan");
    const embedded_source *source = vulkan ? ssa_shader_sources : ssa_opencl_sources;
    uint64_t h = hash_text(FORMAT, i->api);
    h = hash_text(h, i->name);
    h = hash_text(h, i->driver);
    h = XXH3_64bits_withSeed(i->uuid, sizeof i->uuid, h);
    h = hash_text(h, i->pci);
    h = XXH3_64bits_withSeed(&dev->limits.storage16, sizeof dev->limits.storage16, h);
    for (; source->name; source++) {
        const char *text = kernel_source(vulkan ? ssa_shader_sources : ssa_opencl_sources, vulkan ? "shaders" : "opencl", source->name);
        h = hash_text(h, source->name);
        h = hash_text(h, text ? text : "");
    }
    return h;
}

/* What a trial is called: its kernel, class of shapes and candidate in one. */
static void pair(char *text, int size, const char *key, const char *candidate) {
    snprintf(text, (size_t)size, "%.*s = %.*s", TUNE_KEY - TUNE_NAME - 4, key, TUNE_NAME - 1, candidate);
}

ssa_status tune_store_open(tune_store *s, const device *dev, tune_choices *choices, ssa_error *err) {
    void  *data;
    size_t bytes;
    *s = (tune_store){0};
    snprintf(s->name, sizeof s->name, "tune-%016llx", (unsigned long long)identity(dev));
    if (!cache_load(s->name, &data, &bytes)) return SSA_OK;
    ssa_status status = SSA_OK;
    char      *text = data, line[TUNE_KEY + TUNE_NAME + 64];
    for (size_t at = 0; at < bytes && !status;) {
        const char *end = memchr(text + at, '\n', bytes - at);
        size_t      n = end ? (size_t)(end - text) - at : bytes - at;
        bool        trial = n > 2 && !memcmp(text + at, "? ", 2);
        tune_choice c;
        snprintf(line, sizeof line, "%.*s", (int)(n < sizeof line ? n : sizeof line - 1), text + at);
        at += n + 1;
        if (!tune_parse(trial ? line + 2 : line, &c)) continue;
        c.origin = TUNE_STORED;
        if (trial) {
            char name[TUNE_KEY];
            pair(name, sizeof name, c.key, c.name);
            memcpy(c.key, name, sizeof name);
        }
        status = tune_put(trial ? &s->deadly : choices, &c, err);
    }
    free(data);
    return status;
}

static void write_all(tune_store *s, const tune_choices *choices, const char *trial) {
    size_t capacity = (size_t)(choices->count + s->deadly.count + 1) * (TUNE_KEY + TUNE_NAME + 64), used = 0;
    char  *text = malloc(capacity), line[TUNE_KEY + TUNE_NAME + 48];
    if (!text) return;
    for (int i = 0; i < choices->count; i++) {
        const tune_choice *c = &choices->item[i];
        if (c->origin != TUNE_STORED && c->origin != TUNE_MEASURED) continue; /* shipped and recorded ones have their own places */
        tune_line(c, line, sizeof line);
        used += (size_t)snprintf(text + used, capacity - used, "%s\n", line);
    }
    for (int i = 0; i < s->deadly.count; i++) used += (size_t)snprintf(text + used, capacity - used, "? %s\n", s->deadly.item[i].key);
    if (trial) used += (size_t)snprintf(text + used, capacity - used, "? %s\n", trial);
    if (used) cache_store(s->name, text, used);
    free(text);
}

void tune_store_trial(tune_store *s, const tune_choices *choices, const char *key, const char *candidate) {
    char text[TUNE_KEY];
    pair(text, sizeof text, key, candidate);
    write_all(s, choices, text);
}

bool tune_store_is_deadly(const tune_store *s, const char *key, const char *candidate) {
    char text[TUNE_KEY];
    pair(text, sizeof text, key, candidate);
    return tune_find(&s->deadly, text) != NULL;
}

void tune_store_save(tune_store *s, const tune_choices *choices) { write_all(s, choices, NULL); }

void tune_store_close(tune_store *s) { tune_free(&s->deadly); }
