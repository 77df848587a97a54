/* Cases drawn at random: operation, dtype, shapes, attributes, selections and offsets within bounds. Case K of seed S is the same
 * everywhere and depends on nothing but S and K, so that a failure can be repeated alone. */
#include "verify.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct draw { uint64_t state; } draw;

static int64_t upto(draw *d, int64_t n) { return (int64_t)(verify_uniform(&d->state) * (double)n); }
static bool    coin(draw *d) { return verify_random(&d->state) >> 17 & 1; }

/* 1..most: half of the time a neighbour of a power of two, where tiles and subgroups end, else anything. */
static long long size(draw *d, int64_t most) {
    int64_t n = 1 + upto(d, most);
    if (coin(d)) {
        n = ((int64_t)1 << upto(d, 12)) + upto(d, 3) - 1;
        while (n > most) n /= 2;
    }
    return n < 1 ? 1 : n;
}

/* Products stay below `most`: what is left of it for the next dimension. */
static long long size_within(draw *d, int64_t most, int64_t used, int64_t product) {
    int64_t left = product / (used ? used : 1);
    return size(d, left < most ? (left < 1 ? 1 : left) : most);
}

static void draw_rows(draw *d, ssa_op op, ssa_attrs *a, char *sizes, size_t capacity) {
    long long R = size(d, 300), C = size_within(d, 1500, R, 60000);
    a->accumulate = coin(d);
    a->residual = op == SSA_RMSNORM_BWD && coin(d);
    if (op == SSA_RMSNORM) a->eps = coin(d) ? 1e-5f : 0.01f;
    a->scale = (float)(0.05 + verify_uniform(&d->state));
    if (op == SSA_EMBEDDING || op == SSA_EMBEDDING_BWD)
        snprintf(sizes, capacity, "R=%lld V=%lld C=%lld", R, size(d, 600), size_within(d, 300, R, 30000));
    else if (op == SSA_LM_LOSS || op == SSA_LM_LOSS_GRAD) {
        long long rows = size(d, 130), channels = size(d, 130);
        snprintf(sizes, capacity, "R=%lld C=%lld V=%lld", rows, channels, 1 + size_within(d, 2000, rows * channels, 2000000));
    } else snprintf(sizes, capacity, "R=%lld C=%lld", R, C);
}

static void draw_matmul(draw *d, ssa_attrs *a, char *sizes, size_t capacity) {
    long long G = coin(d) ? 1 : size(d, 5), M = size(d, 260), N = size(d, 260), K = size_within(d, 2500, G * M * N, 4000000);
    a->trans_a = coin(d);
    a->trans_b = coin(d);
    a->accumulate = coin(d);
    snprintf(sizes, capacity, "G=%lld M=%lld N=%lld K=%lld", G, M, N, K);
}

static void draw_heads(draw *d, ssa_op op, ssa_attrs *a, char *sizes, size_t capacity) {
    static const int dims[] = {8, 16, 24, 32, 64, 80, 96, 128}, blocks[] = {1, 2, 4, 8, 16, 32, 64};
    bool      sparse = op == SSA_SELECT || op == SSA_ATTN_SPARSE || op == SSA_ATTN_SPARSE_BWD || op == SSA_SPARSE_LISTS || op == SSA_BLOCK_MEAN;
    bool      per_head = coin(d);
    long long B = size(d, 3), T = size(d, 200), H = size(d, 3), G = size(d, 6), D = dims[upto(d, sizeof dims / sizeof *dims)];
    while (B * T * T * H * G * D > 60000000 && T > 1) T = (T + 1) / 2;
    a->inverse = coin(d);
    a->position = (int32_t)upto(d, 50);
    a->accumulate = coin(d);
    a->gated = coin(d);
    a->loss = coin(d) ? SSA_LOSS_L2 : SSA_LOSS_SMOOTHL1;
    a->main = coin(d) ? SSA_MAIN_SPARSE : SSA_MAIN_FULL;
    if (op == SSA_ALIGN || op == SSA_ALIGN_BWD) a->scale = (float)(0.1 + verify_uniform(&d->state));
    int n = snprintf(sizes, capacity, "B=%lld T=%lld Q=%lld H=%lld D=%lld", B, T, H * G, H, D);
    if (!sparse) return;
    a->block_size = blocks[upto(d, sizeof blocks / sizeof *blocks)];
    long long most = T / a->block_size + 1, K = size(d, most < 20 ? most : 20);
    n += snprintf(sizes + n, capacity - (size_t)n, " S=%lld", per_head ? H * G : H);
    if (op == SSA_SELECT) {
        a->top_k = (int32_t)K;
        a->score = coin(d) ? SSA_SCORE_DOT : SSA_SCORE_SOFTMAX;
        if (coin(d) && (K <= a->block_size / 2 || K == a->block_size)) a->select = SSA_SELECT_COMPAT;
    } else if (op != SSA_BLOCK_MEAN) snprintf(sizes + n, capacity - (size_t)n, " K=%lld", K);
}

