/* Kernel variants: assembled, built (or loaded from the cache), checked against the device, and found again. */
#include "ocl.h"
#include "shader/cache.h"
#include "shader/embed.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <xxhash.h>

/* -- source ---------------------------------------------------------------------------------------------------------- */

typedef struct { char *data; size_t used, capacity; bool failed; } text;

static void add(text *t, const char *data, size_t n) {
    if (t->failed) return;
    if (t->used + n + 1 > t->capacity) {
        size_t capacity = t->capacity ? t->capacity : 1 << 14;
        while (capacity < t->used + n + 1) capacity *= 2;
        char *grown = realloc(t->data, capacity);
        if (!grown) {
            t->failed = true;
            return;
        }
        t->data = grown;
        t->capacity = capacity;
    }
    memcpy(t->data + t->used, data, n);
    t->used += n;
    t->data[t->used] = 0;
}

enum { MAX_INCLUDES = 8 };
typedef struct { char names[MAX_INCLUDES][64]; int count; } included;

/* OpenCL has no portable way to hand over header files from memory, so lines #include "NAME" are replaced by the text, each
 * file once; own: the caller's text in the place of the file's. #line keeps the compiler's messages readable. */
static ssa_status inline_source(text *t, included *seen, const char *file, const char *own, ssa_error *err) {
    const char *source = own ? own : kernel_source(ssa_opencl_sources, "opencl", file);
    char        line[100];
    if (!source) return ssa_fail(err, SSA_ERR_UNSUPPORTED, "there is no OpenCL kernel file %s", file);
    add(t, line, (size_t)snprintf(line, sizeof line, "#line 1 \"%.60s\"\n", file));
    for (int number = 1; *source; number++) {
        const char *end = strchr(source, '\n');
        size_t      n = end ? (size_t)(end - source) + 1 : strlen(source);
        char        name[64];
        if (n > 10 && !strncmp(source, "#include", 8) && sscanf(source, "#include \"%63[^\"\n]\"", name) == 1) {
            bool known = false;
            for (int i = 0; i < seen->count; i++) known = known || !strcmp(seen->names[i], name);
            if (!known) {
                if (seen->count == MAX_INCLUDES) return ssa_fail(err, SSA_ERR_RUNTIME, "%s includes more than %d files", file, MAX_INCLUDES);
                snprintf(seen->names[seen->count++], sizeof seen->names[0], "%s", name);
                SSA_TRY(inline_source(t, seen, name, NULL, err));
                add(t, "\n", 1);
            }
            add(t, line, (size_t)snprintf(line, sizeof line, "#line %d \"%.60s\"\n", number + 1, file));
        } else {
            add(t, source, n);
        }
        source += n;
    }
    return t->failed ? ssa_fail(err, SSA_ERR_MEMORY, "out of memory for the source of %s", file) : SSA_OK;
}

/* -- building -------------------------------------------------------------------------------------------------------- */

/* The first line of a build log that speaks of an error, or its first line. */
static void first_error(const char *log, char *out, size_t size) {
    const char *best = log;
    for (const char *line = log; *line;) {
        size_t n = strcspn(line, "\n");
        char   copy[400];
        snprintf(copy, sizeof copy, "%.*s", (int)(n < 399 ? n : 399), line);
        if (strcasestr(copy, "error")) {
            best = line;
            break;
        }
        line += n + (line[n] != 0);
    }
    best += strspn(best, " \n\r\t");
    snprintf(out, size, "%.*s", (int)strcspn(best, "\n\r"), best);
    if (!*out) snprintf(out, size, "the driver gave no build log");
}

static ssa_status build_failure(ocl_device *d, cl_program program, const char *name, cl_int code, ssa_error *err) {
    size_t n = 0;
    char   reason[300], *log = NULL;
    if (!d->cl.clGetProgramBuildInfo(program, d->place.device, CL_PROGRAM_BUILD_LOG, 0, NULL, &n)) log = calloc(n + 1, 1);
    if (log) d->cl.clGetProgramBuildInfo(program, d->place.device, CL_PROGRAM_BUILD_LOG, n, log, NULL);
    first_error(log ? log : "", reason, sizeof reason);
    free(log);
    if (code == CL_OUT_OF_HOST_MEMORY) return ocl_fail(d, code, name, err);
    return ssa_fail(err, SSA_ERR_UNSUPPORTED, "kernel %s does not build on %.80s: %s (%s)", name, d->base.info.name, reason, ocl_error_name(code));
}

