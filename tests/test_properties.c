/* What sparse sparse attention promises (ssa_spec 1.3, 1.4, 1.8, 1.9), checked against sums of our own in double. */
#include "bench.h"

/* Both streams over random q, k, v. Arrays are host copies in double. */
typedef struct scene {
    bench *b;
    int64_t B, T, Q, H, S, D, N, K;
    int block;
    float scale;
    ssa_tensor q, k, v, kbar, idx, o_full, o_sparse, stat_full, stat_sparse;
    double *hq, *hk, *hv, *hkbar, *hidx, *ho_full, *ho_sparse, *hstat_full, *hstat_sparse;
} scene;

typedef struct {
    int64_t B, T, Q, H, S, D;
    int block, top_k, score, select;
} sizes;

static scene scene_make(bench *b, sizes z) {
    int64_t N = (z.T + z.block - 1) / z.block, K = z.top_k < N ? z.top_k : N;
    scene s = {.b = b, .B = z.B, .T = z.T, .Q = z.Q, .H = z.H, .S = z.S, .D = z.D, .N = N, .K = K, .block = z.block, .scale = 1 / sqrtf((float)z.D)};
    s.q = REALS(b, z.B, z.T, z.Q, z.D), s.k = REALS(b, z.B, z.T, z.H, z.D), s.v = REALS(b, z.B, z.T, z.H, z.D);
    s.kbar = REALS(b, z.B, N, z.H, z.D), s.idx = INTS(b, z.B, z.T, z.S, K);
    s.o_full = REALS(b, z.B, z.T, z.Q, z.D), s.o_sparse = REALS(b, z.B, z.T, z.Q, z.D);
    s.stat_full = REALS(b, 2, z.B, z.T, z.Q), s.stat_sparse = REALS(b, 2, z.B, z.T, z.Q);
    s.hq = put_random(b, s.q), s.hk = put_random(b, s.k), s.hv = put_random(b, s.v);
    RUN(b, SSA_BLOCK_MEAN, SSA_T(s.k, s.kbar), .block_size = z.block);
    RUN(b, SSA_SELECT, SSA_T(s.q, s.kbar, s.idx), .block_size = z.block, .top_k = z.top_k, .score = z.score, .select = z.select, .scale = s.scale);
    RUN(b, SSA_ATTN_FULL, SSA_T(s.q, s.k, s.v, s.o_full, s.stat_full), .scale = s.scale);
    RUN(b, SSA_ATTN_SPARSE, SSA_T(s.q, s.k, s.v, s.idx, s.o_sparse, s.stat_sparse), .scale = s.scale, .block_size = z.block);
    s.hkbar = take(b, s.kbar), s.hidx = take(b, s.idx), s.ho_full = take(b, s.o_full), s.ho_sparse = take(b, s.o_sparse);
    s.hstat_full = take(b, s.stat_full), s.hstat_sparse = take(b, s.stat_sparse);
    return s;
}

static void scene_free(scene *s) {
    double *all[] = {s->hq, s->hk, s->hv, s->hkbar, s->hidx, s->ho_full, s->ho_sparse, s->hstat_full, s->hstat_sparse};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
}

static int64_t q_row(const scene *s, int64_t b, int64_t t, int64_t head) { return (b * s->T + t) * s->Q + head; }
static int64_t k_row(const scene *s, int64_t b, int64_t t, int64_t head) { return (b * s->T + t) * s->H + head / (s->Q / s->H); }

static double score(const scene *s, int64_t b, int64_t t, int64_t head, int64_t j) {
    const double *q = s->hq + q_row(s, b, t, head) * s->D, *k = s->hk + k_row(s, b, j, head) * s->D;
    double sum = 0;
    for (int64_t d = 0; d < s->D; d++) sum += q[d] * k[d];
    return sum * s->scale;
}

static bool selected(const scene *s, int64_t b, int64_t t, int64_t head, int64_t block) {
    const double *slot = s->hidx + ((b * s->T + t) * s->S + head / (s->Q / s->S)) * s->K;
    for (int64_t k = 0; k < s->K; k++)
        if (slot[k] == (double)block) return true;
    return false;
}

