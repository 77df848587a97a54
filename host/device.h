/* The contract of a compute device: memory, kernels, launches, copies, waiting, time. Vulkan and OpenCL each implement it;
 * nothing here knows what attention is. Everything is called from one thread at a time. A failure fills `err` with one
 * sentence; after SSA_ERR_DEVICE_LOST every later call returns it too. */
#ifndef SSA_HOST_DEVICE_H
#define SSA_HOST_DEVICE_H

#include "capabilities.h"
#include "ssa/device.h"
#include "ssa/status.h"
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

typedef struct device       device;
typedef struct dev_buffer   dev_buffer;   /* memory, aligned to at least 256 bytes */
typedef struct dev_kernel   dev_kernel;   /* a compiled kernel variant; owned and cached by the device */
typedef struct dev_recorded dev_recorded; /* launches compiled for replay */

/* What lowering must respect. Asked from the device; SSA_LIMITS (see host/limits.c) can lower each of them for tests. */
typedef struct dev_limits {
    uint64_t max_range;       /* bytes a binding may span; that of the largest buffer where kernels are given whole buffers (OpenCL) */
    uint64_t max_buffer;      /* bytes of one allocation */
    uint64_t heap;            /* bytes of device memory */
    uint32_t max_groups[3];   /* workgroups per dimension */
    uint32_t max_invocations; /* per workgroup; at least 128 by Vulkan's rules, our portable kernels use up to 256 */
    uint32_t shared_bytes;    /* shared (local) memory per workgroup */
    uint32_t push_bytes;      /* parameters */
    uint32_t max_bindings;    /* storage buffers a kernel */
    uint32_t subgroup_min, subgroup_max; /* 0: none */
    bool     storage16;       /* buffers of 16-bit elements; otherwise bf16 and f16 tensors are widened to f32 */
    dev_capabilities can;     /* features and matrix shapes */
} dev_limits;

typedef enum { DEV_OTHER, DEV_INTEGRATED, DEV_DISCRETE, DEV_VIRTUAL, DEV_CPU } dev_type;

/* Who the device is. */
typedef struct dev_info {
    char     api[16];          /* "vulkan", "opencl" */
    int      index;            /* N of vulkan:N */
    char     name[256], driver[520], api_version[32]; /* as long as Vulkan allows; OpenCL's longer ones end in "..." */
    uint32_t vendor_id, device_id;
    uint8_t  uuid[16];
    bool     has_uuid;
    char     pci[16];          /* "0000:65:00.0" where known */
    dev_type type;
    char     remarks[64];      /* further words for people: "opencl-c:1.2 compute-units:132" */
} dev_info;

/* A kernel: source file (shaders/NAME.comp, opencl/NAME.cl; kernel function NAME in OpenCL) plus what specialises it.
 * act, act2: storage of the `a` and `b` tensors, defined as ACT and ACT2: 0 f32, 1 bf16, 2 f16.
 * constants[i]: specialisation constant i in Vulkan, -DNAME=VALUE in OpenCL; constant 0 is always WG, the workgroup's width. */
enum { DEV_MAX_CONSTANTS = 8, DEV_MAX_BINDINGS = 8, DEV_OFFSET_WORDS = 8, DEV_MAX_PARAMS = 24 };
typedef struct dev_constant { const char *name; uint32_t value; } dev_constant;
typedef struct dev_kernel_desc {
    const char  *name;
    int          act, act2;
    int          bindings;
    int          params;        /* 32-bit words after the offsets */
    int          constant_count;
    dev_constant constants[DEV_MAX_CONSTANTS];
    uint32_t     subgroup;      /* required subgroup size, 0 = any; full subgroups are then required too */
} dev_kernel_desc;

enum { DEV_READ = 1, DEV_WRITE = 2 };
typedef struct dev_binding {
    dev_buffer *buffer;
    uint64_t    offset, bytes;  /* any multiple of the element size */
    uint32_t    element_bytes;
    uint32_t    access;         /* DEV_READ | DEV_WRITE */
} dev_binding;

/* A matrix product that a device's library may carry out as a whole (CLBlast): C (+)= op(A) op(B), f32, row-major, `batch` matrices that
 * lie M*K, K*N, M*N elements apart. Bindings 0, 1, 2 of the launch are A, B, C (3: workspace). */
typedef struct dev_gemm {
    bool     trans_a, trans_b, accumulate;
    uint64_t M, N, K, batch;
} dev_gemm;

/* One launch. The kernel sees as parameters: uint off[8] (first element of each binding, filled in by the device: a binding
 * offset is only as fine as the API allows), then params. Groups beyond max_groups[0] are folded by lowering. */
typedef struct dev_launch {
    dev_kernel *kernel;          /* NULL: gemm */
    dev_gemm    gemm;
    const char *op;              /* operation, for timing and messages */
    int         bindings, params;
    dev_binding bind[DEV_MAX_BINDINGS];
    uint32_t    param[DEV_MAX_PARAMS];
    uint32_t    groups[3];
    double      flops, bytes;    /* estimates: submits are split by them, so that no watchdog fires */
} dev_launch;

