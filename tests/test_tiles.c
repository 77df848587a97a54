/* The CPU's register tiles in f32 are held against the plain loops in f64 (core/cpu/tiles, core/cpu/plain) where tiles go wrong:
 * sizes that fill no tile, one token, one key more than a tile, more heads than rows of a tile, blocks longer than the text, slots
 * without a block, a row that sees nothing; and NaN and infinity do not vanish. With AVX2 and without. */
#include "bench.h"

typedef struct sizes { int64_t B, T, Q, H, S, D, K; int block; } sizes;
static const sizes shapes[] = {
    {1, 1, 1, 1, 1, 2, 1, 16},   {2, 17, 5, 1, 1, 6, 3, 4},    {1, 33, 6, 3, 6, 10, 2, 7},   {1, 16, 4, 4, 4, 16, 2, 8},
    {3, 31, 9, 3, 3, 18, 9, 3},  {1, 130, 2, 1, 1, 34, 4, 17}, {1, 49, 16, 2, 2, 64, 2, 100}, {1, 65, 3, 1, 3, 128, 5, 16},
};

/* What a call of one shape gives, forward and backward, dense and block-sparse. */
enum { O_FULL, STAT_FULL, DQ_FULL, DK_FULL, DV_FULL, O_SPARSE, STAT_SPARSE, DQ_SPARSE, DK_SPARSE, DV_SPARSE, RESULTS };
static const char *const result_name[RESULTS] = {"o", "lse", "dq", "dk", "dv", "sparse o", "sparse lse", "sparse dq", "sparse dk", "sparse dv"};

static bench open_cpu(ssa_dtype dtype, const char *variants) {
    bench     b = {.dtype = dtype, .random = 11};
    ssa_error err = {0};
    ck_assert_msg(ssa_open("cpu", &(ssa_open_options){.variants = variants}, &b.ctx, &err) == SSA_OK, "%s", err.text);
    return b;
}

/* The same numbers in every precision: those of an f32 tensor. */
static void put_shared(bench *b, ssa_tensor t) {
    double *x = NUMBERS(ssa_numel(&t));
    for (int64_t i = 0; i < ssa_numel(&t); i++) x[i] = (float)verify_normal(&b->random);
    put(b, t, x);
    free(x);
}

/* poison: the number that the first key and the last query have in the place of one of theirs. Slots are drawn, each block at most once,
 * some of them empty or of blocks to come; the first query of the last sequence sees nothing. */
static void all_of(bench b, sizes n, double poison, double **out, int64_t *count) {
    int64_t    N = (n.T + n.block - 1) / n.block, K = n.K < N ? n.K : N, L = N + 1 + n.T * K;
    ssa_tensor q = REALS(&b, n.B, n.T, n.Q, n.D), k = REALS(&b, n.B, n.T, n.H, n.D), v = REALS(&b, n.B, n.T, n.H, n.D),
               d_o = REALS(&b, n.B, n.T, n.Q, n.D), z = REALS(&b, n.B, n.T, 3 * n.Q), gated = REALS(&b, n.B, n.T, n.Q, n.D),
               dz = REALS(&b, n.B, n.T, 3 * n.Q), idx = INTS(&b, n.B, n.T, n.S, K), lists = INTS(&b, n.B, n.S, L), result[RESULTS];
    put_shared(&b, q), put_shared(&b, k), put_shared(&b, v), put_shared(&b, d_o), put_constant(&b, z, 0);
    if (poison != 0) {
        put(&b, ssa_view(k, 0, 1), &poison);
        put(&b, ssa_view(q, ssa_numel(&q) - 1, 1), &poison);
    }
    double *slots = NUMBERS(ssa_numel(&idx));
    for (int64_t row = 0; row < n.B * n.T * n.S; row++)
        for (int64_t c = 0; c < K; c++) slots[row * K + c] = verify_random(&b.random) % 5 ? (double)((row + c) % N) : -1;
    for (int64_t i = 0; i < n.S * K; i++) slots[(n.B - 1) * n.T * n.S * K + i] = -1;
    put(&b, idx, slots);
    free(slots);
    float scale = (float)(1 / sqrt((double)n.D));
    for (int i = 0; i < RESULTS; i++) {
        bool stat = i == STAT_FULL || i == STAT_SPARSE, keys = !stat && i % (RESULTS / 2) >= DK_FULL;
        result[i] = stat ? REALS(&b, 2, n.B, n.T, n.Q) : keys ? REALS(&b, n.B, n.T, n.H, n.D) : REALS(&b, n.B, n.T, n.Q, n.D);
        put_constant(&b, result[i], 0.25);
    }
    ssa_tensor *full = result, *sparse = result + RESULTS / 2;
    RUN(&b, SSA_ATTN_FULL, SSA_T(q, k, v, full[0], full[1]), .scale = scale);
    RUN(&b, SSA_GATE_BWD, SSA_T(d_o, full[0], z, gated, dz, full[1]), 0);
    RUN(&b, SSA_ATTN_FULL_BWD, SSA_T(gated, q, k, v, full[1], full[2], full[3], full[4]), .scale = scale, .accumulate = n.T % 2);
    RUN(&b, SSA_SPARSE_LISTS, SSA_T(idx, lists), .block_size = n.block);
    RUN(&b, SSA_ATTN_SPARSE, SSA_T(q, k, v, idx, sparse[0], sparse[1]), .scale = scale, .block_size = n.block);
    RUN(&b, SSA_GATE_BWD, SSA_T(d_o, sparse[0], z, gated, dz, sparse[1]), 0);
    RUN(&b, SSA_ATTN_SPARSE_BWD, SSA_T(gated, q, k, v, idx, lists, sparse[1], sparse[2], sparse[3], sparse[4]), .scale = scale, .block_size = n.block,
        .accumulate = n.T % 2);
    for (int i = 0; i < RESULTS; i++) out[i] = take(&b, result[i]), count[i] = ssa_numel(&result[i]);
}

