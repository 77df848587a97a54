/* The inside of the Vulkan device (not vulkan.h: that name is Khronos's). Who does what:
 *   loader.c    libvulkan, instances, the validation layer, enumeration
 *   card.c      what a physical device can do: dev_info, dev_limits, the features to enable
 *   memory.c    blocks of device memory and the pieces handed out of them; staging memory
 *   kernel.c    pipelines, descriptor sets
 *   recorder.c  one command buffer being filled: launches, copies, barriers between them, timestamps
 *   submit.c    the queue: submissions in flight, immediate launches, recorded programs
 *   compile_only.c  devices that build pipelines, report what became of them and run nothing
 *   device.c    opening and closing, host copies, the table of functions
 * One queue, everything in order. Nothing here is global except libvulkan itself. */
#ifndef SSA_VULKAN_INSIDE_H
#define SSA_VULKAN_INSIDE_H

#include "device.h"
#include "vulkan/newer.h"
#include <stdatomic.h>

/* -- loader.c ---------------------------------------------------------------------------------------------------------- */

#define INSTANCE_FUNCTIONS(X)                                                                                                     \
    X(vkDestroyInstance) X(vkEnumeratePhysicalDevices) X(vkGetPhysicalDeviceProperties) X(vkGetPhysicalDeviceProperties2)         \
    X(vkGetPhysicalDeviceFeatures2) X(vkGetPhysicalDeviceMemoryProperties) X(vkGetPhysicalDeviceQueueFamilyProperties)            \
    X(vkEnumerateDeviceExtensionProperties) X(vkCreateDevice)

typedef struct vulkan_instance {
    VkInstance               handle;
#define X(name) PFN_##name name;
    INSTANCE_FUNCTIONS(X)
#undef X
    VkDebugUtilsMessengerEXT messenger;
    bool                     validate;
    atomic_int               messages;
} vulkan_instance;

ssa_status vulkan_instance_create(bool validate, vulkan_instance **out, ssa_error *err);
void       vulkan_instance_destroy(vulkan_instance *in);

/* -- card.c ------------------------------------------------------------------------------------------------------------ */

enum { MAX_CARDS = 64, MAX_CARD_EXTENSIONS = 16 };
typedef struct vulkan_card {
    VkPhysicalDevice handle;
    dev_info         info;
    dev_limits       limits;
    uint32_t         version;          /* of Vulkan, as far as we use it */
    uint32_t         family;           /* of the queue */
    uint32_t         timestamp_bits;
    double           timestamp_period; /* ns */
    uint32_t         required_sizes;   /* whether compute shaders may require a subgroup size */
    uint32_t         max_subgroups;    /* per workgroup */
    const char      *extensions[MAX_CARD_EXTENSIONS];
    uint32_t         extension_count;
} vulkan_card;

/* A chain for vkCreateDevice; points into itself, so it is never copied. */
typedef struct vulkan_features {
    VkPhysicalDeviceFeatures2                             base;
    VkPhysicalDevice16BitStorageFeatures                  storage16;
    VkPhysicalDevice8BitStorageFeatures                   storage8;
    VkPhysicalDeviceShaderFloat16Int8Features             float16_int8;
    VkPhysicalDeviceShaderSubgroupExtendedTypesFeatures   extended_types;
    VkPhysicalDeviceSubgroupSizeControlFeatures           subgroup_size;
    VkPhysicalDeviceMaintenance4Features                  maintenance4;
    VkPhysicalDeviceVulkanMemoryModelFeatures             memory_model;
    VkPhysicalDeviceCooperativeMatrixFeaturesKHR          coopmat;
    VkPhysicalDeviceShaderBfloat16FeaturesKHR             bfloat16;
    VkPhysicalDevicePipelineExecutablePropertiesFeaturesKHR executables; /* only where asked for */
} vulkan_features;

/* The usable devices, best first: discrete, integrated, virtual, others, software; SSA_ERR_UNSUPPORTED with a reason if none. */
ssa_status vulkan_cards(const vulkan_instance *in, vulkan_card cards[MAX_CARDS], int *count, ssa_error *err);
/* What of the features we may use the card has; also notes the extensions to enable. executables: with statistics of pipelines. */
void       vulkan_card_features(const vulkan_instance *in, vulkan_card *card, bool executables, vulkan_features *f);

/* -- memory.c ---------------------------------------------------------------------------------------------------------- */

enum { ALIGNMENT = 256 };
typedef struct vulkan_block vulkan_block;
typedef struct vulkan_piece vulkan_piece;

struct vulkan_block {
    vulkan_block  *next;
    VkBuffer       buffer;
    VkDeviceMemory memory;
    uint64_t       bytes;
    char          *mapped;  /* where the host sees it, or NULL */
    vulkan_piece  *pieces;  /* by address, without gaps */
    int            used;    /* pieces handed out */
    bool           own;     /* for a single large buffer */
    uint64_t       serial;  /* retired blocks: the submission that may use it last */
};

