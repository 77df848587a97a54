/* The OpenCL platforms and devices of this machine: who they are and what they can do. */
#include "ocl.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void trim(char *text) {
    size_t n = strlen(text), lead = strspn(text, " ");
    while (n > lead && (text[n - 1] == ' ' || text[n - 1] == '\n')) text[--n] = 0;
    memmove(text, text + lead, n - lead + 1);
}

static void copy(char *text, size_t size, const char *all) {
    if ((size_t)snprintf(text, size, "%s", all) >= size) memcpy(text + size - 4, "...", 4); /* cut, and it shows */
}

/* Texts come in two calls: drivers differ in whether a buffer that is too small is an error. */
void ocl_device_text(const ocl_api *cl, cl_device_id id, cl_device_info what, char *text, size_t size) {
    size_t n = 0;
    text[0] = 0;
    if (cl->clGetDeviceInfo(id, what, 0, NULL, &n) || !n) return;
    char *all = calloc(n + 1, 1);
    if (all && !cl->clGetDeviceInfo(id, what, n, all, NULL)) copy(text, size, all);
    free(all);
    trim(text);
}

void ocl_platform_text(const ocl_api *cl, cl_platform_id platform, cl_platform_info what, char *text, size_t size) {
    size_t n = 0;
    text[0] = 0;
    if (cl->clGetPlatformInfo(platform, what, 0, NULL, &n) || !n) return;
    char *all = calloc(n + 1, 1);
    if (all && !cl->clGetPlatformInfo(platform, what, n, all, NULL)) copy(text, size, all);
    free(all);
    trim(text);
}

ssa_status ocl_places(const ocl_api *cl, ocl_place **out, int *count, ssa_error *err) {
    cl_uint platform_count = 0;
    *out = NULL;
    *count = 0;
    cl_int code = cl->clGetPlatformIDs(0, NULL, &platform_count);
    if (code || !platform_count) /* CL_PLATFORM_NOT_FOUND_KHR is the ordinary answer */
        return ssa_fail(err, SSA_ERR_UNSUPPORTED, "no OpenCL driver is installed: the loader found no platform (%s)",
                        code ? ocl_error_name(code) : "none listed");
    cl_platform_id *platforms = calloc(platform_count, sizeof *platforms);
    if (!platforms) return ssa_fail(err, SSA_ERR_MEMORY, "out of memory listing OpenCL platforms");
    ssa_status s = SSA_OK;
    char       empty[256] = "";
    code = cl->clGetPlatformIDs(platform_count, platforms, NULL);
    if (code) s = ssa_fail(err, SSA_ERR_RUNTIME, "OpenCL platforms could not be listed: %s", ocl_error_name(code));
    for (cl_uint p = 0; p < platform_count && !s; p++) {
        cl_uint n = 0;
        if (cl->clGetDeviceIDs(platforms[p], CL_DEVICE_TYPE_ALL, 0, NULL, &n) || !n) { /* a driver without its hardware */
            char name[100];
            ocl_platform_text(cl, platforms[p], CL_PLATFORM_NAME, name, sizeof name);
            size_t used = strlen(empty);
            snprintf(empty + used, sizeof empty - used, "%s%s", used ? ", " : "", name);
            continue;
        }
        cl_device_id *ids = calloc(n, sizeof *ids);
        ocl_place    *grown = realloc(*out, ((size_t)*count + n) * sizeof *grown);
        if (grown) *out = grown;
        if (!ids || !grown) s = ssa_fail(err, SSA_ERR_MEMORY, "out of memory listing OpenCL devices");
        else if (!cl->clGetDeviceIDs(platforms[p], CL_DEVICE_TYPE_ALL, n, ids, NULL))
            for (cl_uint i = 0; i < n; i++) (*out)[(*count)++] = (ocl_place){platforms[p], ids[i]};
        free(ids);
    }
    free(platforms);
    if (!s && !*count)
        s = ssa_fail(err, SSA_ERR_UNSUPPORTED, "no OpenCL device: %u platform%s without a device (%s)", platform_count,
                     platform_count == 1 ? "" : "s", empty);
    if (s) {
        free(*out);
        *out = NULL;
        *count = 0;
    }
    return s;
}

static uint64_t number(const ocl_api *cl, cl_device_id id, cl_device_info what) {
    uint64_t value = 0; /* little-endian: answers of 4 bytes fill the lower half */
    return cl->clGetDeviceInfo(id, what, sizeof value, &value, NULL) ? 0 : value;
}

/* Not in every version of the headers. */
enum { NV_PCI_BUS = 0x4008, NV_PCI_SLOT = 0x4009, NV_PCI_DOMAIN = 0x400A, AMD_TOPOLOGY = 0x4037, KHR_UUID = 0x106A, KHR_PCI = 0x410F };

