/* The Vulkan device: opening, closing, host copies, the table of functions. */
#include "vulkan/inside.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RING_BYTES ((uint64_t)32 << 20)     /* of the upload staging */
#define DOWNLOAD_BYTES ((uint64_t)32 << 20) /* most of the download staging */

const char *vulkan_result_name(VkResult r) {
    switch ((int)r) {
    case VK_ERROR_OUT_OF_HOST_MEMORY: return "out of host memory";
    case VK_ERROR_OUT_OF_DEVICE_MEMORY: return "out of device memory";
    case VK_ERROR_INITIALIZATION_FAILED: return "initialization failed";
    case VK_ERROR_DEVICE_LOST: return "device lost";
    case VK_ERROR_MEMORY_MAP_FAILED: return "mapping failed";
    case VK_ERROR_LAYER_NOT_PRESENT: return "layer not present";
    case VK_ERROR_EXTENSION_NOT_PRESENT: return "extension not present";
    case VK_ERROR_FEATURE_NOT_PRESENT: return "feature not present";
    case VK_ERROR_INCOMPATIBLE_DRIVER: return "incompatible driver";
    case VK_ERROR_TOO_MANY_OBJECTS: return "too many objects";
    case VK_ERROR_FRAGMENTED_POOL: return "fragmented pool";
    case VK_ERROR_OUT_OF_POOL_MEMORY: return "out of pool memory";
    case VK_ERROR_INVALID_SHADER_NV: return "invalid shader";
    case VK_ERROR_UNKNOWN: return "unknown error";
    default: return "unexpected result";
    }
}

/* What was running: the oldest submission that has not finished. */
static void lose(vulkan_device *d, const char *what) {
    const vulkan_slot *s = NULL;
    for (int i = 0; i < SLOTS && !s; i++) {
        const vulkan_slot *at = &d->slot[(d->next + i) % SLOTS];
        if (at->pending && d->vk.vkGetFenceStatus(d->handle, at->fence) != VK_SUCCESS) s = at;
    }
    if (s && s->first_op)
        (void)ssa_fail(&d->lost, SSA_ERR_DEVICE_LOST, "vulkan:%d was lost while %s, in a batch of %d launches from %s to %s", d->base.info.index,
                       what, s->launches, s->first_op, s->last_op);
    else (void)ssa_fail(&d->lost, SSA_ERR_DEVICE_LOST, "vulkan:%d was lost while %s", d->base.info.index, what);
}

ssa_status vulkan_check(vulkan_device *d, VkResult r, const char *what, ssa_error *err) {
    if (r == VK_SUCCESS) return SSA_OK;
    if (r == VK_ERROR_DEVICE_LOST) {
        lose(d, what);
        return ssa_fail(err, SSA_ERR_DEVICE_LOST, "%s", d->lost.text);
    }
    bool memory = r == VK_ERROR_OUT_OF_HOST_MEMORY || r == VK_ERROR_OUT_OF_DEVICE_MEMORY || r == VK_ERROR_OUT_OF_POOL_MEMORY;
    return ssa_fail(err, memory ? SSA_ERR_MEMORY : SSA_ERR_RUNTIME, "vulkan:%d: %s failed (%s, %d)", d->base.info.index, what, vulkan_result_name(r),
                    (int)r);
}

/* -- host copies --------------------------------------------------------------------------------------------------------- */

static ssa_status check_range(const vulkan_device *d, const dev_buffer *b, uint64_t offset, uint64_t bytes, const char *what, ssa_error *err) {
    if (d->lost.status) return ssa_fail(err, d->lost.status, "%s", d->lost.text);
    if (offset > b->bytes || bytes > b->bytes - offset)
        return ssa_fail(err, SSA_ERR_RUNTIME, "%s of bytes %llu to %llu of a buffer of %llu", what, (unsigned long long)offset,
                        (unsigned long long)(offset + bytes), (unsigned long long)b->bytes);
    return SSA_OK;
}

/* Room in the upload ring; waits for the oldest submissions where they still need it. */
static ssa_status ring_take(vulkan_device *d, uint64_t bytes, uint64_t *offset, ssa_error *err) {
    if (!d->upload.buffer) SSA_TRY(vulkan_staging_create(d, d->memory.upload_type, RING_BYTES, &d->upload, err));
    uint64_t size = (bytes + 15) / 16 * 16, head = d->ring_head;
    if (head % RING_BYTES + size > RING_BYTES) head += RING_BYTES - head % RING_BYTES; /* not across the end */
    SSA_TRY(vulkan_poll(d, err));
    while (head + size - d->ring_tail > RING_BYTES) {
        if (d->open) SSA_TRY(vulkan_flush(d, err));
        if (d->done < d->submitted) SSA_TRY(vulkan_wait_serial(d, d->done + 1, err));
        else d->ring_tail = d->ring_head;
    }
    d->ring_head = head + size;
    *offset = head % RING_BYTES;
    return SSA_OK;
}

