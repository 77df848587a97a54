/* JSON from files that are not trusted. */
#include "io/inside.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

ssa_status io_json_parse(const char *what, const void *text, size_t bytes, cJSON **out, ssa_error *err) {
    enum { PADDING = 16 }; /* cJSON before 1.7.18 looks a byte beyond the length it was given (CVE-2023-53154) */
    const char *end = NULL;
    *out = NULL;
    if (bytes > IO_JSON_LIMIT) return ssa_fail(err, SSA_ERR_INPUT, "%s: %zu bytes of JSON, at most %d are read", io_show(what).text, bytes,
                                               IO_JSON_LIMIT);
    /* cJSON would stop at a 0 and take what came before for the whole. */
    const char *zero = memchr(text, 0, bytes);
    if (zero) return ssa_fail(err, SSA_ERR_INPUT, "%s: not JSON, byte %zu is 0", io_show(what).text, (size_t)(zero - (const char *)text));
    char *copy = calloc(1, bytes + PADDING);
    if (!copy) return ssa_fail(err, SSA_ERR_MEMORY, "%s: no memory for %zu bytes of JSON", io_show(what).text, bytes);
    memcpy(copy, text, bytes);
    locale_t before = io_locale_plain(); /* cJSON follows the locale's decimal sign, where that is a single byte */
    cJSON *json = cJSON_ParseWithLengthOpts(copy, bytes + 1, &end, 1);
    io_locale_back(before);
    size_t at = end ? (size_t)(end - copy) : 0;
    free(copy);
    if (!json) return ssa_fail(err, SSA_ERR_INPUT, "%s: not JSON, the text breaks near byte %zu", io_show(what).text, at);
    if (!cJSON_IsObject(json)) {
        ssa_fail(err, SSA_ERR_INPUT, "%s: the JSON is %s where an object is needed", io_show(what).text, io_json_kind(json));
        cJSON_Delete(json);
        return SSA_ERR_INPUT;
    }
    *out = json;
    return SSA_OK;
}

char *io_json_print(const cJSON *json, bool formatted) {
    locale_t before = io_locale_plain();
    char *text = formatted ? cJSON_Print(json) : cJSON_PrintUnformatted(json);
    io_locale_back(before);
    return text;
}

bool io_json_whole(const cJSON *value, int64_t *out) {
    if (!cJSON_IsNumber(value)) return false;
    double x = value->valuedouble;
    if (!(x >= 0 && x <= 0x1p53) || x != floor(x)) return false;
    *out = (int64_t)x;
    return true;
}

const char *io_json_kind(const cJSON *value) {
    if (!value) return "missing";
    if (cJSON_IsString(value)) return "a string";
    if (cJSON_IsNumber(value)) return "a number";
    if (cJSON_IsBool(value)) return "true or false";
    if (cJSON_IsArray(value)) return "a list";
    if (cJSON_IsObject(value)) return "an object";
    return "null";
}
