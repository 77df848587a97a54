/* Opening an OpenCL device; its buffers and copies; what an error means for it. */
#include "ocl.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

ssa_status ocl_alive(ocl_device *d, ssa_error *err) {
    return d->lost.status ? ssa_fail(err, d->lost.status, "%s", d->lost.text) : SSA_OK;
}

/* OpenCL has no "device lost". What a driver says after a fault (or a watchdog) also stands for one launch that asked for too
 * much, so the queue is asked: if it can still finish, the device lives. */
ssa_status ocl_fail(ocl_device *d, cl_int code, const char *what, ssa_error *err) {
    if (d->lost.status) return ocl_alive(d, err);
    switch (code) {
    case CL_MEM_OBJECT_ALLOCATION_FAILURE: case CL_OUT_OF_HOST_MEMORY:
        return ssa_fail(err, SSA_ERR_MEMORY, "%s: %s is out of memory (%s)", what, d->base.info.name, ocl_error_name(code));
    case CL_OUT_OF_RESOURCES: case CL_INVALID_COMMAND_QUEUE: case CL_EXEC_STATUS_ERROR_FOR_EVENTS_IN_WAIT_LIST: case -9999:
        if (d->queue && !d->cl.clFinish(d->queue)) break;
        /* fall through */
    case CL_DEVICE_NOT_AVAILABLE:
        ssa_fail(&d->lost, SSA_ERR_DEVICE_LOST, "opencl:%d (%s) is lost: %s: %s (%d)", d->base.info.index, d->base.info.name, what,
                 ocl_error_name(code), code);
        return ocl_alive(d, err);
    }
    return ssa_fail(err, SSA_ERR_RUNTIME, "%s on opencl:%d: %s (%d)", what, d->base.info.index, ocl_error_name(code), code);
}

/* -- buffers --------------------------------------------------------------------------------------------------------- */

ssa_status ocl_alloc(device *dev, uint64_t bytes, dev_buffer **out, ssa_error *err) {
    ocl_device *d = (ocl_device *)dev;
    char        what[80];
    cl_int      code;
    *out = NULL;
    SSA_TRY(ocl_alive(d, err));
    snprintf(what, sizeof what, "a buffer of %llu bytes", (unsigned long long)bytes);
    if (bytes > dev->limits.max_buffer)
        return ssa_fail(err, SSA_ERR_MEMORY, "%s is beyond the %llu that %s allows", what, (unsigned long long)dev->limits.max_buffer,
                        dev->info.name);
    dev_buffer *b = calloc(1, sizeof *b);
    if (!b) return ssa_fail(err, SSA_ERR_MEMORY, "out of memory for a buffer");
    b->bytes = bytes;
    b->mem = d->cl.clCreateBuffer(d->context, CL_MEM_READ_WRITE, bytes ? (size_t)bytes : 4, NULL, &code);
    /* Drivers allocate at first use; moving the buffer to the device makes a lack of memory show here. */
    if (!code) code = d->cl.clEnqueueMigrateMemObjects(d->queue, 1, &b->mem, CL_MIGRATE_MEM_OBJECT_CONTENT_UNDEFINED, 0, NULL, NULL);
    if (code) {
        if (b->mem) d->cl.clReleaseMemObject(b->mem);
        free(b);
        if (code == CL_OUT_OF_RESOURCES || code == CL_INVALID_BUFFER_SIZE) code = CL_MEM_OBJECT_ALLOCATION_FAILURE;
        return ocl_fail(d, code, what, err);
    }
    *out = b;
    return SSA_OK;
}

/* Launches that still use the buffer keep it alive: OpenCL releases it when they have finished. */
void ocl_free(device *dev, dev_buffer *buffer) {
    ocl_device *d = (ocl_device *)dev;
    if (!buffer) return;
    d->cl.clReleaseMemObject(buffer->mem);
    free(buffer);
}

/* -- copies ---------------------------------------------------------------------------------------------------------- */

void ocl_staged_free(ocl_device *d) {
    for (int i = 0; i < OCL_STAGED; i++) {
        if (!d->staged[i].event) continue;
        d->cl.clReleaseEvent(d->staged[i].event);
        free(d->staged[i].copy);
        d->staged[i] = (ocl_staged){0};
    }
}

static ssa_status check_range(const dev_buffer *b, uint64_t offset, uint64_t bytes, const char *what, ssa_error *err) {
    if (offset > b->bytes || bytes > b->bytes - offset)
        return ssa_fail(err, SSA_ERR_RUNTIME, "%s of %llu bytes at %llu is outside a buffer of %llu", what, (unsigned long long)bytes,
                        (unsigned long long)offset, (unsigned long long)b->bytes);
    return SSA_OK;
}

