/* Device memory: few large blocks, each one VkBuffer, from which buffers are pieces aligned to 256 bytes. A piece given back may
 * be handed out again at once, even though earlier launches still use it: everything runs in order on one queue, and the
 * barriers know ranges of blocks, not buffers. */
#include "vulkan/inside.h"
#include <stdlib.h>
#include <string.h>

#define FIRST_BLOCK ((uint64_t)64 << 20)
#define LARGEST_BLOCK ((uint64_t)256 << 20)

struct vulkan_piece {
    vulkan_piece *prev, *next;
    uint64_t      offset, bytes;
    bool          taken;
};

static const VkBufferUsageFlags usage = VK_BUFFER_USAGE_STORAGE_BUFFER_BIT | VK_BUFFER_USAGE_TRANSFER_SRC_BIT | VK_BUFFER_USAGE_TRANSFER_DST_BIT;

static VkResult create_buffer(vulkan_device *d, uint64_t bytes, VkBuffer *out) {
    VkBufferCreateInfo info = {.sType = VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO, .size = bytes, .usage = usage};
    return d->vk.vkCreateBuffer(d->handle, &info, NULL, out);
}

/* A buffer with memory of its own, seen by the host if `mapped` is not NULL. Leaves nothing behind on failure. */
static VkResult create_bound(vulkan_device *d, uint32_t type, uint64_t bytes, VkBuffer *buffer, VkDeviceMemory *memory, char **mapped) {
    VkMemoryRequirements need;
    void                *pointer = NULL;
    *memory = VK_NULL_HANDLE;
    VkResult r = create_buffer(d, bytes, buffer);
    if (r != VK_SUCCESS) return r;
    d->vk.vkGetBufferMemoryRequirements(d->handle, *buffer, &need);
    VkMemoryAllocateInfo info = {.sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO, .allocationSize = need.size, .memoryTypeIndex = type};
    r = d->vk.vkAllocateMemory(d->handle, &info, NULL, memory);
    if (r == VK_SUCCESS) r = d->vk.vkBindBufferMemory(d->handle, *buffer, *memory, 0);
    if (r == VK_SUCCESS && mapped) r = d->vk.vkMapMemory(d->handle, *memory, 0, VK_WHOLE_SIZE, 0, &pointer);
    if (r == VK_SUCCESS) {
        if (mapped) *mapped = pointer;
        return r;
    }
    d->vk.vkDestroyBuffer(d->handle, *buffer, NULL);
    if (*memory) d->vk.vkFreeMemory(d->handle, *memory, NULL);
    *buffer = VK_NULL_HANDLE;
    *memory = VK_NULL_HANDLE;
    return r;
}

/* The memory type among `bits` that has all of `must` and most of `like` (earlier bits count more), least of `avoid`; -1: none. */
static int choose_type(const VkPhysicalDeviceMemoryProperties *m, uint32_t bits, VkMemoryPropertyFlags must, VkMemoryPropertyFlags like,
                       VkMemoryPropertyFlags avoid) {
    int best = -1, best_score = -1;
    for (int i = 0; i < (int)m->memoryTypeCount; i++) {
        VkMemoryPropertyFlags f = m->memoryTypes[i].propertyFlags;
        int score = 2 * ((f & like) == like) + ((f & avoid) == 0);
        if (!(bits >> i & 1) || (f & must) != must || (f & (VK_MEMORY_PROPERTY_PROTECTED_BIT | VK_MEMORY_PROPERTY_LAZILY_ALLOCATED_BIT))) continue;
        if (score > best_score ||
            (score == best_score && m->memoryHeaps[m->memoryTypes[i].heapIndex].size > m->memoryHeaps[m->memoryTypes[best].heapIndex].size)) {
            best = i;
            best_score = score;
        }
    }
    return best;
}

