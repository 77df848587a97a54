/* Opening devices by name, and listing them. */
#include "backend.h"
#include "tune/tune.h"
#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { VULKAN, OPENCL, APIS };

static const struct {
    const char *name, *loader;
    probe_list *list;
    ssa_status (*open)(int index, const ssa_open_options *options, device **out, ssa_error *err);
} api[APIS] = {[VULKAN] = {"vulkan", "libvulkan.so.1", vulkan_list, vulkan_open},
               [OPENCL] = {"opencl", "libOpenCL.so.1", opencl_list, opencl_open}};

/* Asks an API for its devices, once; a process that only uses one API never loads the other's drivers. */
static void ask(probe_found *found, int i) {
    if (!found[i].count && !found[i].reason.status) probe(api[i].name, api[i].loader, api[i].list, &found[i]);
}

/* -- opening ------------------------------------------------------------------------------------------------------------- */

/* What the backend is told by who opens it, and has to tell about itself. */
static void introduce(ssa_backend *be, const ssa_open_options *options, const char *remark) {
    be->activity = options ? options->activity : NULL;
    be->activity_user = options ? options->activity_user : NULL;
    snprintf(be->remark, sizeof be->remark, "%s", remark);
}

static ssa_status open_cpu(const ssa_open_options *options, const char *remark, ssa_context **out, ssa_error *err) {
    ssa_backend *be;
    SSA_TRY(ssa_cpu_backend_create(options ? options->threads : 0, options && options->profile, &be, err));
    introduce(be, options, remark);
    if (options && options->selected) ssa_cpu_backend_watch(be, options->selected, options->selected_user);
    return ssa_context_create(be, out, err);
}

/* A library that is forced must be there. */
static ssa_status library_check(device *dev, ssa_error *err) {
    uint64_t workspace;
    dev_gemm small = {.M = 32, .N = 32, .K = 32, .batch = 1};
    if (!dev->variants || !strstr(dev->variants, "=" TUNE_LIBRARY)) return SSA_OK;
    if (dev->vt->gemm_can && dev->vt->gemm_can(dev, &small, &workspace)) return SSA_OK;
    return ssa_fail(err, SSA_ERR_UNSUPPORTED, "%s:%d has no CLBlast", dev->info.api, dev->info.index);
}

static ssa_status tune_mode(const ssa_open_options *options, ssa_tune_mode *out, ssa_error *err) {
    static const char *const words[] = {[SSA_TUNE_OFF] = "off", [SSA_TUNE_USE] = "use", [SSA_TUNE_SEARCH] = "search"};
    const char *text = getenv("SSA_TUNE");
    *out = options && options->compile_only ? SSA_TUNE_OFF : options && options->tune != SSA_TUNE_AUTO ? options->tune : SSA_TUNE_SEARCH;
    if ((options && options->tune != SSA_TUNE_AUTO) || *out == SSA_TUNE_OFF || !text || !*text) return SSA_OK;
    for (int i = SSA_TUNE_OFF; i <= SSA_TUNE_SEARCH; i++)
        if (!strcmp(text, words[i])) {
            *out = (ssa_tune_mode)i;
            return SSA_OK;
        }
    return ssa_fail(err, SSA_ERR_INPUT, "SSA_TUNE is \"%.40s\", not off, use or search", text);
}

static ssa_status open_gpu(int i, int index, const ssa_open_options *options, ssa_context **out, ssa_error *err) {
    device      *dev;
    ssa_backend *be;
    SSA_TRY(api[i].open(index, options, &dev, err));
    if (options && options->compile_only && !dev->vt->compile_report) {
        dev->vt->destroy(dev);
        return ssa_fail(err, SSA_ERR_UNSUPPORTED, "%s devices cannot be opened to compile only", api[i].name);
    }
    if (options) {
        dev->kernel_name = options->kernel_name;
        dev->kernel_code = options->kernel_code;
        dev->kernel_bytes = options->kernel_bytes;
        dev->variants = options->variants;
    }
    const char *plan = getenv("SSA_FAULT"), *check = getenv("SSA_CHECK");
    ssa_tune_mode mode = SSA_TUNE_AUTO;
    char          remark[128] = "";
    if (dev->info.type == DEV_CPU)
        snprintf(remark, sizeof remark, "%s:%d is a software driver: it computes on the CPU, right but many times slower than the device cpu", dev->info.api, dev->info.index);
    ssa_status  s = tune_mode(options, &mode, err);
    if (!s) s = variants_check(dev->variants, &dev->limits, err);
    if (!s) s = library_check(dev, err);
    if (!s && plan && *plan) s = fault_wrap(dev, plan, err);
    if (s) {
        dev->vt->destroy(dev);
        return s;
    }
    SSA_TRY(gpu_backend_create(dev, mode, &be, err));
    be->threads = options ? options->threads : 0;
    introduce(be, options, remark);
    if ((options && options->check) || (check && !strcmp(check, "1"))) SSA_TRY(ssa_shadow_wrap(be, &be, err));
    introduce(be, options, remark);
    return ssa_context_create(be, out, err);
}

