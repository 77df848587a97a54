/* Register tiles: attention and selection on the CPU in f32, the fast form of core/cpu/plain/. ROWS rows (queries, or keys in the
 * backward pass) times two vectors of keys (or of head_dim). Keys and values are repacked first, KEYS rows a tile and transposed, so
 * that dot products run along keys and need no horizontal sums. Every element is summed in one fixed order. */
#ifndef SSA_CPU_TILES_H
#define SSA_CPU_TILES_H

#include "cpu.h"

typedef real vec __attribute__((vector_size(32)));
typedef real vec_at __attribute__((vector_size(32), aligned(sizeof(real)), may_alias)); /* the same in memory, unaligned */
enum { ROWS = 4, LANES = 32 / sizeof(real), KEYS = 2 * LANES };
#define MASKED ((real)-1e38) /* no weight even where the largest score is still NEG, as when all visible ones are -infinity */
#define INLINE static inline __attribute__((always_inline))

INLINE int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

/* e^x, written so that loops over it vectorise: x = n ln 2 + r, |r| <= ln 2 / 2, Taylor series of degree 7 (its
 * remainder is below 5e-9), times 2^n. 0 below -87; NaN stays. */
INLINE real exponential(real x) {
    float   y = (float)x < -87.0f ? -87.0f : (float)x > 88.0f ? 88.0f : (float)x;
    float   t = y * 1.44269504f + 12582912.0f, n = t - 12582912.0f; /* 1.5 * 2^23: rounds to an integer, kept in the low bits */
    float   r = (y - n * 0.693145751953125f) - n * 1.42860682e-6f;
    float   e = 1 + r * (1 + r * (1.0f / 2 + r * (1.0f / 6 + r * (1.0f / 24 + r * (1.0f / 120 + r * (1.0f / 720 + r * (1.0f / 5040)))))));
    int32_t bits;
    float   power;
    memcpy(&bits, &t, 4);
    bits = (int32_t)((uint32_t)(bits - 0x4b400000 + 127) << 23);
    memcpy(&power, &bits, 4);
    return (float)x < -87.0f ? 0 : (real)(e * power);
}

/* s[i, 0..KEYS) = scale * x[i] . y[., 0..KEYS) for m rows; yt: [D, KEYS]; s: rows ld apart */
INLINE void dots_of(int m, real *s, int64_t ld, const real *const *x, const real *yt, int64_t D, real scale) {
    vec acc[ROWS][2] = {{{0}}};
    for (int64_t d = 0; d < D; d++) {
        vec y0 = *(const vec_at *)(yt + d * KEYS), y1 = *(const vec_at *)(yt + d * KEYS + LANES);
        for (int i = 0; i < m; i++) {
            acc[i][0] += x[i][d] * y0;
            acc[i][1] += x[i][d] * y1;
        }
    }
    for (int i = 0; i < m; i++) {
        *(vec_at *)(s + i * ld) = acc[i][0] * scale;
        *(vec_at *)(s + i * ld + LANES) = acc[i][1] * scale;
    }
}

/* out[i, 0..D) += sum_{j<n} c[i*ci + j*cj] * x[j, 0..D) for m rows */
INLINE void update_of(int m, real *const *out, const real *c, int64_t ci, int64_t cj, const real *const *x, int n, int64_t D) {
    int64_t d = 0;
    for (; d + KEYS <= D; d += KEYS) {
        vec acc[ROWS][2];
        for (int i = 0; i < m; i++) {
            acc[i][0] = *(const vec_at *)(out[i] + d);
            acc[i][1] = *(const vec_at *)(out[i] + d + LANES);
        }
        for (int j = 0; j < n; j++) {
            vec x0 = *(const vec_at *)(x[j] + d), x1 = *(const vec_at *)(x[j] + d + LANES);
            for (int i = 0; i < m; i++) {
                acc[i][0] += c[i * ci + j * cj] * x0;
                acc[i][1] += c[i * ci + j * cj] * x1;
            }
        }
        for (int i = 0; i < m; i++) {
            *(vec_at *)(out[i] + d) = acc[i][0];
            *(vec_at *)(out[i] + d + LANES) = acc[i][1];
        }
    }
    for (; d < D; d++)
        for (int i = 0; i < m; i++)
            for (int j = 0; j < n; j++) out[i][d] += c[i * ci + j * cj] * x[j][d];
}

static inline void dots(int m, real *s, int64_t ld, const real *const *x, const real *yt, int64_t D, real scale) {
    switch (m) { /* constants, so that the accumulators stay in registers */
    case 1: dots_of(1, s, ld, x, yt, D, scale); return;
    case 2: dots_of(2, s, ld, x, yt, D, scale); return;
    case 3: dots_of(3, s, ld, x, yt, D, scale); return;
    default: dots_of(4, s, ld, x, yt, D, scale);
    }
}

