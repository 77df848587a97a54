/* Matrix products: the device's own where it takes them, else our kernels; chunked so that every binding fits, with K split
 * over workgroups where the result alone would not fill a GPU. */
#include "chunk.h"
#include "gemm.h"

/* -- the choice of tile ----------------------------------------------------------------------------------------------------
 * Where nothing was measured it depends on sizes and limits alone, so that equal runs give equal bits. */
typedef struct {
    const variant *variant;
    int64_t        tile;            /* rows and columns of the result a workgroup */
    int64_t        splits, k_range; /* parts of K computed apart, and their length */
} gemm_tile;

enum {
    FILL_GPU = 256,     /* workgroups that occupy a large GPU (132 multiprocessors) */
    MAX_SPLITS = 64,
    LEAST_RANGE = 256,  /* K a workgroup should at least walk */
    PARTIALS = 1 << 22, /* elements of partial products kept in scratch */
};

static int64_t workgroups(const variant *v, int64_t batch, int64_t M, int64_t N) {
    int64_t tile = variant_value(v, "TILE");
    return batch * ceil_div(M, tile) * ceil_div(N, tile);
}

/* The largest tile whose workgroups fill a GPU. */
static const variant *default_variant(const lowering *l, int64_t batch, int64_t M, int64_t N, bool deep) {
    static const char *const names[] = {"tile128", "tile64"};
    for (int i = 0; i < 2; i++) {
        const variant *v = variant_named("matmul", names[i]);
        bool           busy = workgroups(v, batch, M, N) >= FILL_GPU || (deep && i == 1);
        if (busy && variant_runs(v, lowered_limits(l), NULL, 0)) return v;
    }
    return variant_named("matmul", "portable");
}

static gemm_tile choose_tile(const lowering *l, const variant *chosen, int64_t batch, int64_t M, int64_t N, int64_t K) {
    int64_t   most = min_i64(PARTIALS, binding_elements(l, SSA_F32)), room = min_i64(most / (batch * M * N), lowered_limits(l)->max_groups[2] / batch);
    bool      deep = K >= 4 * LEAST_RANGE && room > 1 && M >= 64 && N >= 64; /* K can be split */
    gemm_tile t = {.variant = chosen ? chosen : default_variant(l, batch, M, N, deep)};
    t.tile = variant_value(t.variant, "TILE");
    int64_t depth = variant_value(t.variant, "DEPTH");
    t.splits = max_i64(1, min_i64(min_i64(ceil_div(FILL_GPU, workgroups(t.variant, batch, M, N)), K / LEAST_RANGE), min_i64(room, MAX_SPLITS)));
    t.k_range = ceil_div(ceil_div(K, t.splits), depth) * depth;
    t.splits = ceil_div(K, t.k_range);
    return t;
}

/* -- one chunk ------------------------------------------------------------------------------------------------------------- */

typedef struct {
    gemm_desc      g;
    const variant *chosen; /* NULL: by size */
    int64_t        lda, ldb, ldc, stride_a, stride_b, stride_c; /* elements */
} chunk;

/* Elements from the first to behind the last of a matrix whose rows lie ld apart. */
static int64_t span(int64_t rows, int64_t columns, int64_t ld, int64_t batch, int64_t stride) {
    return (batch - 1) * stride + (rows - 1) * ld + columns;
}

/* Scratch for n elements, the same piece again while it suffices. */
static ssa_status reserve(lowering *l, ssa_tensor *work, int64_t n) {
    return work->rank && work->shape[0] >= n ? SSA_OK : scratch(l, SSA_F32, n, work);
}

static ssa_status sum_partials(lowering *l, const chunk *k, ssa_tensor part, int64_t parts) {
    int64_t n = k->g.M * k->g.N;
    for (int64_t i = 0; i < k->g.batch; i++) {
        ssa_tensor c = ssa_view(k->g.c, i * k->stride_c, span(k->g.M, k->g.N, k->ldc, 1, 0));
        SSA_TRY(launch(l, &(launch_desc){.kernel = "matmul_sum", .act2 = c.dtype, .groups = {elementwise_groups(l, "matmul_sum", n)},
                                         .bind = {RD(ssa_view(part, i * parts * n, parts * n)), RW(c)},
                                         PUSH(U(n), U(k->g.N), U(k->ldc), U(parts), U(k->g.accumulate)), .flops = (double)(parts * n),
                                         .bytes = 4.0 * (double)(parts * n)}));
    }
    return SSA_OK;
}