/* A build is given to patience_run, and may be left behind. */
typedef struct {
    const ocl_device *d;
    cl_program        program;
    cl_int            code;
    char              options[600];
} compilation;

static void run_compiler(void *arg) {
    compilation *c = arg;
    c->code = c->d->cl.clBuildProgram(c->program, 1, &c->d->place.device, c->options, NULL, NULL);
}

static ssa_status build_program(ocl_device *d, cl_program program, const char *name, const char *options, cl_int *code, ssa_error *err) {
    compilation *c = calloc(1, sizeof *c);
    if (!c) return ssa_fail(err, SSA_ERR_MEMORY, "out of memory for kernel %s", name);
    *c = (compilation){.d = d, .program = program};
    snprintf(c->options, sizeof c->options, "%s", options);
    ssa_status s = patience_run(&d->base, name, run_compiler, c, err);
    if (d->base.abandoned) return ssa_fail(&d->lost, s, "%s", err->text);
    *code = c->code;
    free(c);
    return s;
}

/* -- the cache ------------------------------------------------------------------------------------------------------- */

/* A file name for everything the binary depends on. */
static bool cache_name(const ocl_device *d, const dev_kernel *k, const char *source, const char *options, char name[128]) {
    const char   *parts[] = {source, options, d->base.info.name, d->base.info.driver, d->base.info.api_version, d->platform_text};
    XXH3_state_t *state = XXH3_createState();
    if (!state) return false;
    XXH3_128bits_reset(state);
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) XXH3_128bits_update(state, parts[i], strlen(parts[i]) + 1);
    XXH128_hash_t hash = XXH3_128bits_digest(state);
    XXH3_freeState(state);
    snprintf(name, 128, "%s-%016llx%016llx.clbin", k->name, (unsigned long long)hash.high64, (unsigned long long)hash.low64);
    return true;
}

static void store_binary(ocl_device *d, cl_program program, const char *name) {
    size_t bytes = 0;
    if (d->cl.clGetProgramInfo(program, CL_PROGRAM_BINARY_SIZES, sizeof bytes, &bytes, NULL) || !bytes) return;
    unsigned char *binary = malloc(bytes);
    if (binary && !d->cl.clGetProgramInfo(program, CL_PROGRAM_BINARIES, sizeof binary, &binary, NULL)) cache_store(name, binary, bytes);
    free(binary);
}

/* Anything wrong with what the cache holds means no; the build that follows then replaces it. */
static bool load_binary(ocl_device *d, dev_kernel *k, const char *name, const char *options) {
    ssa_error ignored = {0};
    size_t bytes;
    cl_int status = CL_SUCCESS, code;
    void  *binary;
    if (!cache_load(name, &binary, &bytes)) return false;
    const unsigned char *data = binary;
    k->program = d->cl.clCreateProgramWithBinary(d->context, 1, &d->place.device, &bytes, &data, &status, &code);
    free(binary);
    if (k->program && !code && !status && !build_program(d, k->program, k->name, options, &code, &ignored) && !code) {
        k->kernel = d->cl.clCreateKernel(k->program, k->name, &code);
        if (k->kernel) return true;
    }
    if (k->program && !d->base.abandoned) d->cl.clReleaseProgram(k->program);
    k->program = NULL;
    return false;
}

/* -- a variant ------------------------------------------------------------------------------------------------------- */

static ssa_status build(ocl_device *d, dev_kernel *k, const dev_kernel_desc *desc, ssa_error *err) {
    text     source = {0};
    included seen = {0};
    char     file[80], options[600], name[128];
    cl_int   code;
    snprintf(file, sizeof file, "%s.cl", desc->name);
    ssa_status s = inline_source(&source, &seen, file, device_kernel_code(&d->base, desc->name), err);
    /* No relaxed maths: masked scores and non-finite gradients must stay what they are. */
    int n = snprintf(options, sizeof options, "-cl-std=CL1.2 -DACT=%d -DACT2=%d", desc->act, desc->act2);
    if (d->base.info.type == DEV_CPU) n += snprintf(options + n, sizeof options - (size_t)n, " -DON_CPU");
    if (d->sub_group) n += snprintf(options + n, sizeof options - (size_t)n, " -DSUB_GROUP=%u", d->sub_group);
    if (kernel_lanes_reversed()) n += snprintf(options + n, sizeof options - (size_t)n, " -DLANES_REVERSED");
    for (int i = 0; i < desc->constant_count && n < (int)sizeof options; i++)
        n += snprintf(options + n, sizeof options - (size_t)n, " -D%s=%u", desc->constants[i].name, desc->constants[i].value);
    if (!s && n >= (int)sizeof options) s = ssa_fail(err, SSA_ERR_RUNTIME, "kernel %s: its constants do not fit a build line", desc->name);
    if (s) {
        free(source.data);
        return s;
    }
    bool cached = cache_name(d, k, source.data, options, name);
    bool loaded = cached && load_binary(d, k, name, options);
    if (loaded || d->base.abandoned) {
        free(source.data);
        return loaded ? SSA_OK : ocl_alive(d, err);
    }
    const char *data = source.data;
    k->program = d->cl.clCreateProgramWithSource(d->context, 1, &data, NULL, &code);
    free(source.data);
    if (!k->program) return ocl_fail(d, code, desc->name, err);
    SSA_TRY(build_program(d, k->program, desc->name, options, &code, err));
    if (code) return build_failure(d, k->program, desc->name, code, err);
    k->kernel = d->cl.clCreateKernel(k->program, desc->name, &code);
    if (!k->kernel)
        return ssa_fail(err, SSA_ERR_UNSUPPORTED, "kernel %s: %s.cl has no such function (%s)", desc->name, desc->name, ocl_error_name(code));
    if (cached) store_binary(d, k->program, name);
    return SSA_OK;
}