static inline void update(int m, real *const *out, const real *c, int64_t ci, int64_t cj, const real *const *x, int n, int64_t D) {
    switch (m) {
    case 1: update_of(1, out, c, ci, cj, x, n, D); return;
    case 2: update_of(2, out, c, ci, cj, x, n, D); return;
    case 3: update_of(3, out, c, ci, cj, x, n, D); return;
    default: update_of(4, out, c, ci, cj, x, n, D);
    }
}

/* Repacked rows: block i of a head is `per_block` tiles of [D, KEYS], padded with zeros. */
typedef struct packing { int64_t B, T, H, D, block, blocks, per_block; } packing;

static inline packing packing_of(int64_t B, int64_t T, int64_t H, int64_t D, int64_t block_size) {
    int64_t block = block_size < T ? block_size : T;
    return (packing){B, T, H, D, block, block ? (T + block - 1) / block : 0, (block + KEYS - 1) / KEYS};
}
static inline int64_t packed_size(const packing *k) { return k->B * k->H * k->blocks * k->per_block * k->D * KEYS; }
INLINE const real *packed_tile(const packing *k, const real *packed, int64_t b, int64_t h, int64_t block, int64_t tile) {
    return packed + (((b * k->H + h) * k->blocks + block) * k->per_block + tile) * k->D * KEYS;
}

/* x: [B,T,H,D] -> packed */
typedef struct to_pack { const packing *k; real *packed; const real *x; } to_pack;

static inline void pack_tiles(const void *arg, pool_part part) {
    const to_pack *p = arg;
    const packing *k = p->k;
    int64_t        tiles = k->blocks * k->per_block; /* a head's */
    for (int64_t i = part.first; i < part.end; i++) {
        int64_t b = i / tiles / k->H, h = i / tiles % k->H, tile = i % tiles, start = tile % k->per_block * KEYS;
        int64_t first = tile / k->per_block * k->block + start, n = least(least(k->block - start, k->T - first), KEYS);
        real   *out = p->packed + i * k->D * KEYS;
        for (int64_t d = 0; d < k->D; d++)
            for (int64_t j = 0; j < KEYS; j++) out[d * KEYS + j] = j < n ? p->x[((b * k->T + first + j) * k->H + h) * k->D + d] : 0;
    }
}

static inline void pack(pool *threads, const packing *k, real *packed, const real *x) {
    pool_run(threads, k->B * k->H * k->blocks * k->per_block, rows_of(k->D * KEYS), pack_tiles, &(to_pack){k, packed, x});
}

/* A run of keys: the first `count` of a block. */
typedef struct span { int64_t block, first, count; } span;

/* Up to ROWS queries that share a KV head and their spans; row i sees keys up to t[i]. */
typedef struct rows {
    int         m;
    const real *q[ROWS], *d_o[ROWS];
    real       *out[ROWS]; /* o, or dq */
    int64_t     t[ROWS];
    real       *lse[ROWS];
    real        delta[ROWS];
} rows;

/* o = softmax(scale q K^T) V and lse. s: [ROWS, width], width a multiple of KEYS that covers the spans. */
static inline void attend(const rows *r, const span *spans, int64_t n, const packing *k, const real *kt, const real *v, int64_t b, int64_t h,
                          real scale, real *s, int64_t width) {
    int64_t at = 0;
    for (int64_t a = 0; a < n; a++)
        for (int64_t j = 0; j < spans[a].count; j += KEYS, at += KEYS) {
            dots(r->m, s + at, width, r->q, packed_tile(k, kt, b, h, spans[a].block, j / KEYS), k->D, scale);
            for (int i = 0; i < r->m; i++) {
                int64_t visible = least(spans[a].count - j, r->t[i] - spans[a].first - j + 1);
                for (int64_t c = visible > 0 ? visible : 0; c < KEYS; c++) s[i * width + at + c] = MASKED;
            }
        }
    real inverse[ROWS];
    for (int i = 0; i < r->m; i++) {
        real *row = s + i * width, max = NEG, sum = 0;
#pragma omp simd reduction(max : max)
        for (int64_t j = 0; j < at; j++) max = row[j] > max ? row[j] : max;
#pragma omp simd reduction(+ : sum)
        for (int64_t j = 0; j < at; j++) {
            real p = exponential(row[j] - max);
            row[j] = p;
            sum += p;
        }
        inverse[i] = sum == 0 ? 0 : 1 / sum; /* no key at all: o = 0 */
        *r->lse[i] = sum == 0 ? NEG : max + real_log(sum);
        memset(r->out[i], 0, (size_t)k->D * sizeof(real));
    }
    at = 0;
    for (int64_t a = 0; a < n; a++)
        for (int64_t j = 0; j < spans[a].count; j += KEYS, at += KEYS) {
            const real *x[KEYS];
            int         keys = (int)least(spans[a].count - j, KEYS);
            for (int c = 0; c < keys; c++) x[c] = v + ((b * k->T + spans[a].first + j + c) * k->H + h) * k->D;
            update(r->m, r->out, s + at, width, 1, x, keys, k->D);
        }
    for (int i = 0; i < r->m; i++)
        for (int64_t d = 0; d < k->D; d++) r->out[i][d] *= inverse[i];
}

