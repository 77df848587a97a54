/* A list of tensors that live and die together, with their bytes: who makes a tensor keeps no list of his own to free it. */
#ifndef SSA_TENSORS_H
#define SSA_TENSORS_H

#include "ssa/tensor.h"

typedef struct tensor_list {
    ssa_context *ctx;
    ssa_tensor  *item;
    int          count, capacity;
    uint64_t     bytes; /* on the device, of all of them */
} tensor_list;

/* Makes a tensor that the list owns. */
ssa_status tensors_make(tensor_list *list, ssa_tensor *out, ssa_dtype dtype, int rank, const int64_t *shape);
#define TENSORS_MAKE(list, tensor, dtype, ...) \
    tensors_make((list), &(tensor), (dtype), (int)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)), (int64_t[]){__VA_ARGS__})
void tensors_free(tensor_list *list); /* all of them; the list is empty afterwards */

#endif