struct dev_buffer {
    vulkan_block *block;
    vulkan_piece *piece;
    uint64_t      offset, bytes;
};

typedef struct vulkan_memory {
    uint32_t      type;       /* of device memory */
    bool          mapped;     /* the host reads and writes it directly: integrated and software devices */
    uint32_t      upload_type, download_type;
    uint64_t      next_block; /* bytes of the next block */
    vulkan_block *blocks, *retired;
} vulkan_memory;

/* -- kernel.c ---------------------------------------------------------------------------------------------------------- */

typedef struct vulkan_statistics vulkan_statistics;
struct dev_kernel {
    dev_kernel      *next; /* in its row of the hash table */
    uint64_t         hash;
    dev_kernel_desc  desc;
    VkPipeline       pipeline;
    vulkan_statistics *statistics; /* of a device that only compiles, see compile_only.c; else NULL */
    char             name[];
};

enum { KERNEL_ROWS = 256, SETS_PER_POOL = 256 };
typedef struct vulkan_kernels {
    VkDescriptorSetLayout set_layout[DEV_MAX_BINDINGS + 1]; /* by number of bindings, made on demand */
    VkPipelineLayout      layout[DEV_MAX_BINDINGS + 1];
    dev_kernel           *row[KERNEL_ROWS];
} vulkan_kernels;

/* Descriptor sets, taken from pools of SETS_PER_POOL and given back all at once. */
typedef struct vulkan_sets { VkDescriptorPool *pool; int pools, current, used; } vulkan_sets;

/* -- recorder.c -------------------------------------------------------------------------------------------------------- */

enum { MAX_ACCESSES = 64, MAX_MARKS = 1024, MAX_LAUNCHES = 512 };
/* A submission may hold about this much, so that none runs for long: watchdogs kill those of more than about 2 s. */
#define MAX_FLOPS 2e11
#define MAX_BYTES 2e10

/* Timestamps of one command buffer: one at its start, then one behind every launch and copy. */
typedef struct vulkan_marks { VkQueryPool pool; int count; const char *op[MAX_MARKS]; } vulkan_marks;

typedef struct vulkan_access { const vulkan_block *block; uint64_t begin, end; bool write; } vulkan_access;

typedef struct vulkan_recorder {
    VkCommandBuffer commands;
    vulkan_sets    *sets;
    vulkan_marks   *marks;          /* NULL unless profiling */
    VkPipeline      bound;
    vulkan_access   access[MAX_ACCESSES]; /* since the last barrier */
    int             accesses;
    bool            copied;         /* there is a copy in this command buffer: barriers must cover copies too */
    bool            to_host;        /* the host will read what it writes */
    int             launches;
    double          flops, bytes;
    const char     *first_op, *last_op;
} vulkan_recorder;

/* -- submit.c ---------------------------------------------------------------------------------------------------------- */

enum { SLOTS = 16 };
/* One submission in flight. Slots are used in turn, so the oldest pending one is always next. */
typedef struct vulkan_slot {
    VkFence         fence;
    VkCommandBuffer commands; /* for immediate launches */
    vulkan_sets     sets;
    vulkan_marks   *own_marks, *marks; /* marks: to collect when done */
    bool            pending;
    uint64_t        serial, ring_head;
    const char     *first_op, *last_op;
    int             launches;
} vulkan_slot;

typedef struct vulkan_segment {
    VkCommandBuffer commands;
    vulkan_marks   *marks;
    const char     *first_op, *last_op;
    int             launches;
} vulkan_segment;

struct dev_recorded {
    VkCommandPool   pool;
    vulkan_segment *segment;
    int             count;
    vulkan_sets     sets;
    uint64_t        serial; /* its last submission */
};

/* -- device.c ---------------------------------------------------------------------------------------------------------- */

typedef struct vulkan_staging { VkBuffer buffer; VkDeviceMemory memory; char *mapped; uint64_t bytes; } vulkan_staging;

typedef struct vulkan_device {
    device                base;
    vulkan_instance      *instance;
    vulkan_card           card;
    VkDevice              handle;
    VkQueue               queue;
    struct VolkDeviceTable vk;
    bool                  profiling, verbose, barrier_always;
    bool                  compile_only; /* `table` is then its table of functions */
    bool                  executables;  /* the driver gives statistics of pipelines */
    device_vtable         table;
    ssa_error             lost;        /* sticky */

    vulkan_memory         memory;
    vulkan_kernels        kernels;

    VkCommandPool         pool;
    vulkan_slot           slot[SLOTS];
    int                   next;        /* slot */
    bool                  open;        /* slot[next] is being recorded */
    vulkan_recorder       recorder;    /* into it */
    uint64_t              submitted, done; /* serials */

    vulkan_staging        upload, download;
    uint64_t              ring_head, ring_tail; /* of upload: bytes written, bytes no longer needed */

    ssa_profile_row      *rows;        /* of the profile */
    int                   row_count, row_capacity;
} vulkan_device;

