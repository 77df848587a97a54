/* The queue. Submissions are numbered (serials) and finish in order; up to SLOTS are in flight. Immediate launches and copies
 * gather in the next slot's command buffer until something needs them done, or there are enough of them. */
#include "vulkan/inside.h"
#include <stdlib.h>
#include <string.h>

/* Immediate launches to gather before an idle device is given something to do. */
enum { EAGER_LAUNCHES = 32 };

ssa_status vulkan_submit_init(vulkan_device *d, ssa_error *err) {
    VkCommandPoolCreateInfo info = {.sType = VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO,
                                    .flags = VK_COMMAND_POOL_CREATE_RESET_COMMAND_BUFFER_BIT,
                                    .queueFamilyIndex = d->card.family};
    VK_TRY(d, d->vk.vkCreateCommandPool(d->handle, &info, NULL, &d->pool), "making command buffers", err);
    VkCommandBuffer             commands[SLOTS];
    VkCommandBufferAllocateInfo ai = {.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO,
                                      .commandPool = d->pool,
                                      .level = VK_COMMAND_BUFFER_LEVEL_PRIMARY,
                                      .commandBufferCount = SLOTS};
    VK_TRY(d, d->vk.vkAllocateCommandBuffers(d->handle, &ai, commands), "making command buffers", err);
    VkFenceCreateInfo fi = {.sType = VK_STRUCTURE_TYPE_FENCE_CREATE_INFO};
    for (int i = 0; i < SLOTS; i++) {
        d->slot[i].commands = commands[i];
        VK_TRY(d, d->vk.vkCreateFence(d->handle, &fi, NULL, &d->slot[i].fence), "making a fence", err);
        if (d->profiling) SSA_TRY(vulkan_marks_create(d, &d->slot[i].own_marks, err));
    }
    return SSA_OK;
}

void vulkan_submit_destroy(vulkan_device *d) {
    for (int i = 0; i < SLOTS; i++) {
        vulkan_slot *s = &d->slot[i];
        vulkan_sets_destroy(d, &s->sets);
        vulkan_marks_destroy(d, s->own_marks);
        if (s->fence) d->vk.vkDestroyFence(d->handle, s->fence, NULL);
    }
    if (d->pool) d->vk.vkDestroyCommandPool(d->handle, d->pool, NULL);
}

/* -- what is in flight --------------------------------------------------------------------------------------------------- */

/* Cleans up behind a submission whose fence has been signalled. */
static ssa_status retire(vulkan_device *d, vulkan_slot *s, ssa_error *err) {
    s->pending = false;
    d->done = s->serial;
    d->ring_tail = s->ring_head;
    if (d->memory.retired) vulkan_memory_reap(d);
    VK_TRY(d, d->vk.vkResetFences(d->handle, 1, &s->fence), "resetting a fence", err);
    if (s->marks) SSA_TRY(vulkan_marks_collect(d, s->marks, err));
    return SSA_OK;
}

static vulkan_slot *oldest(vulkan_device *d) {
    for (int i = 0; i < SLOTS; i++) {
        vulkan_slot *s = &d->slot[(d->next + i) % SLOTS];
        if (s->pending) return s;
    }
    return NULL;
}

ssa_status vulkan_wait_serial(vulkan_device *d, uint64_t serial, ssa_error *err) {
    while (d->done < serial) {
        vulkan_slot *s = oldest(d);
        if (!s) break;
        VK_TRY(d, d->vk.vkWaitForFences(d->handle, 1, &s->fence, VK_TRUE, UINT64_MAX), "waiting", err);
        SSA_TRY(retire(d, s, err));
    }
    return SSA_OK;
}

ssa_status vulkan_poll(vulkan_device *d, ssa_error *err) {
    for (vulkan_slot *s; (s = oldest(d));) {
        VkResult r = d->vk.vkGetFenceStatus(d->handle, s->fence);
        if (r == VK_NOT_READY) break;
        VK_TRY(d, r, "asking for progress", err);
        SSA_TRY(retire(d, s, err));
    }
    return SSA_OK;
}

