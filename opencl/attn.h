// attn.h: the tile that the attention kernels are made of: 4 RG rows times 4 CG columns, 32 of head_dim at a time, through
// local memory, f32. Lane (RY, CX) owns rows 4 RY + 0..3 (the components of its float4s) and columns 4 CX + 0..3; WG = RG * CG.
// A product with the tile of weights yields 4 CG of head_dim a time, CHUNKS times. No subgroup use.
// Local memory 16 (32 (RG + 1) + 32 (CG + 1) + 4 RG CG) bytes: 13312 for 8 x 8, 15360 for 4 x 16.
// RG, CG and CHUNKS come as -D. A kernel opens with ATTN_LOCAL:
//   row_tile [32 of head_dim][RG], one apart to spread the banks
//   col_tile [32 of head_dim][CG], or plain: [32 columns][CG float4s of head_dim]
//   p_tile   weights, [4 CG columns][RG]
#define ATTN_LOCAL \
    __local float4 row_tile[32 * (RG + 1)], col_tile[32 * (CG + 1)], p_tile[4 * CG * RG]; \
    (void)p_tile;
#if RG == 1 && !defined(ON_CPU) // constants where they are constants: fewer registers; PoCL 6.0 aborts on them (its issue 1608)
#define RY 0u
#define CX LANE
#else
#define RY (LANE / CG)
#define CX (LANE % CG)
#endif
#define NONE 0xffffffffu

// How far a loop is unrolled. AMD's and Intel's compilers spill without being told: what indexes an array of registers must be
// unrolled wholly, or the array ends up in memory, the rest little, or the loads of all steps are hoisted. NVIDIA's weighs that
// itself; PoCL on a CPU would only compile for longer (2.6 times).
#define UNROLL _Pragma("unroll")
#if defined(__AMDGCN__) || defined(__SPIR__) || defined(__SPIRV__)
#define UNROLL_CHUNKS _Pragma("unroll")
#define UNROLL_SOME _Pragma("unroll 4")
#define NO_UNROLL _Pragma("unroll 1")
#else
#define UNROLL_CHUNKS
#define UNROLL_SOME
#define NO_UNROLL
#endif

// AT(row or column, d) is a float, 0 outside the tensor.
#define LOAD_ROWS(AT, d0)                                                                                            \
    NO_UNROLL for (uint i_ = LANE; i_ < 32u * RG; i_ += WG) {                                                        \
        uint d_ = (d0) + i_ % 32u, r_ = i_ / 32u * 4u;                                                               \
        row_tile[i_ % 32u * (RG + 1u) + i_ / 32u] = (float4)(AT(r_, d_), AT(r_ + 1u, d_), AT(r_ + 2u, d_), AT(r_ + 3u, d_));\
    }
#define LOAD_COLS(AT, d0)                                                                                            \
    NO_UNROLL for (uint i_ = LANE; i_ < 32u * CG; i_ += WG) {                                                        \
        uint d_ = (d0) + i_ % 32u, r_ = i_ / 32u * 4u;                                                               \
        col_tile[i_ % 32u * (CG + 1u) + i_ / 32u] = (float4)(AT(r_, d_), AT(r_ + 1u, d_), AT(r_ + 2u, d_), AT(r_ + 3u, d_));\
    }
#define LOAD_PLAIN(AT, c0, d0)                                                                                       \
    NO_UNROLL for (uint i_ = LANE; i_ < 32u * CG; i_ += WG) {                                                        \
        uint c_ = (c0) + i_ / CG, d_ = (d0) + i_ % CG * 4u;                                                          \
        col_tile[i_] = (float4)(AT(c_, d_), AT(c_, d_ + 1u), AT(c_, d_ + 2u), AT(c_, d_ + 3u));                      \
    }

// s[j] += rows . column 4 CX + j over all D
#define DOTS(s, ROW_AT, COL_AT, D)                                                                                   \
    NO_UNROLL for (uint d0_ = 0u; d0_ < (D); d0_ += 32u) {                                                           \
        BARRIER;                                                                                                     \
        LOAD_ROWS(ROW_AT, d0_)                                                                                       \
        LOAD_COLS(COL_AT, d0_)                                                                                       \
        BARRIER;                                                                                                     \
        UNROLL_SOME for (uint d = 0u; d < 32u; d++) {                                                                \
            float4 a_ = row_tile[d * (RG + 1u) + RY], b_ = col_tile[d * (CG + 1u) + CX];                             \
            s[0] += a_ * b_.x;                                                                                       \
            s[1] += a_ * b_.y;                                                                                       \
            s[2] += a_ * b_.z;                                                                                       \
            s[3] += a_ * b_.w;                                                                                       \
        }                                                                                                            \
    }

