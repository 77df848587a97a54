/* The CPU is the truth of the conformance suite, so here its simpler operations meet their formulas, written once more in
 * double; and the edges that random data does not reach: rows of zeros, one channel, eps, ignored targets, and the front
 * end's refusals. Attention is checked in test_properties.c. */
#include "bench.h"

#define EACH_DTYPE(b)                                                                                                                                \
    for (int dtype_ = 0; dtype_ < bench_dtypes(); dtype_++)                                                                                          \
        for (bench b = bench_open(bench_dtype(dtype_)); b.ctx; bench_close(&b), b.ctx = NULL)

static double sigmoid(double z) { return 1 / (1 + exp(-z)); }

START_TEST(elementwise) {
    EACH_DTYPE(b) {
        int64_t n = 131;
        ssa_tensor x1 = REALS(&b, n), x2 = REALS(&b, n), y = REALS(&b, n), sum = REALS(&b, 1);
        double *a = put_random(&b, x1), *c = put_random(&b, x2), *want = NUMBERS(n), total = 0, squares = 0;
        for (int64_t i = 0; i < n; i++) want[i] = a[i] + c[i];
        RUN(&b, SSA_ADD, SSA_T(x1, x2, y), 0);
        check_tensor(&b, y, want, "add");
        for (int64_t i = 0; i < n; i++) want[i] = a[i] * sigmoid(a[i]) * c[i];
        RUN(&b, SSA_SWIGLU, SSA_T(x1, x2, y), 0);
        check_tensor(&b, y, want, "swiglu");
        for (int64_t i = 0; i < n; i++) want[i] = -1.25;
        RUN(&b, SSA_FILL, SSA_T(y), .value = -1.25f);
        check_tensor(&b, y, want, "fill");
        for (int64_t i = 0; i < n; i++) total += a[i], squares += a[i] * a[i];
        RUN(&b, SSA_SUM, SSA_T(x1, sum), .scale = 0.5f);
        RUN(&b, SSA_SUM, SSA_T(x1, sum), .scale = 2, .accumulate = true);
        check_tensor(&b, sum, &(double){2.5 * total}, "sum");
        RUN(&b, SSA_SUMSQ, SSA_T(x1, sum), 0);
        RUN(&b, SSA_SUMSQ, SSA_T(x1, sum), .accumulate = true);
        check_tensor(&b, sum, &(double){2 * squares}, "sumsq");
        free(a), free(c), free(want);
    }
}
END_TEST

START_TEST(rmsnorm_formula) {
    EACH_DTYPE(b) {
        int64_t R = 5, C = 67;
        ssa_tensor x = REALS(&b, R, C), w = REALS(&b, C), y = REALS(&b, R, C), rstd = REALS(&b, R);
        double *hx = put_random(&b, x), *hw = put_random(&b, w), *want = NUMBERS(R * C), *want_rstd = NUMBERS(R);
        for (int64_t r = 0; r < R; r++) {
            double sum = 0;
            for (int64_t c = 0; c < C; c++) sum += hx[r * C + c] * hx[r * C + c];
            want_rstd[r] = 1 / sqrt(sum / (double)C + 0.5);
            for (int64_t c = 0; c < C; c++) want[r * C + c] = hx[r * C + c] * want_rstd[r] * hw[c];
        }
        RUN(&b, SSA_RMSNORM, SSA_T(x, w, y, rstd), .eps = 0.5f);
        check_tensor(&b, y, want, "y");
        check_tensor(&b, rstd, want_rstd, "rstd");
        free(hx), free(hw), free(want), free(want_rstd);
    }
}
END_TEST