/* The next slot, free. */
static ssa_status acquire(vulkan_device *d, vulkan_slot **out, ssa_error *err) {
    vulkan_slot *s = &d->slot[d->next];
    if (s->pending) SSA_TRY(vulkan_wait_serial(d, s->serial, err));
    *out = s;
    return SSA_OK;
}

/* Submits a command buffer under the next slot's fence. */
static ssa_status submit(vulkan_device *d, VkCommandBuffer commands, vulkan_marks *marks, const char *first_op, const char *last_op, int launches,
                         ssa_error *err) {
    vulkan_slot *s;
    SSA_TRY(acquire(d, &s, err));
    VkSubmitInfo info = {.sType = VK_STRUCTURE_TYPE_SUBMIT_INFO, .commandBufferCount = 1, .pCommandBuffers = &commands};
    s->first_op = first_op;
    s->last_op = last_op;
    s->launches = launches;
    s->marks = marks;
    s->ring_head = d->ring_head;
    s->serial = d->submitted + 1;
    s->pending = true; /* before the call, so that the message of a lost device names it */
    VkResult r = d->vk.vkQueueSubmit(d->queue, 1, &info, s->fence);
    if (r != VK_SUCCESS) {
        ssa_status status = vulkan_check(d, r, "submitting", err);
        s->pending = false;
        return status;
    }
    d->submitted++;
    d->next = (d->next + 1) % SLOTS;
    return SSA_OK;
}

/* -- immediate launches -------------------------------------------------------------------------------------------------- */

ssa_status vulkan_open_recorder(vulkan_device *d, ssa_error *err) {
    vulkan_slot *s;
    if (d->open) return SSA_OK;
    SSA_TRY(acquire(d, &s, err));
    vulkan_sets_reset(d, &s->sets);
    SSA_TRY(vulkan_recorder_begin(d, &d->recorder, s->commands, VK_COMMAND_BUFFER_USAGE_ONE_TIME_SUBMIT_BIT, &s->sets, s->own_marks, err));
    d->open = true;
    return SSA_OK;
}

ssa_status vulkan_flush(vulkan_device *d, ssa_error *err) {
    vulkan_recorder *r = &d->recorder;
    if (!d->open) return SSA_OK;
    d->open = false;
    SSA_TRY(vulkan_recorder_end(d, r, err));
    return submit(d, r->commands, r->marks, r->first_op, r->last_op, r->launches, err);
}

ssa_status vulkan_run(device *dev, const dev_launch *launches, int count, ssa_error *err) {
    vulkan_device *d = (vulkan_device *)dev;
    if (d->lost.status) return ssa_fail(err, d->lost.status, "%s", d->lost.text);
    for (int i = 0; i < count; i++) {
        if (d->open && vulkan_recorder_full(&d->recorder, &launches[i])) SSA_TRY(vulkan_flush(d, err));
        SSA_TRY(vulkan_open_recorder(d, err));
        SSA_TRY(vulkan_recorder_launch(d, &d->recorder, &launches[i], err));
    }
    if (d->open && d->recorder.launches >= EAGER_LAUNCHES) {
        SSA_TRY(vulkan_poll(d, err));
        if (d->done == d->submitted) SSA_TRY(vulkan_flush(d, err));
    }
    return SSA_OK;
}

ssa_status vulkan_wait(device *dev, ssa_error *err) {
    vulkan_device *d = (vulkan_device *)dev;
    if (d->lost.status) return ssa_fail(err, d->lost.status, "%s", d->lost.text);
    SSA_TRY(vulkan_flush(d, err));
    return vulkan_wait_serial(d, d->submitted, err);
}

/* -- recorded programs --------------------------------------------------------------------------------------------------- */

