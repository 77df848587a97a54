/* libvulkan, instances and the validation layer. */
#include "vulkan/inside.h"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static pthread_once_t  once = PTHREAD_ONCE_INIT;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static VkResult        loader_result;

static void find_loader(void) { loader_result = volkInitialize(); }

static bool extension_listed(const char *layer, const char *name) {
    uint32_t               n = 0;
    VkExtensionProperties *list = NULL;
    bool                   found = false;
    if (vkEnumerateInstanceExtensionProperties(layer, &n, NULL) == VK_SUCCESS && n) list = calloc(n, sizeof *list);
    if (list && vkEnumerateInstanceExtensionProperties(layer, &n, list) >= 0)
        for (uint32_t i = 0; i < n; i++) found |= !strcmp(list[i].extensionName, name);
    free(list);
    return found;
}

static const char validation_layer[] = "VK_LAYER_KHRONOS_validation";

static bool layer_listed(void) {
    uint32_t           n = 0;
    VkLayerProperties *list = NULL;
    bool               found = false;
    if (vkEnumerateInstanceLayerProperties(&n, NULL) == VK_SUCCESS && n) list = calloc(n, sizeof *list);
    if (list && vkEnumerateInstanceLayerProperties(&n, list) >= 0)
        for (uint32_t i = 0; i < n; i++) found |= !strcmp(list[i].layerName, validation_layer);
    free(list);
    return found;
}

/* GPU-assisted validation tells which features it turns on for itself; that is not about us. */
static bool about_itself(const char *text) { return strstr(text, "Internal Warning:") || strstr(text, "Both GPU Assisted Validation and"); }

/* Only what the layer says about our use of Vulkan counts; drivers and the loader chat under other types. */
static VKAPI_ATTR VkBool32 VKAPI_CALL on_message(VkDebugUtilsMessageSeverityFlagBitsEXT severity, VkDebugUtilsMessageTypeFlagsEXT type,
                                                 const VkDebugUtilsMessengerCallbackDataEXT *data, void *user) {
    vulkan_instance *in = user;
    (void)severity, (void)type;
    if (about_itself(data->pMessage)) return VK_FALSE;
    atomic_fetch_add(&in->messages, 1);
    fprintf(stderr, "vulkan validation: %s\n", data->pMessage);
    return VK_FALSE;
}

/* Everything vkCreateInstance is told; points into itself. */
typedef struct {
    VkApplicationInfo                  app;
    VkInstanceCreateInfo               info;
    VkDebugUtilsMessengerCreateInfoEXT messenger;
    VkValidationFeaturesEXT            features;
    VkValidationFeatureEnableEXT       enable[1];
    VkLayerSettingsCreateInfoEXT       settings;
    VkLayerSettingEXT                  setting[2];
    VkBool32                           yes;
    const char                        *layer[1], *extension[8];
} instance_request;

static void add_extension(instance_request *q, const char *name) {
    q->extension[q->info.enabledExtensionCount++] = name;
}

static ssa_status request_validation(instance_request *q, vulkan_instance *in, ssa_error *err) {
    if (!layer_listed()) return ssa_fail(err, SSA_ERR_UNSUPPORTED, "Vulkan validation was asked for, but %s is not installed", validation_layer);
    if (!extension_listed(NULL, VK_EXT_DEBUG_UTILS_EXTENSION_NAME) && !extension_listed(validation_layer, VK_EXT_DEBUG_UTILS_EXTENSION_NAME))
        return ssa_fail(err, SSA_ERR_UNSUPPORTED, "Vulkan validation was asked for, but the loader has no VK_EXT_debug_utils");
    in->validate = true;
    q->layer[0] = validation_layer;
    q->info.enabledLayerCount = 1;
    add_extension(q, VK_EXT_DEBUG_UTILS_EXTENSION_NAME);
    q->messenger = (VkDebugUtilsMessengerCreateInfoEXT){
        .sType = VK_STRUCTURE_TYPE_DEBUG_UTILS_MESSENGER_CREATE_INFO_EXT,
        .messageSeverity = VK_DEBUG_UTILS_MESSAGE_SEVERITY_WARNING_BIT_EXT | VK_DEBUG_UTILS_MESSAGE_SEVERITY_ERROR_BIT_EXT,
        .messageType = VK_DEBUG_UTILS_MESSAGE_TYPE_VALIDATION_BIT_EXT,
        .pfnUserCallback = on_message,
        .pUserData = in};
    q->info.pNext = &q->messenger;
    /* Synchronization validation: old layers take the first way, new ones the second, where it must also be told to look at
     * what shaders access. */
    if (extension_listed(validation_layer, VK_EXT_LAYER_SETTINGS_EXTENSION_NAME)) {
        add_extension(q, VK_EXT_LAYER_SETTINGS_EXTENSION_NAME);
        q->yes = VK_TRUE;
        const char *names[2] = {"validate_sync", "syncval_shader_accesses_heuristic"};
        for (int i = 0; i < 2; i++) q->setting[i] = (VkLayerSettingEXT){validation_layer, names[i], VK_LAYER_SETTING_TYPE_BOOL32_EXT, 1, &q->yes};
        q->settings = (VkLayerSettingsCreateInfoEXT){VK_STRUCTURE_TYPE_LAYER_SETTINGS_CREATE_INFO_EXT, q->info.pNext, 2, q->setting};
        q->info.pNext = &q->settings;
    } else if (extension_listed(validation_layer, VK_EXT_VALIDATION_FEATURES_EXTENSION_NAME)) {
        add_extension(q, VK_EXT_VALIDATION_FEATURES_EXTENSION_NAME);
        q->enable[0] = VK_VALIDATION_FEATURE_ENABLE_SYNCHRONIZATION_VALIDATION_EXT;
        q->features = (VkValidationFeaturesEXT){.sType = VK_STRUCTURE_TYPE_VALIDATION_FEATURES_EXT,
                                                .pNext = q->info.pNext,
                                                .enabledValidationFeatureCount = 1,
                                                .pEnabledValidationFeatures = q->enable};
        q->info.pNext = &q->features;
    }
    return SSA_OK;
}