/* Rows of zeros give zeros, not NaN, forward and backward; eps decides where x is tiny; one channel is a sign. */
START_TEST(rmsnorm_edges) {
    EACH_DTYPE(b) {
        ssa_tensor x = REALS(&b, 2, 33), w = REALS(&b, 33), y = REALS(&b, 2, 33), rstd = REALS(&b, 2), dx = REALS(&b, 2, 33), dw = REALS(&b, 33),
                   dy = REALS(&b, 2, 33);
        double *hw = put_random(&b, w), *hdy = put_random(&b, dy), *want = NUMBERS(66);
        put_constant(&b, x, 0);
        RUN(&b, SSA_RMSNORM, SSA_T(x, w, y, rstd), .eps = 0x1p-14f);
        check_tensor(&b, y, want, "zeros stay zeros");
        check_tensor(&b, rstd, (double[]){128, 128}, "rstd of zeros is 1 / sqrt(eps)");
        RUN(&b, SSA_RMSNORM_BWD, SSA_T(dy, x, w, rstd, dx, dw), 0);
        check_tensor(&b, dw, want, "dw of zeros");
        for (int64_t i = 0; i < 66; i++) want[i] = 128 * hw[i % 33] * hdy[i];
        check_tensor(&b, dx, want, "dx of zeros");
        put_constant(&b, x, 0x1p-10);
        RUN(&b, SSA_RMSNORM, SSA_T(x, w, y, rstd), .eps = 0x1p-17f);
        for (int64_t i = 0; i < 66; i++) want[i] = hw[i % 33] * 0x1p-10 / sqrt(0x1p-20 + 0x1p-17);
        check_tensor(&b, y, want, "eps");
        ssa_tensor x1 = REALS(&b, 2, 1), w1 = REALS(&b, 1), y1 = REALS(&b, 2, 1);
        put(&b, x1, (double[]){-3, 2});
        put_constant(&b, w1, 0.5);
        RUN(&b, SSA_RMSNORM, SSA_T(x1, w1, y1, rstd), .eps = 1e-12f);
        check_tensor(&b, y1, (double[]){-0.5, 0.5}, "one channel");
        free(hw), free(hdy), free(want);
    }
}
END_TEST

START_TEST(rope_formula) {
    EACH_DTYPE(b) {
        int64_t B = 2, T = 5, Q = 3, D = 8, P = 12, position = 4;
        ssa_tensor x = REALS(&b, B, T, Q, D), table = REALS(&b, P, D), y = REALS(&b, B, T, Q, D), back = REALS(&b, B, T, Q, D);
        double *hx = put_random(&b, x), *angles = NUMBERS(P * D), *want = NUMBERS(B * T * Q * D);
        for (int64_t p = 0; p < P; p++)
            for (int64_t d = 0; d < D / 2; d++) {
                angles[p * D + d] = cos((double)(p * (d + 1)));
                angles[p * D + D / 2 + d] = sin((double)(p * (d + 1)));
            }
        put(&b, table, angles);
        for (int64_t i = 0; i < B * T * Q * D; i++) {
            int64_t d = i % D, half = D / 2, first = i - d + d % half;
            double angle = (double)((position + i / (Q * D) % T) * (d % half + 1));
            want[i] = d < half ? hx[first] * cos(angle) - hx[first + half] * sin(angle) : hx[first + half] * cos(angle) + hx[first] * sin(angle);
        }
        RUN(&b, SSA_ROPE, SSA_T(x, table, y), .position = (int)position);
        check_tensor(&b, y, want, "rope");
        RUN(&b, SSA_ROPE, SSA_T(y, table, back), .position = (int)position, .inverse = true);
        check_tensor(&b, back, hx, "rope back");
        free(hx), free(angles), free(want);
    }
}
END_TEST

START_TEST(embedding_formula) {
    EACH_DTYPE(b) {
        static const int32_t tokens[] = {3, 0, -1, 3, 5, 4}, order[] = {2, 1, 0, 3, 5, 4};
        int64_t C = 19, V = 5, R = 6;
        ssa_tensor t = INTS(&b, R), o = INTS(&b, R), w = REALS(&b, V, C), y = REALS(&b, R, C), dy = REALS(&b, R, C), dw = REALS(&b, V, C);
        double *hw = put_random(&b, w), *hdy = put_random(&b, dy), *want = NUMBERS(R * C), *want_w = NUMBERS(V * C);
        ck_assert_int_eq(ssa_write(b.ctx, t, tokens), SSA_OK);
        ck_assert_int_eq(ssa_write(b.ctx, o, order), SSA_OK);
        put_constant(&b, dw, NAN);
        for (int64_t r = 0; r < R; r++)
            for (int64_t c = 0; c < C && tokens[r] >= 0 && tokens[r] < V; c++) {
                want[r * C + c] = hw[tokens[r] * C + c];
                want_w[tokens[r] * C + c] += hdy[r * C + c];
            }
        RUN(&b, SSA_EMBEDDING, SSA_T(t, w, y), 0);
        check_tensor(&b, y, want, "rows");
        RUN(&b, SSA_EMBEDDING_BWD, SSA_T(t, o, dy, dw), 0);
        check_tensor(&b, dw, want_w, "dw, absent tokens 0");
        free(hw), free(hdy), free(want), free(want_w);
    }
}
END_TEST