/* Full-attention weights a[0..t] of a query; returns its log-sum-exp. */
static double full_weights(const scene *s, int64_t b, int64_t t, int64_t head, double *a) {
    double top = -INFINITY, sum = 0;
    for (int64_t j = 0; j <= t; j++) top = fmax(top, a[j] = score(s, b, t, head, j));
    for (int64_t j = 0; j <= t; j++) sum += a[j] = exp(a[j] - top);
    for (int64_t j = 0; j <= t; j++) a[j] /= sum;
    return top + log(sum);
}

#define EACH_DTYPE(b)                                                                                                                                \
    for (int dtype_ = 0; dtype_ < bench_dtypes(); dtype_++)                                                                                          \
        for (bench b = bench_open(bench_dtype(dtype_)); b.ctx; bench_close(&b), b.ctx = NULL)
#define EACH_QUERY(s)                                                                                                                                \
    for (int64_t batch = 0; batch < (s).B; batch++)                                                                                                  \
        for (int64_t t = 0; t < (s).T; t++)                                                                                                          \
            for (int64_t head = 0; head < (s).Q; head++)

/* do with its delta, as gate_bwd makes them from dy (half the gate open). */
typedef struct {
    ssa_tensor d_o, stat, dq, dk, dv;
} back;

static back back_make(scene *s, ssa_tensor dy, ssa_tensor o, ssa_tensor stat) {
    bench *b = s->b;
    ssa_tensor z = REALS(b, s->B, s->T, 3 * s->Q), dz = REALS(b, s->B, s->T, 3 * s->Q);
    back r = {REALS(b, s->B, s->T, s->Q, s->D), stat, REALS(b, s->B, s->T, s->Q, s->D), REALS(b, s->B, s->T, s->H, s->D),
              REALS(b, s->B, s->T, s->H, s->D)};
    put_constant(b, z, 0);
    put_constant(b, r.dq, NAN);
    put_constant(b, r.dk, NAN);
    put_constant(b, r.dv, NAN);
    RUN(b, SSA_GATE_BWD, SSA_T(dy, o, z, r.d_o, dz, stat), 0);
    return r;
}

static void full_backward(scene *s, back *r) {
    RUN(s->b, SSA_ATTN_FULL_BWD, SSA_T(r->d_o, s->q, s->k, s->v, r->stat, r->dq, r->dk, r->dv), .scale = s->scale);
}

static void sparse_backward(scene *s, back *r) {
    ssa_tensor lists = INTS(s->b, s->B, s->S, s->N + 1 + s->T * s->K);
    RUN(s->b, SSA_SPARSE_LISTS, SSA_T(s->idx, lists), .block_size = s->block);
    RUN(s->b, SSA_ATTN_SPARSE_BWD, SSA_T(r->d_o, s->q, s->k, s->v, s->idx, lists, r->stat, r->dq, r->dk, r->dv), .scale = s->scale,
        .block_size = s->block);
}

/* A receptive field of the whole sequence makes sparse attention full attention, forward and backward: T < block, T not a
 * multiple of it, more top_k than blocks. */
