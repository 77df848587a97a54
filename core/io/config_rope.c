/* RoPE in config.json. transformers 4 has rope_theta beside an object rope_scaling; transformers 5 has everything in rope_parameters.
 * A file may hold both; what they say must then be the same. */
#include "io/config_inside.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

#define SHOW(s) io_show(s).text

/* What one object says; factor 0: type "default", no scaling. */
typedef struct rope { double factor, low, high; int64_t original; } rope;

/* rope_type, which older files call type; NULL: neither is there. */
static ssa_status read_type(const config_reader *inner, const char *name, const char **type) {
    static const char *const keys[] = {"rope_type", "type"};
    *type = NULL;
    for (int i = 0; i < 2; i++) {
        const cJSON *value;
        SSA_TRY(config_find(inner, keys[i], false, &value));
        if (!value) continue;
        if (!cJSON_IsString(value))
            return ssa_fail(inner->err, SSA_ERR_INPUT, "%s: %s of %s is %s where a string is needed", SHOW(inner->path), keys[i], name, io_json_kind(value));
        if (*type && strcmp(*type, value->valuestring))
            return ssa_fail(inner->err, SSA_ERR_INPUT, "%s: rope_type %s and type %s of %s contradict each other", SHOW(inner->path), SHOW(*type),
                            SHOW(value->valuestring), name);
        *type = value->valuestring;
    }
    return SSA_OK;
}

/* Keys that the type does not have would be ignored by others too, but they say that something else is meant. */
static ssa_status check_keys(const config_reader *inner, const char *name, const char *type, bool llama3) {
    static const char *const always[] = {"rope_theta", "rope_type", "type"}, *const ones[] = {"partial_rotary_factor", "attention_factor"};
    static const char *const scaled[] = {"factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings"};
    const cJSON *item;
    cJSON_ArrayForEach(item, inner->json) {
        bool known = false;
        for (int i = 0; i < 3; i++) known |= !strcmp(item->string, always[i]);
        for (int i = 0; i < 4; i++) known |= llama3 && !strcmp(item->string, scaled[i]);
        for (int i = 0; i < 2; i++) known |= !strcmp(item->string, ones[i]) && (cJSON_IsNull(item) || item->valuedouble == 1);
        /* Without a scaling these two change nothing. */
        known |= !llama3 && !strcmp(item->string, "original_max_position_embeddings");
        known |= !llama3 && !strcmp(item->string, "factor") && item->valuedouble == 1;
        if (known) {
            for (const cJSON *other = item->next; other; other = other->next)
                if (!strcmp(other->string, item->string))
                    return ssa_fail(inner->err, SSA_ERR_INPUT, "%s: %s of %s appears twice", SHOW(inner->path), item->string, name);
            continue;
        }
        char why[96];
        snprintf(why, sizeof why, "in %s of rope_type %s", name, llama3 ? "llama3" : type ? "default" : "default (none is named)");
        return config_unsupported(inner, item->string, item, why);
    }
    return SSA_OK;
}

/* The object under `name`; *there: it says something. *theta stays where it has none. */
static ssa_status read_object(const config_reader *r, const char *name, rope *out, double *theta, bool *there) {
    const cJSON *object;
    const char  *type;
    *out = (rope){0};
    SSA_TRY(config_find(r, name, false, &object));
    *there = object && object->child;
    if (!object) return SSA_OK;
    if (!cJSON_IsObject(object)) return config_mistyped(r, name, object, "an object");
    config_reader inner = {r->path, object, r->err};
    SSA_TRY(read_type(&inner, name, &type));
    bool llama3 = type && !strcmp(type, "llama3");
    if (type && !llama3 && strcmp(type, "default"))
        return ssa_fail(r->err, SSA_ERR_INPUT, "%s: rope_type %s is not supported, only llama3 and default are", SHOW(r->path), SHOW(type));
    SSA_TRY(check_keys(&inner, name, type, llama3));
    SSA_TRY(config_double(&inner, "rope_theta", false, theta));
    if (!llama3) return SSA_OK;
    SSA_TRY(config_double(&inner, "factor", true, &out->factor));
    SSA_TRY(config_double(&inner, "low_freq_factor", true, &out->low));
    SSA_TRY(config_double(&inner, "high_freq_factor", true, &out->high));
    SSA_TRY(config_whole(&inner, "original_max_position_embeddings", true, &out->original));
    if (out->factor == 0) /* 0 means none to us */
        return ssa_fail(r->err, SSA_ERR_INPUT, "%s: factor 0 of %s is out of range", SHOW(r->path), name);
    return SSA_OK;
}

static bool same(const rope *a, const rope *b) { return a->factor == b->factor && a->low == b->low && a->high == b->high && a->original == b->original; }

ssa_status config_read_rope(const config_reader *r, ssa_model_config *c) {
    static const char *const names[] = {"rope_theta", "rope_theta of rope_scaling", "rope_theta of rope_parameters"};
    double theta[3] = {NAN, NAN, NAN}; /* NaN: not given */
    rope   old, new;
    bool   have_old, have_new;
    int    first = 0;
    SSA_TRY(config_double(r, "rope_theta", false, &theta[0]));
    SSA_TRY(read_object(r, "rope_scaling", &old, &theta[1], &have_old));
    SSA_TRY(read_object(r, "rope_parameters", &new, &theta[2], &have_new));
    for (int i = 0; i < 3; i++) {
        if (isnan(theta[i])) continue;
        if (isnan(theta[first])) first = i;
        if (theta[i] != theta[first])
            return ssa_fail(r->err, SSA_ERR_INPUT, "%s: %s %.12g and %s %.12g contradict each other", SHOW(r->path), names[first], theta[first], names[i],
                            theta[i]);
        c->rope_theta = theta[i];
    }
    if (have_old && have_new && !same(&old, &new))
        return ssa_fail(r->err, SSA_ERR_INPUT, "%s: rope_scaling (factor %g, low_freq_factor %g, high_freq_factor %g, original length %lld) and "
                        "rope_parameters (%g, %g, %g, %lld) contradict each other", SHOW(r->path), old.factor, old.low, old.high, (long long)old.original,
                        new.factor, new.low, new.high, (long long)new.original);
    const rope *given = have_new ? &new : &old;
    c->rope_factor = given->factor;
    c->rope_low_freq_factor = given->low;
    c->rope_high_freq_factor = given->high;
    c->rope_original_length = given->original;
    return SSA_OK;
}