START_TEST(matmul_formula) {
    EACH_DTYPE(b) for (int trans = 0; trans < 4; trans++) {
        int64_t G = 2, M = 7, N = 5, K = 67;
        bool ta = trans & 1, tb = trans & 2;
        ssa_tensor x = ta ? REALS(&b, G, K, M) : REALS(&b, G, M, K), y = tb ? REALS(&b, G, N, K) : REALS(&b, G, K, N), z = REALS(&b, G, M, N);
        double *hx = put_random(&b, x), *hy = put_random(&b, y), *want = put_random(&b, z);
        for (int64_t i = 0; i < G * M * N; i++) {
            int64_t g = i / (M * N), m = i / N % M, n = i % N;
            for (int64_t k = 0; k < K; k++) want[i] += hx[g * M * K + (ta ? k * M + m : m * K + k)] * hy[g * N * K + (tb ? n * K + k : k * N + n)];
        }
        RUN(&b, SSA_MATMUL, SSA_T(x, y, z), .trans_a = ta, .trans_b = tb, .accumulate = true);
        check_tensor(&b, z, want, "c + a b");
        free(hx), free(hy), free(want);
    }
}
END_TEST

START_TEST(block_mean_formula) {
    EACH_DTYPE(b) for (int block = 1; block <= 16; block += 5) {
        int64_t B = 2, T = 13, H = 3, D = 8, N = (T + block - 1) / block;
        ssa_tensor k = REALS(&b, B, T, H, D), kbar = REALS(&b, B, N, H, D);
        double *hk = put_random(&b, k), *want = NUMBERS(B * N * H * D);
        for (int64_t i = 0; i < B * T * H * D; i++) {
            int64_t t = i / (H * D) % T, block_index = t / block, length = T - block_index * block < block ? T - block_index * block : block;
            want[(i / (T * H * D) * N + block_index) * H * D + i % (H * D)] += hk[i] / (double)length;
        }
        RUN(&b, SSA_BLOCK_MEAN, SSA_T(k, kbar), .block_size = block);
        check_tensor(&b, kbar, want, "mean over the real length");
        free(hk), free(want);
    }
}
END_TEST

START_TEST(gate_formula) {
    EACH_DTYPE(b) {
        int64_t T = 3, Q = 4, D = 10;
        ssa_tensor o = REALS(&b, 1, T, Q, D), z = REALS(&b, 1, T, 3 * Q), y = REALS(&b, 1, T, Q, D);
        double *ho = put_random(&b, o), *hz = put_random(&b, z), *want = NUMBERS(T * Q * D);
        for (int64_t i = 0; i < T * Q * D; i++) want[i] = ho[i] * sigmoid(hz[i / D * 3 + 1]);
        RUN(&b, SSA_GATE, SSA_T(o, z, y), 0);
        check_tensor(&b, y, want, "o * g");
        free(ho), free(hz), free(want);
    }
}
END_TEST

/* The loss against its formula, the gradient's loss against the loss, ignored rows exactly zero. */
START_TEST(loss_formula) {
    EACH_DTYPE(b) {
        static const int32_t targets[] = {4, -1, 0, 131, 130};
        int64_t R = 5, C = 9, V = 131;
        ssa_tensor h = REALS(&b, R, C), w = REALS(&b, V, C), t = INTS(&b, R), loss = REALS(&b, R), again = REALS(&b, R), dh = REALS(&b, R, C),
                   dw = REALS(&b, V, C);
        double *hh = put_random(&b, h), *hw = put_random(&b, w), *want = NUMBERS(R), *want_h = NUMBERS(R * C), *want_w = NUMBERS(V * C),
               *logit = NUMBERS(V);
        ck_assert_int_eq(ssa_write(b.ctx, t, targets), SSA_OK);
        for (int64_t r = 0; r < R; r++) {
            double sum = 0;
            if (targets[r] < 0 || targets[r] >= V) continue;
            for (int64_t v = 0; v < V; v++) {
                logit[v] = 0;
                for (int64_t c = 0; c < C; c++) logit[v] += hh[r * C + c] * hw[v * C + c];
                sum += exp(logit[v]);
            }
            want[r] = log(sum) - logit[targets[r]];
            for (int64_t v = 0; v < V; v++) {
                double d = 0.25 * (exp(logit[v]) / sum - (v == targets[r]));
                for (int64_t c = 0; c < C; c++) {
                    want_h[r * C + c] += d * hw[v * C + c];
                    want_w[v * C + c] += d * hh[r * C + c];
                }
            }
        }
        put_constant(&b, loss, NAN);
        put_constant(&b, dh, NAN);
        RUN(&b, SSA_LM_LOSS, SSA_T(h, w, t, loss), 0);
        check_tensor(&b, loss, want, "loss");
        RUN(&b, SSA_LM_LOSS_GRAD, SSA_T(h, w, t, again, dh, dw), .scale = 0.25f);
        check_tensor(&b, again, want, "loss beside the gradient");
        check_tensor(&b, dh, want_h, "dh");
        check_tensor(&b, dw, want_w, "dw");
        double *got = take(&b, dh), *got_loss = take(&b, loss);
        for (int64_t c = 0; c < C; c++) ck_assert(got[C + c] == 0 && got[3 * C + c] == 0);
        ck_assert(got_loss[1] == 0 && got_loss[3] == 0);
        free(hh), free(hw), free(want), free(want_h), free(want_w), free(logit), free(got), free(got_loss);
    }
}
END_TEST

