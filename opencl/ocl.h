/* The OpenCL device from inside: shared by the files of opencl/. The contract it fulfils is host/device.h.
 *
 *   loader.c    the ICD loader found at run time, the function table, error names
 *   devices.c   platforms and devices: who they are, their limits; opencl_list
 *   device.c    opencl_open, buffers, copies, sticky errors
 *   program.c   kernel variants: source, options, build or the cache on disk (shader/cache.h), arguments checked
 *   launch.c    run, record, replay, wait, profile
 *   clblast.c   CLBlast found at run time; one matrix product through it */
#ifndef SSA_OCL_H
#define SSA_OCL_H

#define CL_TARGET_OPENCL_VERSION 120
#define CL_USE_DEPRECATED_OPENCL_1_1_APIS
#include <CL/cl.h>
#include <CL/cl_ext.h>

#include "device.h"
#include <stddef.h>

/* Everything we call of OpenCL 1.2. */
#define OCL_FUNCTIONS(X)                                                                                                  \
    X(clGetPlatformIDs) X(clGetPlatformInfo) X(clGetDeviceIDs) X(clGetDeviceInfo) X(clCreateContext) X(clReleaseContext)  \
    X(clCreateCommandQueue) X(clReleaseCommandQueue) X(clCreateBuffer) X(clReleaseMemObject) X(clEnqueueMigrateMemObjects) \
    X(clEnqueueWriteBuffer) X(clEnqueueReadBuffer) X(clEnqueueNDRangeKernel) X(clEnqueueMarkerWithWaitList) X(clFlush)     \
    X(clFinish) X(clCreateProgramWithSource) X(clCreateProgramWithBinary) X(clBuildProgram) X(clGetProgramInfo)            \
    X(clGetProgramBuildInfo) X(clReleaseProgram) X(clCreateKernel) X(clReleaseKernel) X(clGetKernelInfo)                   \
    X(clGetKernelWorkGroupInfo) X(clSetKernelArg) X(clWaitForEvents) X(clGetEventInfo) X(clGetEventProfilingInfo)          \
    X(clReleaseEvent)

typedef struct ocl_api {
    void *library;
#define X(name) __typeof__(&name) name;
    OCL_FUNCTIONS(X)
#undef X
} ocl_api;

ssa_status  ocl_load(ocl_api *cl, ssa_error *err);
void        ocl_unload(ocl_api *cl);
const char *ocl_error_name(cl_int code);

/* All devices of all platforms in order; *out is malloc'ed. UNSUPPORTED with the reason where there is none. */
typedef struct ocl_place { cl_platform_id platform; cl_device_id device; } ocl_place;
ssa_status ocl_places(const ocl_api *cl, ocl_place **out, int *count, ssa_error *err);
void       ocl_describe(const ocl_api *cl, ocl_place place, int index, dev_info *info, dev_limits *limits);
void       ocl_device_text(const ocl_api *cl, cl_device_id id, cl_device_info what, char *text, size_t size);
void       ocl_platform_text(const ocl_api *cl, cl_platform_id platform, cl_platform_info what, char *text, size_t size);

typedef struct ocl_device ocl_device;

struct dev_buffer {
    cl_mem   mem;
    uint64_t bytes;
};

/* A kernel variant, or the failure to build it, which is remembered so that it is not tried twice. */
struct dev_kernel {
    char       *key;
    size_t      key_bytes;
    uint64_t    hash;
    char        name[64];
    uint32_t    wg;
    int         bindings, params;
    cl_program  program;
    cl_kernel   kernel;
    ssa_error   failure;
};

/* A small write whose host copy lives until the device has taken it. */
typedef struct ocl_staged { cl_event event; void *copy; } ocl_staged;
enum { OCL_STAGED = 16, OCL_STAGED_BYTES = 64 << 10 };

/* Times waiting to be read: from the end of `before` where there is one (a matrix product is several kernels). */
typedef struct ocl_timed { const char *op; cl_event event, before; } ocl_timed;
enum { OCL_TIMED = 512 };

typedef struct ocl_clblast ocl_clblast;

struct ocl_device {
    device           base;
    ocl_api          cl;
    ocl_place        place;
    cl_context       context;
    cl_command_queue queue;
    ssa_error        lost;          /* sticky */
    char             platform_text[256];
    uint32_t         sub_group;     /* Intel cards whose narrowest sub-group is 16: 16 (see common.h); else 0 */

    dev_kernel     **table;         /* hash table of variants, open addressing */
    int              table_size, table_used;

    int              unflushed;     /* launches since the last clFlush */
    double           unflushed_flops;
    ocl_staged       staged[OCL_STAGED];
    int              staged_next;

    bool             profiling;
    ocl_timed        timed[OCL_TIMED];
    int              timed_count;
    ssa_profile_row *rows;
    int              row_count, row_capacity;

    ocl_clblast     *clblast;       /* NULL: not there */
    bool             clblast_sought;
};

/* The sub-group width kernels ask Intel's compiler for; 0: none (devices.c). */
uint32_t ocl_sub_group(const ocl_api *cl, cl_device_id id);

/* Turns an OpenCL error into a status and a sentence; decides whether the device is lost. `what` starts the sentence. */
ssa_status ocl_fail(ocl_device *d, cl_int code, const char *what, ssa_error *err);
ssa_status ocl_alive(ocl_device *d, ssa_error *err);

#define OCL_TRY(d, what, err, call)                                        \
    do {                                                                   \
        cl_int ocl_try_code = (call);                                      \
        if (ocl_try_code) return ocl_fail((d), ocl_try_code, (what), err); \
    } while (0)

/* device.c */
ssa_status ocl_alloc(device *dev, uint64_t bytes, dev_buffer **out, ssa_error *err);
void       ocl_free(device *dev, dev_buffer *buffer);
ssa_status ocl_write(device *dev, dev_buffer *buffer, uint64_t offset, uint64_t bytes, const void *host, ssa_error *err);
ssa_status ocl_read(device *dev, dev_buffer *buffer, uint64_t offset, uint64_t bytes, void *host, ssa_error *err);
void       ocl_staged_free(ocl_device *d); /* after the queue has finished */

/* program.c */
ssa_status ocl_kernel(device *dev, const dev_kernel_desc *desc, dev_kernel **out, ssa_error *err);
void       ocl_kernels_free(ocl_device *d);

/* launch.c */
ssa_status ocl_run(device *dev, const dev_launch *launches, int count, ssa_error *err);
ssa_status ocl_record(device *dev, const dev_launch *launches, int count, dev_recorded **out, ssa_error *err);
ssa_status ocl_replay(device *dev, dev_recorded *recorded, ssa_error *err);
void       ocl_recorded_free(device *dev, dev_recorded *recorded);
ssa_status ocl_wait(device *dev, ssa_error *err);
ssa_status ocl_profile(device *dev, ssa_profile_row *rows, int capacity, int *count, ssa_error *err);
void       ocl_timed_free(ocl_device *d);

/* clblast.c */
/* Looks for CLBlast the first time, makes room for the product's workspace, so that running it allocates nothing. */
bool   ocl_gemm_can(device *dev, const dev_gemm *g, uint64_t *workspace);
cl_int ocl_clblast_run(ocl_device *d, const dev_gemm *g, const dev_binding *bind, cl_event *event);
void   ocl_clblast_close(ocl_device *d);

#endif
