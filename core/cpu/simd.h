/* What inner loops need to be vectorised. exp: the f32 form is branch-free, as a call of expf
 * is not. Range reduction x = n ln2 + r, |r| <= ln2/2, Taylor series of exp(r) to r^7 / 5040 (remainder 5e-9 relative), n added
 * to the exponent; error below 2 ulp. Below -86.6 the result is 0 (subnormals are not made), above 88.7 infinity, NaN stays. */
#ifndef SSA_CPU_SIMD_H
#define SSA_CPU_SIMD_H

#include "cpu.h"

static inline float simd_expf(float x) {
    const float magic = 12582912.0f; /* 1.5 * 2^23: adding it rounds to an integer, kept in the low bits */
    float       c = x < -86.6f ? -86.6f : x > 88.7f ? 88.7f : x, t = c * 1.44269504f + magic, n = t - magic;
    float       r = (c - n * 0.693359375f) + n * 2.12194440e-4f; /* ln2 in two parts: n times the first is exact */
    float       e = 1 + r * (1 + r * (0.5f + r * (1.0f / 6 + r * (1.0f / 24 + r * (1.0f / 120 + r * (1.0f / 720 + r * (1.0f / 5040)))))));
    int32_t     bits;
    float       power;
    memcpy(&bits, &t, 4);
    bits = (int32_t)((uint32_t)(bits - 0x4b400000 + 126) << 23);
    memcpy(&power, &bits, 4);
    return x < -86.6f ? 0 : x > 88.7f ? INFINITY : e * power * 2; /* 2^(n-1): n may be 128 */
}

#define simd_exp(x) (sizeof(real) == 4 ? (real)simd_expf((float)(x)) : (real)exp((double)(x)))
static inline real simd_sigmoid(real x) { return 1 / (1 + simd_exp(-x)); }

#endif