START_TEST(wide_field_is_full_attention) {
    static const sizes cases[] = {{1, 1, 1, 1, 1, 16, 16, 1, 0, 0},    {2, 5, 4, 2, 2, 16, 16, 4, 0, 0}, {1, 50, 4, 2, 4, 16, 16, 4, 0, 0},
                                  {1, 50, 16, 1, 1, 8, 16, 100, 0, 0}, {1, 33, 3, 3, 3, 32, 8, 5, 1, 0}, {1, 64, 2, 1, 1, 16, 8, 8, 0, 1}};
    EACH_DTYPE(b) for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        scene s = scene_make(&b, cases[i]);
        ssa_tensor dy = REALS(&b, s.B, s.T, s.Q, s.D);
        free(put_random(&b, dy));
        check_close(s.ho_sparse, s.ho_full, ssa_numel(&s.o_full), b.eps, "o");
        check_close(s.hstat_sparse, s.hstat_full, ssa_numel(&s.stat_full) / 2, b.eps, "lse");
        back full = back_make(&s, dy, s.o_full, s.stat_full), sparse = back_make(&s, dy, s.o_sparse, s.stat_sparse);
        full_backward(&s, &full);
        sparse_backward(&s, &sparse);
        double *dq = take(&b, full.dq), *dk = take(&b, full.dk), *dv = take(&b, full.dv);
        if (s.T > 1) check_tensor(&b, sparse.dq, dq, "dq"); /* one token: both are zero up to rounding */
        if (s.T > 1) check_tensor(&b, sparse.dk, dk, "dk");
        check_tensor(&b, sparse.dv, dv, "dv");
        free(dq), free(dk), free(dv);
        for (int64_t row = 0; row < s.B * s.T * s.S; row++) { /* every block up to the current one, each once */
            int64_t c = row / s.S % s.T / s.block, used = 0;
            for (int64_t k = 0; k < s.K; k++) used += s.hidx[row * s.K + k] >= 0;
            ck_assert_int_eq(used, c + 1);
        }
        scene_free(&s);
    }
}
END_TEST

/* ssa_spec 1.9: the dropped mass delta = 1 - AttnSparsity explains the whole difference of the streams. */
START_TEST(dropped_mass) {
    static const sizes cases[] = {{1, 70, 4, 2, 2, 16, 8, 3, 0, 0}, {2, 45, 4, 2, 4, 32, 4, 2, 1, 0}, {1, 100, 16, 1, 1, 16, 4, 4, 0, 1}};
    EACH_DTYPE(b) for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        scene s = scene_make(&b, cases[i]);
        double *a = NUMBERS(s.T), *dropped = NUMBERS(s.D), *naive = NUMBERS(s.D), largest = 0, tolerance = 20 * b.eps;
        EACH_QUERY(s) {
            int64_t row = q_row(&s, batch, t, head);
            double lse = full_weights(&s, batch, t, head, a), kept = 0, kl = 0, norm = 0, difference = 0, sparse_norm = 0;
            memset(dropped, 0, (size_t)s.D * sizeof *dropped);
            memset(naive, 0, (size_t)s.D * sizeof *naive);
            for (int64_t j = 0; j <= t; j++) {
                const double *v = s.hv + k_row(&s, batch, j, head) * s.D;
                double size = 0;
                bool in = selected(&s, batch, t, head, j / s.block);
                for (int64_t d = 0; d < s.D; d++) {
                    size += v[d] * v[d];
                    naive[d] += a[j] * v[d];
                    if (!in) dropped[d] += a[j] * v[d];
                }
                if (in) {
                    double p = exp(score(&s, batch, t, head, j) - s.hstat_sparse[row]); /* weight within the selected tokens */
                    kept += a[j];
                    kl += p * log(p / a[j]);
                } else
                    norm = fmax(norm, sqrt(size));
            }
            double delta = 1 - kept;
            largest = fmax(largest, delta);
            ck_assert_double_eq_tol(s.hstat_full[row], lse, tolerance);
            ck_assert_double_eq_tol(exp(s.hstat_sparse[row] - s.hstat_full[row]), kept, tolerance); /* AttnSparsity(t) */
            ck_assert_double_eq_tol(kl, -log(kept), tolerance);
            for (int64_t d = 0; d < s.D; d++) {
                double full = s.ho_full[row * s.D + d], sparse = s.ho_sparse[row * s.D + d];
                ck_assert_double_eq_tol(full, naive[d], tolerance);
                ck_assert_double_eq_tol(full - sparse, dropped[d] - delta * sparse, tolerance);
                difference += (full - sparse) * (full - sparse);
                sparse_norm += sparse * sparse;
            }
            ck_assert_double_le(sqrt(difference), delta * (norm + sqrt(sparse_norm)) + tolerance); /* theorem 1 */
            if (t < s.K * s.block && cases[i].select == SSA_SELECT_EXACT) ck_assert_double_eq_tol(delta, 0, tolerance);
        }
        ck_assert_double_gt(largest, 0.2); /* or nothing was tested */
        free(a), free(dropped), free(naive);
        scene_free(&s);
    }
}
END_TEST