/* p = exp(scale q.k - lse) and ds = p (do.v - delta) for m rows against one tile whose first key is `first`; `keys` of it
 * are real. p, ds: [m, KEYS] */
INLINE void weights(real *p, real *ds, int m, const real *const *q, const real *const *d_o, const real *lse, const real *delta,
                    const int64_t *t, int64_t first, int64_t keys, const real *kt, const real *vt, int64_t D, real scale) {
    dots(m, p, KEYS, q, kt, D, scale);
    dots(m, ds, KEYS, d_o, vt, D, 1);
    for (int i = 0; i < m; i++) {
        int64_t visible = least(keys, t[i] - first + 1);
        real    l = lse[i], dl = delta[i];
        int32_t see = visible > 0 ? (int32_t)visible : 0;
        for (int32_t j = 0; j < KEYS; j++) {
            real e = exponential(p[i * KEYS + j] - l);
            e = j < see ? e : 0;
            p[i * KEYS + j] = e;
            ds[i * KEYS + j] = e * (ds[i * KEYS + j] - dl);
        }
    }
}

/* sums[i] = scale * sum_j ds k_j, written or added to r->out. sums: [ROWS, D] */
static inline void attend_dq(const rows *r, const span *spans, int64_t n, const packing *k, const real *kt, const real *vt, const real *key,
                             int64_t b, int64_t h, real scale, bool accumulate, real *sums) {
    real  p[ROWS * KEYS], ds[ROWS * KEYS], lse[ROWS], *out[ROWS];
    memset(sums, 0, (size_t)(ROWS * k->D) * sizeof(real));
    for (int i = 0; i < r->m; i++) lse[i] = *r->lse[i], out[i] = sums + i * k->D;
    for (int64_t a = 0; a < n; a++)
        for (int64_t j = 0; j < spans[a].count; j += KEYS) {
            const real *x[KEYS];
            int         keys = (int)least(spans[a].count - j, KEYS);
            weights(p, ds, r->m, r->q, r->d_o, lse, r->delta, r->t, spans[a].first + j, keys, packed_tile(k, kt, b, h, spans[a].block, j / KEYS),
                    packed_tile(k, vt, b, h, spans[a].block, j / KEYS), k->D, scale);
            for (int c = 0; c < keys; c++) x[c] = key + ((b * k->T + spans[a].first + j + c) * k->H + h) * k->D;
            update(r->m, out, ds, KEYS, 1, x, keys, k->D);
        }
    for (int i = 0; i < r->m; i++)
        for (int64_t d = 0; d < k->D; d++) r->out[i][d] = (accumulate ? r->out[i][d] : 0) + scale * out[i][d];
}

/* Queries waiting to be added to one tile's dk and dv. */
enum { WAITING = 32 };
typedef struct queue {
    int         n;
    const real *q[WAITING], *d_o[WAITING];
    real        lse[WAITING], delta[WAITING];
    int64_t     t[WAITING];
} queue;

/* dk[j] += sum ds q, dv[j] += sum p do over the queue, in its order; dk, dv: [KEYS, D]. Empties the queue. */
static inline void flush(queue *w, real *dk, real *dv, int64_t first, int64_t keys, const real *kt, const real *vt, int64_t D, real scale) {
    real p[WAITING * KEYS], ds[WAITING * KEYS];
    for (int i = 0; i < w->n; i += ROWS)
        weights(p + i * KEYS, ds + i * KEYS, (int)least(ROWS, w->n - i), w->q + i, w->d_o + i, w->lse + i, w->delta + i, w->t + i, first, keys, kt,
                vt, D, scale);
    for (int64_t j = 0; j < keys; j += ROWS) {
        real *to[ROWS];
        int   m = (int)least(ROWS, keys - j);
        for (int i = 0; i < m; i++) to[i] = dv + (j + i) * D;
        update(m, to, p + j, 1, KEYS, w->d_o, w->n, D);
        for (int i = 0; i < m; i++) to[i] = dk + (j + i) * D;
        update(m, to, ds + j, 1, KEYS, w->q, w->n, D);
    }
    w->n = 0;
}

/* Writes or adds a finished tile: dk, dv: [KEYS, D] sums, out_k, out_v: [B,T,H,D] */
static inline void store_tile(const packing *k, real *out_k, real *out_v, const real *dk, const real *dv, int64_t b, int64_t h, int64_t first,
                              int64_t keys, real scale, bool accumulate) {
    for (int64_t j = 0; j < keys; j++) {
        int64_t at = ((b * k->T + first + j) * k->H + h) * k->D;
        for (int64_t d = 0; d < k->D; d++) {
            out_k[at + d] = (accumulate ? out_k[at + d] : 0) + scale * dk[j * k->D + d];
            out_v[at + d] = (accumulate ? out_v[at + d] : 0) + dv[j * k->D + d];
        }
    }
}

#endif