/* What the compiled kernel asks for, against what the device allows and what lowering will hand over. */
static ssa_status check_kernel(ocl_device *d, const dev_kernel *k, ssa_error *err) {
    size_t   most = 0;
    cl_ulong local = 0;
    cl_uint  args = 0;
    OCL_TRY(d, k->name, err, d->cl.clGetKernelInfo(k->kernel, CL_KERNEL_NUM_ARGS, sizeof args, &args, NULL));
    if ((int)args != k->bindings + 1)
        return ssa_fail(err, SSA_ERR_RUNTIME, "kernel %s takes %u arguments, lowering binds %d buffers and the parameters", k->name, args,
                        k->bindings);
    OCL_TRY(d, k->name, err, d->cl.clGetKernelWorkGroupInfo(k->kernel, d->place.device, CL_KERNEL_WORK_GROUP_SIZE, sizeof most, &most, NULL));
    /* rusticl 22.3 answers its subgroup size here, and runs more. */
    if (k->wg > most && !strstr(d->base.info.driver, "rusticl"))
        return ssa_fail(err, SSA_ERR_UNSUPPORTED, "kernel %s wants %u work-items a group, %s runs at most %zu of it", k->name, k->wg,
                        d->base.info.name, most);
    OCL_TRY(d, k->name, err, d->cl.clGetKernelWorkGroupInfo(k->kernel, d->place.device, CL_KERNEL_LOCAL_MEM_SIZE, sizeof local, &local, NULL));
    if (local > d->base.limits.shared_bytes)
        return ssa_fail(err, SSA_ERR_UNSUPPORTED, "kernel %s wants %llu bytes of local memory, the limit is %u", k->name, (unsigned long long)local,
                        d->base.limits.shared_bytes);
    return SSA_OK;
}

static ssa_status check_desc(const ocl_device *d, const dev_kernel_desc *k, ssa_error *err) {
    const dev_limits *limits = &d->base.limits;
    if (k->constant_count < 1 || strcmp(k->constants[0].name, "WG"))
        return ssa_fail(err, SSA_ERR_RUNTIME, "kernel %s: constant 0 is not WG", k->name);
    uint32_t wg = k->constants[0].value, push = (uint32_t)(DEV_OFFSET_WORDS + k->params) * 4;
    if (k->subgroup)
        return ssa_fail(err, SSA_ERR_UNSUPPORTED, "kernel %s wants subgroups of %u, which OpenCL 1.2 cannot promise", k->name, k->subgroup);
    if (!wg || wg > limits->max_invocations)
        return ssa_fail(err, SSA_ERR_UNSUPPORTED, "kernel %s wants %u work-items a group, the limit is %u", k->name, wg, limits->max_invocations);
    if ((uint32_t)k->bindings > limits->max_bindings)
        return ssa_fail(err, SSA_ERR_UNSUPPORTED, "kernel %s binds %d buffers, the limit is %u", k->name, k->bindings, limits->max_bindings);
    if (push > limits->push_bytes)
        return ssa_fail(err, SSA_ERR_UNSUPPORTED, "kernel %s takes %u bytes of parameters, the limit is %u", k->name, push, limits->push_bytes);
    return SSA_OK;
}

/* -- finding again --------------------------------------------------------------------------------------------------- */