/* Proposition 4.1: keys that the queries with a gradient did not select get none in sparse-only training, exactly none; the
 * alignment loss brings it to them through the full stream. */
START_TEST(unselected_keys) {
    EACH_DTYPE(b) for (int per_head = 0; per_head < 2; per_head++) {
        scene s = scene_make(&b, (sizes){1, 96, 4, 2, per_head ? 4 : 2, 16, 8, 2, 0, 0});
        int64_t late = 91, n = ssa_numel(&s.o_full), unselected = 0;
        double *dy_values = NUMBERS(n);
        ssa_tensor dy = REALS(&b, 1, s.T, s.Q, s.D), z = REALS(&b, 1, s.T, 3 * s.Q), dz = REALS(&b, 1, s.T, 3 * s.Q),
                   stat = REALS(&b, 4, 1, s.T, s.Q);
        for (int64_t i = late * s.Q * s.D; i < n; i++) dy_values[i] = verify_normal(&b.random);
        put(&b, dy, dy_values);
        free(put_random(&b, z));
        back alone = back_make(&s, dy, s.o_sparse, s.stat_sparse), aligned = back_make(&s, dy, s.o_full, s.stat_full);
        sparse_backward(&s, &alone);
        double *stats = NUMBERS(ssa_numel(&stat));
        memcpy(stats, s.hstat_full, (size_t)(s.T * s.Q) * sizeof *stats);
        memcpy(stats + 2 * s.T * s.Q, s.hstat_sparse, (size_t)(s.T * s.Q) * sizeof *stats);
        put(&b, stat, stats);
        ssa_tensor do_sparse = REALS(&b, 1, s.T, s.Q, s.D);
        RUN(&b, SSA_ALIGN_BWD, SSA_T(dy, s.o_full, s.o_sparse, z, aligned.d_o, do_sparse, dz, stat), .scale = 1, .gated = true,
            .main = SSA_MAIN_SPARSE);
        aligned.stat = ssa_view(stat, 0, 2, 1, s.T, s.Q);
        full_backward(&s, &aligned);
        double *dk = take(&b, alone.dk), *dv = take(&b, alone.dv), *dk_aligned = take(&b, aligned.dk), *dv_aligned = take(&b, aligned.dv);
        for (int64_t head = 0; head < s.H; head++)
            for (int64_t j = 0; j < s.T; j++) {
                bool chosen = false;
                double alone_size = 0, aligned_size[2] = {0};
                for (int64_t t = late; t < s.T; t++)
                    for (int64_t g = head * (s.Q / s.H); g < (head + 1) * (s.Q / s.H); g++) chosen |= selected(&s, 0, t, g, j / s.block);
                for (int64_t d = 0, at = (j * s.H + head) * s.D; d < s.D; d++, at++) {
                    ck_assert(isfinite(dk[at]) && isfinite(dv[at]) && isfinite(dk_aligned[at]) && isfinite(dv_aligned[at]));
                    alone_size += fabs(dk[at]) + fabs(dv[at]);
                    aligned_size[0] += fabs(dk_aligned[at]);
                    aligned_size[1] += fabs(dv_aligned[at]);
                }
                if (chosen)
                    ck_assert_double_gt(alone_size, 0);
                else
                    ck_assert_msg(alone_size == 0, "key %lld of head %lld was not selected and has gradient %g", (long long)j, (long long)head,
                                  alone_size);
                ck_assert(aligned_size[0] > 0 && aligned_size[1] > 0);
                unselected += !chosen;
            }
        ck_assert_int_gt(unselected, 8);
        free(dy_values), free(stats), free(dk), free(dv), free(dk_aligned), free(dv_aligned);
        scene_free(&s);
    }
}
END_TEST

/* The two-sided loss SmoothL1(h_full, sg(h_sparse)) + SmoothL1(sg(h_full), h_sparse): twice the value of one plain SmoothL1,
 * and its gradient. */