/* Attributes that the operation does not read stay 0, or the case's text would speak of them. */
static void only_read(ssa_op op, ssa_attrs *a) {
    ssa_op_info info;
    ssa_op_describe(op, &info);
    const char *read = info.attributes;
#define KEEP(name) if (!strstr(read, #name)) a->name = 0
    KEEP(accumulate);
    KEEP(residual);
    KEEP(inverse);
    KEEP(position);
    KEEP(gated);
    KEEP(loss);
    KEEP(main);
    KEEP(trans_a);
    KEEP(trans_b);
#undef KEEP
    if (!strstr(read, "scale")) a->scale = 0;
}

static ssa_status draw_case(draw *d, verify_case_list *list, ssa_error *err) {
    ssa_op    op = (ssa_op)upto(d, SSA_OP_COUNT);
    ssa_attrs a = {0};
    char      sizes[128] = "";
    int       other = VERIFY_SAME_DTYPE;
    switch (op) {
    case SSA_RMSNORM:
    case SSA_RMSNORM_BWD:
    case SSA_EMBEDDING:
    case SSA_EMBEDDING_BWD:
    case SSA_LM_LOSS:
    case SSA_LM_LOSS_GRAD: draw_rows(d, op, &a, sizes, sizeof sizes); break;
    case SSA_MATMUL: draw_matmul(d, &a, sizes, sizeof sizes); break;
    case SSA_FILL:
    case SSA_CAST:
    case SSA_ADD:
    case SSA_SWIGLU:
    case SSA_SWIGLU_BWD:
    case SSA_SUM:
    case SSA_SUMSQ:
    case SSA_ADAMW: snprintf(sizes, sizeof sizes, "E=%lld", size(d, coin(d) ? 300 : 60000)); break;
    case SSA_CLIP: break;
    default: draw_heads(d, op, &a, sizes, sizeof sizes);
    }
    if (op == SSA_FILL) a.value = (float)verify_normal(&d->state);
    if (op == SSA_SUM) a.scale = 0.5f, a.accumulate = coin(d);
    if (op == SSA_SUMSQ) a.accumulate = coin(d);
    if (op == SSA_ADAMW) a.beta1 = 0.9f, a.beta2 = 0.95f, a.eps = 1e-8f, a.weight_decay = coin(d) ? 0.1f : 0;
    if (op == SSA_CLIP) a.max_norm = (float)(5 * verify_uniform(&d->state));
    if (op == SSA_CAST) other = (int)upto(d, 3);
    if (op == SSA_MATMUL && coin(d)) other = SSA_F32;
    only_read(op, &a);
    return verify_case_add(list, op, sizes, &a, other, err);
}

ssa_status verify_stress(ssa_context *ctx, const verify_options *options, int64_t first, int64_t count, verify_callback callback, void *user,
                         ssa_error *err) {
    static const ssa_dtype dtypes[] = {SSA_F32, SSA_F16, SSA_BF16};
    verify_runner r = {.mode = "stress", .dev = ctx, .options = *options, .callback = callback, .user = user, .err = err, .any_offsets = true};
    SSA_TRY(verify_runner_open(&r));
    ssa_status s = SSA_OK;
    for (int64_t k = first; k < first + count && !s && !verify_runner_late(&r); k++) {
        draw             d = {options->seed * 0x9e3779b97f4a7c15u ^ (uint64_t)k << 24};
        verify_case_list list = {0};
        s = draw_case(&d, &list, err);
        if (s) break;
        ssa_dtype act = dtypes[upto(&d, 3)];
        if (!verify_dtype_applies(&list.at[0], act)) act = SSA_F32;
        if (!verify_dtype_applies(&list.at[0], act)) act = SSA_BF16; /* matmul to f32 */
        size_t used = strlen(list.at[0].text);
        snprintf(list.at[0].text + used, sizeof list.at[0].text - used, " case=%lld", (long long)k);
        s = verify_runner_case(&r, &list.at[0], act, k);
        free(list.at);
    }
    verify_runner_close(&r);
    return s;
}