static ssa_status add_segment(vulkan_device *d, dev_recorded *p, ssa_error *err) {
    vulkan_segment *grown = realloc(p->segment, (size_t)(p->count + 1) * sizeof *grown);
    if (!grown) return ssa_fail(err, SSA_ERR_MEMORY, "out of memory for a recorded program");
    p->segment = grown;
    vulkan_segment *s = &p->segment[p->count];
    *s = (vulkan_segment){0};
    VkCommandBufferAllocateInfo info = {.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO,
                                        .commandPool = p->pool,
                                        .level = VK_COMMAND_BUFFER_LEVEL_PRIMARY,
                                        .commandBufferCount = 1};
    VK_TRY(d, d->vk.vkAllocateCommandBuffers(d->handle, &info, &s->commands), "making a command buffer", err);
    p->count++;
    return d->profiling ? vulkan_marks_create(d, &s->marks, err) : SSA_OK;
}

static ssa_status record(vulkan_device *d, const dev_launch *launches, int count, dev_recorded *p, ssa_error *err) {
    VkCommandPoolCreateInfo info = {.sType = VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO, .queueFamilyIndex = d->card.family};
    /* A replay may start while an earlier one still runs; with timestamps it may not, they are read in between. */
    VkCommandBufferUsageFlags usage = d->profiling ? 0 : VK_COMMAND_BUFFER_USAGE_SIMULTANEOUS_USE_BIT;
    VK_TRY(d, d->vk.vkCreateCommandPool(d->handle, &info, NULL, &p->pool), "making command buffers", err);
    for (int i = 0; i < count;) {
        vulkan_recorder r;
        SSA_TRY(add_segment(d, p, err));
        vulkan_segment *s = &p->segment[p->count - 1];
        SSA_TRY(vulkan_recorder_begin(d, &r, s->commands, usage, &p->sets, s->marks, err));
        while (i < count && !vulkan_recorder_full(&r, &launches[i])) SSA_TRY(vulkan_recorder_launch(d, &r, &launches[i++], err));
        SSA_TRY(vulkan_recorder_end(d, &r, err));
        s->first_op = r.first_op;
        s->last_op = r.last_op;
        s->launches = r.launches;
    }
    return SSA_OK;
}

ssa_status vulkan_record(device *dev, const dev_launch *launches, int count, dev_recorded **out, ssa_error *err) {
    vulkan_device *d = (vulkan_device *)dev;
    if (d->lost.status) return ssa_fail(err, d->lost.status, "%s", d->lost.text);
    dev_recorded *p = calloc(1, sizeof *p);
    if (!p) return ssa_fail(err, SSA_ERR_MEMORY, "out of memory for a recorded program");
    ssa_status s = record(d, launches, count, p, err);
    if (s) vulkan_recorded_free(dev, p); else *out = p;
    return s;
}

ssa_status vulkan_replay(device *dev, dev_recorded *p, ssa_error *err) {
    vulkan_device *d = (vulkan_device *)dev;
    if (d->lost.status) return ssa_fail(err, d->lost.status, "%s", d->lost.text);
    SSA_TRY(vulkan_flush(d, err));
    if (d->profiling) SSA_TRY(vulkan_wait_serial(d, p->serial, err));
    for (int i = 0; i < p->count; i++) {
        vulkan_segment *s = &p->segment[i];
        SSA_TRY(submit(d, s->commands, s->marks, s->first_op, s->last_op, s->launches, err));
        p->serial = d->submitted;
    }
    return SSA_OK;
}

void vulkan_recorded_free(device *dev, dev_recorded *p) {
    vulkan_device *d = (vulkan_device *)dev;
    ssa_error      ignored = {0}; /* a lost device is remembered; nothing else can be done here */
    if (!p || dev->abandoned) return;
    if (!d->lost.status) vulkan_wait_serial(d, p->serial, &ignored);
    for (int i = 0; i < SLOTS && d->profiling; i++)
        for (int k = 0; k < p->count; k++)
            if (d->slot[i].marks == p->segment[k].marks) d->slot[i].marks = NULL;
    for (int i = 0; i < p->count; i++) vulkan_marks_destroy(d, p->segment[i].marks);
    vulkan_sets_destroy(d, &p->sets);
    if (p->pool) d->vk.vkDestroyCommandPool(d->handle, p->pool, NULL);
    free(p->segment);
    free(p);
}
