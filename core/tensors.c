#include "tensors.h"
#include "context.h"
#include <stdlib.h>

ssa_status tensors_make(tensor_list *list, ssa_tensor *out, ssa_dtype dtype, int rank, const int64_t *shape) {
    if (list->count == list->capacity) {
        int         capacity = list->capacity ? 2 * list->capacity : 64;
        ssa_tensor *item = realloc(list->item, (size_t)capacity * sizeof *item);
        if (!item) return ssa_fail(ssa_context_error(list->ctx), SSA_ERR_MEMORY, "out of memory for a list of %d tensors", capacity);
        list->item = item;
        list->capacity = capacity;
    }
    SSA_TRY(ssa_tensor_create(list->ctx, dtype, rank, shape, out));
    list->item[list->count++] = *out;
    list->bytes += out->buffer->bytes;
    return SSA_OK;
}

void tensors_free(tensor_list *list) {
    for (int i = 0; i < list->count; i++) ssa_tensor_free(list->ctx, &list->item[i]);
    free(list->item);
    *list = (tensor_list){.ctx = list->ctx};
}