START_TEST(two_sided_loss) {
    EACH_DTYPE(b) for (int turn = 0; turn < 8; turn++) {
        int64_t T = 13, Q = 3, D = 16, n = T * Q * D;
        bool gated = turn & 1, l2 = turn & 2, sparse_main = turn & 4;
        double scale = 0.125, value = 0;
        ssa_tensor dy = REALS(&b, 1, T, Q, D), full = REALS(&b, 1, T, Q, D), sparse = REALS(&b, 1, T, Q, D), z = REALS(&b, 1, T, 3 * Q),
                   total = REALS(&b, 1);
        ssa_tensor do_full = REALS(&b, 1, T, Q, D), do_sparse = REALS(&b, 1, T, Q, D), dz = REALS(&b, 1, T, 3 * Q), stat = REALS(&b, 4, 1, T, Q);
        double *hdy = put_random(&b, dy), *hf = put_random(&b, full), *hs = put_random(&b, sparse), *hz = put_random(&b, z),
               *before = put_random(&b, stat);
        double *want_f = NUMBERS(n), *want_s = NUMBERS(n), *want_z = NUMBERS(3 * T * Q), *want_stat = NUMBERS(4 * T * Q);
        memcpy(want_stat, before, (size_t)(4 * T * Q) * sizeof *before);
        for (int64_t row = 0; row < T * Q; row++) {
            double g = 1 / (1 + exp(-hz[row / Q * 3 * Q + row % Q * 3 + 1])), sum = 0, delta_f = 0, delta_s = 0;
            for (int64_t d = 0, i = row * D; d < D; d++, i++) {
                double x = (hf[i] - hs[i]) * (gated ? g : 1), size = fabs(x), slope = l2 ? 2 * x : fmax(-1, fmin(1, x));
                double to_full = sparse_main ? 0 : hdy[i], to_sparse = sparse_main ? hdy[i] : 0, u = scale * slope;
                value += 2 * (l2 ? x * x : size < 1 ? x * x / 2 : size - 0.5) / (double)n;
                if (gated) to_full += u, to_sparse -= u;
                sum += to_full * hf[i] + to_sparse * hs[i];
                want_f[i] = to_full * g + (gated ? 0 : u);
                want_s[i] = to_sparse * g - (gated ? 0 : u);
                delta_f += want_f[i] * hf[i];
                delta_s += want_s[i] * hs[i];
            }
            want_z[row / Q * 3 * Q + row % Q * 3 + 1] = g * (1 - g) * sum;
            want_stat[T * Q + row] = delta_f;
            want_stat[3 * T * Q + row] = delta_s;
        }
        put_constant(&b, total, 4);
        RUN(&b, SSA_ALIGN, SSA_T(full, sparse, z, total), .scale = 2, .loss = l2, .gated = gated, .accumulate = true);
        RUN(&b, SSA_ALIGN_BWD, SSA_T(dy, full, sparse, z, do_full, do_sparse, dz, stat), .scale = 0.125f, .loss = l2, .gated = gated,
            .main = sparse_main);
        check_tensor(&b, total, &(double){4 + 2 * value}, "value");
        check_tensor(&b, do_full, want_f, "do_full");
        check_tensor(&b, do_sparse, want_s, "do_sparse");
        check_tensor(&b, dz, want_z, "dz");
        check_tensor(&b, stat, want_stat, "stat");
        free(hdy), free(hf), free(hs), free(hz), free(before), free(want_f), free(want_s), free(want_z), free(want_stat);
    }
}
END_TEST

/* -- selection --------------------------------------------------------------------------------------------------------- */

/* Importance of the blocks before the current one (ssa_spec 1.3), of one query and selection head. */
static void importances(const scene *s, int kind, int64_t t, int64_t selector, double *importance) {
    int64_t complete = (t + 1) / s->block, current = t / s->block, heads = s->Q / s->S;
    memset(importance, 0, (size_t)s->N * sizeof *importance);
    for (int64_t head = selector * heads; head < (selector + 1) * heads; head++) {
        double scores[256], sum = 0;
        for (int64_t i = 0; i < s->N; i++) {
            scores[i] = 0;
            for (int64_t d = 0; d < s->D; d++)
                scores[i] += s->hq[q_row(s, 0, t, head) * s->D + d] * s->hkbar[(i * s->H + head / (s->Q / s->H)) * s->D + d];
            if (i < complete) sum += exp(scores[i] * s->scale);
        }
        for (int64_t i = 0; i < current; i++) importance[i] += kind == SSA_SCORE_DOT ? scores[i] : exp(scores[i] * s->scale) / sum;
    }
}

