/* libssa: sparse sparse attention on any GPU. The public API. */
#ifndef SSA_H
#define SSA_H

#include "ssa/device.h"
#include "ssa/ops.h"
#include "ssa/status.h"
#include "ssa/tensor.h"

#endif
