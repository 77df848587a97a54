/* Lowering: one operation -> kernel launches, written once for every device. One file an operation (or a forward-backward
 * pair), one function an operation: lower_NAME. A dry run (no device) counts scratch memory and work without launching. */
#ifndef SSA_LOWER_H
#define SSA_LOWER_H

#include "backend.h"
#include "tune/tune.h"
#include <string.h>

typedef struct lowering lowering;

/* A kernel launch as lowering writes it down:
 *   launch(l, &(launch_desc){.kernel = "rmsnorm", .act = x.dtype, .groups = {R},
 *                            .bind = {RD(x), RD(w), WR(y), WR(rstd)}, PUSH(U(R), U(C), F(eps)), .flops = ..., .bytes = ...})
 *
 * The variant that runs is one of the kernel's lines in host/variants.def: `variant`, as variant_for gave it, or the one without a
 * condition. Constants of the call (CALL in the list) come by name.
 * groups[0] alone may exceed the device's limit: it is then folded over x and y (the kernel reads GROUP and must ignore
 * groups beyond its count); groups[1] and groups[2] are chunked by the caller. Missing groups are 1. */
typedef struct launch_binding { ssa_tensor t; uint32_t access; } launch_binding;
typedef struct launch_desc {
    const char    *kernel;
    const variant *variant;         /* NULL: variant_for(l, kernel, NULL) */
    ssa_dtype      act, act2;       /* dtype of the `a` and `b` tensors (default f32) */
    dev_constant   call[DEV_MAX_CONSTANTS];
    int64_t        groups[3];
    launch_binding bind[DEV_MAX_BINDINGS];
    uint32_t       push[DEV_MAX_PARAMS];
    int            push_count;
    double         flops, bytes;
} launch_desc;

#define RD(tensor) {(tensor), DEV_READ}
#define WR(tensor) {(tensor), DEV_WRITE}
#define RW(tensor) {(tensor), DEV_READ | DEV_WRITE}
#define PUSH(...)  .push = {__VA_ARGS__}, .push_count = (int)(sizeof((uint32_t[]){__VA_ARGS__}) / sizeof(uint32_t))
#define U(x)       ((uint32_t)(x))
static inline uint32_t F(float x) { uint32_t u; memcpy(&u, &x, 4); return u; }

ssa_status launch(lowering *l, const launch_desc *d);

/* The variant of a kernel to run for these sizes (NULL: none are told): the one that was forced, else the first line that runs and
 * fits. Never NULL: where none runs, the portable line, and the launch says why it cannot. */
const variant *variant_for(const lowering *l, const char *kernel, const variant_size *sizes);
/* Where there is something to choose: the name of the variant or library that was forced or chosen, NULL: the lowering's default. */
const char *choice_for(lowering *l, const tune_point *p);
#define SIZES(...) ((const variant_size[]){__VA_ARGS__, {0}})
/* Width of the workgroup of a kernel's variant without conditions. */
static inline int64_t wg_of(const lowering *l, const char *kernel) { return variant_value(variant_for(l, kernel, NULL), "WG"); }

/* Scratch for this operation: f32 or i32 elements, aligned to 256 bytes; gone when the operation ends. */
ssa_status scratch(lowering *l, ssa_dtype dtype, int64_t elements, ssa_tensor *out);

/* A matrix product of f32 tensors that the device's library runs as a whole; whether it can, and launching it. */
bool       gemm_library_can(const lowering *l, const dev_gemm *g);
ssa_status launch_gemm(lowering *l, const dev_gemm *g, ssa_tensor a, ssa_tensor b, ssa_tensor c);

const ssa_call   *lowered_call(const lowering *l);
const dev_limits *lowered_limits(const lowering *l);
/* Bytes an element of this dtype takes on the device (4 for 16-bit types where they are widened). */
int64_t           element_bytes(const lowering *l, ssa_dtype dtype);
ssa_error        *lowering_error(lowering *l);

static inline int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
static inline int64_t min_i64(int64_t a, int64_t b) { return a < b ? a : b; }
static inline int64_t max_i64(int64_t a, int64_t b) { return a > b ? a : b; }

/* y (+)= scale * sum of n elements of x (square: of their squares), in a fixed order. */
ssa_status lower_reduce(lowering *l, ssa_tensor x, ssa_tensor y, bool square, float scale, bool accumulate);

typedef ssa_status (*lower_fn)(lowering *l, const ssa_call *call);
#define OP(ID, name, inputs, outputs, attributes) ssa_status lower_##name(lowering *l, const ssa_call *call);
#include "ssa/ops.def"
#undef OP

#define DIM(letter) (call->dim[(letter) - 'A'])

/* Scratch bytes, floating-point operations and bytes moved of a call, without a device. */
/* forced: as ssa_open_options.variants. */
ssa_status lower_estimate(const ssa_call *call, const dev_limits *limits, const char *forced, uint64_t *scratch_bytes, double *flops, double *bytes, ssa_error *err);

#endif