static void identify(const ocl_api *cl, cl_device_id id, const char *extensions, dev_info *info) {
    if (strstr(extensions, "cl_khr_device_uuid")) info->has_uuid = !cl->clGetDeviceInfo(id, KHR_UUID, sizeof info->uuid, info->uuid, NULL);
    struct { cl_uint domain, bus, device, function; } pci;
    if (strstr(extensions, "cl_khr_pci_bus_info") && !cl->clGetDeviceInfo(id, KHR_PCI, sizeof pci, &pci, NULL)) {
        snprintf(info->pci, sizeof info->pci, "%04x:%02x:%02x.%x", pci.domain & 0xffffu, pci.bus & 0xffu, pci.device & 0xffu, pci.function & 0xfu);
    } else if (info->vendor_id == 0x10de && !cl->clGetDeviceInfo(id, NV_PCI_BUS, sizeof(cl_uint), &pci.bus, NULL) &&
               !cl->clGetDeviceInfo(id, NV_PCI_SLOT, sizeof(cl_uint), &pci.device, NULL)) {
        /* The slot holds device and function; the domain came with later drivers. */
        if (cl->clGetDeviceInfo(id, NV_PCI_DOMAIN, sizeof(cl_uint), &pci.domain, NULL)) pci.domain = 0;
        snprintf(info->pci, sizeof info->pci, "%04x:%02x:%02x.%x", pci.domain & 0xffffu, pci.bus & 0xffu, (pci.device >> 3) & 0x1fu, pci.device & 7u);
    } else if (strstr(extensions, "cl_amd_device_attribute_query")) {
        struct { cl_uint type; char unused[17], bus, device, function; } topology; /* cl_device_topology_amd */
        if (!cl->clGetDeviceInfo(id, AMD_TOPOLOGY, sizeof topology, &topology, NULL) && topology.type == 1)
            snprintf(info->pci, sizeof info->pci, "0000:%02x:%02x.%x", topology.bus & 0xff, topology.device & 0xff, topology.function & 0xf);
    }
}

static void find_capabilities(const ocl_api *cl, cl_device_id id, const char *extensions, dev_info *info, dev_capabilities *can) {
    const struct { const char *extension; uint32_t feature; } words[] = {
        {"cl_khr_fp16 ", DEV_FP16}, {"cl_khr_fp64 ", DEV_FP64}, {"cl_khr_subgroups ", DEV_SUBGROUP_BASIC}, {"cl_intel_subgroups ", DEV_SUBGROUP_SHUFFLE},
        {"cl_khr_il_program ", DEV_SPIRV}, {"cl_khr_int64_base_atomics ", DEV_INT64_ATOMICS}, {"cl_ext_float_atomics ", DEV_FLOAT_ATOMICS},
        {"cl_khr_integer_dot_product ", DEV_INT_DOT},
    };
    char     version[64];
    unsigned major = 1, minor = 0;
    *can = (dev_capabilities){.features = DEV_STORAGE16 | DEV_INT16 | DEV_INT8 | DEV_STORAGE8 | DEV_INT64}; /* core OpenCL C */
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strstr(extensions, words[i].extension)) can->features |= words[i].feature;
    ocl_device_text(cl, id, CL_DEVICE_OPENCL_C_VERSION, version, sizeof version);
    sscanf(version, "OpenCL C %u.%u", &major, &minor);
    unsigned long long units = number(cl, id, CL_DEVICE_MAX_COMPUTE_UNITS);
    snprintf(info->remarks, sizeof info->remarks, "opencl-c:%u.%u compute-units:%llu", major, minor, units);
}

static void find_limits(const ocl_api *cl, cl_device_id id, const dev_info *info, dev_limits *limits) {
    uint64_t largest = number(cl, id, CL_DEVICE_MAX_MEM_ALLOC_SIZE), push = number(cl, id, CL_DEVICE_MAX_PARAMETER_SIZE);
    size_t   sizes[3] = {0};
    /* Kernels count elements in 32 bits: 2^32 of the smallest (16-bit) fill 8 GiB. Intel's driver needs a build option and an
     * allocation flag, both or neither, beyond 4 GiB; neither is used. */
    uint64_t countable = info->vendor_id == 0x8086 && info->type != DEV_CPU ? (4ull << 30) - 4096 : 8ull << 30;
    if (largest > countable) largest = countable;
    memset(limits, 0, sizeof *limits);
    limits->max_range = limits->max_buffer = largest;
    limits->heap = number(cl, id, CL_DEVICE_GLOBAL_MEM_SIZE);
    /* OpenCL knows no limit, hardware does: work-items per dimension are counted in 32 bits (AMD), y and z groups in 16 (NVIDIA). */
    limits->max_groups[0] = (1u << 22) - 1;
    limits->max_groups[1] = limits->max_groups[2] = 65535;
    limits->max_invocations = (uint32_t)number(cl, id, CL_DEVICE_MAX_WORK_GROUP_SIZE);
    if (!cl->clGetDeviceInfo(id, CL_DEVICE_MAX_WORK_ITEM_SIZES, sizeof sizes, sizes, NULL) && sizes[0] < limits->max_invocations)
        limits->max_invocations = (uint32_t)sizes[0];
    uint64_t local = number(cl, id, CL_DEVICE_LOCAL_MEM_SIZE);
    limits->shared_bytes = local > UINT32_MAX ? UINT32_MAX : (uint32_t)local;
    uint64_t pointers = DEV_MAX_BINDINGS * sizeof(cl_mem);
    limits->push_bytes = push > pointers + 256 ? 256 : push > pointers ? (uint32_t)(push - pointers) : 0;
    limits->max_bindings = DEV_MAX_BINDINGS;
    limits->storage16 = true; /* vload_half, vstore_half and ushort are core OpenCL C */
}

