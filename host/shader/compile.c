#include "shader/compile.h"
#include "shader/cache.h"
#include "shader/embed.h"
#include <dlfcn.h>
#include <limits.h>
#include <pthread.h>
#include <shaderc/shaderc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <xxhash.h>

/* -- the compiler, found once per process ------------------------------------------------------------------------------ */

#define FUNCTIONS(X)                                                                                                              \
    X(shaderc_compiler_initialize) X(shaderc_compile_options_initialize) X(shaderc_compile_options_release)                       \
    X(shaderc_compile_options_add_macro_definition) X(shaderc_compile_options_set_optimization_level)                             \
    X(shaderc_compile_options_set_target_env) X(shaderc_compile_options_set_target_spirv)                                         \
    X(shaderc_compile_options_set_include_callbacks) X(shaderc_compile_into_spv) X(shaderc_result_release)                        \
    X(shaderc_result_get_length) X(shaderc_result_get_compilation_status) X(shaderc_result_get_bytes)                             \
    X(shaderc_result_get_error_message) X(shaderc_get_spv_version)

typedef struct {
#define X(name) __typeof__(&name) name;
    FUNCTIONS(X)
#undef X
    shaderc_compiler_t compiler;      /* one for all: a fresh one costs 100 to 250 ms with its first shader */
    char               name[128];     /* for people */
    char               identity[PATH_MAX + 128]; /* for the cache's key: changes whenever the compiler does */
    char               reason[512];   /* why there is none */
} compiler_table;

static compiler_table  table;
static pthread_once_t  once = PTHREAD_ONCE_INIT;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* one compilation at a time */

static bool load_shared(const char *file) {
    void *lib = dlopen(file, RTLD_NOW | RTLD_LOCAL); /* Debian 12's lacks symbols and fails here, as it should */
    if (!lib) {
        snprintf(table.reason, sizeof table.reason, "%.500s", dlerror());
        return false;
    }
    bool all = true;
#define X(symbol) *(void **)&table.symbol = dlsym(lib, #symbol), all &= table.symbol != NULL;
    FUNCTIONS(X)
#undef X
    if (!all) {
        snprintf(table.reason, sizeof table.reason, "%.150s lacks functions of shaderc", file);
        dlclose(lib);
        return false;
    }
    Dl_info     where;
    struct stat st = {0};
    char       *path = dladdr(*(void **)&table.shaderc_compile_into_spv, &where) ? realpath(where.dli_fname, NULL) : NULL;
    if (path) stat(path, &st);
    snprintf(table.name, sizeof table.name, "%.120s", file);
    snprintf(table.identity, sizeof table.identity, "%.*s %lld %lld", PATH_MAX - 1, path ? path : file, (long long)st.st_size, (long long)st.st_mtime);
    free(path);
    return true;
}

static bool use_static(void) {
#ifdef SSA_SHADERC_STATIC
#define X(symbol) table.symbol = symbol;
    FUNCTIONS(X)
#undef X
    snprintf(table.name, sizeof table.name, "shaderc %s (static)", SSA_SHADERC_STATIC);
    snprintf(table.identity, sizeof table.identity, "%s", table.name);
    return true;
#else
    return false;
#endif
}

static void find_compiler(void) {
    const char *forced = getenv("SSA_SHADERC");
    bool        found;
    if (forced && *forced) found = strcmp(forced, "static") ? load_shared(forced) : use_static();
    else found = load_shared("libshaderc.so.1") || load_shared("libshaderc_shared.so.1") || use_static();
    if (found) table.compiler = table.shaderc_compiler_initialize();
    if (!table.compiler) {
        if (!*table.reason) snprintf(table.reason, sizeof table.reason, found ? "shaderc does not start" : "shaderc is not built in");
        return;
    }
    unsigned version = 0, revision = 0;
    size_t   used = strlen(table.identity);
    table.shaderc_get_spv_version(&version, &revision);
    snprintf(table.identity + used, sizeof table.identity - used, " spv %u.%u", version, revision);
}

