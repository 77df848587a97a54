/* Pipelines, one per kernel description, and descriptor sets. */
#include "vulkan/inside.h"
#include "shader/compile.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <xxhash.h>

/* -- descriptor sets ----------------------------------------------------------------------------------------------------- */

static ssa_status add_pool(vulkan_device *d, vulkan_sets *sets, ssa_error *err) {
    VkDescriptorPool *grown = realloc(sets->pool, (size_t)(sets->pools + 1) * sizeof *grown);
    if (!grown) return ssa_fail(err, SSA_ERR_MEMORY, "out of memory for descriptor sets");
    sets->pool = grown;
    VkDescriptorPoolSize       size = {VK_DESCRIPTOR_TYPE_STORAGE_BUFFER, SETS_PER_POOL * DEV_MAX_BINDINGS};
    VkDescriptorPoolCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_DESCRIPTOR_POOL_CREATE_INFO, .maxSets = SETS_PER_POOL, .poolSizeCount = 1, .pPoolSizes = &size};
    VK_TRY(d, d->vk.vkCreateDescriptorPool(d->handle, &info, NULL, &sets->pool[sets->pools]), "making descriptor sets", err);
    sets->pools++;
    return SSA_OK;
}

ssa_status vulkan_set(vulkan_device *d, vulkan_sets *sets, const dev_kernel *k, const VkDescriptorBufferInfo *infos, VkDescriptorSet *out,
                      ssa_error *err) {
    if (sets->used == SETS_PER_POOL) {
        sets->current++;
        sets->used = 0;
    }
    if (sets->current == sets->pools) SSA_TRY(add_pool(d, sets, err));
    VkDescriptorSetAllocateInfo info = {.sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_ALLOCATE_INFO,
                                        .descriptorPool = sets->pool[sets->current],
                                        .descriptorSetCount = 1,
                                        .pSetLayouts = &d->kernels.set_layout[k->desc.bindings]};
    VK_TRY(d, d->vk.vkAllocateDescriptorSets(d->handle, &info, out), "making a descriptor set", err);
    sets->used++;
    VkWriteDescriptorSet write[DEV_MAX_BINDINGS];
    for (int i = 0; i < k->desc.bindings; i++)
        write[i] = (VkWriteDescriptorSet){.sType = VK_STRUCTURE_TYPE_WRITE_DESCRIPTOR_SET,
                                          .dstSet = *out,
                                          .dstBinding = (uint32_t)i,
                                          .descriptorCount = 1,
                                          .descriptorType = VK_DESCRIPTOR_TYPE_STORAGE_BUFFER,
                                          .pBufferInfo = &infos[i]};
    d->vk.vkUpdateDescriptorSets(d->handle, (uint32_t)k->desc.bindings, write, 0, NULL);
    return SSA_OK;
}

void vulkan_sets_reset(vulkan_device *d, vulkan_sets *sets) {
    for (int i = 0; i < sets->pools && i <= sets->current; i++) d->vk.vkResetDescriptorPool(d->handle, sets->pool[i], 0);
    sets->current = sets->used = 0;
}

void vulkan_sets_destroy(vulkan_device *d, vulkan_sets *sets) {
    for (int i = 0; i < sets->pools; i++) d->vk.vkDestroyDescriptorPool(d->handle, sets->pool[i], NULL);
    free(sets->pool);
    *sets = (vulkan_sets){0};
}

/* -- pipelines ----------------------------------------------------------------------------------------------------------- */

