/* The judge of numbers (ssa/judge.h): limits, the measure, and what else must hold.
 *
 * The measure is NMSE = sum (x - want)^2 / sum want^2. Both sides get the same inputs, rounded alike, and store alike.
 *
 *   f32   copies: nothing is computed. Pointwise: a handful of roundings of 2^-24, and exp or 1/sqrt for which Vulkan allows up to
 *         3 + 2|x| ulp; |x| about 20 gives 43 ulp = 2.6e-6, squared 7e-12. Sums: n products in any order are off by about
 *         sqrt(n) 2^-24, squared n 3.6e-15; n of the largest sums here is some 2^14, times the pointwise part before them.
 *   f16   one step between neighbours is 2^-10 to 2^-11 of the value, so a result that falls to the other neighbour has an NMSE of
 *         about 4e-7 alone; a quarter of all elements may.
 *   bf16  a step is 2^-7 to 2^-8, 3e-5; a third may. Sums with 16-bit terms in shared memory (cooperative matrices) need this.
 *
 * No element may be far off by itself, and nothing that is finite may become infinite. What fails gets a second opinion: a result in which
 * large terms cancel (a gradient that is zero but for rounding) is far from the CPU's in relative terms though nothing is wrong. Held
 * against f64, the device is right if it is not much further off than the CPU's own f32. */
#include "ssa/judge.h"
#include <math.h>
#include <string.h>

typedef enum { SUMS, POINTWISE, COPIES } work; /* what is not listed below sums */

static const work kind[SSA_OP_COUNT] = {
    [SSA_FILL] = COPIES, [SSA_CAST] = COPIES, [SSA_EMBEDDING] = COPIES, [SSA_ADD] = POINTWISE, [SSA_SWIGLU] = POINTWISE,
    [SSA_SWIGLU_BWD] = POINTWISE, [SSA_ROPE] = POINTWISE, [SSA_GATE] = POINTWISE, [SSA_CLIP] = POINTWISE, [SSA_ADAMW] = POINTWISE,
};

double ssa_op_limit(ssa_op op, ssa_dtype dtype) {
    static const double f32[] = {[SUMS] = 1e-10, [POINTWISE] = 1e-11, [COPIES] = 1e-14};
    switch (dtype) {
    case SSA_I32: return 0;
    case SSA_F16: return 1e-7;
    case SSA_BF16: return 1e-5;
    default: return f32[kind[op]];
    }
}

double ssa_output_limit(ssa_op op, ssa_dtype act, ssa_dtype output) { return fmax(ssa_op_limit(op, act), ssa_op_limit(op, output)); }

/* -- elements -------------------------------------------------------------------------------------------------------- */

double ssa_element(const void *image, ssa_dtype dtype, int64_t i) {
    const char *p = (const char *)image + (size_t)i * ssa_dtype_size(dtype);
    double      d;
    int32_t     k;
    float       f;
    switch (dtype) {
    case SSA_F64: memcpy(&d, p, sizeof d); return d;
    case SSA_I32: memcpy(&k, p, sizeof k); return k;
    case SSA_F32: memcpy(&f, p, sizeof f); return (double)f;
    default: ssa_to_f32(&f, p, dtype, 1); return (double)f;
    }
}

/* Elements that neither side touched (the other half of stat) may hold anything. */
static bool untouched(const ssa_comparison *c, int64_t i) {
    size_t size = ssa_dtype_size(c->dtype), at = (size_t)i * size;
    if (!c->before) return false;
    return !memcmp((const char *)c->before + at, (const char *)c->got + at, size) && !memcmp((const char *)c->before + at, (const char *)c->want + at, size);
}

/* A NaN must be seen; that infinity comes of it is no matter (exp of NaN is that on SwiftShader). */
static bool alike(double x, double want) { return isfinite(want) ? isfinite(x) : isnan(want) ? !isfinite(x) : x == want; }

/* What a single element may be off by, squared, beside its own size and the mean: 1e-3 of them in f32 and f64, 3e-3 in f16 and 3e-2 in
 * bf16, which is a few steps between neighbours. */
static double one_element(double limit) { return (limit < 1e-8 ? 1e4 : 100) * limit; }

/* -- the measure ----------------------------------------------------------------------------------------------------- */

