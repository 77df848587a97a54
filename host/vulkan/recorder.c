/* One command buffer being filled. Barriers follow from what the launches say they read and write: the accesses since the last
 * barrier are kept, and a launch that overlaps one of them, where either writes, gets one global barrier first. Ranges are
 * those of the descriptors, which start up to 255 bytes early: what validation sees, and a little more than is needed.
 * A command buffer begins with a barrier against everything before it, so that they can be submitted in any number. */
#include "vulkan/inside.h"
#include <stdlib.h>
#include <string.h>

static const VkAccessFlags shader_write = VK_ACCESS_SHADER_WRITE_BIT, shader_any = VK_ACCESS_SHADER_READ_BIT | VK_ACCESS_SHADER_WRITE_BIT;
static const VkAccessFlags copy_any = VK_ACCESS_TRANSFER_READ_BIT | VK_ACCESS_TRANSFER_WRITE_BIT;

static void barrier(vulkan_device *d, vulkan_recorder *r, bool copies) {
    VkPipelineStageFlags stages = VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT | (copies ? VK_PIPELINE_STAGE_TRANSFER_BIT : 0);
    VkMemoryBarrier      b = {.sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER, .srcAccessMask = shader_write | (copies ? VK_ACCESS_TRANSFER_WRITE_BIT : 0),
                              .dstAccessMask = shader_any | (copies ? copy_any : 0)};
    d->vk.vkCmdPipelineBarrier(r->commands, stages, stages, 0, 1, &b, 0, NULL, 0, NULL);
    r->accesses = 0;
}

static void mark(vulkan_device *d, vulkan_recorder *r, const char *op) {
    vulkan_marks *m = r->marks;
    if (!m) return;
    m->op[m->count] = op;
    d->vk.vkCmdWriteTimestamp(r->commands, VK_PIPELINE_STAGE_BOTTOM_OF_PIPE_BIT, m->pool, (uint32_t)m->count++);
}

static void count(vulkan_recorder *r, const char *op, double flops, double bytes) {
    if (!r->launches++) r->first_op = op;
    r->last_op = op;
    r->flops += flops;
    r->bytes += bytes;
}

ssa_status vulkan_recorder_begin(vulkan_device *d, vulkan_recorder *r, VkCommandBuffer commands, VkCommandBufferUsageFlags usage, vulkan_sets *sets,
                                 vulkan_marks *marks, ssa_error *err) {
    VkCommandBufferBeginInfo info = {.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO, .flags = usage};
    memset(r, 0, sizeof *r);
    r->commands = commands;
    r->sets = sets;
    r->marks = marks;
    VK_TRY(d, d->vk.vkBeginCommandBuffer(commands, &info), "recording", err);
    if (marks) {
        marks->count = 0;
        d->vk.vkCmdResetQueryPool(commands, marks->pool, 0, MAX_MARKS);
    }
    barrier(d, r, true);
    mark(d, r, "");
    return SSA_OK;
}

/* Whether access a collides with one since the last barrier. */
static bool collides(const vulkan_recorder *r, const vulkan_access *a) {
    for (int i = 0; i < r->accesses; i++) {
        const vulkan_access *b = &r->access[i];
        if (b->block == a->block && (a->write || b->write) && a->begin < b->end && b->begin < a->end) return true;
    }
    return false;
}

/* Puts a barrier before a command with these accesses if it needs one, and notes them. */
static void order(vulkan_device *d, vulkan_recorder *r, const vulkan_access *access, int n) {
    bool needed = d->barrier_always || d->profiling || r->accesses + n > MAX_ACCESSES;
    for (int i = 0; i < n && !needed; i++) needed = collides(r, &access[i]);
    if (needed) barrier(d, r, r->copied);
    memcpy(&r->access[r->accesses], access, (size_t)n * sizeof *access);
    r->accesses += n;
}

