// common.h: what every OpenCL kernel shares; the sibling of shaders/common.glsl. OpenCL C 1.2; no half arithmetic.
//
// Storage: ACT (and ACT2) is 0 f32, 1 bf16, 2 f16; load_act(buffer, index) widens to float, store_act(buffer, index, value)
// rounds to nearest even. Parameters: `const push p`, a struct { uint off[8]; ... } the kernel declares; off[i] is
// the first element of buffer i, so an element is always name[p.off[i] + index]. Same names, order and parameters as in GLSL.
// WG and the other constants come as -D, and ON_CPU where the device is a processor. GROUP is the linear workgroup index where groups[0] was folded over x and y.
#pragma OPENCL FP_CONTRACT ON
#define GROUP ((uint)(get_group_id(0) + get_group_id(1) * get_num_groups(0)))
#ifdef LANES_REVERSED // see host/shader/embed.h
#define LANE (WG - 1u - (uint)get_local_id(0))
#else
#define LANE ((uint)get_local_id(0))
#endif
#define NEG (-1e30f)
#define MASKED (-1e38f)
// SUB_GROUP is defined for Intel cards whose narrowest sub-group is 16 work-items (Xe-HPC, Xe2): left alone, their compiler takes 32
// and spills in the kernels that hold tiles in registers. Those say NARROW. Nothing relies on the width.
#ifdef SUB_GROUP
#define NARROW __attribute__((intel_reqd_sub_group_size(SUB_GROUP)))
#else
#define NARROW
#endif
#define BARRIER barrier(CLK_LOCAL_MEM_FENCE)

// Told by its bits, as compilers may assume that floats are numbers; min, max, clamp and the comparisons that amount to them may lose NaN.
static inline bool is_nan(float x) { return (as_uint(x) & 0x7fffffffu) > 0x7f800000u; }
// exp and log of NaN may be anything. These keep it, where it would be divided by or written.
static inline float exp_or_nan(float x) { return is_nan(x) ? x : exp(x); }
static inline float log_or_nan(float x) { return is_nan(x) ? x : log(x); }
static inline float logistic(float z) { return 1.0f / (1.0f + exp_or_nan(-z)); }

static inline ushort float_to_bf16(float x) {
    uint u = as_uint(x);
    if ((u & 0x7fffffffu) > 0x7f800000u) return (ushort)((u >> 16) | 64u);
    return (ushort)((u + 0x7fffu + ((u >> 16) & 1u)) >> 16);
}

#if ACT == 0
typedef float act_t;
#define load_act(b, i) ((b)[i])
#define store_act(b, i, v) ((b)[i] = (v))
#elif ACT == 1
typedef ushort act_t;
#define load_act(b, i) as_float((uint)(b)[i] << 16)
#define store_act(b, i, v) ((b)[i] = float_to_bf16(v))
#else
typedef half act_t;
#define load_act(b, i) vload_half((i), (b))
#define store_act(b, i, v) vstore_half_rte((v), (i), (b))
#endif

#if ACT2 == 0
typedef float act2_t;
#define load_act2(b, i) ((b)[i])
#define store_act2(b, i, v) ((b)[i] = (v))
#elif ACT2 == 1
typedef ushort act2_t;
#define load_act2(b, i) as_float((uint)(b)[i] << 16)
#define store_act2(b, i, v) ((b)[i] = float_to_bf16(v))
#else
typedef half act2_t;
#define load_act2(b, i) vload_half((i), (b))
#define store_act2(b, i, v) vstore_half_rte((v), (i), (b))
#endif
