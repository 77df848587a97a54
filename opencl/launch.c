/* Launches: at once, recorded and replayed; times by operation. The queue is in order, so every hazard between launches is
 * ordered already, whatever they read and write. */
#include "ocl.h"
#include <stdlib.h>
#include <string.h>

/* Work is handed to the device in pieces: small ones would cost system calls, large ones leave it idle and drivers without
 * memory for commands. */
enum { FLUSH_LAUNCHES = 64 };
static const double FLUSH_FLOPS = 2e10;

static ssa_status flushed(ocl_device *d, double flops, ssa_error *err) {
    d->unflushed_flops += flops;
    if (++d->unflushed < FLUSH_LAUNCHES && d->unflushed_flops < FLUSH_FLOPS) return SSA_OK;
    d->unflushed = 0;
    d->unflushed_flops = 0;
    OCL_TRY(d, "handing launches to the device", err, d->cl.clFlush(d->queue));
    return SSA_OK;
}

/* -- times ----------------------------------------------------------------------------------------------------------- */

static void add_time(ocl_device *d, const char *op, double ns) {
    for (int i = 0; i < d->row_count; i++) {
        if (strcmp(d->rows[i].op, op)) continue;
        d->rows[i].launches++;
        d->rows[i].ns += ns;
        return;
    }
    if (d->row_count == d->row_capacity) {
        int              capacity = d->row_capacity ? 2 * d->row_capacity : 64;
        ssa_profile_row *grown = realloc(d->rows, (size_t)capacity * sizeof *grown);
        if (!grown) return; /* a row less in the profile is no reason to stop */
        d->rows = grown;
        d->row_capacity = capacity;
    }
    d->rows[d->row_count++] = (ssa_profile_row){op, 1, ns};
}

/* Waits for the queue and reads the times that have gathered. */
static ssa_status gather_times(ocl_device *d, ssa_error *err) {
    cl_int code = d->cl.clFinish(d->queue);
    for (int i = 0; i < d->timed_count; i++) {
        ocl_timed *t = &d->timed[i];
        cl_ulong   start = 0, end = 0, from = 0;
        if (!code) code = d->cl.clGetEventProfilingInfo(t->event, CL_PROFILING_COMMAND_START, sizeof start, &start, NULL);
        if (!code) code = d->cl.clGetEventProfilingInfo(t->event, CL_PROFILING_COMMAND_END, sizeof end, &end, NULL);
        if (!code && t->before && !d->cl.clGetEventProfilingInfo(t->before, CL_PROFILING_COMMAND_END, sizeof from, &from, NULL) && from &&
                from < start)
            start = from;
        if (!code) add_time(d, t->op, end > start ? (double)(end - start) : 0);
        d->cl.clReleaseEvent(t->event);
        if (t->before) d->cl.clReleaseEvent(t->before);
    }
    d->timed_count = 0;
    OCL_TRY(d, "reading launch times", err, code);
    return SSA_OK;
}

void ocl_timed_free(ocl_device *d) {
    for (int i = 0; i < d->timed_count; i++) {
        d->cl.clReleaseEvent(d->timed[i].event);
        if (d->timed[i].before) d->cl.clReleaseEvent(d->timed[i].before);
    }
    d->timed_count = 0;
    free(d->rows);
    d->rows = NULL;
    d->row_count = d->row_capacity = 0;
}

static ssa_status keep_time(ocl_device *d, const char *op, cl_event event, cl_event before, ssa_error *err) {
    d->timed[d->timed_count++] = (ocl_timed){op, event, before};
    return d->timed_count == OCL_TIMED ? gather_times(d, err) : SSA_OK;
}

ssa_status ocl_profile(device *dev, ssa_profile_row *rows, int capacity, int *count, ssa_error *err) {
    ocl_device *d = (ocl_device *)dev;
    *count = 0;
    SSA_TRY(ocl_alive(d, err));
    SSA_TRY(gather_times(d, err));
    while (*count < d->row_count && *count < capacity) {
        rows[*count] = d->rows[*count];
        ++*count;
    }
    d->row_count = 0;
    return SSA_OK;
}

/* -- one launch ------------------------------------------------------------------------------------------------------ */

static ssa_status run_gemm(ocl_device *d, const dev_launch *la, ssa_error *err) {
    cl_event event = NULL, before = NULL;
    if (!d->clblast) return ssa_fail(err, SSA_ERR_RUNTIME, "%s: a matrix product without CLBlast", la->op);
    if (d->profiling) OCL_TRY(d, la->op, err, d->cl.clEnqueueMarkerWithWaitList(d->queue, 0, NULL, &before));
    cl_int code = ocl_clblast_run(d, &la->gemm, la->bind, d->profiling ? &event : NULL);
    if (code) {
        if (before) d->cl.clReleaseEvent(before);
        if (code > -1024) return ocl_fail(d, code, la->op, err);
        return ssa_fail(err, SSA_ERR_RUNTIME, "%s: CLBlast refused a matrix product of %llux%llux%llu (%d)", la->op, (unsigned long long)la->gemm.M,
                        (unsigned long long)la->gemm.N,
                        (unsigned long long)la->gemm.K, code);
    }
    if (event) return keep_time(d, la->op, event, before, err);
    if (before) d->cl.clReleaseEvent(before);
    return SSA_OK;
}

