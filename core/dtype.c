/* Dtypes and their conversions on the host. */
#include "ssa/tensor.h"
#include <string.h>

size_t ssa_dtype_size(ssa_dtype dtype) {
    static const size_t size[SSA_DTYPE_COUNT] = {4, 2, 2, 4, 8};
    return (unsigned)dtype < SSA_DTYPE_COUNT ? size[dtype] : 0;
}

const char *ssa_dtype_name(ssa_dtype dtype) {
    static const char *const name[SSA_DTYPE_COUNT] = {"f32", "bf16", "f16", "i32", "f64"};
    return (unsigned)dtype < SSA_DTYPE_COUNT ? name[dtype] : "no dtype";
}

static inline uint32_t bits(float x) { uint32_t u; memcpy(&u, &x, 4); return u; }
static inline float    value(uint32_t u) { float x; memcpy(&x, &u, 4); return x; }

static inline uint16_t to_bf16(float x) {
    uint32_t u = bits(x);
    if ((u & 0x7fffffff) > 0x7f800000) return (uint16_t)((u >> 16) | 64); /* stays a NaN */
    return (uint16_t)((u + 0x7fff + ((u >> 16) & 1)) >> 16);
}

static inline uint16_t to_f16(float x) {
    uint32_t u = bits(x), sign = (u >> 16) & 0x8000, a = u & 0x7fffffff;
    if (a > 0x7f800000) return (uint16_t)(sign | 0x7e00);
    if (a >= 0x477ff000) return (uint16_t)(sign | 0x7c00); /* rounds to 65536 or more */
    if (a < 0x38800000) return (uint16_t)(sign | (bits(value(a) + 0.5f) - 0x3f000000)); /* subnormal: the adder rounds */
    return (uint16_t)(sign | ((a - 0x38000000 + 0xfff + ((a >> 13) & 1)) >> 13));
}

static inline float from_f16(uint16_t h) {
    uint32_t sign = (uint32_t)(h & 0x8000) << 16, e = (h >> 10) & 31, m = h & 0x3ff;
    if (e == 31) return value(sign | 0x7f800000 | m << 13);
    if (e == 0) return value(sign | bits((float)m * 0x1p-24f));
    return value(sign | (e + 112) << 23 | m << 13);
}

void ssa_to_f32(float *out, const void *in, ssa_dtype dtype, int64_t n) {
    switch (dtype) {
    case SSA_F32: memcpy(out, in, (size_t)n * 4); break;
    case SSA_BF16: for (int64_t i = 0; i < n; i++) out[i] = value((uint32_t)((const uint16_t *)in)[i] << 16); break;
    case SSA_F16: for (int64_t i = 0; i < n; i++) out[i] = from_f16(((const uint16_t *)in)[i]); break;
    case SSA_F64: for (int64_t i = 0; i < n; i++) out[i] = (float)((const double *)in)[i]; break;
    case SSA_I32: for (int64_t i = 0; i < n; i++) out[i] = (float)((const int32_t *)in)[i]; break;
    default: break;
    }
}

void ssa_from_f32(void *out, ssa_dtype dtype, const float *in, int64_t n) {
    switch (dtype) {
    case SSA_F32: memcpy(out, in, (size_t)n * 4); break;
    case SSA_BF16: for (int64_t i = 0; i < n; i++) ((uint16_t *)out)[i] = to_bf16(in[i]); break;
    case SSA_F16: for (int64_t i = 0; i < n; i++) ((uint16_t *)out)[i] = to_f16(in[i]); break;
    case SSA_F64: for (int64_t i = 0; i < n; i++) ((double *)out)[i] = in[i]; break;
    case SSA_I32: for (int64_t i = 0; i < n; i++) ((int32_t *)out)[i] = (int32_t)in[i]; break;
    default: break;
    }
}