/* The step's few parameters and token batches must not make the host wait for the step before: small writes go through a copy. */
ssa_status ocl_write(device *dev, dev_buffer *buffer, uint64_t offset, uint64_t bytes, const void *host, ssa_error *err) {
    ocl_device *d = (ocl_device *)dev;
    SSA_TRY(ocl_alive(d, err));
    SSA_TRY(check_range(buffer, offset, bytes, "a write", err));
    if (!bytes) return SSA_OK;
    if (bytes > OCL_STAGED_BYTES) {
        OCL_TRY(d, "writing a buffer", err, d->cl.clEnqueueWriteBuffer(d->queue, buffer->mem, CL_TRUE, (size_t)offset, (size_t)bytes, host, 0, NULL,
                NULL));
        d->unflushed = 0;
        d->unflushed_flops = 0;
        return SSA_OK;
    }
    ocl_staged *s = &d->staged[d->staged_next];
    if (s->event) {
        cl_int code = d->cl.clWaitForEvents(1, &s->event);
        if (code) return ocl_fail(d, code, "writing a buffer", err);
        d->cl.clReleaseEvent(s->event);
        free(s->copy);
        *s = (ocl_staged){0};
    }
    void *copy = malloc((size_t)bytes);
    if (!copy) return ssa_fail(err, SSA_ERR_MEMORY, "out of memory for a copy of %llu bytes", (unsigned long long)bytes);
    memcpy(copy, host, (size_t)bytes);
    cl_event event = NULL;
    cl_int   code = d->cl.clEnqueueWriteBuffer(d->queue, buffer->mem, CL_FALSE, (size_t)offset, (size_t)bytes, copy, 0, NULL, &event);
    if (code) {
        free(copy);
        return ocl_fail(d, code, "writing a buffer", err);
    }
    *s = (ocl_staged){event, copy};
    d->staged_next = (d->staged_next + 1) % OCL_STAGED;
    return SSA_OK;
}

ssa_status ocl_read(device *dev, dev_buffer *buffer, uint64_t offset, uint64_t bytes, void *host, ssa_error *err) {
    ocl_device *d = (ocl_device *)dev;
    SSA_TRY(ocl_alive(d, err));
    SSA_TRY(check_range(buffer, offset, bytes, "a read", err));
    if (!bytes) return SSA_OK;
    OCL_TRY(d, "reading a buffer", err, d->cl.clEnqueueReadBuffer(d->queue, buffer->mem, CL_TRUE, (size_t)offset, (size_t)bytes, host, 0, NULL,
            NULL));
    d->unflushed = 0;
    d->unflushed_flops = 0;
    ocl_staged_free(d); /* the queue is in order: all writes before have landed */
    return SSA_OK;
}

/* -- opening --------------------------------------------------------------------------------------------------------- */

static void ocl_destroy(device *dev) {
    ocl_device *d = (ocl_device *)dev;
    if (dev->abandoned) return;
    if (d->queue) d->cl.clFinish(d->queue);
    ocl_staged_free(d);
    ocl_timed_free(d);
    ocl_clblast_close(d);
    ocl_kernels_free(d);
    if (d->queue) d->cl.clReleaseCommandQueue(d->queue);
    if (d->context) d->cl.clReleaseContext(d->context);
    ocl_unload(&d->cl);
    free(d);
}

static const device_vtable vtable = {
    .alloc = ocl_alloc, .free = ocl_free, .write = ocl_write, .read = ocl_read, .kernel = ocl_kernel, .run = ocl_run, .record = ocl_record,
    .replay = ocl_replay, .recorded_free = ocl_recorded_free, .wait = ocl_wait, .gemm_can = ocl_gemm_can, .time = device_time,
    .profile = ocl_profile, .destroy = ocl_destroy,
};

static ssa_status open_device(ocl_device *d, int index, const ssa_open_options *options, ssa_error *err) {
    ocl_place *places;
    int        count;
    cl_bool    available = CL_FALSE, compiler = CL_FALSE;
    cl_int     code;
    SSA_TRY(ocl_load(&d->cl, err));
    SSA_TRY(ocl_places(&d->cl, &places, &count, err));
    if (index >= 0 && index < count) d->place = places[index];
    free(places);
    if (!d->place.device)
        return ssa_fail(err, SSA_ERR_UNSUPPORTED, "opencl:%d does not exist: this machine has %d OpenCL device%s", index, count,
                        count == 1 ? "" : "s");
    ocl_describe(&d->cl, d->place, index, &d->base.info, &d->base.limits);
    SSA_TRY(limits_override(&d->base.limits, options ? options->limits : NULL, err));
    ocl_platform_text(&d->cl, d->place.platform, CL_PLATFORM_VERSION, d->platform_text, sizeof d->platform_text);
    d->sub_group = ocl_sub_group(&d->cl, d->place.device);
    OCL_TRY(d, "asking the device", err, d->cl.clGetDeviceInfo(d->place.device, CL_DEVICE_AVAILABLE, sizeof available, &available, NULL));
    OCL_TRY(d, "asking the device", err, d->cl.clGetDeviceInfo(d->place.device, CL_DEVICE_COMPILER_AVAILABLE, sizeof compiler, &compiler, NULL));
    if (!available || !compiler)
        return ssa_fail(err, SSA_ERR_UNSUPPORTED, "opencl:%d (%s) %s", index, d->base.info.name,
                        available ? "has no kernel compiler" : "is not available");
    cl_context_properties properties[] = {CL_CONTEXT_PLATFORM, (cl_context_properties)d->place.platform, 0};
    d->context = d->cl.clCreateContext(properties, 1, &d->place.device, NULL, NULL, &code);
    if (!d->context) return ocl_fail(d, code, "creating a context", err);
    d->queue = d->cl.clCreateCommandQueue(d->context, d->place.device, d->profiling ? CL_QUEUE_PROFILING_ENABLE : 0, &code);
    return d->queue ? SSA_OK : ocl_fail(d, code, "creating a command queue", err);
}

ssa_status opencl_open(int index, const ssa_open_options *options, device **out, ssa_error *err) {
    *out = NULL;
    ocl_device *d = calloc(1, sizeof *d);
    if (!d) return ssa_fail(err, SSA_ERR_MEMORY, "out of memory for a device");
    d->base.vt = &vtable;
    d->profiling = options && options->profile;
    ssa_status s = open_device(d, index, options, err);
    if (s) ocl_destroy(&d->base); else *out = &d->base;
    return s;
}
