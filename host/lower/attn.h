/* What the attention lowerings share: the tile of shaders/attn.glsl and chunks over the batch. */
#ifndef SSA_LOWER_ATTN_H
#define SSA_LOWER_ATTN_H

#include "chunk.h"

/* A variant's tile: rows and cols in groups of 4 rows and of 4 columns; a chunk of the output is 4 cols wide. Accumulators stay in
 * registers up to the variant's most chunks; a wider head_dim is split into parts, which redo the scores. */
typedef struct attn_tile { const variant *variant; int64_t rows, cols, chunks, parts; } attn_tile;

static inline attn_tile attn_tile_of(const lowering *l, const char *kernel, int64_t D, const variant_size *sizes) {
    const variant *v = variant_for(l, kernel, sizes);
    int64_t        rows = variant_value(v, "RG"), cols = variant_value(v, "CG"), chunks = ceil_div(D, 4 * cols);
    int64_t        parts = ceil_div(chunks, (int64_t)variant_value(v, "CHUNKS"));
    return (attn_tile){v, rows, cols, ceil_div(chunks, parts), parts};
}
#define TILE(t) .variant = (t).variant, .call = {{"CHUNKS", U((t).chunks)}}

/* Rows of head_dim a workgroup takes where LANES invocations share one. */
static inline int64_t rows_a_group(const lowering *l, const char *kernel) {
    const variant *v = variant_for(l, kernel, NULL);
    return variant_value(v, "WG") / variant_value(v, "LANES");
}

/* Batches a launch may take: `each` elements a batch in the largest binding. One batch that does not fit fails in launch. */
static inline int64_t batches(const lowering *l, int64_t B, int64_t each, ssa_dtype dtype) {
    return each ? max_i64(1, min_i64(B, binding_elements(l, dtype) / each)) : B;
}

/* The batches b .. b+n-1 of a tensor with `each` elements a batch. */
static inline ssa_tensor batch(ssa_tensor t, int64_t b, int64_t n, int64_t each) { return ssa_view(t, b * each, n * each); }

#endif