static const char *why_cpu(const probe_found *found, char *text, size_t size) {
    size_t used = (size_t)snprintf(text, size, "auto took the cpu, for there is no GPU: ");
    for (int i = 0; i < APIS; i++) {
        const probe_found *f = &found[i];
        const char        *comma = i ? ", " : "";
        if (!f->count) snprintf(text + used, size - used, "%s%s has no device (%.120s)", comma, api[i].name, f->reason.text);
        for (int k = 0; k < f->count; k++, used = strlen(text), comma = ", ")
            snprintf(text + used, size - used, "%s%s:%d is %s (%.60s)", comma, api[i].name, k, f->info[k].type == DEV_CPU ? "a software driver" : "no GPU", f->info[k].name);
        used = strlen(text);
    }
    return text;
}

/* Discrete before integrated, then Vulkan before OpenCL, two of a kind: the first. Never a software driver. */
static ssa_status open_auto(probe_found *found, const ssa_open_options *options, ssa_context **out, ssa_error *err) {
    static const dev_type wanted[] = {DEV_DISCRETE, DEV_INTEGRATED};
    int i, index;
    for (int w = 0; w < 2; w++)
        for (int apis = 1; apis <= APIS; apis++) { /* OpenCL is not asked where Vulkan has a discrete GPU */
            ask(found, apis - 1);
            if (probe_choose(found, apis, wanted[w], &i, &index)) return open_gpu(i, index, options, out, err);
        }
    char why[480];
    return open_cpu(options, why_cpu(found, why, sizeof why), out, err);
}

/* "no device NAME; there are cpu, vulkan:0 (llvmpipe ...), no opencl (...)" */
static ssa_status no_device(probe_found *found, const char *name, ssa_error *err) {
    char text[sizeof err->text + 100] = "cpu"; /* what does not fit there, the sentence shows as cut */
    for (int i = 0; i < APIS; i++) {
        ask(found, i);
        size_t used = strlen(text);
        if (!found[i].count) snprintf(text + used, sizeof text - used, ", no %s (%.150s)", api[i].name, found[i].reason.text);
        for (int k = 0; k < found[i].count; k++) {
            used = strlen(text);
            snprintf(text + used, sizeof text - used, ", %s:%d (%.60s)", api[i].name, k, found[i].info[k].name);
        }
    }
    return ssa_fail(err, SSA_ERR_INPUT, "no device \"%.60s\"; there are auto, %s", name, text);
}

/* NAME or NAME:N of an API. */
static bool names(const char *name, const char *api_name, long *index) {
    size_t n = strlen(api_name);
    char  *end = NULL;
    *index = 0;
    if (strncmp(name, api_name, n)) return false;
    if (!name[n]) return true;
    if (name[n] != ':' || name[n + 1] < '0' || name[n + 1] > '9') return false;
    *index = strtol(name + n + 1, &end, 10);
    return !*end;
}

static ssa_status open_named(probe_found *found, const char *name, const ssa_open_options *options, ssa_context **out, ssa_error *err) {
    long index;
    for (int i = 0; i < APIS; i++) {
        if (!names(name, api[i].name, &index)) continue;
        ask(found, i);
        if (index < found[i].count) return open_gpu(i, (int)index, options, out, err);
        /* Not absent, but something the user can mend, such as SSA_LIMITS, or a driver that fails. */
        if (found[i].reason.status == SSA_ERR_INPUT || found[i].reason.status == SSA_ERR_RUNTIME)
            return ssa_fail(err, found[i].reason.status, "%s", found[i].reason.text);
    }
    return no_device(found, name, err);
}