/* One layout per number of bindings. The parameters' range is the largest any kernel has: 128 bytes, which every device takes. */
static ssa_status make_layout(vulkan_device *d, int bindings, ssa_error *err) {
    VkDescriptorSetLayoutBinding b[DEV_MAX_BINDINGS];
    vulkan_kernels              *ks = &d->kernels;
    for (int i = 0; i < bindings; i++)
        b[i] = (VkDescriptorSetLayoutBinding){.binding = (uint32_t)i,
                                              .descriptorType = VK_DESCRIPTOR_TYPE_STORAGE_BUFFER,
                                              .descriptorCount = 1,
                                              .stageFlags = VK_SHADER_STAGE_COMPUTE_BIT};
    VkDescriptorSetLayoutCreateInfo set = {
        .sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_LAYOUT_CREATE_INFO, .bindingCount = (uint32_t)bindings, .pBindings = b};
    VkPushConstantRange             range = {VK_SHADER_STAGE_COMPUTE_BIT, 0, 4 * (DEV_OFFSET_WORDS + DEV_MAX_PARAMS)};
    if (!ks->set_layout[bindings])
        VK_TRY(d, d->vk.vkCreateDescriptorSetLayout(d->handle, &set, NULL, &ks->set_layout[bindings]), "making a descriptor layout", err);
    VkPipelineLayoutCreateInfo info = {.sType = VK_STRUCTURE_TYPE_PIPELINE_LAYOUT_CREATE_INFO,
                                       .setLayoutCount = 1,
                                       .pSetLayouts = &ks->set_layout[bindings],
                                       .pushConstantRangeCount = 1,
                                       .pPushConstantRanges = &range};
    return vulkan_check(d, d->vk.vkCreatePipelineLayout(d->handle, &info, NULL, &ks->layout[bindings]), "making a pipeline layout", err);
}

static uint64_t hash_of(const dev_kernel_desc *k) {
    uint32_t words[6 + DEV_MAX_CONSTANTS] = {(uint32_t)k->act,    (uint32_t)k->act2,           (uint32_t)k->bindings,
                                             (uint32_t)k->params, (uint32_t)k->constant_count, k->subgroup};
    for (int i = 0; i < k->constant_count; i++) words[6 + i] = k->constants[i].value;
    return XXH3_64bits_withSeed(words, sizeof words, XXH3_64bits(k->name, strlen(k->name)));
}

static bool same(const dev_kernel_desc *a, const dev_kernel_desc *b) {
    if (a->act != b->act || a->act2 != b->act2 || a->bindings != b->bindings || a->params != b->params || a->constant_count != b->constant_count ||
        a->subgroup != b->subgroup)
        return false;
    for (int i = 0; i < a->constant_count; i++)
        if (a->constants[i].value != b->constants[i].value) return false;
    return !strcmp(a->name, b->name);
}

static ssa_status check_limits(const vulkan_device *d, const dev_kernel_desc *k, ssa_error *err) {
    const dev_limits *l = &d->base.limits;
    int      index = d->base.info.index;
    uint32_t wg = k->constant_count ? k->constants[0].value : 1, push = 4 * (DEV_OFFSET_WORDS + (uint32_t)k->params);
    if (k->bindings < 0 || k->bindings > DEV_MAX_BINDINGS || (uint32_t)k->bindings > l->max_bindings)
        return ssa_fail(err, SSA_ERR_UNSUPPORTED, "kernel %s has %d buffers, vulkan:%d allows %u", k->name, k->bindings, index,
                        l->max_bindings < DEV_MAX_BINDINGS ? l->max_bindings : DEV_MAX_BINDINGS);
    if (k->params < 0 || k->params > DEV_MAX_PARAMS || push > l->push_bytes)
        return ssa_fail(err, SSA_ERR_UNSUPPORTED, "kernel %s has %u bytes of parameters, vulkan:%d allows %u", k->name, push, index, l->push_bytes);
    if (wg < 1 || wg > l->max_invocations)
        return ssa_fail(err, SSA_ERR_UNSUPPORTED, "kernel %s wants a workgroup of %u, vulkan:%d allows 1..%u", k->name, wg, index,
                        l->max_invocations);
    if ((k->act || k->act2) && !l->storage16)
        return ssa_fail(err, SSA_ERR_UNSUPPORTED, "kernel %s wants 16-bit buffers, vulkan:%d has none", k->name, index);
    if (k->subgroup && (k->subgroup < l->subgroup_min || k->subgroup > l->subgroup_max || (k->subgroup & (k->subgroup - 1))))
        return ssa_fail(err, SSA_ERR_UNSUPPORTED, "kernel %s wants subgroups of %u, vulkan:%d offers %u..%u", k->name, k->subgroup, index,
                        l->subgroup_min, l->subgroup_max);
    if (k->subgroup && (wg % k->subgroup || wg / k->subgroup > d->card.max_subgroups))
        return ssa_fail(err, SSA_ERR_UNSUPPORTED, "kernel %s: a workgroup of %u is not whole subgroups of %u, or too many", k->name, wg, k->subgroup);
    return SSA_OK;
}