static size_t make_key(const dev_kernel_desc *desc, char *key, size_t size) {
    int32_t head[5] = {desc->act, desc->act2, desc->bindings, desc->params, (int32_t)desc->subgroup};
    size_t  n = strlen(desc->name) + 1;
    memcpy(key, desc->name, n);
    memcpy(key + n, head, sizeof head);
    n += sizeof head;
    for (int i = 0; i < desc->constant_count; i++) {
        size_t length = strlen(desc->constants[i].name) + 1;
        if (n + length + 4 > size) return 0;
        memcpy(key + n, desc->constants[i].name, length);
        memcpy(key + n + length, &desc->constants[i].value, 4);
        n += length + 4;
    }
    return n;
}

static dev_kernel **find_slot(ocl_device *d, const char *key, size_t bytes, uint64_t hash) {
    size_t mask = (size_t)d->table_size - 1, i = (size_t)hash & mask;
    while (d->table[i] && (d->table[i]->hash != hash || d->table[i]->key_bytes != bytes || memcmp(d->table[i]->key, key, bytes))) i = (i + 1) & mask;
    return &d->table[i];
}

static ssa_status grow_table(ocl_device *d, ssa_error *err) {
    if (d->table_size && d->table_used * 2 < d->table_size) return SSA_OK;
    int          old_size = d->table_size, size = old_size ? 2 * old_size : 128;
    dev_kernel **old = d->table, **fresh = calloc((size_t)size, sizeof *fresh);
    if (!fresh) return ssa_fail(err, SSA_ERR_MEMORY, "out of memory for the kernel table");
    d->table = fresh;
    d->table_size = size;
    for (int i = 0; i < old_size; i++)
        if (old[i]) *find_slot(d, old[i]->key, old[i]->key_bytes, old[i]->hash) = old[i];
    free(old);
    return SSA_OK;
}

static void kernel_release(ocl_device *d, dev_kernel *k) {
    if (d->base.abandoned) return;
    if (k->kernel) d->cl.clReleaseKernel(k->kernel);
    if (k->program) d->cl.clReleaseProgram(k->program);
    k->kernel = NULL;
    k->program = NULL;
}

ssa_status ocl_kernel(device *dev, const dev_kernel_desc *desc, dev_kernel **out, ssa_error *err) {
    ocl_device *d = (ocl_device *)dev;
    char        key[512];
    *out = NULL;
    SSA_TRY(ocl_alive(d, err));
    if (strlen(desc->name) >= sizeof(*out)->name) return ssa_fail(err, SSA_ERR_RUNTIME, "the kernel name %s is too long", desc->name);
    size_t bytes = make_key(desc, key, sizeof key);
    if (!bytes) return ssa_fail(err, SSA_ERR_RUNTIME, "kernel %s: the names of its constants are too long", desc->name);
    SSA_TRY(grow_table(d, err));
    uint64_t     hash = XXH3_64bits(key, bytes);
    dev_kernel **slot = find_slot(d, key, bytes, hash), *k = *slot;
    if (!k) {
        k = calloc(1, sizeof *k);
        if (k) k->key = malloc(bytes);
        if (!k || !k->key) {
            free(k);
            return ssa_fail(err, SSA_ERR_MEMORY, "out of memory for kernel %s", desc->name);
        }
        memcpy(k->key, key, bytes);
        k->key_bytes = bytes;
        k->hash = hash;
        snprintf(k->name, sizeof k->name, "%s", desc->name);
        k->bindings = desc->bindings;
        k->params = desc->params;
        ssa_status s = check_desc(d, desc, &k->failure);
        k->wg = desc->constant_count ? desc->constants[0].value : 0;
        if (!s) s = build(d, k, desc, &k->failure);
        if (!s) s = check_kernel(d, k, &k->failure);
        if (s) kernel_release(d, k);
        if (s && s != SSA_ERR_UNSUPPORTED) { /* perhaps only now: not remembered */
            s = ssa_fail(err, s, "%s", k->failure.text);
            free(k->key);
            free(k);
            return s;
        }
        *slot = k;
        d->table_used++;
    }
    if (k->failure.status) return ssa_fail(err, k->failure.status, "%s", k->failure.text);
    *out = k;
    return SSA_OK;
}

void ocl_kernels_free(ocl_device *d) {
    for (int i = 0; i < d->table_size; i++) {
        if (!d->table[i]) continue;
        kernel_release(d, d->table[i]);
        free(d->table[i]->key);
        free(d->table[i]);
    }
    free(d->table);
    d->table = NULL;
    d->table_size = d->table_used = 0;
}
