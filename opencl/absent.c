/* Stands in for the OpenCL device where the library was built without Khronos' headers. */
#include "device.h"

ssa_status opencl_open(int index, const ssa_open_options *options, device **out, ssa_error *err) {
    (void)options;
    *out = NULL;
    return ssa_fail(err, SSA_ERR_UNSUPPORTED, "opencl:%d: libssa was built without OpenCL headers", index);
}

ssa_status opencl_list(dev_info *infos, dev_limits *limits, int capacity, int *count, ssa_error *err) {
    (void)infos, (void)limits, (void)capacity;
    *count = 0;
    return ssa_fail(err, SSA_ERR_UNSUPPORTED, "libssa was built without OpenCL headers");
}