typedef struct {
    double importance;
    int64_t block;
} candidate;

static int better_first(const void *x, const void *y) {
    const candidate *a = x, *b = y;
    if (a->importance != b->importance) return a->importance < b->importance ? 1 : -1;
    return a->block < b->block ? 1 : -1; /* equal: the newer one */
}

/* The released kernel: blocks come in chunks of `chunk`, the current one with an importance above all; after the first chunk
 * the best chunk/2 so far and the best chunk/2 of the new chunk are kept. Empty places have importance -1e300 and block -1. */
static void released_kernel(const double *importance, int64_t current, int64_t chunk, candidate *kept) {
    candidate fresh[256];
    for (int64_t first = 0; first <= current; first += chunk) {
        for (int64_t i = 0; i < chunk; i++) {
            int64_t block = first + i;
            fresh[i] = block > current ? (candidate){-1e300, -1} : (candidate){block == current ? 1e300 : importance[block], block};
        }
        qsort(fresh, (size_t)chunk, sizeof *fresh, better_first);
        if (first)
            memcpy(kept + chunk / 2, fresh, (size_t)(chunk - chunk / 2) * sizeof *fresh);
        else
            memcpy(kept, fresh, (size_t)chunk * sizeof *fresh);
        qsort(kept, (size_t)chunk, sizeof *kept, better_first);
    }
}

/* exact and compat against the emulation, every query, as sets. In f32 a near tie may fall to the other side. */
START_TEST(selection_rules) {
    static const sizes cases[] = {{1, 150, 4, 2, 2, 16, 4, 4, 0, 1},  {1, 150, 4, 2, 4, 16, 4, 4, 1, 1}, {1, 300, 16, 1, 1, 16, 8, 8, 0, 1},
                                  {1, 300, 4, 1, 1, 16, 16, 8, 1, 1}, {1, 150, 4, 2, 2, 16, 4, 5, 0, 0}, {1, 150, 4, 2, 4, 16, 4, 4, 1, 0},
                                  {1, 200, 16, 1, 1, 16, 2, 2, 0, 1}, {1, 129, 2, 1, 2, 32, 8, 1, 0, 0}};
    EACH_DTYPE(b) for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        sizes z = cases[i];
        scene s = scene_make(&b, z);
        double *importance = NUMBERS(s.N);
        int wrong = 0, approximate = 0;
        for (int64_t row = 0; row < s.T * s.S; row++) {
            candidate exact[256], chosen[256];
            int64_t t = row / s.S, current = t / s.block;
            importances(&s, z.score, t, row % s.S, importance);
            for (int64_t block = 0; block <= current; block++) exact[block] = (candidate){block == current ? 1e300 : importance[block], block};
            qsort(exact, (size_t)current + 1, sizeof *exact, better_first);
            if (z.select == SSA_SELECT_COMPAT)
                released_kernel(importance, current, s.block, chosen);
            else
                memcpy(chosen, exact, sizeof chosen);
            bool equal = s.hidx[row * s.K] == (double)current, same = true;
            for (int64_t k = 0; k < z.top_k && k <= current; k++) {
                bool there = chosen[k].block < 0, in_exact = chosen[k].block < 0;
                for (int64_t j = 0; j < s.K; j++) there |= s.hidx[row * s.K + j] == (double)chosen[k].block;
                for (int64_t j = 0; j < z.top_k && j <= current; j++) in_exact |= exact[j].block == chosen[k].block;
                equal &= there;
                same &= in_exact;
            }
            int64_t used = 0, expected = 0;
            for (int64_t k = 0; k < s.K; k++) used += s.hidx[row * s.K + k] >= 0;
            for (int64_t k = 0; k < z.top_k && k <= current; k++) expected += chosen[k].block >= 0;
            wrong += !equal || used != expected;
            approximate += !same || expected < (current + 1 < z.top_k ? current + 1 : z.top_k);
        }
        ck_assert_msg(wrong <= (b.dtype == SSA_F64 ? 0 : s.T * s.S / 200), "case %zu: %d of %lld queries have other blocks", i, wrong,
                      (long long)(s.T * s.S));
        if (z.select == SSA_SELECT_COMPAT && z.top_k == z.block)
            ck_assert_int_gt(approximate, 0); /* the rules do differ */
        else
            ck_assert_int_eq(approximate, 0);
        free(importance);
        scene_free(&s);
    }
}
END_TEST