static ssa_status fill(vulkan_instance *in, ssa_error *err) {
#define X(name)                                                                                                                   \
    in->name = (PFN_##name)vkGetInstanceProcAddr(in->handle, #name);                                                              \
    if (!in->name) return ssa_fail(err, SSA_ERR_UNSUPPORTED, "the Vulkan loader lacks " #name);
    INSTANCE_FUNCTIONS(X)
#undef X
    /* The loader's own function, good for every instance and device; volkLoadDeviceTable goes through it. */
    pthread_mutex_lock(&lock);
    if (!vkGetDeviceProcAddr) vkGetDeviceProcAddr = (PFN_vkGetDeviceProcAddr)vkGetInstanceProcAddr(in->handle, "vkGetDeviceProcAddr");
    pthread_mutex_unlock(&lock);
    return SSA_OK;
}

ssa_status vulkan_instance_create(bool validate, vulkan_instance **out, ssa_error *err) {
    pthread_once(&once, find_loader);
    if (loader_result != VK_SUCCESS) return ssa_fail(err, SSA_ERR_UNSUPPORTED, "no Vulkan loader found: libvulkan.so.1");
    if (volkGetInstanceVersion() < VK_API_VERSION_1_1)
        return ssa_fail(err, SSA_ERR_UNSUPPORTED, "the Vulkan loader is of version 1.0, 1.1 is needed");
    instance_request q = {0};
    vulkan_instance *in = calloc(1, sizeof *in);
    if (!in) return ssa_fail(err, SSA_ERR_MEMORY, "out of memory for a Vulkan instance");
    q.app = (VkApplicationInfo){
        .sType = VK_STRUCTURE_TYPE_APPLICATION_INFO, .pApplicationName = "ssa", .pEngineName = "libssa", .apiVersion = VK_API_VERSION_1_3};
    q.info = (VkInstanceCreateInfo){.sType = VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO,
                                    .pApplicationInfo = &q.app,
                                    .ppEnabledLayerNames = q.layer,
                                    .ppEnabledExtensionNames = q.extension};
    ssa_status s = SSA_OK;
    if (validate) s = request_validation(&q, in, err);
    if (!s && extension_listed(NULL, VK_KHR_PORTABILITY_ENUMERATION_EXTENSION_NAME)) {
        add_extension(&q, VK_KHR_PORTABILITY_ENUMERATION_EXTENSION_NAME);
        q.info.flags |= VK_INSTANCE_CREATE_ENUMERATE_PORTABILITY_BIT_KHR;
    }
    if (!s) {
        VkResult r = vkCreateInstance(&q.info, NULL, &in->handle);
        if (r == VK_ERROR_INCOMPATIBLE_DRIVER) s = ssa_fail(err, SSA_ERR_UNSUPPORTED, "no Vulkan driver found");
        else if (r != VK_SUCCESS) s = ssa_fail(err, SSA_ERR_RUNTIME, "Vulkan does not start (%s)", vulkan_result_name(r));
    }
    if (!s) s = fill(in, err);
    if (!s && in->validate) {
        PFN_vkCreateDebugUtilsMessengerEXT create =
            (PFN_vkCreateDebugUtilsMessengerEXT)vkGetInstanceProcAddr(in->handle, "vkCreateDebugUtilsMessengerEXT");
        if (!create || create(in->handle, &q.messenger, NULL, &in->messenger) != VK_SUCCESS)
            s = ssa_fail(err, SSA_ERR_UNSUPPORTED, "Vulkan validation was asked for, but its messages cannot be had");
    }
    if (s) vulkan_instance_destroy(in); else *out = in;
    return s;
}

void vulkan_instance_destroy(vulkan_instance *in) {
    if (!in) return;
    if (in->messenger) {
        PFN_vkDestroyDebugUtilsMessengerEXT destroy =
            (PFN_vkDestroyDebugUtilsMessengerEXT)vkGetInstanceProcAddr(in->handle, "vkDestroyDebugUtilsMessengerEXT");
        if (destroy) destroy(in->handle, in->messenger, NULL);
    }
    if (in->handle && in->vkDestroyInstance) in->vkDestroyInstance(in->handle, NULL);
    free(in);
}
