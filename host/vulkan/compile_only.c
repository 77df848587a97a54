/* Devices that compile and do nothing else: pipelines are built as for real, launches are checked and dropped, reads give zeros.
 * For drivers without their hardware (RADV's null device, NVK over the drm shim), and to see what a real card's compiler
 * makes of every kernel: registers, spills, shared memory, occupancy. */
#include "vulkan/inside.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* -- what the driver says of a pipeline ---------------------------------------------------------------------------------- */

struct vulkan_statistics {
    int                count, capacity;
    double             seconds;
    char               failure[sizeof ((ssa_error *)0)->text]; /* why the pipeline was not built; empty: it was */
    ssa_compiled_value *value;
};

void vulkan_statistics_free(vulkan_statistics *s) {
    if (!s) return;
    for (int i = 0; i < s->count; i++) free((char *)s->value[i].name);
    free(s->value);
    free(s);
}

/* Of several executables of a pipeline (subgroup sizes to choose from at launch) the largest value counts. */
static bool add_value(vulkan_statistics *s, const char *name, double v) {
    for (int i = 0; i < s->count; i++)
        if (!strcmp(s->value[i].name, name)) {
            if (v > s->value[i].value) s->value[i].value = v;
            return true;
        }
    if (s->count == s->capacity) {
        int                 capacity = s->capacity ? 2 * s->capacity : 32;
        ssa_compiled_value *grown = realloc(s->value, (size_t)capacity * sizeof *grown);
        if (!grown) return false;
        s->value = grown;
        s->capacity = capacity;
    }
    char *copy = strdup(name);
    if (!copy) return false;
    s->value[s->count++] = (ssa_compiled_value){copy, v};
    return true;
}

static double number(const VkPipelineExecutableStatisticKHR *s) {
    switch (s->format) {
    case VK_PIPELINE_EXECUTABLE_STATISTIC_FORMAT_BOOL32_KHR: return s->value.b32;
    case VK_PIPELINE_EXECUTABLE_STATISTIC_FORMAT_INT64_KHR: return (double)s->value.i64;
    case VK_PIPELINE_EXECUTABLE_STATISTIC_FORMAT_UINT64_KHR: return (double)s->value.u64;
    default: return s->value.f64;
    }
}

static ssa_status ask(vulkan_device *d, VkPipeline pipeline, vulkan_statistics *s, ssa_error *err) {
    enum { EXECUTABLES = 16, STATISTICS = 96 };
    VkPipelineInfoKHR                 which = {.sType = VK_STRUCTURE_TYPE_PIPELINE_INFO_KHR, .pipeline = pipeline};
    VkPipelineExecutablePropertiesKHR executable[EXECUTABLES];
    VkPipelineExecutableStatisticKHR  statistic[STATISTICS];
    uint32_t                          n = EXECUTABLES, count;
    if (!d->vk.vkGetPipelineExecutablePropertiesKHR || !d->vk.vkGetPipelineExecutableStatisticsKHR) return SSA_OK;
    for (int i = 0; i < EXECUTABLES; i++)
        executable[i] = (VkPipelineExecutablePropertiesKHR){.sType = VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_PROPERTIES_KHR};
    if (d->vk.vkGetPipelineExecutablePropertiesKHR(d->handle, &which, &n, executable) < 0) return SSA_OK;
    for (uint32_t i = 0; i < n; i++) {
        VkPipelineExecutableInfoKHR info = {.sType = VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_INFO_KHR, .pipeline = pipeline, .executableIndex = i};
        for (int k = 0; k < STATISTICS; k++)
            statistic[k] = (VkPipelineExecutableStatisticKHR){.sType = VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_STATISTIC_KHR};
        count = STATISTICS;
        if (d->vk.vkGetPipelineExecutableStatisticsKHR(d->handle, &info, &count, statistic) < 0) continue;
        for (uint32_t k = 0; k < count; k++)
            if (!add_value(s, statistic[k].name, number(&statistic[k])))
                return ssa_fail(err, SSA_ERR_MEMORY, "out of memory for statistics of a kernel");
        if (executable[i].subgroupSize && !add_value(s, "Subgroup size", executable[i].subgroupSize))
            return ssa_fail(err, SSA_ERR_MEMORY, "out of memory for statistics of a kernel");
    }
    return SSA_OK;
}