const char *shader_compiler(const char **reason) {
    pthread_once(&once, find_compiler);
    if (reason) *reason = table.reason;
    return table.compiler ? table.name : NULL;
}

/* -- the cache's key: the source with its includes, the options, the compiler ------------------------------------------- */

enum { MAX_FILES = 32 };
typedef struct { const char *seen[MAX_FILES]; int count; bool beyond; XXH3_state_t *state; } key_walk;

/* Hashes a text and, once each, the files its lines of #include "NAME" name. */
static void hash_source(key_walk *w, const char *text) {
    for (int i = 0; i < w->count; i++)
        if (w->seen[i] == text) return;
    if (w->count == MAX_FILES) {
        w->beyond = true;
        return;
    }
    w->seen[w->count++] = text;
    XXH3_128bits_update(w->state, text, strlen(text) + 1);
    for (const char *line = text; line; line = (line = strchr(line, '\n')) ? line + 1 : NULL) {
        char name[128];
        if (sscanf(line, " #include \"%127[^\"\n]\"", name) != 1) continue;
        const char *included = kernel_source(ssa_shader_sources, "shaders", name);
        if (included) hash_source(w, included);
    }
}

typedef struct { const char *kernel, *text; int act, act2; bool optimize, vulkan13, reversed; } job;

static bool cache_name(const job *j, char name[64]) {
    key_walk w = {.state = XXH3_createState()};
    char     options[128];
    if (!w.state) return false;
    XXH3_128bits_reset(w.state);
    hash_source(&w, j->text);
    snprintf(options, sizeof options, "%s act %d act2 %d opt %d vulkan13 %d%s", j->kernel, j->act, j->act2, j->optimize, j->vulkan13,
             j->reversed ? " reversed" : "");
    XXH3_128bits_update(w.state, options, strlen(options) + 1);
    XXH3_128bits_update(w.state, table.identity, strlen(table.identity) + 1);
    XXH128_hash_t h = XXH3_128bits_digest(w.state);
    XXH3_freeState(w.state);
    snprintf(name, 64, "%016llx%016llx.spv", (unsigned long long)h.high64, (unsigned long long)h.low64);
    return !w.beyond; /* a name that does not depend on everything would bring back what is no longer so */
}

/* -- compiling ----------------------------------------------------------------------------------------------------------- */

static shaderc_include_result *include_resolve(void *data, const char *name, int type, const char *from, size_t depth) {
    (void)data, (void)type, (void)from, (void)depth;
    shaderc_include_result *r = calloc(1, sizeof *r);
    if (!r) return NULL;
    const char *text = kernel_source(ssa_shader_sources, "shaders", name);
    r->source_name = text ? name : ""; /* an empty name tells shaderc that it failed, the content why */
    r->source_name_length = strlen(r->source_name);
    r->content = text ? text : "no such file";
    r->content_length = strlen(r->content);
    return r;
}

static void include_release(void *data, shaderc_include_result *r) {
    (void)data;
    free(r);
}

/* The first line that says "error" (warnings may come before it), cut to fit. */
static void first_error(const char *text, char *out, size_t size) {
    const char *found = strstr(text, "error"), *start = found ? found : text;
    while (start > text && start[-1] != '\n') start--;
    size_t n = strcspn(start, "\n");
    snprintf(out, size, "%.*s", (int)(n < size ? n : size - 1), start);
}