ssa_status ssa_open(const char *name, const ssa_open_options *options, ssa_context **out, ssa_error *err) {
    *out = NULL;
    if (name && !strcmp(name, "cpu")) return open_cpu(options, "", out, err);
    probe_found *found = calloc(APIS, sizeof *found);
    if (!found) return ssa_fail(err, SSA_ERR_MEMORY, "out of memory for the list of devices");
    ssa_status s = !name || !strcmp(name, "auto") ? open_auto(found, options, out, err) : open_named(found, name, options, out, err);
    free(found);
    return s;
}

/* -- listing --------------------------------------------------------------------------------------------------------------- */

static const char *type_name(dev_type t) {
    static const char *const names[] = {
        [DEV_OTHER] = "other", [DEV_INTEGRATED] = "integrated", [DEV_DISCRETE] = "discrete", [DEV_VIRTUAL] = "virtual", [DEV_CPU] = "software"};
    return names[t];
}

static void uuid_text(const dev_info *info, char out[33]) {
    out[0] = 0;
    for (int i = 0; i < 16 && info->has_uuid; i++) snprintf(out + 2 * i, 3, "%02x", info->uuid[i]);
}

/* Bytes for people: "128 MiB". */
static const char *size_text(uint64_t bytes, char out[32]) {
    static const char *const units[] = {"bytes", "KiB", "MiB", "GiB", "TiB"};
    double v = (double)bytes;
    int    u = 0;
    for (; v >= 1024 && u < 4; u++) v /= 1024;
    snprintf(out, 32, v < 10 && v != (double)(int)v ? "%.1f %s" : "%.0f %s", v, units[u]);
    return out;
}

static void print_device(FILE *out, const dev_info *i, const dev_limits *l) {
    char uuid[33], heap[32], range[32], buffer[32], shared[32], subgroup[32] = "none";
    uuid_text(i, uuid);
    if (l->subgroup_max) snprintf(subgroup, sizeof subgroup, l->subgroup_min == l->subgroup_max ? "%u" : "%u..%u", l->subgroup_min, l->subgroup_max);
    fprintf(out, "%s:%d: %s, %s, %s, %s; memory %s, buffer %s, range %s, shared %s, invocations %u, subgroup %s, storage16 %s", i->api, i->index,
            i->name, type_name(i->type), i->driver, i->api_version, size_text(l->heap, heap), size_text(l->max_buffer, buffer),
            size_text(l->max_range, range), size_text(l->shared_bytes, shared), l->max_invocations, subgroup, l->storage16 ? "yes" : "no");
    if (i->pci[0]) fprintf(out, ", pci %s", i->pci);
    if (uuid[0]) fprintf(out, ", uuid %s", uuid);
    fprintf(out, ";");
    char word[64];
    for (int w = 0; capabilities_word(&l->can, w, word, sizeof word); w++) fprintf(out, " %s", word);
    fprintf(out, "%s%s\n", i->remarks[0] ? " " : "", i->remarks);
}

