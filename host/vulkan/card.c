/* What a physical device is and can do. */
#include "vulkan/inside.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct { VkExtensionProperties *item; uint32_t count; } extension_list;

static bool listed(const extension_list *list, const char *name) {
    for (uint32_t i = 0; i < list->count; i++)
        if (!strcmp(list->item[i].extensionName, name)) return true;
    return false;
}

static extension_list extensions_of(const vulkan_instance *in, VkPhysicalDevice handle) {
    extension_list list = {0};
    if (in->vkEnumerateDeviceExtensionProperties(handle, NULL, &list.count, NULL) != VK_SUCCESS || !list.count) return (extension_list){0};
    list.item = calloc(list.count, sizeof *list.item);
    if (!list.item || in->vkEnumerateDeviceExtensionProperties(handle, NULL, &list.count, list.item) < 0) list.count = 0;
    return list;
}

static void chain(void *head, void *next) {
    VkBaseOutStructure *last = head;
    while (last->pNext) last = last->pNext;
    last->pNext = next;
}

static void query_features(const vulkan_instance *in, vulkan_card *card, const extension_list *list, bool executables, vulkan_features *f) {
    memset(f, 0, sizeof *f);
    card->extension_count = 0;
    f->base.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2;
    /* A structure may be asked about where the core version has it, or else where its extension is listed. */
    struct {
        void           *structure;
        VkStructureType type;
        uint32_t        core;
        const char     *extension;
    } want[] = {
        {&f->storage16, VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_16BIT_STORAGE_FEATURES, VK_API_VERSION_1_1, NULL},
        {&f->storage8, VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_8BIT_STORAGE_FEATURES, VK_API_VERSION_1_2, VK_KHR_8BIT_STORAGE_EXTENSION_NAME},
        {&f->float16_int8, VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_FLOAT16_INT8_FEATURES, VK_API_VERSION_1_2,
         VK_KHR_SHADER_FLOAT16_INT8_EXTENSION_NAME},
        {&f->extended_types, VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_SUBGROUP_EXTENDED_TYPES_FEATURES, VK_API_VERSION_1_2,
         VK_KHR_SHADER_SUBGROUP_EXTENDED_TYPES_EXTENSION_NAME},
        {&f->memory_model, VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_MEMORY_MODEL_FEATURES, VK_API_VERSION_1_2,
         VK_KHR_VULKAN_MEMORY_MODEL_EXTENSION_NAME},
        {&f->subgroup_size, VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_SIZE_CONTROL_FEATURES, VK_API_VERSION_1_3,
         VK_EXT_SUBGROUP_SIZE_CONTROL_EXTENSION_NAME},
        {&f->maintenance4, VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MAINTENANCE_4_FEATURES, VK_API_VERSION_1_3, VK_KHR_MAINTENANCE_4_EXTENSION_NAME},
        {&f->coopmat, VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_COOPERATIVE_MATRIX_FEATURES_KHR, UINT32_MAX, VK_KHR_COOPERATIVE_MATRIX_EXTENSION_NAME},
        {&f->bfloat16, VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_BFLOAT16_FEATURES_KHR, UINT32_MAX, VK_KHR_SHADER_BFLOAT16_EXTENSION_NAME},
    };
    for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
        bool core = card->version >= want[i].core;
        ((VkBaseOutStructure *)want[i].structure)->sType = want[i].type;
        if (!core && !listed(list, want[i].extension)) continue;
        chain(&f->base, want[i].structure);
        if (!core) card->extensions[card->extension_count++] = want[i].extension;
    }
    if (executables && listed(list, VK_KHR_PIPELINE_EXECUTABLE_PROPERTIES_EXTENSION_NAME)) {
        f->executables.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PIPELINE_EXECUTABLE_PROPERTIES_FEATURES_KHR;
        chain(&f->base, &f->executables);
        card->extensions[card->extension_count++] = VK_KHR_PIPELINE_EXECUTABLE_PROPERTIES_EXTENSION_NAME;
    }
    if (listed(list, VK_KHR_PORTABILITY_SUBSET_EXTENSION_NAME)) card->extensions[card->extension_count++] = VK_KHR_PORTABILITY_SUBSET_EXTENSION_NAME;
    in->vkGetPhysicalDeviceFeatures2(card->handle, &f->base);
    /* Of the classic features, only these; the rest (robust access above all) costs something or is for graphics. */
    VkPhysicalDeviceFeatures has = f->base.features;
    f->base.features = (VkPhysicalDeviceFeatures){.shaderInt16 = has.shaderInt16, .shaderInt64 = has.shaderInt64};
    f->coopmat.cooperativeMatrixRobustBufferAccess = VK_FALSE;
    f->storage16.storageInputOutput16 = VK_FALSE;
}

