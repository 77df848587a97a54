/* libssa: sparse sparse attention on any GPU. The public API. */
#ifndef SSA_H
#define SSA_H

#include "ssa/config.h"
#include "ssa/device.h"
#include "ssa/io.h"
#include "ssa/judge.h"
#include "ssa/model.h"
#include "ssa/ops.h"
#include "ssa/status.h"
#include "ssa/tensor.h"
#include "ssa/train.h"

#endif