/* clip, then AdamW with its result; a norm that is not finite leaves everything as it was. */
START_TEST(optimizer_formula) {
    EACH_DTYPE(b) for (int turn = 0; turn < 4; turn++) {
        int64_t n = 70;
        const float max_norm = (float[]){1, 1000, 0, 1}[turn];
        const float beta1 = 0.75f, beta2 = 0.875f, eps = 1e-3f, decay = 0.125f;
        double lr = 0.0625, c1 = 1.5, c2 = 1.25, sumsq = turn == 3 ? INFINITY : 25;
        double factor = turn == 3 ? -1 : turn == 0 ? 1 / (5 + 1e-6) : 1;
        ssa_tensor grad = REALS(&b, n), step = REALS(&b, 8), clip = REALS(&b, 2), total = REALS(&b, 1), p = REALS(&b, n), m = REALS(&b, n),
                   v = REALS(&b, n), w = REALS(&b, n);
        double *hg = put_random(&b, grad), *hp = put_random(&b, p), *hm = put_random(&b, m), *hv = put_random(&b, v);
        for (int64_t i = 0; i < n; i++) hv[i] *= hv[i];
        put(&b, v, hv);
        free(hv);
        hv = take(&b, v);
        put(&b, w, hp);
        put(&b, total, &sumsq);
        put(&b, step, (double[]){lr, c1, c2, 0, 0, 0, 0, 0});
        RUN(&b, SSA_CLIP, SSA_T(total, clip), .max_norm = max_norm);
        double *hclip = take(&b, clip);
        ck_assert_double_eq_tol(hclip[1], factor, b.eps);
        if (turn < 3)
            ck_assert_double_eq_tol(hclip[0], 5, 5 * b.eps);
        else
            ck_assert(!isfinite(hclip[0]));
        RUN(&b, SSA_ADAMW, SSA_T(grad, step, clip, p, m, v, w), .beta1 = beta1, .beta2 = beta2, .eps = eps, .weight_decay = decay);
        for (int64_t i = 0; i < n && turn < 3; i++) {
            double g = hg[i] * factor;
            hp[i] -= lr * (double)decay * hp[i];
            hm[i] = (double)beta1 * hm[i] + (1 - (double)beta1) * g;
            hv[i] = (double)beta2 * hv[i] + (1 - (double)beta2) * g * g;
            hp[i] -= lr * (hm[i] * c1) / (sqrt(hv[i] * c2) + (double)eps);
        }
        check_tensor(&b, m, hm, "m");
        check_tensor(&b, v, hv, "v");
        check_tensor(&b, p, hp, "p");
        check_tensor(&b, w, hp, "w");
        free(hg), free(hp), free(hm), free(hv), free(hclip);
    }
}
END_TEST

/* -- the front end ------------------------------------------------------------------------------------------------------- */