// The lane's weights into the tile; whoever reads it passes a barrier first.
#define PUT(s)                                                                                                       \
    UNROLL for (uint j_ = 0u; j_ < 4u; j_++) p_tile[(4u * CX + j_) * RG + RY] = s[j_];

// acc[chunk] += sum over the tile's columns c of weight(row, c) * COL_AT(c, d), d = (chunk0 + chunk) * 4 CG + 4 CX + 0..3
#define UPDATE(acc, COL_AT, chunk0)                                                                                  \
    UNROLL_CHUNKS for (uint k_ = 0u; k_ < CHUNKS; k_++)                                                              \
        NO_UNROLL for (uint c0_ = 0u; c0_ < 4u * CG; c0_ += 32u) {                                                   \
            BARRIER;                                                                                                 \
            LOAD_PLAIN(COL_AT, c0_, ((chunk0) + k_) * 4u * CG)                                                       \
            BARRIER;                                                                                                 \
            UNROLL_SOME for (uint c = 0u; c < 32u; c++) {                                                            \
                float4 w_ = p_tile[(c0_ + c) * RG + RY], v_ = col_tile[c * CG + CX];                                 \
                acc[4u * k_] += w_ * v_.x;                                                                           \
                acc[4u * k_ + 1u] += w_ * v_.y;                                                                      \
                acc[4u * k_ + 2u] += w_ * v_.z;                                                                      \
                acc[4u * k_ + 3u] += w_ * v_.w;                                                                      \
            }                                                                                                        \
        }

// Per row over the columns' lanes, in a fixed order; out may be v.
#define ROW_MAX(out, v)                                                                                              \
    BARRIER;                                                                                                         \
    p_tile[CX * RG + RY] = v;                                                                                        \
    BARRIER;                                                                                                         \
    out = p_tile[RY];                                                                                                \
    UNROLL_SOME for (uint c_ = 1u; c_ < CG; c_++) out = max(out, p_tile[c_ * RG + RY]);                              \
    BARRIER;
#define ROW_SUM(out, v)                                                                                              \
    BARRIER;                                                                                                         \
    p_tile[CX * RG + RY] = v;                                                                                        \
    BARRIER;                                                                                                         \
    out = p_tile[RY];                                                                                                \
    UNROLL_SOME for (uint c_ = 1u; c_ < CG; c_++) out += p_tile[c_ * RG + RY];                                       \
    BARRIER;

// STORE(row, d, i, component) for everything the lane holds: acc[i].component goes to (row, d)
#define EACH(chunk0, STORE)                                                                                          \
    UNROLL_CHUNKS for (uint k_ = 0u; k_ < 4u * CHUNKS; k_++) {                                                       \
        uint d_ = ((chunk0) * 4u + k_ / 4u * 4u) * CG + 4u * CX + k_ % 4u;                                           \
        STORE(4u * RY, d_, k_, x)                                                                                    \
        STORE(4u * RY + 1u, d_, k_, y)                                                                               \
        STORE(4u * RY + 2u, d_, k_, z)                                                                               \
        STORE(4u * RY + 3u, d_, k_, w)                                                                               \
    }
// What the lanes of a row keep over all tiles; a barrier between SET_STAT and STAT. In registers, but on CPUs in local memory: Intel's
// compiler for CPUs (2026.22) loses a register over the barriers of the loop, and there both are the same memory.
#ifdef ON_CPU
#define ROW_STAT(name) __local float4 name[RG];
#define SET_STAT(name, value) if (CX == 0u) name[RY] = value;
#define STAT(name) name[RY]
#else
#define ROW_STAT(name) float4 name = (float4)(0.0f);
#define SET_STAT(name, value) name = value;
#define STAT(name) name
#endif
#define ROWS4(AT) (float4)(AT(4u * RY), AT(4u * RY + 1u), AT(4u * RY + 2u), AT(4u * RY + 3u))

static inline float4 exp_or_nan4(float4 v) { return (float4)(exp_or_nan(v.x), exp_or_nan(v.y), exp_or_nan(v.z), exp_or_nan(v.w)); }
static inline float4 log_or_nan4(float4 v) { return (float4)(log_or_nan(v.x), log_or_nan(v.y), log_or_nan(v.z), log_or_nan(v.w)); }
static inline uint4 ramp(uint first) { return (uint4)(first) + (uint4)(0u, 1u, 2u, 3u); }
static inline float4 where_upto(uint a, uint4 b, float4 yes, float4 no) { return select(no, yes, (uint4)(a) <= b); } // a <= b ? yes : no
// a >= b + 0..3 ? yes : no, for int a and b; one register for b
static inline float4 where_from(uint a, uint b, float4 yes, float4 no) { return select(no, yes, (int4)((int)(a - b)) >= (int4)(0, 1, 2, 3)); }