ssa_status vulkan_memory_init(vulkan_device *d, ssa_error *err) {
    const VkMemoryPropertyFlags host = VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT | VK_MEMORY_PROPERTY_HOST_COHERENT_BIT,
                                local = VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT;
    VkPhysicalDeviceMemoryProperties m;
    VkMemoryRequirements             need;
    VkBuffer                         probe;
    d->instance->vkGetPhysicalDeviceMemoryProperties(d->card.handle, &m);
    VK_TRY(d, create_buffer(d, 1 << 20, &probe), "creating a buffer", err);
    d->vk.vkGetBufferMemoryRequirements(d->handle, probe, &need); /* the types are the same for all buffers of this usage */
    d->vk.vkDestroyBuffer(d->handle, probe, NULL);
    /* Integrated and software devices share the host's memory: no copies through staging. SSA_VK_STAGING=1 forbids it, so that
     * the way of discrete cards can be tested on them. */
    const char *staging = getenv("SSA_VK_STAGING");
    int type = -1;
    if ((d->base.info.type == DEV_INTEGRATED || d->base.info.type == DEV_CPU) && !(staging && !strcmp(staging, "1")))
        type = choose_type(&m, need.memoryTypeBits, local | host, VK_MEMORY_PROPERTY_HOST_CACHED_BIT, 0);
    d->memory.mapped = type >= 0;
    if (type < 0) type = choose_type(&m, need.memoryTypeBits, local, 0, VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT);
    if (type < 0) type = choose_type(&m, need.memoryTypeBits, 0, 0, 0);
    int up = choose_type(&m, need.memoryTypeBits, host, 0, local | VK_MEMORY_PROPERTY_HOST_CACHED_BIT);
    int down = choose_type(&m, need.memoryTypeBits, host, VK_MEMORY_PROPERTY_HOST_CACHED_BIT, local);
    if (type < 0 || up < 0 || down < 0) return ssa_fail(err, SSA_ERR_UNSUPPORTED, "vulkan:%d has no memory the host can write", d->base.info.index);
    d->memory.type = (uint32_t)type;
    d->memory.upload_type = (uint32_t)up;
    d->memory.download_type = (uint32_t)down;
    d->memory.next_block = FIRST_BLOCK;
    return SSA_OK;
}

static void destroy_block(vulkan_device *d, vulkan_block *b) {
    for (vulkan_piece *p = b->pieces, *next; p; p = next) {
        next = p->next;
        free(p);
    }
    if (b->buffer) d->vk.vkDestroyBuffer(d->handle, b->buffer, NULL);
    if (b->memory) d->vk.vkFreeMemory(d->handle, b->memory, NULL);
    free(b);
}

void vulkan_memory_destroy(vulkan_device *d) {
    for (int i = 0; i < 2; i++) {
        vulkan_block **list = i ? &d->memory.retired : &d->memory.blocks;
        while (*list) {
            vulkan_block *next = (*list)->next;
            destroy_block(d, *list);
            *list = next;
        }
    }
}

void vulkan_memory_reap(vulkan_device *d) {
    for (vulkan_block **at = &d->memory.retired; *at;) {
        vulkan_block *b = *at;
        if (b->serial > d->done) {
            at = &b->next;
            continue;
        }
        *at = b->next;
        destroy_block(d, b);
    }
}

static VkResult create_block(vulkan_device *d, uint64_t bytes, bool own, vulkan_block **out) {
    vulkan_block *b = calloc(1, sizeof *b);
    vulkan_piece *p = calloc(1, sizeof *p);
    VkResult      r = VK_ERROR_OUT_OF_HOST_MEMORY;
    if (b && p) r = create_bound(d, d->memory.type, bytes, &b->buffer, &b->memory, d->memory.mapped ? &b->mapped : NULL);
    if (r != VK_SUCCESS) {
        free(b);
        free(p);
        return r;
    }
    p->bytes = b->bytes = bytes;
    b->pieces = p;
    b->own = own;
    b->next = d->memory.blocks;
    d->memory.blocks = b;
    *out = b;
    return r;
}

static vulkan_piece *best_fit(const vulkan_block *b, uint64_t bytes) {
    vulkan_piece *best = NULL;
    for (vulkan_piece *p = b->pieces; p; p = p->next)
        if (!p->taken && p->bytes >= bytes && (!best || p->bytes < best->bytes)) best = p;
    return best;
}

/* Cuts `bytes` off the front of a free piece. */
static bool take(vulkan_block *b, vulkan_piece *p, uint64_t bytes) {
    if (p->bytes > bytes) {
        vulkan_piece *rest = calloc(1, sizeof *rest);
        if (!rest) return false;
        *rest = (vulkan_piece){.prev = p, .next = p->next, .offset = p->offset + bytes, .bytes = p->bytes - bytes};
        if (rest->next) rest->next->prev = rest;
        p->next = rest;
        p->bytes = bytes;
    }
    p->taken = true;
    b->used++;
    return true;
}

/* A new block for a piece of `bytes`: of its own if large, otherwise as large as can be had. */
static VkResult grow(vulkan_device *d, uint64_t bytes, vulkan_block **out) {
    uint64_t size = d->memory.next_block, limit = d->base.limits.max_buffer;
    VkResult r;
    if (size > limit) size = limit / ALIGNMENT * ALIGNMENT;
    if (bytes > size / 2) return create_block(d, bytes, true, out);
    for (;; size /= 2) {
        if (size < bytes) size = bytes;
        r = create_block(d, size / ALIGNMENT * ALIGNMENT, false, out);
        if (r == VK_SUCCESS || size == bytes) break;
    }
    if (r == VK_SUCCESS && d->memory.next_block < LARGEST_BLOCK) d->memory.next_block *= 2;
    return r;
}