/* Within 4e-6 of the largest element. NaN must stay; with `spreads` it may also be beside where it belongs, since a tile multiplies
 * what a row does not see by a weight of 0. */
static void agree(const double *got, const double *want, int64_t n, bool spreads, const char *variants, size_t shape, const char *what) {
    double size = 0.1; /* where all is zero but for rounding, as dq of one token */
    for (int64_t i = 0; i < n; i++) size = isfinite(want[i]) && fabs(want[i]) < 1e29 ? fmax(size, fabs(want[i])) : size;
    for (int64_t i = 0; i < n; i++) {
        bool same = spreads && isnan(got[i]) ? true : isfinite(want[i]) ? fabs(got[i] - want[i]) <= 4e-6 * fmax(size, fabs(want[i])) : isnan(want[i]) ? isnan(got[i]) : got[i] == want[i];
        ck_assert_msg(same, "%s, shape %zu: %s[%lld] is %.9g where %.9g is right", variants ? variants : "default", shape, what, (long long)i, got[i],
                      want[i]);
    }
}

static void compare(double poison) {
    static const char *const variants[] = {NULL, "cpu=portable"};
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
        double *want[RESULTS], *got[RESULTS];
        int64_t count[RESULTS];
        bench   truth = open_cpu(SSA_F64, NULL);
        all_of(truth, shapes[s], poison, want, count);
        bench_close(&truth);
        for (size_t i = 0; i < sizeof variants / sizeof *variants; i++) {
            bench b = open_cpu(SSA_F32, variants[i]);
            all_of(b, shapes[s], poison, got, count);
            bench_close(&b);
            for (int r = 0; r < RESULTS; r++) agree(got[r], want[r], count[r], poison != 0, variants[i], s, result_name[r]), free(got[r]);
        }
        for (int r = 0; r < RESULTS; r++) free(want[r]);
    }
}

START_TEST(odd_shapes) { compare(0); }
END_TEST
START_TEST(not_a_number) { compare(NAN); }
END_TEST
START_TEST(infinite_scores) { compare(-INFINITY); }
END_TEST

/* A row without a token: o = 0 and an lse that is very small but finite, not NaN; it has no gradient and gives none. */
START_TEST(nothing_seen) {
    double *out[RESULTS];
    int64_t count[RESULTS];
    sizes   n = {1, 3, 2, 1, 1, 4, 1, 16};
    bench   b = open_cpu(SSA_F64, NULL);
    all_of(b, n, 0, out, count);
    for (int64_t i = 0; i < n.Q * n.D; i++) ck_assert(out[O_SPARSE][i] == 0 && out[DQ_SPARSE][i] == 0.25);
    for (int64_t i = 0; i < n.Q; i++) ck_assert(out[STAT_SPARSE][i] == -1e30);
    for (int r = 0; r < RESULTS; r++) free(out[r]);
    bench_close(&b);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("tiles");
    TCase *tc = tcase_create("cpu");
    tcase_set_timeout(tc, 300); /* a loaded machine */
    tcase_add_test(tc, odd_shapes);
    tcase_add_test(tc, not_a_number);
    tcase_add_test(tc, infinite_scores);
    tcase_add_test(tc, nothing_seen);
    suite_add_tcase(suite, tc);
    return run_suite(suite);
}