/* Against f64: sums of squares and the largest. */
typedef struct { double error, worst; } distance;

static distance from_f64(const ssa_comparison *c, const void *image, double *size) {
    distance d = {0};
    *size = 0;
    for (int64_t i = 0; i < c->n; i++) {
        double x = ssa_element(image, c->dtype, i) - c->f64[i];
        if (untouched(c, i) || !isfinite(c->f64[i]) || !isfinite(ssa_element(c->got, c->dtype, i)) || !isfinite(ssa_element(c->want, c->dtype, i)))
            continue;
        *size += c->f64[i] * c->f64[i];
        d.error += x * x;
        d.worst = fmax(d.worst, x * x);
    }
    return d;
}

/* The device may be 5 times as far from f64 as the CPU's f32, in the mean and in the worst element. */
static bool second_opinion(const ssa_comparison *c, ssa_judgement *j) {
    const double times = 25; /* 5, squared */
    double       size;
    if (!c->f64) return false;
    distance got = from_f64(c, c->got, &size), want = from_f64(c, c->want, &size);
    if (size > 0) j->got_f64 = got.error / size, j->want_f64 = want.error / size;
    return !(size > 0 && j->want_f64 > c->most_f64) && got.error <= times * want.error && got.worst <= times * want.worst;
}

/* Elements far off by themselves: how many, and the first. */
static int64_t count_bad(const ssa_comparison *c, const ssa_judgement *j, int64_t *first) {
    double  mean = j->counted ? j->size / (double)j->counted : 0;
    int64_t bad = 0;
    for (int64_t i = 0; i < c->n; i++) {
        double want = ssa_element(c->want, c->dtype, i), x = ssa_element(c->got, c->dtype, i) - want;
        if (untouched(c, i) || !isfinite(x) || x * x <= one_element(c->limit) * (want * want + mean)) continue;
        if (!bad++) *first = i;
    }
    return bad;
}

ssa_judgement ssa_judge(const ssa_comparison *c) {
    ssa_judgement j = {.nmse = INFINITY, .got_f64 = -1, .want_f64 = -1};
    double        error = 0, worst = 0;
    for (int64_t i = 0; i < c->n; i++) {
        double x = ssa_element(c->got, c->dtype, i), want = ssa_element(c->want, c->dtype, i), d = (x - want) * (x - want);
        if (untouched(c, i)) continue;
        if (!isfinite(x) || !isfinite(want)) {
            if (alike(x, want) && c->infinite) continue;
            j.verdict = alike(x, want) ? SSA_NEITHER_IS_FINITE : SSA_NOT_FINITE;
            j.at = i;
            return j;
        }
        j.counted++;
        error += d;
        j.size += want * want;
        if (d <= worst) continue;
        worst = d;
        j.worst_at = i;
    }
    j.size += c->terms * (double)c->n;
    j.nmse = error == 0 ? 0 : j.size > 0 ? error / j.size : INFINITY;
    j.at = j.worst_at;
    j.bad = count_bad(c, &j, &j.at);
    bool right = second_opinion(c, &j);
    if (j.nmse <= c->limit && !j.bad) j.verdict = SSA_AGREE;
    else j.verdict = right ? SSA_AGREE_IN_F64 : j.nmse <= c->limit ? SSA_ONE_TOO_FAR : SSA_TOO_FAR;
    return j;
}

double ssa_nmse(const void *got, const void *want, ssa_dtype dtype, int64_t n) {
    double error = 0, size = 0;
    for (int64_t i = 0; i < n; i++) {
        double w = ssa_element(want, dtype, i), d = ssa_element(got, dtype, i) - w;
        error += d * d;
        size += w * w;
    }
    return error / (size > 1e-300 ? size : 1e-300);
}

int64_t ssa_integers_differ(ssa_op op, const int64_t *dim, const int32_t *got, const int32_t *want, int64_t n, int64_t *first) {
    int64_t differ = 0, L = dim['L' - 'A'], N = L - 1 - dim['T' - 'A'] * dim['K' - 'A']; /* offsets 0..N in front of the entries */
    for (int64_t i = 0; i < n; i++) {
        if (op == SSA_SPARSE_LISTS && i % L >= N + 1 + want[i / L * L + N]) continue;
        if (got[i] != want[i] && !differ++) *first = i;
    }
    return differ;
}