/* The call is refused with a sentence that has these words, and no output is touched (`out` still holds 7). */
#define REFUSED(b, out, words, op, operands, ...)                                                                                                    \
    do {                                                                                                                                             \
        ssa_error_clear(ssa_context_error((b)->ctx));                                                                                                \
        put_constant((b), (out), 7);                                                                                                                 \
        ck_assert_int_eq(SSA_CALL((b)->ctx, op, operands, __VA_ARGS__), SSA_ERR_INPUT);                                                              \
        for (const char *const *w_ = (const char *[]){ssa_op_name(op), UNPACK words, NULL}; *w_; w_++)                                               \
            ck_assert_msg(strstr(ssa_context_error((b)->ctx)->text, *w_) != NULL, "\"%s\" does not say \"%s\"", ssa_context_error((b)->ctx)->text,   \
                          *w_);                                                                                                                      \
        double *held_ = take((b), (out));                                                                                                            \
        for (int64_t i_ = 0; i_ < ssa_numel(&(out)); i_++) ck_assert_double_eq(held_[i_], 7);                                                        \
        free(held_);                                                                                                                                 \
    } while (0)
#define UNPACK(...) __VA_ARGS__

START_TEST(refusals) {
    bench b = bench_open(SSA_F32);
    ssa_tensor x = REALS(&b, 4, 6), x5 = REALS(&b, 4, 5), w = REALS(&b, 6), y = REALS(&b, 4, 6), rstd = REALS(&b, 4), ints = INTS(&b, 4, 6), half;
    ck_assert_int_eq(ssa_tensor_new(b.ctx, SSA_BF16, &half, 4, 6), SSA_OK);
    put_constant(&b, x, 1), put_constant(&b, w, 1), put_constant(&b, x5, 1);
    REFUSED(&b, y, ("y", "6", "5"), SSA_RMSNORM, SSA_T(x5, REALS(&b, 5), y, rstd), .eps = 1e-5f);
    REFUSED(&b, y, ("w", "5"), SSA_RMSNORM, SSA_T(x, REALS(&b, 5), y, rstd), .eps = 1e-5f);
    REFUSED(&b, y, ("w", "rank"), SSA_RMSNORM, SSA_T(x, x, y, rstd), .eps = 1e-5f);
    REFUSED(&b, y, ("x", "i32"), SSA_RMSNORM, SSA_T(ints, w, y, rstd), .eps = 1e-5f);
    REFUSED(&b, y, ("bf16", "f32"), SSA_ADD, SSA_T(x, half, y), 0);
    REFUSED(&b, y, ("4", "3"), SSA_RMSNORM, SSA_T(x, w, y), .eps = 1e-5f);
    REFUSED(&b, y, ("outside"), SSA_ADD, SSA_T(x, x, ssa_view(y, 1, 4, 6)), 0);
    REFUSED(&b, y, ("outside"), SSA_ADD, SSA_T(x, ssa_view(x, -1, 4, 6), y), 0);
    REFUSED(&b, y, ("outside"), SSA_ADD, SSA_T(x, (ssa_tensor){.rank = 2, .shape = {4, 6}}, y), 0);
    REFUSED(&b, y, ("tokens", "f32", "i32"), SSA_EMBEDDING, SSA_T(rstd, REALS(&b, 3, 6), y), 0);
    REFUSED(&b, y, ("b", "K"), SSA_MATMUL, SSA_T(x, REALS(&b, 5, 6), y), 0);
    REFUSED(&b, y, ("b", "rank"), SSA_MATMUL, SSA_T(x, w, y), 0);

    int64_t T = 9, D = 6;
    ssa_tensor q = REALS(&b, 1, T, 4, D), k = REALS(&b, 1, T, 2, D), k3 = REALS(&b, 1, T, 3, D), o = REALS(&b, 1, T, 4, D),
               stat = REALS(&b, 2, 1, T, 4);
    ssa_tensor kbar = REALS(&b, 1, 3, 2, D), idx = INTS(&b, 1, T, 2, 2), odd = REALS(&b, 1, T, 4, 5), table = REALS(&b, 10, D),
               cos5 = REALS(&b, 10, 5);
    REFUSED(&b, o, ("4 query heads", "3 KV heads"), SSA_ATTN_FULL, SSA_T(q, k3, k3, o, stat), .scale = 1);
    REFUSED(&b, odd, ("head_dim 5", "odd"), SSA_ROPE, SSA_T(odd, cos5, odd), 0);
    REFUSED(&b, o, ("positions", "10"), SSA_ROPE, SSA_T(q, table, o), .position = 2);
    REFUSED(&b, o, ("positions", "-1"), SSA_ROPE, SSA_T(q, table, o), .position = -1);
    REFUSED(&b, kbar, ("block_size 0"), SSA_BLOCK_MEAN, SSA_T(k, kbar), 0);
    REFUSED(&b, kbar, ("3 blocks", "5"), SSA_BLOCK_MEAN, SSA_T(k, kbar), .block_size = 2);
    REFUSED(&b, idx, ("top_k 0"), SSA_SELECT, SSA_T(q, kbar, idx), .block_size = 4, .scale = 1);
    REFUSED(&b, idx, ("top_k 2000", "1024"), SSA_SELECT, SSA_T(q, kbar, idx), .block_size = 4, .top_k = 2000, .scale = 1);
    REFUSED(&b, idx, ("2 slots", "top_k 3"), SSA_SELECT, SSA_T(q, kbar, idx), .block_size = 4, .top_k = 3, .scale = 1);
    REFUSED(&b, idx, ("compat", "top_k 2", "block_size 3"), SSA_SELECT, SSA_T(q, kbar, idx), .block_size = 3, .top_k = 2, .select = SSA_SELECT_COMPAT,
            .scale = 1);
    REFUSED(&b, o, ("3 selection heads"), SSA_ATTN_SPARSE, SSA_T(q, k, k, INTS(&b, 1, T, 3, 2), o, stat), .block_size = 4, .scale = 1);
    ssa_tensor lists = INTS(&b, 1, 2, 7);
    REFUSED(&b, lists, ("7", "22"), SSA_SPARSE_LISTS, SSA_T(idx, lists), .block_size = 4);

    ssa_error_clear(ssa_context_error(b.ctx));
    ck_assert_int_eq(ssa_run(b.ctx, (ssa_op)999, 0, NULL, NULL), SSA_ERR_INPUT);
    ssa_error_clear(ssa_context_error(b.ctx));
    RUN(&b, SSA_RMSNORM, SSA_T(x, w, y, rstd), .eps = 1e-5f); /* a refusal leaves the context usable */
    bench_close(&b);
}
END_TEST