ssa_status vulkan_statistics_take(vulkan_device *d, dev_kernel *k, double seconds, ssa_status built, ssa_error *err) {
    k->statistics = calloc(1, sizeof *k->statistics);
    if (!k->statistics) return ssa_fail(err, SSA_ERR_MEMORY, "out of memory for statistics of a kernel");
    k->statistics->seconds = seconds;
    if (!built) return ask(d, k->pipeline, k->statistics, err);
    snprintf(k->statistics->failure, sizeof k->statistics->failure, "%s", err->text);
    return built;
}

const char *vulkan_statistics_failure(const vulkan_statistics *s) { return s && s->failure[0] ? s->failure : NULL; }

/* What the drivers call the things we ask about: Mesa's RADV, NVK, ANV, Turnip and Honeykrisp, and NVIDIA's own (whose "Local
 * Memory Size" is a constant 64 GiB and tells nothing). Entries for one thing add up. */
typedef enum { REGISTERS, SPILLS, SCRATCH, SHARED, CODE, OCCUPANCY, THINGS } thing;
static const struct { const char *name; thing what; } names[] = {
    {"VGPRs", REGISTERS}, {"Number of GPRs", REGISTERS}, {"Register Count", REGISTERS}, {"Registers used", REGISTERS}, {"GPRs", REGISTERS},
    {"Spilled VGPRs", SPILLS}, {"Spilled SGPRs", SPILLS}, {"Spill count", SPILLS}, {"Spills to memory", SPILLS}, {"Spills", SPILLS},
    {"STP Count", SPILLS},
    {"Scratch size", SCRATCH}, {"Scratch Memory Size", SCRATCH}, {"SLM size", SCRATCH}, {"SLM Size", SCRATCH}, {"Stack Size", SCRATCH},
    {"Scratch", SCRATCH},
    {"LDS size", SHARED}, {"LDS Size", SHARED}, {"Workgroup Memory Size", SHARED}, {"Shared Memory Size", SHARED},
    {"Code size", CODE}, {"Code Size", CODE}, {"Binary Size", CODE},
    {"Subgroups per SIMD", OCCUPANCY}, {"Max warps/SM", OCCUPANCY}, {"Max Waves Per Core", OCCUPANCY},
};

static void describe(const dev_kernel *k, ssa_compiled *out, char *constants, size_t size) {
    static const char *const act[] = {"f32", "bf16", "f16"};
    double                   found[THINGS];
    size_t                   used = 0;
    for (int i = 0; i < THINGS; i++) found[i] = -1;
    for (int i = 0; i < k->statistics->count; i++)
        for (size_t n = 0; n < sizeof names / sizeof *names; n++)
            if (!strcmp(k->statistics->value[i].name, names[n].name)) {
                double *f = &found[names[n].what];
                *f = (*f < 0 ? 0 : *f) + k->statistics->value[i].value;
            }
    constants[0] = 0;
    for (int i = 0; i < k->desc.constant_count && used < size; i++)
        used += (size_t)snprintf(constants + used, size - used, "%s%s=%u", i ? " " : "", k->desc.constants[i].name, k->desc.constants[i].value);
    *out = (ssa_compiled){.kernel = k->name, .act = act[k->desc.act], .act2 = act[k->desc.act2], .constants = constants,
                          .subgroup = k->desc.subgroup, .failure = vulkan_statistics_failure(k->statistics), .seconds = k->statistics->seconds,
                          .registers = found[REGISTERS], .spills = found[SPILLS], .scratch_bytes = found[SCRATCH], .shared_bytes = found[SHARED],
                          .code_bytes = found[CODE], .occupancy = found[OCCUPANCY], .values = k->statistics->count,
                          .value = k->statistics->value};
}

static int by_variant(const void *a, const void *b) {
    const dev_kernel *x = *(dev_kernel *const *)a, *y = *(dev_kernel *const *)b;
    int               names_differ = strcmp(x->name, y->name);
    if (names_differ) return names_differ;
    for (int i = 0; i < x->desc.constant_count && i < y->desc.constant_count; i++)
        if (x->desc.constants[i].value != y->desc.constants[i].value) return x->desc.constants[i].value < y->desc.constants[i].value ? -1 : 1;
    if (x->desc.act != y->desc.act) return x->desc.act - y->desc.act;
    if (x->desc.act2 != y->desc.act2) return x->desc.act2 - y->desc.act2;
    return (x->desc.subgroup > y->desc.subgroup) - (x->desc.subgroup < y->desc.subgroup);
}