static ssa_status bind(vulkan_device *d, const dev_launch *la, int i, vulkan_access *a, VkDescriptorBufferInfo *info, uint32_t *first,
                       ssa_error *err) {
    const dev_binding *b = &la->bind[i];
    const dev_buffer  *buffer = b->buffer;
    if (b->offset > buffer->bytes || b->bytes > buffer->bytes - b->offset)
        return ssa_fail(err, SSA_ERR_RUNTIME, "%s: kernel %s binds bytes %llu to %llu of a buffer of %llu", la->op, la->kernel->name,
                        (unsigned long long)b->offset, (unsigned long long)(b->offset + b->bytes), (unsigned long long)buffer->bytes);
    uint64_t begin = buffer->offset + b->offset, end = begin + (b->bytes ? b->bytes : 1), start = begin / ALIGNMENT * ALIGNMENT;
    end = (end + 3) / 4 * 4; /* drivers may fetch 16-bit elements by words */
    if (end > buffer->block->bytes) end = buffer->block->bytes;
    if (end - start > d->card.limits.max_range) end = start + d->card.limits.max_range;
    *first = (uint32_t)(begin - start) / b->element_bytes;
    *a = (vulkan_access){buffer->block, start, end, (b->access & DEV_WRITE) != 0};
    *info = (VkDescriptorBufferInfo){buffer->block->buffer, start, end - start};
    return SSA_OK;
}

/* What lowering must have kept to. */
ssa_status vulkan_check_launch(const vulkan_device *d, const dev_launch *la, ssa_error *err) {
    const dev_kernel *k = la->kernel;
    if (!k) return ssa_fail(err, SSA_ERR_UNSUPPORTED, "%s: vulkan:%d has no matrix product of its own", la->op, d->base.info.index);
    if (la->bindings != k->desc.bindings || la->params != k->desc.params)
        return ssa_fail(err, SSA_ERR_RUNTIME, "%s: kernel %s has %d buffers and %d parameters, not %d and %d", la->op, k->name, k->desc.bindings,
                        k->desc.params, la->bindings, la->params);
    for (int i = 0; i < 3; i++)
        if (la->groups[i] > d->card.limits.max_groups[i])
            return ssa_fail(err, SSA_ERR_UNSUPPORTED, "%s: kernel %s wants %u workgroups in dimension %d, vulkan:%d allows %u", la->op, k->name,
                            la->groups[i], i, d->base.info.index, d->card.limits.max_groups[i]);
    return SSA_OK;
}

ssa_status vulkan_recorder_launch(vulkan_device *d, vulkan_recorder *r, const dev_launch *la, ssa_error *err) {
    const dev_kernel      *k = la->kernel;
    VkDescriptorBufferInfo info[DEV_MAX_BINDINGS];
    vulkan_access          access[DEV_MAX_BINDINGS];
    uint32_t               words[DEV_OFFSET_WORDS + DEV_MAX_PARAMS] = {0};
    VkDescriptorSet        set;
    SSA_TRY(vulkan_check_launch(d, la, err));
    if (!la->groups[0] || !la->groups[1] || !la->groups[2]) return SSA_OK;
    for (int i = 0; i < la->bindings; i++) SSA_TRY(bind(d, la, i, &access[i], &info[i], &words[i], err));
    memcpy(words + DEV_OFFSET_WORDS, la->param, (size_t)la->params * 4);
    SSA_TRY(vulkan_set(d, r->sets, k, info, &set, err));
    order(d, r, access, la->bindings);
    VkPipelineLayout layout = d->kernels.layout[k->desc.bindings];
    if (r->bound != k->pipeline) d->vk.vkCmdBindPipeline(r->commands, VK_PIPELINE_BIND_POINT_COMPUTE, k->pipeline);
    r->bound = k->pipeline;
    d->vk.vkCmdBindDescriptorSets(r->commands, VK_PIPELINE_BIND_POINT_COMPUTE, layout, 0, 1, &set, 0, NULL);
    d->vk.vkCmdPushConstants(r->commands, layout, VK_SHADER_STAGE_COMPUTE_BIT, 0, 4 * (DEV_OFFSET_WORDS + (uint32_t)la->params), words);
    d->vk.vkCmdDispatch(r->commands, la->groups[0], la->groups[1], la->groups[2]);
    mark(d, r, la->op);
    count(r, la->op, la->flops, la->bytes);
    return SSA_OK;
}