/* Turns a result into a status; a lost device is remembered. what: "submitting", as in "vulkan:0: submitting failed (...)". */
ssa_status vulkan_check(vulkan_device *d, VkResult r, const char *what, ssa_error *err);
#define VK_TRY(d, call, what, err) SSA_TRY(vulkan_check(d, call, what, err))
const char *vulkan_result_name(VkResult r);

ssa_status vulkan_memory_init(vulkan_device *d, ssa_error *err);
void       vulkan_memory_destroy(vulkan_device *d);
void       vulkan_memory_reap(vulkan_device *d); /* frees the retired blocks whose last submission is done */
ssa_status vulkan_alloc(device *dev, uint64_t bytes, dev_buffer **out, ssa_error *err);
void       vulkan_free(device *dev, dev_buffer *buffer);
ssa_status vulkan_staging_create(vulkan_device *d, uint32_t type, uint64_t bytes, vulkan_staging *out, ssa_error *err);
void       vulkan_staging_destroy(vulkan_device *d, vulkan_staging *s);

/* Makes the table of a device that only compiles. Takes what the driver says of a kernel; passes a failure to build it on. */
void        vulkan_compile_only(device_vtable *vt);
ssa_status  vulkan_statistics_take(vulkan_device *d, dev_kernel *k, double seconds, ssa_status built, ssa_error *err);
void        vulkan_statistics_free(vulkan_statistics *s);
const char *vulkan_statistics_failure(const vulkan_statistics *s); /* NULL: none */

ssa_status vulkan_kernel(device *dev, const dev_kernel_desc *desc, dev_kernel **out, ssa_error *err);
void       vulkan_kernels_destroy(vulkan_device *d);
ssa_status vulkan_set(vulkan_device *d, vulkan_sets *sets, const dev_kernel *k, const VkDescriptorBufferInfo *infos, VkDescriptorSet *out,
                      ssa_error *err);
void       vulkan_sets_reset(vulkan_device *d, vulkan_sets *sets);
void       vulkan_sets_destroy(vulkan_device *d, vulkan_sets *sets);

ssa_status vulkan_recorder_begin(vulkan_device *d, vulkan_recorder *r, VkCommandBuffer commands, VkCommandBufferUsageFlags usage, vulkan_sets *sets,
                                 vulkan_marks *marks, ssa_error *err);
ssa_status vulkan_check_launch(const vulkan_device *d, const dev_launch *la, ssa_error *err);
ssa_status vulkan_recorder_launch(vulkan_device *d, vulkan_recorder *r, const dev_launch *la, ssa_error *err);
void vulkan_recorder_copy(vulkan_device *d, vulkan_recorder *r, VkBuffer from, uint64_t from_offset, VkBuffer to, uint64_t to_offset, uint64_t bytes,
                          const vulkan_block *device_side, bool to_device);
ssa_status vulkan_recorder_end(vulkan_device *d, vulkan_recorder *r, ssa_error *err);
bool       vulkan_recorder_full(const vulkan_recorder *r, const dev_launch *next);
ssa_status vulkan_marks_create(vulkan_device *d, vulkan_marks **out, ssa_error *err);
void       vulkan_marks_destroy(vulkan_device *d, vulkan_marks *m);
ssa_status vulkan_marks_collect(vulkan_device *d, vulkan_marks *m, ssa_error *err);

ssa_status vulkan_submit_init(vulkan_device *d, ssa_error *err);
void       vulkan_submit_destroy(vulkan_device *d);
ssa_status vulkan_open_recorder(vulkan_device *d, ssa_error *err);           /* d->recorder records afterwards */
ssa_status vulkan_flush(vulkan_device *d, ssa_error *err);                   /* submits what is recorded */
ssa_status vulkan_wait_serial(vulkan_device *d, uint64_t serial, ssa_error *err);
ssa_status vulkan_poll(vulkan_device *d, ssa_error *err);                    /* notices what is done, without waiting */
ssa_status vulkan_run(device *dev, const dev_launch *launches, int count, ssa_error *err);
ssa_status vulkan_record(device *dev, const dev_launch *launches, int count, dev_recorded **out, ssa_error *err);
ssa_status vulkan_replay(device *dev, dev_recorded *recorded, ssa_error *err);
void       vulkan_recorded_free(device *dev, dev_recorded *recorded);
ssa_status vulkan_wait(device *dev, ssa_error *err);

#endif