/* A product whose operands fit their bindings. */
static ssa_status run_chunk(lowering *l, const chunk *k, ssa_tensor *work) {
    const gemm_desc *g = &k->g;
    gemm_tile        t = choose_tile(l, k->chosen, g->batch, g->M, g->N, g->K);
    bool             split = t.splits > 1, a_f32 = g->a.dtype == SSA_F32 && g->b.dtype != SSA_F32;
    int64_t          rows_a = g->trans_a ? g->K : g->M, rows_b = g->trans_b ? g->N : g->K;
    ssa_tensor       a = ssa_view(g->a, 0, span(rows_a, g->M + g->K - rows_a, k->lda, g->batch, k->stride_a));
    ssa_tensor       b = ssa_view(g->b, 0, span(rows_b, g->N + g->K - rows_b, k->ldb, g->batch, k->stride_b));
    ssa_tensor       c = ssa_view(g->c, 0, span(g->M, g->N, k->ldc, g->batch, k->stride_c));
    int64_t          ldc = k->ldc, stride_c = k->stride_c;
    if (split) {
        SSA_TRY(reserve(l, work, g->batch * t.splits * g->M * g->N));
        c = ssa_view(*work, 0, g->batch * t.splits * g->M * g->N);
        ldc = g->N;
        stride_c = g->M * g->N;
    }
    double flops = 2.0 * (double)g->batch * (double)g->M * (double)g->N * (double)g->K;
    double bytes = (double)g->batch * ((double)(g->M * g->K + g->K * g->N) * (double)element_bytes(l, g->b.dtype) + 4.0 * (double)(g->M * g->N));
    SSA_TRY(launch(l, &(launch_desc){.kernel = "matmul", .act = g->b.dtype, .act2 = c.dtype,
                                     .variant = t.variant, .call = {{"TRANS_A", g->trans_a}, {"TRANS_B", g->trans_b}, {"A_F32", a_f32}},
                                     .groups = {ceil_div(g->N, t.tile), ceil_div(g->M, t.tile), g->batch * t.splits},
                                     .bind = {RD(a), RD(b), {c, DEV_WRITE | (g->accumulate && !split ? DEV_READ : 0)}, RD(a)},
                                     PUSH(U(g->M), U(g->N), U(g->K), U(k->lda), U(k->ldb), U(ldc), U(k->stride_a), U(k->stride_b), U(stride_c),
                                          U(t.splits), U(t.k_range), U(g->accumulate && !split)),
                                     .flops = flops, .bytes = bytes}));
    return split ? sum_partials(l, k, c, t.splits) : SSA_OK;
}

/* -- chunking -------------------------------------------------------------------------------------------------------------- */

/* Rows and columns of a stored matrix such that they fit `most` elements: rows as long as one fits, else a piece of one. */
static void fit(int64_t most, int64_t ld, int64_t *rows, int64_t *columns) {
    *rows = min_i64(*rows, max_i64(1, most / ld));
    if (*rows == 1) *columns = min_i64(*columns, most);
}

/* Sizes of the chunks of one matrix: what fits the bindings, the grid and a watchdog's patience. */
static void chunk_sizes(const lowering *l, const chunk *whole, int64_t *M, int64_t *N, int64_t *K) {
    enum { SMALLEST_TILE = 32, LEAST_ROWS = 128 };
    const double      per_launch = 2e10; /* multiplications */
    const gemm_desc  *g = &whole->g;
    const dev_limits *limits = lowered_limits(l);
    *M = g->M;
    *N = g->N;
    *K = g->K;
    fit(binding_elements(l, g->a.dtype), whole->lda, g->trans_a ? K : M, g->trans_a ? M : K);
    fit(binding_elements(l, g->b.dtype), whole->ldb, g->trans_b ? N : K, g->trans_b ? K : N);
    fit(binding_elements(l, SSA_F32), whole->ldc, M, N);
    *M = min_i64(*M, (int64_t)limits->max_groups[1] * SMALLEST_TILE);
    *N = min_i64(*N, (int64_t)limits->max_groups[0] * SMALLEST_TILE);
    while (*M > LEAST_ROWS && (double)*M * (double)*N * (double)*K > per_launch) *M = ceil_div(*M, 2);
}

/* One matrix in chunks of M, N and K; those of K accumulate in ascending order, in f32. */
static ssa_status run_chunks(lowering *l, const chunk *whole, int64_t M, int64_t N, int64_t K, ssa_tensor *work) {
    const gemm_desc *g = &whole->g;
    bool             in_f32 = K < g->K && g->c.dtype != SSA_F32;
    ssa_tensor       sums = {0};
    if (in_f32) SSA_TRY(scratch(l, SSA_F32, M * N, &sums));
    for (int64_t m = 0; m < g->M; m += M)
        for (int64_t n = 0; n < g->N; n += N) {
            chunk out = *whole, k;
            out.g.M = min_i64(M, g->M - m);
            out.g.N = min_i64(N, g->N - n);
            out.g.c = ssa_view(g->c, m * whole->ldc + n, 1);
            k = out;
            if (in_f32) {
                k.g.c = sums;
                k.ldc = k.g.N;
                k.g.accumulate = false;
            }
            for (int64_t i = 0; i < g->K; i += K) {
                k.g.K = min_i64(K, g->K - i);
                k.g.a = ssa_view(g->a, g->trans_a ? i * k.lda + m : m * k.lda + i, 1);
                k.g.b = ssa_view(g->b, g->trans_b ? n * k.ldb + i : i * k.ldb + n, 1);
                if (i > 0) k.g.accumulate = true;
                SSA_TRY(run_chunk(l, &k, work));
            }
            if (in_f32) SSA_TRY(sum_partials(l, &out, ssa_view(sums, 0, k.g.M * k.g.N), 1));
        }
    return SSA_OK;
}