void vulkan_recorder_copy(vulkan_device *d, vulkan_recorder *r, VkBuffer from, uint64_t from_offset, VkBuffer to, uint64_t to_offset, uint64_t bytes,
                          const vulkan_block *device_side, bool to_device) {
    uint64_t      begin = to_device ? to_offset : from_offset;
    vulkan_access a = {device_side, begin, begin + bytes, to_device};
    VkBufferCopy  region = {from_offset, to_offset, bytes};
    if (!r->copied) { /* barriers so far did not cover copies */
        barrier(d, r, true);
        r->copied = true;
    }
    order(d, r, &a, 1);
    d->vk.vkCmdCopyBuffer(r->commands, from, to, 1, &region);
    if (!to_device) r->to_host = true;
    mark(d, r, "copy");
    count(r, "copy", 0, (double)bytes);
}

ssa_status vulkan_recorder_end(vulkan_device *d, vulkan_recorder *r, ssa_error *err) {
    if (r->to_host || d->memory.mapped) {
        VkMemoryBarrier b = {.sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER,
                             .srcAccessMask = shader_write | VK_ACCESS_TRANSFER_WRITE_BIT,
                             .dstAccessMask = VK_ACCESS_HOST_READ_BIT};
        d->vk.vkCmdPipelineBarrier(r->commands, VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT | VK_PIPELINE_STAGE_TRANSFER_BIT, VK_PIPELINE_STAGE_HOST_BIT, 0,
                                   1, &b, 0, NULL, 0, NULL);
    }
    return vulkan_check(d, d->vk.vkEndCommandBuffer(r->commands), "recording", err);
}

bool vulkan_recorder_full(const vulkan_recorder *r, const dev_launch *next) {
    if (!r->launches) return false;
    return r->launches >= MAX_LAUNCHES || r->flops + next->flops > MAX_FLOPS || r->bytes + next->bytes > MAX_BYTES ||
           (r->marks && r->marks->count >= MAX_MARKS - 1);
}

/* -- timestamps ---------------------------------------------------------------------------------------------------------- */

ssa_status vulkan_marks_create(vulkan_device *d, vulkan_marks **out, ssa_error *err) {
    VkQueryPoolCreateInfo info = {.sType = VK_STRUCTURE_TYPE_QUERY_POOL_CREATE_INFO, .queryType = VK_QUERY_TYPE_TIMESTAMP, .queryCount = MAX_MARKS};
    vulkan_marks         *m = calloc(1, sizeof *m);
    if (!m) return ssa_fail(err, SSA_ERR_MEMORY, "out of memory for timestamps");
    ssa_status s = vulkan_check(d, d->vk.vkCreateQueryPool(d->handle, &info, NULL, &m->pool), "making timestamps", err);
    if (s) free(m); else *out = m;
    return s;
}

void vulkan_marks_destroy(vulkan_device *d, vulkan_marks *m) {
    if (!m) return;
    d->vk.vkDestroyQueryPool(d->handle, m->pool, NULL);
    free(m);
}

static ssa_profile_row *row_of(vulkan_device *d, const char *op) {
    for (int i = 0; i < d->row_count; i++)
        if (!strcmp(d->rows[i].op, op)) return &d->rows[i];
    if (d->row_count == d->row_capacity) {
        int              capacity = d->row_capacity ? 2 * d->row_capacity : 64;
        ssa_profile_row *grown = realloc(d->rows, (size_t)capacity * sizeof *grown);
        if (!grown) return NULL;
        d->rows = grown;
        d->row_capacity = capacity;
    }
    d->rows[d->row_count] = (ssa_profile_row){.op = op};
    return &d->rows[d->row_count++];
}

ssa_status vulkan_marks_collect(vulkan_device *d, vulkan_marks *m, ssa_error *err) {
    uint64_t time[MAX_MARKS], mask = d->card.timestamp_bits < 64 ? ((uint64_t)1 << d->card.timestamp_bits) - 1 : UINT64_MAX;
    if (m->count < 2) return SSA_OK;
    VK_TRY(d,
           d->vk.vkGetQueryPoolResults(d->handle, m->pool, 0, (uint32_t)m->count, sizeof time, time, sizeof *time,
                                       VK_QUERY_RESULT_64_BIT | VK_QUERY_RESULT_WAIT_BIT),
           "reading timestamps", err);
    for (int i = 1; i < m->count; i++) {
        ssa_profile_row *row = row_of(d, m->op[i]);
        if (!row) return ssa_fail(err, SSA_ERR_MEMORY, "out of memory for the profile");
        row->launches++;
        row->ns += (double)((time[i] - time[i - 1]) & mask) * d->card.timestamp_period;
    }
    return SSA_OK;
}
