#include "tune/choices.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static tune_choice *find(const tune_choices *c, const char *key) {
    for (int i = 0; i < c->count; i++)
        if (!strcmp(c->item[i].key, key)) return &c->item[i];
    return NULL;
}

const tune_choice *tune_find(const tune_choices *c, const char *key) { return find(c, key); }

ssa_status tune_put(tune_choices *c, const tune_choice *choice, ssa_error *err) {
    tune_choice *old = find(c, choice->key);
    if (old) {
        if (choice->origin >= old->origin) *old = *choice;
        return SSA_OK;
    }
    if (c->count == c->capacity) {
        int          capacity = c->capacity ? 2 * c->capacity : 32;
        tune_choice *item = realloc(c->item, (size_t)capacity * sizeof *item);
        if (!item) return ssa_fail(err, SSA_ERR_MEMORY, "out of memory for %d choices of kernels", capacity);
        c->item = item;
        c->capacity = capacity;
    }
    c->item[c->count++] = *choice;
    return SSA_OK;
}

void tune_free(tune_choices *c) {
    free(c->item);
    *c = (tune_choices){0};
}

void tune_line(const tune_choice *c, char *text, int size) {
    int n = snprintf(text, (size_t)size, "%s = %s", c->key, c->name);
    if (c->seconds > 0 && c->second > 0 && n < size)
        snprintf(text + n, (size_t)(size - n), " (%.3g ms against %.3g)", 1e3 * c->seconds, 1e3 * c->second);
}

bool tune_parse(const char *line, tune_choice *out) {
    const char *equals = strstr(line, " = ");
    *out = (tune_choice){0};
    if (!equals || equals == line || equals - line >= TUNE_KEY) return false;
    memcpy(out->key, line, (size_t)(equals - line));
    size_t n = strcspn(equals + 3, " \n");
    if (n == 0 || n >= TUNE_NAME) return false;
    memcpy(out->name, equals + 3, n);
    return true;
}