/* SPIR-V of a kernel: the caller's, compiled from the caller's GLSL, or from ours. */
static ssa_status code_of(vulkan_device *d, const dev_kernel_desc *desc, spirv *out, ssa_error *err) {
    const char    *own = device_kernel_code(&d->base, desc->name);
    const uint32_t magic = 0x07230203;
    size_t         bytes = d->base.kernel_bytes;
    bool           vulkan13 = d->card.version >= VK_API_VERSION_1_3;
    if (!own || bytes < 20 || memcmp(own, &magic, 4)) return shader_compile(desc->name, own, desc->act, desc->act2, vulkan13, out, err);
    if (bytes % 4) return ssa_fail(err, SSA_ERR_INPUT, "kernel %s: %zu bytes of SPIR-V are not whole words", desc->name, bytes);
    if (!(out->words = malloc(bytes))) return ssa_fail(err, SSA_ERR_MEMORY, "out of memory for kernel %s", desc->name);
    memcpy(out->words, own, out->bytes = bytes);
    return SSA_OK;
}

/* What the driver's compiler is given, by itself: a compiler that is left behind goes on using it. */
typedef struct {
    vulkan_device           *d;
    spirv                    code;
    uint32_t                 value[DEV_MAX_CONSTANTS], subgroup, constants;
    VkPipelineLayout         layout;
    VkPipeline               pipeline;
    VkResult                 module_result, result;
} compilation;

static void build_pipeline(void *arg) {
    compilation             *c = arg;
    vulkan_device           *d = c->d;
    VkShaderModule           module;
    VkSpecializationMapEntry entry[DEV_MAX_CONSTANTS];
    VkShaderModuleCreateInfo mi = {.sType = VK_STRUCTURE_TYPE_SHADER_MODULE_CREATE_INFO, .codeSize = c->code.bytes, .pCode = c->code.words};
    if ((c->module_result = d->vk.vkCreateShaderModule(d->handle, &mi, NULL, &module))) return;
    for (uint32_t i = 0; i < c->constants; i++) entry[i] = (VkSpecializationMapEntry){i, i * 4, 4};
    VkSpecializationInfo spec = {c->constants, entry, (size_t)c->constants * 4, c->value};
    VkPipelineShaderStageRequiredSubgroupSizeCreateInfo size = {.sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_REQUIRED_SUBGROUP_SIZE_CREATE_INFO,
                                                                .requiredSubgroupSize = c->subgroup};
    VkComputePipelineCreateInfo info = {.sType = VK_STRUCTURE_TYPE_COMPUTE_PIPELINE_CREATE_INFO,
                                        .layout = c->layout,
                                        .stage = {.sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_CREATE_INFO,
                                                  .stage = VK_SHADER_STAGE_COMPUTE_BIT,
                                                  .module = module,
                                                  .pName = "main",
                                                  .pSpecializationInfo = &spec}};
    if (c->subgroup) {
        info.stage.pNext = &size;
        info.stage.flags = VK_PIPELINE_SHADER_STAGE_CREATE_REQUIRE_FULL_SUBGROUPS_BIT;
    }
    if (d->executables) info.flags |= VK_PIPELINE_CREATE_CAPTURE_STATISTICS_BIT_KHR;
    c->result = d->vk.vkCreateComputePipelines(d->handle, VK_NULL_HANDLE, 1, &info, NULL, &c->pipeline);
    d->vk.vkDestroyShaderModule(d->handle, module, NULL);
}