/* Matrices i .. i + n - 1 of the batch. */
static gemm_desc part_of_batch(const gemm_desc *g, int64_t i, int64_t n) {
    gemm_desc part = *g;
    int64_t   a = g->M * g->K, b = g->K * g->N, c = g->M * g->N;
    part.batch = n;
    part.a = ssa_view(g->a, i * a, n * a);
    part.b = ssa_view(g->b, i * b, n * b);
    part.c = ssa_view(g->c, i * c, n * c);
    return part;
}

/* What there is to choose; product: as the device's library would be given it, NULL where it does not fit. */
static tune_point point_of(const lowering *l, const gemm_desc *g, const dev_gemm *product) {
    tune_point p = {.kernel = "matmul", .call = {.op = SSA_MATMUL, .count = 3, .act = g->b.dtype}};
    ssa_call  *call = &p.call;
    call->attr = (ssa_attrs){.trans_a = g->trans_a, .trans_b = g->trans_b, .accumulate = g->accumulate};
    DIM('G') = g->batch;
    DIM('M') = g->M;
    DIM('N') = g->N;
    DIM('K') = g->K;
    call->t[0].dtype = g->a.dtype;
    call->t[1].dtype = g->b.dtype;
    call->t[2].dtype = g->c.dtype;
    bool f32 = g->a.dtype == SSA_F32 && g->b.dtype == SSA_F32 && g->c.dtype == SSA_F32;
    p.library = product && f32 && gemm_library_can(l, product);
    return p;
}

ssa_status lower_gemm_batch(lowering *l, const gemm_desc *g, ssa_tensor *work) {
    chunk   whole = {.g = *g, .lda = g->trans_a ? g->M : g->K, .ldb = g->trans_b ? g->K : g->N, .ldc = g->N};
    int64_t M, N, K, size_a = g->M * g->K, size_b = g->K * g->N, size_c = g->M * g->N;
    if (g->a.dtype != g->b.dtype && g->a.dtype != SSA_F32)
        return ssa_fail(lowering_error(l), SSA_ERR_UNSUPPORTED, "matmul: a is %s beside b of %s", ssa_dtype_name(g->a.dtype),
                        ssa_dtype_name(g->b.dtype));
    int64_t together = min_i64(min_i64(binding_elements(l, g->a.dtype) / size_a, binding_elements(l, g->b.dtype) / size_b),
                               min_i64(binding_elements(l, g->c.dtype) / size_c, lowered_limits(l)->max_groups[2]));
    int64_t most = max_i64(1, together);
    chunk_sizes(l, &whole, &M, &N, &K);
    for (int64_t i = 0; i < g->batch; i += most) {
        whole.g = part_of_batch(g, i, min_i64(most, g->batch - i));
        dev_gemm    product = {g->trans_a, g->trans_b, g->accumulate, (uint64_t)g->M, (uint64_t)g->N, (uint64_t)g->K, (uint64_t)whole.g.batch};
        tune_point  point = point_of(l, &whole.g, together > 0 ? &product : NULL);
        const char *choice = g->a.dtype == g->b.dtype ? choice_for(l, &point) : NULL;
        if (choice && !strcmp(choice, TUNE_LIBRARY)) {
            SSA_TRY(launch_gemm(l, &product, whole.g.a, whole.g.b, whole.g.c));
            continue;
        }
        whole.chosen = choice ? variant_named("matmul", choice) : NULL;
        if (M == g->M && N == g->N && K == g->K) {
            whole.stride_a = size_a;
            whole.stride_b = size_b;
            whole.stride_c = size_c;
            SSA_TRY(run_chunk(l, &whole, work));
            continue;
        }
        for (int64_t j = 0; j < whole.g.batch; j++) {
            chunk one = whole;
            one.g = part_of_batch(g, i + j, 1);
            SSA_TRY(run_chunks(l, &one, M, N, K, work));
        }
    }
    return SSA_OK;
}

ssa_status lower_matmul(lowering *l, const ssa_call *call) {
    ssa_tensor       work = {0};
    const ssa_attrs *a = &call->attr;
    gemm_desc        g = {a->trans_a, a->trans_b, a->accumulate, max_i64(1, DIM('G')), DIM('M'), DIM('N'), DIM('K'),
                          call->t[0],   call->t[1],   call->t[2]};
    return lower_gemm_batch(l, &g, &work);
}