static ssa_status idle(vulkan_device *d, bool *yes, ssa_error *err) {
    SSA_TRY(vulkan_poll(d, err));
    *yes = !d->open && d->done == d->submitted;
    return SSA_OK;
}

static ssa_status vulkan_write(device *dev, dev_buffer *b, uint64_t offset, uint64_t bytes, const void *host, ssa_error *err) {
    vulkan_device *d = (vulkan_device *)dev;
    const dev_launch nothing = {0};
    SSA_TRY(check_range(d, b, offset, bytes, "write", err));
    if (b->block->mapped) {
        bool direct;
        SSA_TRY(idle(d, &direct, err));
        if (!direct && bytes > RING_BYTES / 4) { /* waiting costs less than copying twice */
            SSA_TRY(vulkan_wait(dev, err));
            direct = true;
        }
        if (direct) {
            memcpy(b->block->mapped + b->offset + offset, host, bytes);
            return SSA_OK;
        }
    }
    for (uint64_t done = 0, n; done < bytes; done += n) {
        uint64_t at;
        n = bytes - done < RING_BYTES / 4 ? bytes - done : RING_BYTES / 4;
        if (d->open && vulkan_recorder_full(&d->recorder, &nothing)) SSA_TRY(vulkan_flush(d, err));
        SSA_TRY(ring_take(d, n, &at, err));
        memcpy(d->upload.mapped + at, (const char *)host + done, n);
        SSA_TRY(vulkan_open_recorder(d, err));
        vulkan_recorder_copy(d, &d->recorder, d->upload.buffer, at, b->block->buffer, b->offset + offset + done, n, b->block, true);
        if (done + n < bytes) SSA_TRY(vulkan_flush(d, err)); /* the copy runs while the next piece is brought */
    }
    return SSA_OK;
}

static ssa_status vulkan_read(device *dev, dev_buffer *b, uint64_t offset, uint64_t bytes, void *host, ssa_error *err) {
    vulkan_device *d = (vulkan_device *)dev;
    SSA_TRY(check_range(d, b, offset, bytes, "read", err));
    if (b->block->mapped) {
        SSA_TRY(vulkan_wait(dev, err));
        memcpy(host, b->block->mapped + b->offset + offset, bytes);
        return SSA_OK;
    }
    uint64_t size = 64 << 10;
    while (size < bytes && size < DOWNLOAD_BYTES) size *= 2;
    if (d->download.bytes < size) { /* no copy into it is pending: each read waits for its own */
        vulkan_staging_destroy(d, &d->download);
        SSA_TRY(vulkan_staging_create(d, d->memory.download_type, size, &d->download, err));
    }
    for (uint64_t done = 0, n; done < bytes; done += n) {
        n = bytes - done < d->download.bytes ? bytes - done : d->download.bytes;
        SSA_TRY(vulkan_open_recorder(d, err));
        vulkan_recorder_copy(d, &d->recorder, b->block->buffer, b->offset + offset + done, d->download.buffer, 0, n, b->block, false);
        SSA_TRY(vulkan_wait(dev, err));
        memcpy((char *)host + done, d->download.mapped, n);
    }
    return SSA_OK;
}

/* -- profile, validation --------------------------------------------------------------------------------------------------- */

static ssa_status vulkan_profile(device *dev, ssa_profile_row *rows, int capacity, int *count, ssa_error *err) {
    vulkan_device *d = (vulkan_device *)dev;
    *count = 0;
    SSA_TRY(vulkan_wait(dev, err));
    for (int i = 0; i < d->row_count && *count < capacity; i++) rows[(*count)++] = d->rows[i];
    d->row_count = 0;
    return SSA_OK;
}

static int vulkan_validation_messages(const device *dev) { return atomic_load(&((const vulkan_device *)dev)->instance->messages); }

/* -- opening and closing --------------------------------------------------------------------------------------------------- */

static void vulkan_destroy(device *dev) {
    vulkan_device *d = (vulkan_device *)dev;
    if (dev->abandoned) return;
    if (d->handle) {
        if (!d->compile_only) d->vk.vkDeviceWaitIdle(d->handle); /* a null device has no queue to ask */
        vulkan_submit_destroy(d);
        vulkan_kernels_destroy(d);
        vulkan_staging_destroy(d, &d->upload);
        vulkan_staging_destroy(d, &d->download);
        vulkan_memory_destroy(d);
        d->vk.vkDestroyDevice(d->handle, NULL);
    }
    vulkan_instance_destroy(d->instance);
    free(d->rows);
    free(d);
}

