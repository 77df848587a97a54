/* The kernels of one variant, in the order of the table of operations. */
#include "cpu.h"

#define OP(ID, name, inputs, outputs, attributes) ssa_status CPU(name)(const cpu_args *a);
#include "ssa/ops.def"
#undef OP

const cpu_kernel CPU(table)[SSA_OP_COUNT] = {
#define OP(ID, name, inputs, outputs, attributes) CPU(name),
#include "ssa/ops.def"
#undef OP
};