/* Equal scores: the newer block. q = 0 makes all scores 0; equal keys make them equal without being 0. */
START_TEST(ties) {
    EACH_DTYPE(b) for (int turn = 0; turn < 8; turn++) {
        int64_t T = 75, Q = 4, H = 2, D = 16, block = 8, N = 10, K = 4, S = turn & 4 ? Q : H;
        bool zero = turn & 1;
        ssa_tensor q = REALS(&b, 1, T, Q, D), k = REALS(&b, 1, T, H, D), kbar = REALS(&b, 1, N, H, D), idx = INTS(&b, 1, T, S, K);
        free(put_random(&b, q));
        free(put_random(&b, k));
        put_constant(&b, zero ? q : k, zero ? 0 : 0.5);
        RUN(&b, SSA_BLOCK_MEAN, SSA_T(k, kbar), .block_size = (int)block);
        RUN(&b, SSA_SELECT, SSA_T(q, kbar, idx), .block_size = (int)block, .top_k = (int)K, .score = turn & 2 ? SSA_SCORE_DOT : SSA_SCORE_SOFTMAX,
            .scale = 0.25f);
        double *got = take(&b, idx);
        for (int64_t i = 0; i < T * S * K; i++) {
            int64_t want = i / K / S / block - i % K;
            ck_assert_msg(got[i] == (double)(want < 0 ? -1 : want), "slot %lld of query %lld has block %g where %lld is right", (long long)(i % K),
                          (long long)(i / K / S), got[i], (long long)(want < 0 ? -1 : want));
        }
        free(got);
    }
}
END_TEST

/* The inverted list is the selection, the other way round. */
START_TEST(inverted_lists) {
    EACH_DTYPE(b) {
        scene s = scene_make(&b, (sizes){2, 45, 4, 2, 4, 16, 8, 3, 0, 0});
        int64_t L = s.N + 1 + s.T * s.K;
        ssa_tensor lists = INTS(&b, s.B, s.S, L);
        RUN(&b, SSA_SPARSE_LISTS, SSA_T(s.idx, lists), .block_size = s.block);
        double *got = take(&b, lists);
        for (int64_t row = 0; row < s.B * s.S; row++) {
            const double *list = got + row * L;
            int64_t at = 0;
            for (int64_t block = 0; block < s.N; block++) {
                ck_assert_int_eq((int64_t)list[block], at);
                for (int64_t t = 0; t < s.T; t++)
                    if (selected(&s, row / s.S, t, row % s.S, block)) ck_assert_int_eq((int64_t)list[s.N + 1 + at++], t);
            }
            ck_assert_int_eq((int64_t)list[s.N], at);
        }
        free(got);
        scene_free(&s);
    }
}
END_TEST

int main(void) {
    if (!test_available(test_device("cpu"))) return TEST_SKIPPED;
    Suite *suite = suite_create("properties");
    TCase *tc = tcase_create(test_device("cpu"));
    tcase_set_timeout(tc, 300);
    tcase_add_test(tc, wide_field_is_full_attention);
    tcase_add_test(tc, dropped_mass);
    tcase_add_test(tc, unselected_keys);
    tcase_add_test(tc, two_sided_loss);
    tcase_add_test(tc, selection_rules);
    tcase_add_test(tc, ties);
    tcase_add_test(tc, inverted_lists);
    suite_add_tcase(suite, tc);
    return run_suite(suite);
}