static ssa_status make_pipeline(vulkan_device *d, dev_kernel *k, double *seconds, ssa_error *err) {
    const dev_kernel_desc *desc = &k->desc;
    struct timespec        start, end;
    ssa_error              late = {0};
    if (!d->kernels.layout[desc->bindings]) SSA_TRY(make_layout(d, desc->bindings, err));
    compilation *c = calloc(1, sizeof *c);
    if (!c) return ssa_fail(err, SSA_ERR_MEMORY, "out of memory for kernel %s", desc->name);
    *c = (compilation){.d = d, .layout = d->kernels.layout[desc->bindings], .subgroup = desc->subgroup, .constants = (uint32_t)desc->constant_count};
    for (int i = 0; i < desc->constant_count; i++) c->value[i] = desc->constants[i].value;
    ssa_status s = code_of(d, desc, &c->code, err);
    clock_gettime(CLOCK_MONOTONIC, &start);
    if (!s && (s = patience_run(&d->base, desc->name, build_pipeline, c, &late))) ssa_fail(err, s, "%s", late.text);
    clock_gettime(CLOCK_MONOTONIC, &end);
    *seconds = (double)(end.tv_sec - start.tv_sec) + 1e-9 * (double)(end.tv_nsec - start.tv_nsec);
    if (d->base.abandoned) return ssa_fail(&d->lost, s, "%s", late.text);
    VkResult r = c->result, module = c->module_result;
    k->pipeline = c->pipeline;
    free(c->code.words);
    free(c);
    if (s) return s;
    VK_TRY(d, module, "making a shader module", err);
    if (d->verbose && *seconds > 1) fprintf(stderr, "vulkan:%d: kernel %s took %.1f s to build\n", d->base.info.index, desc->name, *seconds);
    if (r == VK_SUCCESS || r == VK_ERROR_DEVICE_LOST) return vulkan_check(d, r, "building a kernel", err);
    return ssa_fail(err, SSA_ERR_UNSUPPORTED, "vulkan:%d's driver does not build kernel %s (%s)", d->base.info.index, desc->name,
                    vulkan_result_name(r));
}

ssa_status vulkan_kernel(device *dev, const dev_kernel_desc *desc, dev_kernel **out, ssa_error *err) {
    vulkan_device *d = (vulkan_device *)dev;
    uint64_t       hash = hash_of(desc);
    dev_kernel   **row = &d->kernels.row[hash % KERNEL_ROWS];
    if (d->lost.status) return ssa_fail(err, d->lost.status, "%s", d->lost.text);
    for (dev_kernel *k = *row; k; k = k->next)
        if (k->hash == hash && same(&k->desc, desc)) {
            const char *failure = vulkan_statistics_failure(k->statistics);
            if (failure) return ssa_fail(err, SSA_ERR_UNSUPPORTED, "%s", failure);
            *out = k;
            return SSA_OK;
        }
    SSA_TRY(check_limits(d, desc, err));
    dev_kernel *k = calloc(1, sizeof *k + strlen(desc->name) + 1);
    if (!k) return ssa_fail(err, SSA_ERR_MEMORY, "out of memory for kernel %s", desc->name);
    strcpy(k->name, desc->name);
    k->desc = *desc;
    k->desc.name = k->name;
    k->hash = hash;
    double     seconds = 0;
    ssa_status s = make_pipeline(d, k, &seconds, err);
    if (d->compile_only && (!s || s == SSA_ERR_UNSUPPORTED)) s = vulkan_statistics_take(d, k, seconds, s, err);
    if (s && !k->statistics) {
        free(k);
        return s;
    }
    k->next = *row; /* a failure is kept too where it is to be reported */
    *row = k;
    *out = k;
    return s;
}

void vulkan_kernels_destroy(vulkan_device *d) {
    for (int i = 0; i < KERNEL_ROWS; i++)
        for (dev_kernel *k = d->kernels.row[i], *next; k; k = next) {
            next = k->next;
            d->vk.vkDestroyPipeline(d->handle, k->pipeline, NULL);
            vulkan_statistics_free(k->statistics);
            free(k);
        }
    for (int i = 0; i <= DEV_MAX_BINDINGS; i++) {
        if (d->kernels.layout[i]) d->vk.vkDestroyPipelineLayout(d->handle, d->kernels.layout[i], NULL);
        if (d->kernels.set_layout[i]) d->vk.vkDestroyDescriptorSetLayout(d->handle, d->kernels.set_layout[i], NULL);
    }
    memset(&d->kernels, 0, sizeof d->kernels);
}
