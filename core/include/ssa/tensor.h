/* Tensors: contiguous views, at an element offset, of a buffer that belongs to a context's backend.
 *
 * A tensor is a small value; copying it copies the view, not the data. A buffer holds elements of one dtype. */
#ifndef SSA_TENSOR_H
#define SSA_TENSOR_H

#include "ssa/status.h"
#include <stddef.h>
#include <stdint.h>

/* f32, bf16 and f16 hold activations and weights (16-bit types are storage only: arithmetic is f32);
 * i32 holds tokens and indices; f64 exists on the CPU backend for gradient checks. */
typedef enum { SSA_F32, SSA_BF16, SSA_F16, SSA_I32, SSA_F64, SSA_DTYPE_COUNT } ssa_dtype;

size_t      ssa_dtype_size(ssa_dtype dtype); /* bytes an element on the host */
const char *ssa_dtype_name(ssa_dtype dtype); /* "f32", "bf16", ... */

/* Conversions of n elements between host arrays; rounding is to nearest even, f16 overflow goes to infinity. */
void ssa_to_f32(float *out, const void *in, ssa_dtype dtype, int64_t n);
void ssa_from_f32(void *out, ssa_dtype dtype, const float *in, int64_t n);

typedef struct ssa_context ssa_context; /* owns one backend, its buffers and the first error */
typedef struct ssa_buffer  ssa_buffer;  /* memory of a backend */

enum { SSA_MAX_RANK = 4 };

typedef struct ssa_tensor {
    ssa_buffer *buffer;
    int64_t     offset; /* first element within the buffer */
    int64_t     shape[SSA_MAX_RANK];
    int         rank;
    ssa_dtype   dtype;
} ssa_tensor;

int64_t ssa_numel(const ssa_tensor *t);

/* Allocates a buffer and returns a tensor over all of it; contents are undefined. Freed with ssa_tensor_free or the context. */
ssa_status ssa_tensor_create(ssa_context *ctx, ssa_dtype dtype, int rank, const int64_t *shape, ssa_tensor *out);
#define ssa_tensor_new(ctx, dtype, out, ...)                                                                           \
    ssa_tensor_create((ctx), (dtype), (int)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)), (int64_t[]){__VA_ARGS__}, (out))
void ssa_tensor_free(ssa_context *ctx, ssa_tensor *t); /* frees the buffer: every view of it dies; a null buffer is ignored */

/* A view: `first` elements further into t, with another shape. The caller keeps it inside t's buffer (operations check). */
ssa_tensor ssa_view_shape(ssa_tensor t, int64_t first, int rank, const int64_t *shape);
#define ssa_view(t, first, ...)                                                                                        \
    ssa_view_shape((t), (first), (int)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)), (int64_t[]){__VA_ARGS__})

/* Host <-> device, ordered with the operations issued before. The plain forms take elements of the tensor's dtype,
 * the _f32 forms convert from and to float arrays (not for i32 and f64). */
ssa_status ssa_write(ssa_context *ctx, ssa_tensor t, const void *host);
ssa_status ssa_read(ssa_context *ctx, ssa_tensor t, void *host);
ssa_status ssa_write_f32(ssa_context *ctx, ssa_tensor t, const float *host);
ssa_status ssa_read_f32(ssa_context *ctx, ssa_tensor t, float *host);

/* Copies a tensor between two contexts (two devices, or device and CPU) through the host. Same dtype and element count. */
ssa_status ssa_copy_between(ssa_context *from, ssa_tensor src, ssa_context *to, ssa_tensor dst);

#endif
