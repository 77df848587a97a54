/* What the attention lowerings share: the tile of shaders/attn.glsl and chunks over the batch. */
#ifndef SSA_LOWER_ATTN_H
#define SSA_LOWER_ATTN_H

#include "chunk.h"

/* rows and cols: groups of 4 rows and of 4 columns (16 in all cases but few rows); a chunk of the output is 4 cols wide. */
typedef struct attn_tile { int64_t rows, cols, chunks, parts; } attn_tile;

/* Accumulators stay in registers up to `most` chunks; a wider head_dim is split into parts, which redo the scores. */
static inline attn_tile attn_tile_of(int64_t rows, int64_t cols, int64_t D, int64_t most) {
    int64_t chunks = ceil_div(D, 4 * cols), parts = ceil_div(chunks, most);
    return (attn_tile){rows, cols, ceil_div(chunks, parts), parts};
}
enum { KEY_CHUNKS = 2 }; /* dk and dv are held at once: more chunks spill on RDNA3, Adreno and Apple, and keep NVK in memory */
#define TILE(t) .constants = {{"WG", U((t).rows * (t).cols)}, {"RG", U((t).rows)}, {"CG", U((t).cols)}, {"CHUNKS", U((t).chunks)}}

/* Batches a launch may take: `each` elements a batch in the largest binding. One batch that does not fit fails in launch. */
static inline int64_t batches(const lowering *l, int64_t B, int64_t each, ssa_dtype dtype) {
    return each ? max_i64(1, min_i64(B, binding_elements(l, dtype) / each)) : B;
}

/* The batches b .. b+n-1 of a tensor with `each` elements a batch. */
static inline ssa_tensor batch(ssa_tensor t, int64_t b, int64_t n, int64_t each) { return ssa_view(t, b * each, n * each); }

#endif