/* The first refusal is the sentence that stays; f64 is the CPU's alone. */
START_TEST(first_error_stays) {
    bench b = bench_open(SSA_F32);
    ssa_tensor x = REALS(&b, 3), y = REALS(&b, 4), d;
    ck_assert_int_eq(SSA_CALL(b.ctx, SSA_ADD, SSA_T(x, y, x), 0), SSA_ERR_INPUT);
    char first[512];
    snprintf(first, sizeof first, "%s", ssa_context_error(b.ctx)->text);
    ck_assert_int_eq(SSA_CALL(b.ctx, SSA_SUM, SSA_T(x), 0), SSA_ERR_INPUT);
    ck_assert_str_eq(ssa_context_error(b.ctx)->text, first);
    ssa_error_clear(ssa_context_error(b.ctx));
    ssa_status s = ssa_tensor_new(b.ctx, SSA_F64, &d, 3);
    ck_assert_int_eq(s, strcmp(test_device("cpu"), "cpu") ? SSA_ERR_UNSUPPORTED : SSA_OK);
    ssa_error_clear(ssa_context_error(b.ctx));
    ck_assert_int_eq(ssa_tensor_new(b.ctx, SSA_F32, &d, 3, 0), SSA_ERR_INPUT);
    ssa_error_clear(ssa_context_error(b.ctx));
    ck_assert_int_eq(ssa_tensor_new(b.ctx, SSA_F32, &d, 1 << 30, 1 << 30, 1 << 30), SSA_ERR_INPUT);
    bench_close(&b);
}
END_TEST

int main(void) {
    if (!test_available(test_device("cpu"))) return TEST_SKIPPED;
    Suite *suite = suite_create("formulas");
    TCase *tc = tcase_create(test_device("cpu"));
    tcase_set_timeout(tc, 300);
    tcase_add_test(tc, elementwise);
    tcase_add_test(tc, rmsnorm_formula);
    tcase_add_test(tc, rmsnorm_edges);
    tcase_add_test(tc, rope_formula);
    tcase_add_test(tc, embedding_formula);
    tcase_add_test(tc, matmul_formula);
    tcase_add_test(tc, block_mean_formula);
    tcase_add_test(tc, gate_formula);
    tcase_add_test(tc, loss_formula);
    tcase_add_test(tc, optimizer_formula);
    tcase_add_test(tc, refusals);
    tcase_add_test(tc, first_error_stays);
    suite_add_tcase(suite, tc);
    return run_suite(suite);
}