void vulkan_card_features(const vulkan_instance *in, vulkan_card *card, bool executables, vulkan_features *f) {
    extension_list list = extensions_of(in, card->handle);
    query_features(in, card, &list, executables, f);
    free(list.item);
}

static bool component(VkComponentTypeKHR t, dev_component *out) {
    if (t == VK_COMPONENT_TYPE_BFLOAT16_KHR) *out = DEV_TYPE_BF16;
    else if (t == VK_COMPONENT_TYPE_FLOAT16_KHR) *out = DEV_TYPE_F16;
    else if (t == VK_COMPONENT_TYPE_FLOAT32_KHR) *out = DEV_TYPE_F32;
    else return false;
    return true;
}

/* The floating-point shapes of subgroup scope. */
static void find_matrices(const vulkan_instance *in, const vulkan_card *card, dev_capabilities *can) {
    PFN_vkGetPhysicalDeviceCooperativeMatrixPropertiesKHR get =
        (PFN_vkGetPhysicalDeviceCooperativeMatrixPropertiesKHR)vkGetInstanceProcAddr(in->handle, "vkGetPhysicalDeviceCooperativeMatrixPropertiesKHR");
    VkCooperativeMatrixPropertiesKHR shape[128];
    uint32_t                         n = 128;
    for (uint32_t i = 0; i < n; i++) shape[i] = (VkCooperativeMatrixPropertiesKHR){.sType = VK_STRUCTURE_TYPE_COOPERATIVE_MATRIX_PROPERTIES_KHR};
    if (!get || get(card->handle, &n, shape) < 0) return;
    for (uint32_t i = 0; i < n && can->matrices < DEV_MAX_MATRICES; i++) {
        const VkCooperativeMatrixPropertiesKHR *p = &shape[i];
        dev_matrix m = {.M = (uint16_t)p->MSize, .N = (uint16_t)p->NSize, .K = (uint16_t)p->KSize, .scope = DEV_SCOPE_SUBGROUP};
        if (p->AType != p->BType || p->CType != p->ResultType || p->scope != VK_SCOPE_SUBGROUP_KHR) continue;
        if (component(p->AType, &m.a) && component(p->CType, &m.c)) can->matrix[can->matrices++] = m;
    }
}

static void find_capabilities(const vulkan_instance *in, const vulkan_card *card, const vulkan_features *f,
                              const VkPhysicalDeviceSubgroupProperties *sub, dev_capabilities *can) {
    const struct { bool has; uint32_t feature; } single[] = {
        {f->float16_int8.shaderFloat16, DEV_FP16}, {f->storage16.storageBuffer16BitAccess, DEV_STORAGE16}, {f->base.features.shaderInt16, DEV_INT16},
        {f->float16_int8.shaderInt8, DEV_INT8}, {f->storage8.storageBuffer8BitAccess, DEV_STORAGE8}, {f->base.features.shaderInt64, DEV_INT64},
        {f->memory_model.vulkanMemoryModel, DEV_MEMORY_MODEL}, {f->bfloat16.shaderBFloat16Type, DEV_BFLOAT16},
        {f->bfloat16.shaderBFloat16CooperativeMatrix, DEV_BFLOAT16_MATRIX}, {f->coopmat.cooperativeMatrix, DEV_MATRIX}};
    const struct { VkSubgroupFeatureFlags bit; uint32_t feature; } subgroup[] = {
        {VK_SUBGROUP_FEATURE_BASIC_BIT, DEV_SUBGROUP_BASIC}, {VK_SUBGROUP_FEATURE_VOTE_BIT, DEV_SUBGROUP_VOTE},
        {VK_SUBGROUP_FEATURE_ARITHMETIC_BIT, DEV_SUBGROUP_ARITHMETIC}, {VK_SUBGROUP_FEATURE_BALLOT_BIT, DEV_SUBGROUP_BALLOT},
        {VK_SUBGROUP_FEATURE_SHUFFLE_BIT, DEV_SUBGROUP_SHUFFLE}, {VK_SUBGROUP_FEATURE_SHUFFLE_RELATIVE_BIT, DEV_SUBGROUP_SHUFFLE_RELATIVE},
        {VK_SUBGROUP_FEATURE_CLUSTERED_BIT, DEV_SUBGROUP_CLUSTERED}};
    *can = (dev_capabilities){0};
    for (size_t i = 0; i < sizeof single / sizeof *single; i++)
        if (single[i].has) can->features |= single[i].feature;
    for (size_t i = 0; i < sizeof subgroup / sizeof *subgroup; i++)
        if ((sub->supportedStages & VK_SHADER_STAGE_COMPUTE_BIT) && (sub->supportedOperations & subgroup[i].bit)) can->features |= subgroup[i].feature;
    if (f->coopmat.cooperativeMatrix) find_matrices(in, card, can);
}