static const device_vtable vtable = {
    .alloc = vulkan_alloc, .free = vulkan_free, .write = vulkan_write, .read = vulkan_read, .kernel = vulkan_kernel, .run = vulkan_run,
    .record = vulkan_record, .replay = vulkan_replay, .recorded_free = vulkan_recorded_free, .wait = vulkan_wait, .time = device_time, .profile = vulkan_profile,
    .validation_messages = vulkan_validation_messages, .destroy = vulkan_destroy,
};

static ssa_status create_device(vulkan_device *d, ssa_error *err) {
    vulkan_features f;
    float           priority = 1;
    vulkan_card_features(d->instance, &d->card, d->compile_only, &f);
    d->executables = f.executables.pipelineExecutableInfo;
    VkDeviceQueueCreateInfo queue = {
        .sType = VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO, .queueFamilyIndex = d->card.family, .queueCount = 1, .pQueuePriorities = &priority};
    VkDeviceCreateInfo info = {.sType = VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO,
                               .pNext = &f.base,
                               .queueCreateInfoCount = 1,
                               .pQueueCreateInfos = &queue,
                               .enabledExtensionCount = d->card.extension_count,
                               .ppEnabledExtensionNames = d->card.extensions};
    VkResult r = d->instance->vkCreateDevice(d->card.handle, &info, NULL, &d->handle);
    if (r != VK_SUCCESS)
        return ssa_fail(err, SSA_ERR_RUNTIME, "vulkan:%d (%s) does not open (%s)", d->card.info.index, d->card.info.name, vulkan_result_name(r));
    volkLoadDeviceTable(&d->vk, d->handle);
    d->vk.vkGetDeviceQueue(d->handle, d->card.family, 0, &d->queue);
    if (d->compile_only) {
        d->table = vtable;
        vulkan_compile_only(&d->table);
        d->base.vt = &d->table;
        return SSA_OK;
    }
    SSA_TRY(vulkan_memory_init(d, err));
    return vulkan_submit_init(d, err);
}

static bool switched_on(const char *variable) {
    const char *v = getenv(variable);
    return v && !strcmp(v, "1");
}

static ssa_status open_device(vulkan_device *d, int index, const ssa_open_options *options, ssa_error *err) {
    vulkan_card cards[MAX_CARDS];
    int         count;
    bool        validate = (options && options->validate) || switched_on("SSA_VALIDATE");
    SSA_TRY(vulkan_instance_create(validate, &d->instance, err));
    SSA_TRY(vulkan_cards(d->instance, cards, &count, err));
    if (index < 0 || index >= count)
        return ssa_fail(err, SSA_ERR_INPUT, "there is no vulkan:%d, the last is vulkan:%d (%s)", index, count - 1, cards[count - 1].info.name);
    d->card = cards[index];
    d->base.info = d->card.info;
    d->base.limits = d->card.limits;
    SSA_TRY(limits_override(&d->base.limits, options ? options->limits : NULL, err));
    d->compile_only = (options && options->compile_only) || switched_on("SSA_COMPILE_ONLY");
    d->profiling = options && options->profile && !d->compile_only;
    d->verbose = getenv("SSA_VERBOSE") != NULL;
    d->barrier_always = switched_on("SSA_BARRIER_ALWAYS");
    if (d->profiling && !d->card.timestamp_bits)
        return ssa_fail(err, SSA_ERR_UNSUPPORTED, "vulkan:%d (%s) has no timestamps to profile with", index, d->card.info.name);
    return create_device(d, err);
}

ssa_status vulkan_open(int index, const ssa_open_options *options, device **out, ssa_error *err) {
    vulkan_device *d = calloc(1, sizeof *d);
    if (!d) return ssa_fail(err, SSA_ERR_MEMORY, "out of memory for a Vulkan device");
    d->base.vt = &vtable;
    ssa_status s = open_device(d, index, options, err);
    if (s) vulkan_destroy(&d->base); else *out = &d->base;
    return s;
}

ssa_status vulkan_list(dev_info *infos, dev_limits *limits, int capacity, int *count, ssa_error *err) {
    vulkan_instance *in = NULL;
    vulkan_card      cards[MAX_CARDS];
    *count = 0;
    SSA_TRY(vulkan_instance_create(false, &in, err));
    ssa_status s = vulkan_cards(in, cards, count, err);
    vulkan_instance_destroy(in);
    for (int i = 0; i < *count && i < capacity; i++) {
        if (infos) infos[i] = cards[i].info;
        if (limits) limits[i] = cards[i].limits;
    }
    return s;
}
