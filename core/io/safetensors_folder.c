/* What else lies in a folder of weights: an adapter that others would merge into the model, shards that belong to no index. */
#include "io/inside.h"
#include <dirent.h>
#include <string.h>

#define SHOW(s) io_show(s).text

static bool is_adapter(const char *name) {
    return !strcmp(name, "adapter_config.json") || !strcmp(name, "adapter_model.safetensors") || !strcmp(name, "adapter_model.bin");
}

/* "model-00001-of-00002.safetensors", as everybody numbers shards. */
static bool is_shard(const char *name) {
    static const char form[] = "model-#-of-#.safetensors"; /* #: digits */
    for (const char *f = form; *f; f++) {
        size_t digits = *f == '#' ? strspn(name, "0123456789") : *name == *f;
        if (!digits) return false;
        name += digits;
    }
    return !*name;
}

static bool in_map(const cJSON *map, const char *name) {
    const cJSON *item;
    cJSON_ArrayForEach(item, map) if (!strcmp(item->valuestring, name)) return true;
    return false;
}

ssa_status io_folder_check(const char *dir, const cJSON *map, ssa_error *err) {
    DIR       *d = opendir(dir);
    ssa_status s = d ? SSA_OK : ssa_fail(err, SSA_ERR_INPUT, "folder %s cannot be read", SHOW(dir));
    for (struct dirent *e; d && !s && (e = readdir(d));) {
        if (is_adapter(e->d_name))
            s = ssa_fail(err, SSA_ERR_INPUT, "%s holds an adapter (%s), which is not applied: merge it into the weights first", SHOW(dir), e->d_name);
        else if (is_shard(e->d_name) && !in_map(map, e->d_name))
            s = ssa_fail(err, SSA_ERR_INPUT, "%s holds a shard %s that %s", SHOW(dir), SHOW(e->d_name),
                         map ? "its model.safetensors.index.json does not name" : "would not be read: it has a model.safetensors");
    }
    if (d) closedir(d);
    return s;
}