/* A family with compute: preferably without graphics, where no display waits for us. */
static bool find_queue(const vulkan_instance *in, vulkan_card *card) {
    VkQueueFamilyProperties family[32];
    uint32_t                n = 32;
    int                     best = -1;
    in->vkGetPhysicalDeviceQueueFamilyProperties(card->handle, &n, family);
    for (int i = 0; i < (int)n; i++) {
        if (!(family[i].queueFlags & VK_QUEUE_COMPUTE_BIT) || !family[i].queueCount) continue;
        if (best < 0 || ((family[best].queueFlags & VK_QUEUE_GRAPHICS_BIT) && !(family[i].queueFlags & VK_QUEUE_GRAPHICS_BIT))) best = i;
    }
    if (best < 0) return false;
    card->family = (uint32_t)best;
    card->timestamp_bits = family[best].timestampValidBits;
    return true;
}

static uint32_t least(uint32_t a, uint32_t b) { return a < b ? a : b; }

static bool describe(const vulkan_instance *in, vulkan_card *card) {
    VkPhysicalDeviceProperties plain;
    in->vkGetPhysicalDeviceProperties(card->handle, &plain);
    if (plain.apiVersion < VK_API_VERSION_1_1 || !find_queue(in, card)) return false;
    card->version = plain.apiVersion < VK_API_VERSION_1_3 ? plain.apiVersion : VK_API_VERSION_1_3;
    extension_list  list = extensions_of(in, card->handle);
    vulkan_features f;
    query_features(in, card, &list, false, &f);

    VkPhysicalDeviceProperties2                    p = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2};
    VkPhysicalDeviceIDProperties                   id = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_ID_PROPERTIES};
    VkPhysicalDeviceSubgroupProperties             sub = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_PROPERTIES};
    VkPhysicalDeviceMaintenance3Properties         m3 = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MAINTENANCE_3_PROPERTIES};
    VkPhysicalDeviceMaintenance4Properties         m4 = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MAINTENANCE_4_PROPERTIES};
    VkPhysicalDeviceDriverProperties               driver = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_DRIVER_PROPERTIES};
    VkPhysicalDeviceSubgroupSizeControlProperties  size = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_SIZE_CONTROL_PROPERTIES};
    VkPhysicalDevicePCIBusInfoPropertiesEXT        pci = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PCI_BUS_INFO_PROPERTIES_EXT};
    bool has_driver = card->version >= VK_API_VERSION_1_2 || listed(&list, VK_KHR_DRIVER_PROPERTIES_EXTENSION_NAME);
    bool has_pci = listed(&list, VK_EXT_PCI_BUS_INFO_EXTENSION_NAME);
    chain(&p, &id);
    chain(&p, &sub);
    chain(&p, &m3);
    if (f.maintenance4.maintenance4) chain(&p, &m4);
    if (has_driver) chain(&p, &driver);
    if (f.subgroup_size.subgroupSizeControl) chain(&p, &size);
    if (has_pci) chain(&p, &pci);
    in->vkGetPhysicalDeviceProperties2(card->handle, &p);
    free(list.item);
    VkPhysicalDeviceMemoryProperties memory;
    in->vkGetPhysicalDeviceMemoryProperties(card->handle, &memory);

    static const dev_type types[] = {DEV_OTHER, DEV_INTEGRATED, DEV_DISCRETE, DEV_VIRTUAL, DEV_CPU};
    dev_info *info = &card->info;
    snprintf(info->api, sizeof info->api, "vulkan");
    snprintf(info->name, sizeof info->name, "%s", plain.deviceName);
    if (has_driver)
        snprintf(info->driver, sizeof info->driver, "%s%s%s", driver.driverName, driver.driverInfo[0] ? " " : "", driver.driverInfo);
    else snprintf(info->driver, sizeof info->driver, "driver 0x%x", plain.driverVersion);
    snprintf(info->api_version, sizeof info->api_version, "%u.%u.%u", VK_API_VERSION_MAJOR(plain.apiVersion), VK_API_VERSION_MINOR(plain.apiVersion),
             VK_API_VERSION_PATCH(plain.apiVersion));
    info->vendor_id = plain.vendorID;
    info->device_id = plain.deviceID;
    memcpy(info->uuid, id.deviceUUID, sizeof info->uuid);
    info->has_uuid = true;
    if (has_pci)
        snprintf(info->pci, sizeof info->pci, "%04x:%02x:%02x.%x", pci.pciDomain & 0xffff, pci.pciBus & 0xff, pci.pciDevice & 0xff,
                 pci.pciFunction & 0xf);
    info->type = (unsigned)plain.deviceType < 5 ? types[plain.deviceType] : DEV_OTHER;
    find_capabilities(in, card, &f, &sub, &card->limits.can);

    const VkPhysicalDeviceLimits *v = &plain.limits;
    dev_limits *l = &card->limits;
    l->max_range = v->maxStorageBufferRange;
    l->max_buffer = m3.maxMemoryAllocationSize;
    if (f.maintenance4.maintenance4 && m4.maxBufferSize < l->max_buffer) l->max_buffer = m4.maxBufferSize;
    for (uint32_t i = 0; i < memory.memoryHeapCount; i++)
        if ((memory.memoryHeaps[i].flags & VK_MEMORY_HEAP_DEVICE_LOCAL_BIT) && memory.memoryHeaps[i].size > l->heap)
            l->heap = memory.memoryHeaps[i].size;
    for (int i = 0; i < 3; i++) l->max_groups[i] = v->maxComputeWorkGroupCount[i];
    l->max_invocations = least(v->maxComputeWorkGroupInvocations, v->maxComputeWorkGroupSize[0]);
    l->shared_bytes = v->maxComputeSharedMemorySize;
    l->push_bytes = v->maxPushConstantsSize;
    l->max_bindings = least(least(v->maxPerStageDescriptorStorageBuffers, v->maxDescriptorSetStorageBuffers), v->maxPerStageResources);
    /* Sizes are only relied on where they can be required of a pipeline. */
    if (f.subgroup_size.subgroupSizeControl && f.subgroup_size.computeFullSubgroups &&
        (size.requiredSubgroupSizeStages & VK_SHADER_STAGE_COMPUTE_BIT)) {
        l->subgroup_min = size.minSubgroupSize;
        l->subgroup_max = size.maxSubgroupSize;
        card->max_subgroups = size.maxComputeWorkgroupSubgroups;
    }
    l->storage16 = f.storage16.storageBuffer16BitAccess && f.base.features.shaderInt16;
    card->timestamp_period = (double)v->timestampPeriod;
    return true;
}