static cJSON *json_device(const dev_info *i, const dev_limits *l) {
    char   name[32], uuid[33];
    cJSON *o = cJSON_CreateObject(), *limits, *groups, *words;
    uuid_text(i, uuid);
    snprintf(name, sizeof name, "%s:%d", i->api, i->index);
    cJSON_AddStringToObject(o, "device", name);
    cJSON_AddStringToObject(o, "api", i->api);
    cJSON_AddStringToObject(o, "name", i->name);
    cJSON_AddStringToObject(o, "type", type_name(i->type));
    cJSON_AddStringToObject(o, "driver", i->driver);
    cJSON_AddStringToObject(o, "api_version", i->api_version);
    cJSON_AddNumberToObject(o, "vendor_id", i->vendor_id);
    cJSON_AddNumberToObject(o, "device_id", i->device_id);
    cJSON_AddStringToObject(o, "uuid", uuid);
    cJSON_AddStringToObject(o, "pci", i->pci);
    char word[64];
    words = cJSON_AddArrayToObject(o, "features");
    for (int w = 0; words && capabilities_word(&l->can, w, word, sizeof word); w++) cJSON_AddItemToArray(words, cJSON_CreateString(word));
    cJSON_AddStringToObject(o, "remarks", i->remarks);
    if (!(limits = cJSON_AddObjectToObject(o, "limits"))) return o;
    cJSON_AddNumberToObject(limits, "memory", (double)l->heap);
    cJSON_AddNumberToObject(limits, "max_buffer", (double)l->max_buffer);
    cJSON_AddNumberToObject(limits, "max_range", (double)l->max_range);
    if ((groups = cJSON_AddArrayToObject(limits, "max_groups")))
        for (int k = 0; k < 3; k++) cJSON_AddItemToArray(groups, cJSON_CreateNumber(l->max_groups[k]));
    cJSON_AddNumberToObject(limits, "max_invocations", l->max_invocations);
    cJSON_AddNumberToObject(limits, "shared_bytes", l->shared_bytes);
    cJSON_AddNumberToObject(limits, "push_bytes", l->push_bytes);
    cJSON_AddNumberToObject(limits, "max_bindings", l->max_bindings);
    cJSON_AddNumberToObject(limits, "subgroup_min", l->subgroup_min);
    cJSON_AddNumberToObject(limits, "subgroup_max", l->subgroup_max);
    cJSON_AddBoolToObject(limits, "storage16", l->storage16);
    return o;
}

static bool of_api(const char *wanted, const char *name) { return !wanted || !strcmp(wanted, name); }

static ssa_status print_json(FILE *out, const probe_found *found, const char *wanted) {
    cJSON *list = cJSON_CreateArray();
    if (of_api(wanted, "cpu")) {
        cJSON *cpu = cJSON_CreateObject();
        cJSON_AddStringToObject(cpu, "device", "cpu");
        cJSON_AddStringToObject(cpu, "api", "cpu");
        cJSON_AddStringToObject(cpu, "type", "cpu");
        cJSON_AddItemToArray(list, cpu);
    }
    for (int i = 0; i < APIS; i++) {
        if (!of_api(wanted, api[i].name)) continue;
        for (int k = 0; k < found[i].count; k++) cJSON_AddItemToArray(list, json_device(&found[i].info[k], &found[i].limits[k]));
        if (found[i].count) continue;
        cJSON *none = cJSON_CreateObject();
        cJSON_AddStringToObject(none, "api", api[i].name);
        cJSON_AddStringToObject(none, "unavailable", found[i].reason.text);
        cJSON_AddItemToArray(list, none);
    }
    char *text = cJSON_Print(list);
    cJSON_Delete(list);
    if (!text) return SSA_ERR_MEMORY;
    fprintf(out, "%s\n", text);
    cJSON_free(text);
    return SSA_OK;
}

ssa_status ssa_list_devices(FILE *out, bool json) { return ssa_list_devices_of(NULL, out, json); }

ssa_status ssa_list_devices_of(const char *wanted, FILE *out, bool json) {
    probe_found *found = calloc(APIS, sizeof *found);
    ssa_status   s = SSA_OK;
    char       memory[32];
    if (!found) return SSA_ERR_MEMORY;
    for (int i = 0; i < APIS; i++)
        if (of_api(wanted, api[i].name)) ask(found, i);
    if (json) s = print_json(out, found, wanted);
    else {
        if (of_api(wanted, "cpu")) fprintf(out, "cpu: the reference, %ld processors, memory %s\n", sysconf(_SC_NPROCESSORS_ONLN),
                size_text((uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE), memory));
        for (int i = 0; i < APIS; i++) {
            if (!of_api(wanted, api[i].name)) continue;
            for (int k = 0; k < found[i].count; k++) print_device(out, &found[i].info[k], &found[i].limits[k]);
            if (!found[i].count) fprintf(out, "%s: none (%s)\n", api[i].name, found[i].reason.text);
        }
    }
    for (int i = 0; i < APIS && !s; i++) /* not an absence, but something the user can mend */
        if (found[i].reason.status == SSA_ERR_INPUT) s = SSA_ERR_INPUT;
    free(found);
    return fflush(out) || ferror(out) ? SSA_ERR_RUNTIME : s;
}