typedef struct device_vtable {
    ssa_status (*alloc)(device *dev, uint64_t bytes, dev_buffer **out, ssa_error *err);
    void (*free)(device *dev, dev_buffer *buffer);
    /* In order with the launches before; read returns when the data is there, write may return once `host` is not needed. */
    ssa_status (*write)(device *dev, dev_buffer *buffer, uint64_t offset, uint64_t bytes, const void *host, ssa_error *err);
    ssa_status (*read)(device *dev, dev_buffer *buffer, uint64_t offset, uint64_t bytes, void *host, ssa_error *err);

    /* Compiles a variant or finds it again. SSA_ERR_UNSUPPORTED where it exceeds the device or the compiler. */
    ssa_status (*kernel)(device *dev, const dev_kernel_desc *desc, dev_kernel **out, ssa_error *err);

    /* Runs launches in order. Hazards between them (read after write, write after read, write after write on overlapping
     * ranges) are the device's to order, from the declared accesses. */
    ssa_status (*run)(device *dev, const dev_launch *launches, int count, ssa_error *err);
    ssa_status (*record)(device *dev, const dev_launch *launches, int count, dev_recorded **out, ssa_error *err);
    ssa_status (*replay)(device *dev, dev_recorded *recorded, ssa_error *err);
    void (*recorded_free)(device *dev, dev_recorded *recorded);
    ssa_status (*wait)(device *dev, ssa_error *err);

    /* Seconds that the launches take, run as a list: the best of some rounds, after a warm-up. host/time.c does it by the clock. */
    ssa_status (*time)(device *dev, const dev_launch *launches, int count, double *seconds, ssa_error *err);

    /* Optional: whether the device's library can run this matrix product, and the workspace it wants in bytes. Whether it is taken is not the
     * device's to say (host/tune/). */
    bool (*gemm_can)(device *dev, const dev_gemm *gemm, uint64_t *workspace);

    ssa_status (*profile)(device *dev, ssa_profile_row *rows, int capacity, int *count, ssa_error *err); /* may be NULL */
    int (*validation_messages)(const device *dev);                                                      /* may be NULL */
    /* Every kernel variant asked for so far, by name; NULL unless the device was opened to compile only. */
    ssa_status (*compile_report)(device *dev, void (*each)(void *user, const ssa_compiled *kernel), void *user, ssa_error *err);
    void (*destroy)(device *dev);
} device_vtable;

/* Devices put this first in their own struct. */
struct device {
    const device_vtable *vt;
    dev_info             info;
    dev_limits           limits;
    /* Set by host/open.c: the one kernel whose code the caller brings, see ssa_open_options. */
    const char *kernel_name, *kernel_code;
    size_t      kernel_bytes;
    const char *variants;  /* forced ones, see ssa_open_options; NULL: none */
    bool        abandoned; /* see patience_run: a compiler is still at work in it, so it and what it runs are never destroyed */
    bool        hang;      /* SSA_FAULT: the next compilation does not end */
};

/* The caller's code in the place of kernel `name`, or NULL: ours. */
static inline const char *device_kernel_code(const device *dev, const char *name) {
    return dev->kernel_name && !strcmp(dev->kernel_name, name) ? dev->kernel_code : NULL;
}

/* Opens the device number `index` of an API, and lists them without opening (infos[capacity]; *count is how many there are;
 * where there is none, `err` says why and the status is SSA_ERR_UNSUPPORTED). */
ssa_status vulkan_open(int index, const ssa_open_options *options, device **out, ssa_error *err);
ssa_status vulkan_list(dev_info *infos, dev_limits *limits, int capacity, int *count, ssa_error *err);
ssa_status opencl_open(int index, const ssa_open_options *options, device **out, ssa_error *err);
ssa_status opencl_list(dev_info *infos, dev_limits *limits, int capacity, int *count, ssa_error *err);

/* What an API says about its devices; none: why. */
enum { PROBE_CAPACITY = 64 }; /* a host of eight cards in eight partitions each */
typedef struct probe_found {
    dev_info   info[PROBE_CAPACITY];
    dev_limits limits[PROBE_CAPACITY];
    int        count;
    ssa_error  reason;
} probe_found;
typedef ssa_status probe_list(dev_info *infos, dev_limits *limits, int capacity, int *count, ssa_error *err);

/* Asks an API (host/probe.c). The first time, in a process of one thread, in a child with SSA_DRIVER_SECONDS (default 60; 0: not in a
 * child): a driver that crashes or hangs is then a reason, SSA_ERR_RUNTIME. loader: the library that must not be loaded yet for that. */
void probe(const char *api, const char *loader, probe_list *list, probe_found *out);

/* The first device of a type, APIs in order. */
bool probe_choose(const probe_found *found, int apis, dev_type type, int *api, int *index);

/* Lowers limits by the environment variable SSA_LIMITS ("shared=16384,range=1048576,groups=64,push=128,subgroup=0,storage16=0,..."), then by
 * `more`, in the same words (NULL: nothing). */
ssa_status limits_override(dev_limits *limits, const char *more, ssa_error *err);

/* Calls work(arg), a driver's compiler, and waits at most SSA_COMPILE_SECONDS (default 300; 0: for ever). After that the call goes on
 * in a thread of its own, so `arg` must stay; the device is abandoned, the status is SSA_ERR_DEVICE_LOST, and when the process exits
 * the handlers registered before are skipped: the driver's own would pull its compiler's memory away. host/patience.c */
ssa_status patience_run(device *dev, const char *kernel, void (*work)(void *arg), void *arg, ssa_error *err);

/* device_vtable.time by the clock: runs the list until 10 ms are full, three times, and takes the best. host/time.c */
ssa_status device_time(device *dev, const dev_launch *launches, int count, double *seconds, ssa_error *err);

/* Makes a device fail as planned (the environment variable SSA_FAULT, see host/fault.c), for tests of what happens then. NULL or
 * "": nothing fails. fault_wrap once for a device; fault_plan as often as wanted afterwards: counts start anew. */
ssa_status fault_wrap(device *dev, const char *plan, ssa_error *err);
ssa_status fault_plan(device *dev, const char *plan, ssa_error *err);

/* Wraps a device into a backend, which owns it from then on (also on failure). host/lower/backend.c */
struct ssa_backend;
ssa_status gpu_backend_create(device *dev, ssa_tune_mode tune, struct ssa_backend **out, ssa_error *err);

#endif
