// common.glsl: what every kernel shares. Include it first, after #version 450.
//
// Storage: ACT (and ACT2 for a second, independent type) is 0 f32, 1 bf16, 2 f16. 16-bit types are storage only: load_act
// widens to float, store_act rounds to nearest even (by bits, since drivers differ in how they round conversions).
//   READ(binding, type, name), WRITE(...), BOTH(...) declare buffers; elements: act_t, act2_t, float, int, uint.
// Parameters: PUSH { uint off[8]; ... } p; the device fills in off[i], the first element of binding i, so an element is
// always name[p.off[i] + index].
// GROUP is the linear workgroup index where groups[0] was folded over x and y.
#extension GL_EXT_control_flow_attributes : enable
#if ACT != 0 || ACT2 != 0
#extension GL_EXT_shader_16bit_storage : require
#extension GL_EXT_shader_explicit_arithmetic_types_int16 : enable
#endif

#define READ(b, T, name) layout(set = 0, binding = b, std430) readonly buffer name##_buffer { T name[]; }
#define WRITE(b, T, name) layout(set = 0, binding = b, std430) writeonly buffer name##_buffer { T name[]; }
#define BOTH(b, T, name) layout(set = 0, binding = b, std430) buffer name##_buffer { T name[]; }
#define PUSH layout(push_constant) uniform push_constants
#define GROUP (gl_WorkGroupID.x + gl_WorkGroupID.y * gl_NumWorkGroups.x)
#ifdef LANES_REVERSED // see host/shader/embed.h; a workgroup is WG invocations wide
#define LANE (WG - 1u - gl_LocalInvocationID.x)
#else
#define LANE gl_LocalInvocationID.x
#endif
// 0.0, which no optimizer knows (only matmul has groups in z): rounded at compile time it would be a 16-bit constant, which 16-bit storage
// alone does not allow.
#define ZERO float(gl_WorkGroupID.z)

// A finite stand-in for minus infinity: exp(NEG - anything reasonable) is 0, and NEG - NEG is 0, not NaN.
// MASKED lies far below it: a masked score has no weight even where the largest is still NEG, as when all that are visible are -infinity.
#define NEG (-1e30)
#define MASKED (-1e38)

// Told by its bits, as compilers may assume that floats are numbers; min, max, clamp and the comparisons that amount to them may lose NaN.
bool is_nan(float x) { return (floatBitsToUint(x) & 0x7fffffffu) > 0x7f800000u; }
// On SwiftShader exp of NaN is infinity and log of NaN a number. These keep NaN, where it would be divided by or written.
float exp_or_nan(float x) { return is_nan(x) ? x : exp(x); }
float log_or_nan(float x) { return is_nan(x) ? x : log(x); }
float logistic(float z) { return 1.0 / (1.0 + exp_or_nan(-z)); }

uint float_to_bf16(float x) {
    uint u = floatBitsToUint(x);
    if ((u & 0x7fffffffu) > 0x7f800000u) return (u >> 16) | 64u;
    return (u + 0x7fffu + ((u >> 16) & 1u)) >> 16;
}
uint float_to_f16(float x) {
    uint u = floatBitsToUint(x), sign = (u >> 16) & 0x8000u, a = u & 0x7fffffffu;
    if (a > 0x7f800000u) return sign | 0x7e00u;
    if (a >= 0x477ff000u) return sign | 0x7c00u;
    if (a < 0x38800000u) { // subnormal: count units of 2^-24, ties to even
        float units = uintBitsToFloat(a) * 16777216.0;
        return sign | uint(roundEven(units));
    }
    return sign | ((a - 0x38000000u + 0xfffu + ((a >> 13) & 1u)) >> 13);
}

#if ACT == 0
#define act_t float
#define load_act(v) (v)
#define store_act(v) (v)
#elif ACT == 1
#define act_t uint16_t
#define load_act(v) uintBitsToFloat(uint(v) << 16)
#define store_act(v) uint16_t(float_to_bf16(v))
#else
#define act_t uint16_t
#define load_act(v) unpackHalf2x16(uint(v)).x
#define store_act(v) uint16_t(float_to_f16(v))
#endif

#if ACT2 == 0
#define act2_t float
#define load_act2(v) (v)
#define store_act2(v) (v)
#elif ACT2 == 1
#define act2_t uint16_t
#define load_act2(v) uintBitsToFloat(uint(v) << 16)
#define store_act2(v) uint16_t(float_to_bf16(v))
#else
#define act2_t uint16_t
#define load_act2(v) unpackHalf2x16(uint(v)).x
#define store_act2(v) uint16_t(float_to_f16(v))
#endif