static ssa_status compile(const job *j, spirv *out, ssa_error *err) {
    shaderc_compile_options_t options = table.shaderc_compile_options_initialize();
    char                      act[2] = {(char)('0' + j->act)}, act2[2] = {(char)('0' + j->act2)}, file[128], line[300];
    if (!options) return ssa_fail(err, SSA_ERR_MEMORY, "out of memory for the shader compiler");
    snprintf(file, sizeof file, "%s.comp", j->kernel);
    table.shaderc_compile_options_add_macro_definition(options, "ACT", 3, act, 1);
    table.shaderc_compile_options_add_macro_definition(options, "ACT2", 4, act2, 1);
    if (j->reversed) table.shaderc_compile_options_add_macro_definition(options, "LANES_REVERSED", 14, "1", 1);
    table.shaderc_compile_options_set_optimization_level(options,
                                                         j->optimize ? shaderc_optimization_level_performance : shaderc_optimization_level_zero);
    table.shaderc_compile_options_set_target_env(options, shaderc_target_env_vulkan,
                                                 j->vulkan13 ? shaderc_env_version_vulkan_1_3 : shaderc_env_version_vulkan_1_1);
    table.shaderc_compile_options_set_target_spirv(options, j->vulkan13 ? shaderc_spirv_version_1_6 : shaderc_spirv_version_1_3);
    table.shaderc_compile_options_set_include_callbacks(options, include_resolve, include_release, NULL);
    shaderc_compilation_result_t r =
        table.shaderc_compile_into_spv(table.compiler, j->text, strlen(j->text), shaderc_glsl_compute_shader, file, "main", options);
    table.shaderc_compile_options_release(options);
    if (!r) return ssa_fail(err, SSA_ERR_MEMORY, "out of memory for the shader compiler");
    ssa_status status = SSA_OK;
    if (table.shaderc_result_get_compilation_status(r) != shaderc_compilation_status_success) {
        const char *text = table.shaderc_result_get_error_message(r);
        first_error(text ? text : "no message", line, sizeof line);
        status = ssa_fail(err, text && strstr(text, "extension not supported") ? SSA_ERR_UNSUPPORTED : SSA_ERR_RUNTIME,
                          "kernel %s does not compile with %s: %s", j->kernel, table.name, line);
    } else {
        out->bytes = table.shaderc_result_get_length(r);
        out->words = malloc(out->bytes);
        if (out->words) memcpy(out->words, table.shaderc_result_get_bytes(r), out->bytes);
        else status = ssa_fail(err, SSA_ERR_MEMORY, "out of memory: %zu bytes of SPIR-V", out->bytes);
    }
    table.shaderc_result_release(r);
    return status;
}

ssa_status shader_compile(const char *kernel, const char *text, int act, int act2, bool vulkan13, spirv *out, ssa_error *err) {
    char        file[128], name[64];
    const char *reason, *opt = getenv("SSA_SHADERC_OPT");
    void       *cached;
    snprintf(file, sizeof file, "%s.comp", kernel);
    job j = {.kernel = kernel, .text = text ? text : kernel_source(ssa_shader_sources, "shaders", file), .act = act, .act2 = act2};
    j.reversed = kernel_lanes_reversed();
    if (!j.text) return ssa_fail(err, SSA_ERR_UNSUPPORTED, "there is no Vulkan kernel %s (shaders/%s)", kernel, file);
    j.optimize = !(opt && !strcmp(opt, "0")) && !strstr(j.text, "#pragma optimize(off)");
    j.vulkan13 = strstr(j.text, "#pragma target(vulkan1.3)") != NULL;
    if (j.vulkan13 && !vulkan13) return ssa_fail(err, SSA_ERR_UNSUPPORTED, "kernel %s needs Vulkan 1.3", kernel);
    if (!shader_compiler(&reason)) return ssa_fail(err, SSA_ERR_UNSUPPORTED, "no shader compiler for kernel %s: %s", kernel, reason);
    pthread_mutex_lock(&lock);
    bool       named = cache_name(&j, name);
    ssa_status status = SSA_OK;
    if (named && cache_load(name, &cached, &out->bytes)) out->words = cached;
    else if (!(status = compile(&j, out, err)) && named) cache_store(name, out->words, out->bytes);
    pthread_mutex_unlock(&lock);
    return status;
}