void ocl_describe(const ocl_api *cl, ocl_place place, int index, dev_info *info, dev_limits *limits) {
    cl_device_id id = place.device;
    char         platform[128], platform_version[200], driver[128], version[128];
    memset(info, 0, sizeof *info);
    snprintf(info->api, sizeof info->api, "opencl");
    info->index = index;
    ocl_device_text(cl, id, CL_DEVICE_NAME, info->name, sizeof info->name);
    ocl_platform_text(cl, place.platform, CL_PLATFORM_NAME, platform, sizeof platform);
    ocl_platform_text(cl, place.platform, CL_PLATFORM_VERSION, platform_version, sizeof platform_version);
    char *aside = strstr(platform_version, "  "); /* PoCL adds how it was built */
    if (aside) *aside = 0;
    ocl_device_text(cl, id, CL_DRIVER_VERSION, driver, sizeof driver);
    ocl_device_text(cl, id, CL_DEVICE_VERSION, version, sizeof version);
    snprintf(info->driver, sizeof info->driver, "%s %s (%s)", platform, driver, platform_version);
    int length = 0; /* "OpenCL 3.0 and vendor text": keep the number */
    sscanf(version, "OpenCL %*d.%*d%n", &length);
    snprintf(info->api_version, sizeof info->api_version, "%.*s", length > 0 && length < 31 ? length : 31, version);
    info->vendor_id = (uint32_t)number(cl, id, CL_DEVICE_VENDOR_ID);
    uint64_t type = number(cl, id, CL_DEVICE_TYPE);
    bool     unified = number(cl, id, CL_DEVICE_HOST_UNIFIED_MEMORY) != 0;
    info->type = type & CL_DEVICE_TYPE_CPU ? DEV_CPU : type & CL_DEVICE_TYPE_GPU ? (unified ? DEV_INTEGRATED : DEV_DISCRETE) : DEV_OTHER;
    if (strstr(info->name, "llvmpipe") || strstr(info->name, "softpipe")) info->type = DEV_CPU; /* rusticl calls them GPUs in some versions */
    size_t n = 0;
    char  *extensions = NULL;
    if (!cl->clGetDeviceInfo(id, CL_DEVICE_EXTENSIONS, 0, NULL, &n)) extensions = calloc(n + 2, 1);
    if (extensions && !cl->clGetDeviceInfo(id, CL_DEVICE_EXTENSIONS, n, extensions, NULL)) {
        strcat(extensions, " ");
        identify(cl, id, extensions, info);
    }
    find_limits(cl, id, info, limits);
    find_capabilities(cl, id, extensions ? extensions : "", info, &limits->can);
    free(extensions);
}

ssa_status opencl_list(dev_info *infos, dev_limits *limits, int capacity, int *count, ssa_error *err) {
    ocl_api    cl;
    ocl_place *places;
    *count = 0;
    SSA_TRY(ocl_load(&cl, err));
    ssa_status s = ocl_places(&cl, &places, count, err);
    for (int i = 0; i < *count && i < capacity && !s; i++) {
        dev_limits unused;
        ocl_describe(&cl, places[i], i, &infos[i], limits ? &limits[i] : &unused);
        if (limits) s = limits_override(&limits[i], NULL, err);
    }
    free(places);
    ocl_unload(&cl);
    return s;
}

uint32_t ocl_sub_group(const ocl_api *cl, cl_device_id id) {
    const cl_device_info SUB_GROUP_SIZES_INTEL = 0x4108; /* cl_intel_required_subgroup_size */
    size_t               sizes[8], bytes = 0, least = 0;
    if (cl->clGetDeviceInfo(id, SUB_GROUP_SIZES_INTEL, sizeof sizes, sizes, &bytes)) return 0; /* no such extension */
    for (size_t i = 0; i < bytes / sizeof *sizes; i++)
        if (!least || sizes[i] < least) least = sizes[i];
    return number(cl, id, CL_DEVICE_VENDOR_ID) == 0x8086 && number(cl, id, CL_DEVICE_TYPE) & CL_DEVICE_TYPE_GPU && least == 16 ? 16 : 0;
}