static ssa_status run_kernel(ocl_device *d, const dev_launch *la, ssa_error *err) {
    dev_kernel *k = la->kernel;
    uint32_t    push[DEV_OFFSET_WORDS + DEV_MAX_PARAMS] = {0};
    cl_event    event = NULL;
    if (la->bindings != k->bindings || la->params != k->params)
        return ssa_fail(err, SSA_ERR_RUNTIME, "kernel %s was compiled for %d buffers and %d parameters, the launch has %d and %d", k->name,
                        k->bindings, k->params, la->bindings, la->params);
    if (!la->groups[0] || !la->groups[1] || !la->groups[2]) return SSA_OK;
    for (int i = 0; i < la->bindings; i++) {
        const dev_binding *bind = &la->bind[i];
        uint64_t           first = bind->offset / bind->element_bytes, end = first + bind->bytes / bind->element_bytes;
        if (bind->offset + bind->bytes > bind->buffer->bytes || end > (uint64_t)1 << 32)
            return ssa_fail(err, SSA_ERR_RUNTIME, "kernel %s: binding %d spans %llu bytes at %llu of a buffer of %llu", k->name, i,
                            (unsigned long long)bind->bytes,
                            (unsigned long long)bind->offset, (unsigned long long)bind->buffer->bytes);
        push[i] = (uint32_t)first;
        OCL_TRY(d, k->name, err, d->cl.clSetKernelArg(k->kernel, (cl_uint)i, sizeof(cl_mem), &bind->buffer->mem));
    }
    memcpy(push + DEV_OFFSET_WORDS, la->param, (size_t)la->params * 4);
    cl_int code = d->cl.clSetKernelArg(k->kernel, (cl_uint)la->bindings, (size_t)(DEV_OFFSET_WORDS + la->params) * 4, push);
    if (code == CL_INVALID_ARG_SIZE)
        return ssa_fail(err, SSA_ERR_RUNTIME, "kernel %s: its parameters are not the %d words that lowering hands over", k->name, la->params);
    OCL_TRY(d, k->name, err, code);
    size_t global[3] = {(size_t)la->groups[0] * k->wg, la->groups[1], la->groups[2]}, local[3] = {k->wg, 1, 1};
    OCL_TRY(d, k->name, err, d->cl.clEnqueueNDRangeKernel(d->queue, k->kernel, 3, NULL, global, local, 0, NULL, d->profiling ? &event : NULL));
    return event ? keep_time(d, la->op, event, NULL, err) : SSA_OK;
}

/* -- the contract ---------------------------------------------------------------------------------------------------- */

ssa_status ocl_run(device *dev, const dev_launch *launches, int count, ssa_error *err) {
    ocl_device *d = (ocl_device *)dev;
    SSA_TRY(ocl_alive(d, err));
    for (int i = 0; i < count; i++) {
        SSA_TRY(launches[i].kernel ? run_kernel(d, &launches[i], err) : run_gemm(d, &launches[i], err));
        SSA_TRY(flushed(d, launches[i].flops, err));
    }
    return SSA_OK;
}

struct dev_recorded {
    int        count;
    dev_launch launches[];
};

/* OpenCL 1.2 has no command buffers: the list is walked again. Kernels belong to the device and outlive the list. */
ssa_status ocl_record(device *dev, const dev_launch *launches, int count, dev_recorded **out, ssa_error *err) {
    SSA_TRY(ocl_alive((ocl_device *)dev, err));
    *out = malloc(sizeof **out + (size_t)count * sizeof *launches);
    if (!*out) return ssa_fail(err, SSA_ERR_MEMORY, "out of memory for a recorded program of %d launches", count);
    (*out)->count = count;
    if (count) memcpy((*out)->launches, launches, (size_t)count * sizeof *launches);
    return SSA_OK;
}

ssa_status ocl_replay(device *dev, dev_recorded *recorded, ssa_error *err) {
    return ocl_run(dev, recorded->launches, recorded->count, err);
}

void ocl_recorded_free(device *dev, dev_recorded *recorded) {
    (void)dev;
    free(recorded);
}

ssa_status ocl_wait(device *dev, ssa_error *err) {
    ocl_device *d = (ocl_device *)dev;
    SSA_TRY(ocl_alive(d, err));
    OCL_TRY(d, "waiting for the device", err, d->cl.clFinish(d->queue));
    d->unflushed = 0;
    d->unflushed_flops = 0;
    ocl_staged_free(d);
    return SSA_OK;
}
