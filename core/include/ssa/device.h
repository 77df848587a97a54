/* Opening devices by name: cpu, vulkan (the first), vulkan:N, opencl, opencl:N, auto. */
#ifndef SSA_DEVICE_H
#define SSA_DEVICE_H

#include "ssa/tensor.h"
#include <stdbool.h>
#include <stdio.h>

struct ssa_selection; /* ops.h */
/* How a GPU device chooses among kernel variants and its library. AUTO: what the environment variable SSA_TUNE says (off, use, search), else
 * SEARCH. OFF: defaults by size alone. USE: what was measured before or is shipped. SEARCH: what is not known is measured. */
typedef enum { SSA_TUNE_AUTO, SSA_TUNE_OFF, SSA_TUNE_USE, SSA_TUNE_SEARCH } ssa_tune_mode;

typedef struct ssa_open_options {
    bool validate;  /* Vulkan: enable the Khronos validation layer (core and synchronization); its messages are failures */
    bool profile;   /* collect device times per operation, see ssa_profile_read */
    int  threads;   /* of the CPU device, 1..128, the caller's included; 0: the environment's OMP_NUM_THREADS, else the processors that
                     * the process may use. Results do not depend on it. They sleep while there is nothing to do. */
    bool check;     /* run every operation on the CPU too and fail at the first that differs, naming it; also by the environment
                     * variable SSA_CHECK=1. Slow, and takes the memory twice. The CPU itself is not checked. */
    bool compile_only; /* Vulkan: kernels are compiled, nothing is allocated or run, reads give zeros; see ssa_compile_report */
    /* One kernel replaced (`ssa verify kernel`): where lowering asks for kernel_name, kernel_code is compiled in its place, GLSL (ended
     * by a zero) or SPIR-V for Vulkan, OpenCL C for OpenCL. Name and code are the caller's and outlive the context. NULL: none. */
    const char *kernel_name, *kernel_code;
    size_t      kernel_bytes; /* of the code, without the zero */
    /* cpu: called behind every select, at replay too, with what it was selected from and the blocks idx [B,T,S,K], which may be changed:
     * so near ties are found, and a reference attends the blocks that another device selected. NULL: none. */
    void (*selected)(void *user, const struct ssa_selection *from, int32_t *idx);
    void  *selected_user;
    /* Kernel variants that run whatever else would be chosen: "matmul=tile64,sum=portable" (ssa_variants lists them); "matmul=clblast": OpenCL's
     * library; "cpu=portable": the CPU without AVX2. The caller's, outlives the context. A kernel or name that does not exist, or that the
     * device cannot run, is an error. NULL: none. */
    const char *variants;
    const char *limits; /* lowers the device's limits as the environment variable SSA_LIMITS does, after it: "storage16=0,shared=16384"; NULL: none */
    ssa_tune_mode tune;
    /* Told what is being done, from the thread whose call does it, for who shows that while calls take long: what begins ("step 3 of 300"), or
     * with detail what takes long within it ("compiling attn_full"; NULL: that is over). The text is valid during the call. NULL: nobody. */
    void (*activity)(void *user, bool detail, const char *what);
    void  *activity_user;
} ssa_open_options;

/* Opens a device. "auto" takes a discrete GPU, then an integrated one, then the CPU; software drivers only when named. */
ssa_status ssa_open(const char *device, const ssa_open_options *options, ssa_context **out, ssa_error *err);
void       ssa_close(ssa_context *ctx); /* waits, frees every buffer and program that is left */

const char *ssa_context_device(const ssa_context *ctx);      /* canonical name, "vulkan:0" */
const char *ssa_context_description(const ssa_context *ctx); /* "llvmpipe (LLVM 15.0.6, 256 bits), Mesa 22.3.6" */
/* What a user should know of how this device came, a sentence: why auto took the CPU, or that it is a software driver; empty: nothing. */
const char *ssa_context_remark(const ssa_context *ctx);
ssa_error  *ssa_context_error(ssa_context *ctx);
uint64_t    ssa_context_memory(const ssa_context *ctx);      /* bytes the device can hold for us; 0 unknown */
uint64_t    ssa_context_max_buffer(const ssa_context *ctx);  /* bytes of the largest single buffer */
uint64_t    ssa_context_allocated(const ssa_context *ctx);   /* bytes allocated now */
/* Messages of the validation layer so far (0 without .validate). */
int         ssa_context_validation_messages(const ssa_context *ctx);

/* The list of kernel variants as this context's device sees it: calls each(kernel, name, source, runs, why) for every line; why: what
 * the device lacks, or "default" where this line runs by itself whatever the shape. The CPU has none. */
typedef void (*ssa_variant_fn)(void *user, const char *kernel, const char *name, const char *source, bool runs, const char *why);
ssa_status ssa_variants(ssa_context *ctx, ssa_variant_fn each, void *user);

/* Lists the devices to a stream, one line each, or as a JSON array; a missing loader or driver is said with its reason.
 * SSA_ERR_INPUT where SSA_LIMITS is wrong (the reason stands in the list), SSA_ERR_RUNTIME where the stream cannot be written. */
ssa_status ssa_list_devices(FILE *out, bool json);
/* The same for one API ("cpu", "vulkan", "opencl"; NULL: all): the drivers of the others are not loaded. */
ssa_status ssa_list_devices_of(const char *api, FILE *out, bool json);

/* What was chosen by timing (kernel variants, or CLBlast for the matrix product, by class of shapes), one line a choice: a run records
 * them in trainer.json and sets them again when it resumes, because bits are promised for equal choices. */
ssa_status ssa_choices_get(ssa_context *ctx, void (*line)(void *user, const char *text), void *user);
ssa_status ssa_choices_set(ssa_context *ctx, const char *line);

/* Device time by operation since the last call, in nanoseconds, where the context was opened with .profile. */
typedef struct ssa_profile_row { const char *op; uint64_t launches; double ns; } ssa_profile_row;
ssa_status ssa_profile_read(ssa_context *ctx, ssa_profile_row *rows, int capacity, int *count);

/* A kernel variant as the device's compiler made it; -1 where the driver does not say. Strings live as long as the callback runs. */
typedef struct ssa_compiled_value { const char *name; double value; } ssa_compiled_value;
typedef struct ssa_compiled {
    const char *kernel, *act, *act2, *constants; /* "matmul", "bf16", "f32", "WG=64 TRANS_A=0 ..." */
    uint32_t    subgroup;                        /* size it requires; 0: any */
    const char *failure;                         /* why it could not be compiled; NULL: it was */
    double      seconds;                         /* in the driver's compiler */
    double      registers, spills, scratch_bytes, shared_bytes, code_bytes;
    double      occupancy;                       /* subgroups at once on a SIMD unit, or what the driver counts */
    int         values;                          /* everything the driver says, by its own names */
    const ssa_compiled_value *value;
} ssa_compiled;
/* Reports every variant that the calls on a context opened with .compile_only needed so far, sorted by name. */
ssa_status ssa_compile_report(ssa_context *ctx, void (*each)(void *user, const ssa_compiled *kernel), void *user);

#endif