ssa_status vulkan_alloc(device *dev, uint64_t bytes, dev_buffer **out, ssa_error *err) {
    vulkan_device *d = (vulkan_device *)dev;
    uint64_t       size = ((bytes ? bytes : 1) + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    if (d->lost.status) return ssa_fail(err, d->lost.status, "%s", d->lost.text);
    if (bytes > dev->limits.max_buffer)
        return ssa_fail(err, SSA_ERR_MEMORY, "a buffer of %llu bytes is beyond vulkan:%d's largest of %llu", (unsigned long long)bytes,
                        dev->info.index, (unsigned long long)dev->limits.max_buffer);
    if (size > dev->limits.max_buffer) size = bytes; /* alone in its block, which then need not be a multiple of 256 */
    vulkan_block *b = NULL;
    vulkan_piece *p = NULL;
    for (vulkan_block *i = d->memory.blocks; i; i = i->next) {
        if (i->own) continue;
        vulkan_piece *fit = best_fit(i, size);
        if (fit && (!p || fit->bytes < p->bytes)) {
            p = fit;
            b = i;
        }
    }
    if (!p) {
        VkResult r = grow(d, size, &b);
        if (r != VK_SUCCESS) { /* perhaps memory is only waiting to be given back */
            SSA_TRY(vulkan_wait(dev, err));
            r = grow(d, size, &b);
        }
        if (r == VK_ERROR_DEVICE_LOST) return vulkan_check(d, r, "allocating memory", err);
        if (r != VK_SUCCESS)
            return ssa_fail(err, SSA_ERR_MEMORY, "vulkan:%d has no memory for a buffer of %llu bytes (%s)", dev->info.index,
                            (unsigned long long)bytes, vulkan_result_name(r));
        p = b->pieces;
    }
    dev_buffer *buffer = calloc(1, sizeof *buffer);
    if (!buffer || !take(b, p, size)) {
        free(buffer);
        return ssa_fail(err, SSA_ERR_MEMORY, "out of memory for a buffer");
    }
    *buffer = (dev_buffer){.block = b, .piece = p, .offset = p->offset, .bytes = bytes};
    *out = buffer;
    return SSA_OK;
}

/* Joins a piece with the one behind it. */
static void join(vulkan_piece *p) {
    vulkan_piece *gone = p->next;
    p->bytes += gone->bytes;
    p->next = gone->next;
    if (p->next) p->next->prev = p;
    free(gone);
}

void vulkan_free(device *dev, dev_buffer *buffer) {
    vulkan_device *d = (vulkan_device *)dev;
    if (!buffer) return;
    vulkan_block *b = buffer->block;
    vulkan_piece *p = buffer->piece;
    free(buffer);
    p->taken = false;
    if (p->next && !p->next->taken) join(p);
    if (p->prev && !p->prev->taken) join(p->prev);
    if (--b->used) return;
    /* An empty block goes back to the driver, except one that is kept for the next buffers. */
    bool spare = b->own;
    for (vulkan_block *i = d->memory.blocks; i && !spare; i = i->next) spare = i != b && !i->own && !i->used;
    if (!spare || dev->abandoned) return;
    vulkan_block **at = &d->memory.blocks;
    while (*at != b) at = &(*at)->next;
    *at = b->next;
    b->serial = d->submitted + (d->open ? 1 : 0);
    b->next = d->memory.retired;
    d->memory.retired = b;
    vulkan_memory_reap(d);
}

ssa_status vulkan_staging_create(vulkan_device *d, uint32_t type, uint64_t bytes, vulkan_staging *out, ssa_error *err) {
    VkResult r = create_bound(d, type, bytes, &out->buffer, &out->memory, &out->mapped);
    if (r == VK_ERROR_DEVICE_LOST) return vulkan_check(d, r, "allocating memory", err);
    if (r != VK_SUCCESS)
        return ssa_fail(err, SSA_ERR_MEMORY, "no memory for a staging buffer of %llu bytes (%s)", (unsigned long long)bytes, vulkan_result_name(r));
    out->bytes = bytes;
    return SSA_OK;
}

void vulkan_staging_destroy(vulkan_device *d, vulkan_staging *s) {
    if (s->buffer) d->vk.vkDestroyBuffer(d->handle, s->buffer, NULL);
    if (s->memory) d->vk.vkFreeMemory(d->handle, s->memory, NULL); /* unmaps */
    *s = (vulkan_staging){0};
}