static ssa_status compile_report(device *dev, void (*each)(void *user, const ssa_compiled *k), void *user, ssa_error *err) {
    vulkan_device *d = (vulkan_device *)dev;
    int            n = 0;
    for (int i = 0; i < KERNEL_ROWS; i++)
        for (dev_kernel *k = d->kernels.row[i]; k; k = k->next) n++;
    dev_kernel **sorted = malloc((size_t)(n + 1) * sizeof *sorted);
    if (!sorted) return ssa_fail(err, SSA_ERR_MEMORY, "out of memory for the list of kernels");
    n = 0;
    for (int i = 0; i < KERNEL_ROWS; i++)
        for (dev_kernel *k = d->kernels.row[i]; k; k = k->next) sorted[n++] = k;
    qsort(sorted, (size_t)n, sizeof *sorted, by_variant);
    for (int i = 0; i < n; i++) {
        ssa_compiled k;
        char         constants[1024];
        describe(sorted[i], &k, constants, sizeof constants);
        each(user, &k);
    }
    free(sorted);
    return SSA_OK;
}

/* -- a device that does nothing ------------------------------------------------------------------------------------------ */

/* Buffers are numbers: no memory stands behind them, so that the shapes of a large model can be compiled on any machine. */
static ssa_status no_alloc(device *dev, uint64_t bytes, dev_buffer **out, ssa_error *err) {
    if (bytes > dev->limits.max_buffer)
        return ssa_fail(err, SSA_ERR_MEMORY, "a buffer of %llu bytes is beyond vulkan:%d's largest of %llu", (unsigned long long)bytes,
                        dev->info.index, (unsigned long long)dev->limits.max_buffer);
    dev_buffer *b = calloc(1, sizeof *b);
    if (!b) return ssa_fail(err, SSA_ERR_MEMORY, "out of memory for a buffer");
    b->bytes = bytes;
    *out = b;
    return SSA_OK;
}

static void no_free(device *dev, dev_buffer *buffer) {
    (void)dev;
    free(buffer);
}

static ssa_status no_write(device *dev, dev_buffer *b, uint64_t offset, uint64_t bytes, const void *host, ssa_error *err) {
    (void)dev, (void)b, (void)offset, (void)bytes, (void)host, (void)err;
    return SSA_OK;
}

static ssa_status zeros(device *dev, dev_buffer *b, uint64_t offset, uint64_t bytes, void *host, ssa_error *err) {
    (void)dev, (void)b, (void)offset, (void)err;
    memset(host, 0, bytes);
    return SSA_OK;
}

/* Launches are held to what a real recording would refuse. */
static ssa_status no_run(device *dev, const dev_launch *launches, int count, ssa_error *err) {
    for (int i = 0; i < count; i++) SSA_TRY(vulkan_check_launch((vulkan_device *)dev, &launches[i], err));
    return SSA_OK;
}

static ssa_status no_record(device *dev, const dev_launch *launches, int count, dev_recorded **out, ssa_error *err) {
    *out = NULL;
    return no_run(dev, launches, count, err);
}

static ssa_status no_replay(device *dev, dev_recorded *recorded, ssa_error *err) {
    (void)dev, (void)recorded, (void)err;
    return SSA_OK;
}

static void no_recorded_free(device *dev, dev_recorded *recorded) { (void)dev, (void)recorded; }

static ssa_status no_wait(device *dev, ssa_error *err) {
    (void)dev, (void)err;
    return SSA_OK;
}

void vulkan_compile_only(device_vtable *vt) {
    vt->alloc = no_alloc;
    vt->free = no_free;
    vt->write = no_write;
    vt->read = zeros;
    vt->run = no_run;
    vt->record = no_record;
    vt->replay = no_replay;
    vt->recorded_free = no_recorded_free;
    vt->wait = no_wait;
    vt->profile = NULL;
    vt->compile_report = compile_report;
}