ssa_status vulkan_cards(const vulkan_instance *in, vulkan_card cards[MAX_CARDS], int *count, ssa_error *err) {
    static const int rank[] = {[DEV_DISCRETE] = 0, [DEV_INTEGRATED] = 1, [DEV_VIRTUAL] = 2, [DEV_OTHER] = 3, [DEV_CPU] = 4};
    VkPhysicalDevice handle[MAX_CARDS];
    uint32_t         n = MAX_CARDS;
    *count = 0;
    VkResult r = in->vkEnumeratePhysicalDevices(in->handle, &n, handle);
    if (r < 0) return ssa_fail(err, SSA_ERR_UNSUPPORTED, "no Vulkan driver answers (%s)", vulkan_result_name(r));
    if (r == VK_INCOMPLETE) return ssa_fail(err, SSA_ERR_UNSUPPORTED, "there are more than the %d Vulkan devices that are taken; VK_DRIVER_FILES can hide some", MAX_CARDS);
    for (uint32_t i = 0; i < n; i++) {
        vulkan_card card = {.handle = handle[i]};
        if (!describe(in, &card)) continue;
        int at = (*count)++;
        for (; at > 0 && rank[cards[at - 1].info.type] > rank[card.info.type]; at--) cards[at] = cards[at - 1];
        cards[at] = card;
    }
    for (int i = 0; i < *count; i++) cards[i].info.index = i;
    if (!*count)
        return ssa_fail(err, SSA_ERR_UNSUPPORTED, n ? "no Vulkan driver of version 1.1 or newer with a compute queue" : "no Vulkan driver found");
    return SSA_OK;
}
