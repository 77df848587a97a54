/* The OpenCL loader, found at run time: without it the library works, and says why there is no OpenCL device. */
#include "ocl.h"
#include <dlfcn.h>
#include <string.h>

ssa_status ocl_load(ocl_api *cl, ssa_error *err) {
    static const char *const names[] = {"libOpenCL.so.1", "libOpenCL.so"};
    memset(cl, 0, sizeof *cl);
    /* A loader that the process has already goes first: oclgrind puts itself there. */
    if (dlsym(RTLD_DEFAULT, "clGetPlatformIDs")) cl->library = dlopen(NULL, RTLD_NOW);
    /* Never unmapped: drivers keep threads and exit handlers. */
    for (size_t i = 0; i < sizeof names / sizeof *names && !cl->library; i++) cl->library = dlopen(names[i], RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    if (!cl->library) return ssa_fail(err, SSA_ERR_UNSUPPORTED, "no OpenCL loader: libOpenCL.so.1 was not found (Debian: ocl-icd-libopencl1)");
    const char *missing = NULL;
#define X(name)                                              \
    *(void **)(&cl->name) = dlsym(cl->library, #name);       \
    if (!cl->name && !missing) missing = #name;
    OCL_FUNCTIONS(X)
#undef X
    if (missing) {
        ocl_unload(cl);
        return ssa_fail(err, SSA_ERR_UNSUPPORTED, "the OpenCL loader lacks %s: OpenCL 1.2 is needed", missing);
    }
    return SSA_OK;
}

void ocl_unload(ocl_api *cl) {
    if (cl->library) dlclose(cl->library);
    cl->library = NULL;
}

const char *ocl_error_name(cl_int code) {
    static const struct { cl_int code; const char *name; } table[] = {
#define E(name) {name, #name}
        E(CL_DEVICE_NOT_FOUND), E(CL_DEVICE_NOT_AVAILABLE), E(CL_COMPILER_NOT_AVAILABLE), E(CL_MEM_OBJECT_ALLOCATION_FAILURE),
        E(CL_OUT_OF_RESOURCES), E(CL_OUT_OF_HOST_MEMORY), E(CL_PROFILING_INFO_NOT_AVAILABLE), E(CL_BUILD_PROGRAM_FAILURE),
        E(CL_MISALIGNED_SUB_BUFFER_OFFSET), E(CL_EXEC_STATUS_ERROR_FOR_EVENTS_IN_WAIT_LIST), E(CL_INVALID_VALUE), E(CL_INVALID_DEVICE),
        E(CL_INVALID_CONTEXT), E(CL_INVALID_COMMAND_QUEUE), E(CL_INVALID_MEM_OBJECT), E(CL_INVALID_BINARY), E(CL_INVALID_BUILD_OPTIONS),
        E(CL_INVALID_PROGRAM), E(CL_INVALID_PROGRAM_EXECUTABLE), E(CL_INVALID_KERNEL_NAME), E(CL_INVALID_KERNEL_DEFINITION),
        E(CL_INVALID_KERNEL), E(CL_INVALID_ARG_INDEX), E(CL_INVALID_ARG_VALUE), E(CL_INVALID_ARG_SIZE), E(CL_INVALID_KERNEL_ARGS),
        E(CL_INVALID_WORK_DIMENSION), E(CL_INVALID_WORK_GROUP_SIZE), E(CL_INVALID_WORK_ITEM_SIZE), E(CL_INVALID_GLOBAL_OFFSET),
        E(CL_INVALID_EVENT_WAIT_LIST), E(CL_INVALID_EVENT), E(CL_INVALID_OPERATION), E(CL_INVALID_BUFFER_SIZE), E(CL_INVALID_GLOBAL_WORK_SIZE),
        E(CL_PLATFORM_NOT_FOUND_KHR),
#undef E
        {-9999, "an illegal memory access reported by NVIDIA's driver"},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (table[i].code == code) return table[i].name;
    return "an error code of the driver";
}
