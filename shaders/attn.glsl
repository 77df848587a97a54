// attn.glsl: the tile that the attention kernels are made of: 4 RG rows times 4 CG columns, 32 of head_dim at a time, through
// shared memory, f32. Lane (RY, CX) owns rows 4 RY + 0..3 (the components of its vec4s) and columns 4 CX + 0..3; WG = RG * CG.
// A product with the tile of weights yields 4 CG of head_dim a time, CHUNKS times. No subgroup use.
// Shared memory 16 (32 (RG + 1) + 32 (CG + 1) + 4 RG CG) bytes: 13312 for 8 x 8, 15360 for 4 x 16.
layout(constant_id = 0) const uint WG = 64;
layout(constant_id = 1) const uint RG = 8;
layout(constant_id = 2) const uint CG = 8;
layout(constant_id = 3) const uint CHUNKS = 1;
layout(local_size_x_id = 0) in;
shared vec4 row_tile[32 * (RG + 1)]; // [32 of head_dim][RG], one apart to spread the banks
shared vec4 col_tile[32 * (CG + 1)]; // [32 of head_dim][CG], or plain: [32 columns][CG vec4s of head_dim]
shared vec4 p_tile[4 * CG * RG];     // weights, [4 CG columns][RG]
const uint RY_MASK = RG == 1u ? 0u : 0xffffffffu, CX_MASK = RG == 1u ? 0xffffffffu : CG - 1u; // CG is a power of two
#define RY (LANE / CG & RY_MASK) // a constant where RG is 1: fewer registers; a branch here SwiftShader's compiler does not end on
#define CX (LANE & CX_MASK)
#define NONE 0xffffffffu

// AT(row or column, d) is a float, 0 outside the tensor.
#define LOAD_ROWS(AT, d0)                                                                                            \
    for (uint i_ = LANE; i_ < 32u * RG; i_ += WG) {                                                                  \
        uint d_ = (d0) + i_ % 32u, r_ = i_ / 32u * 4u;                                                               \
        row_tile[i_ % 32u * (RG + 1u) + i_ / 32u] = vec4(AT(r_, d_), AT(r_ + 1u, d_), AT(r_ + 2u, d_), AT(r_ + 3u, d_)); \
    }
#define LOAD_COLS(AT, d0)                                                                                            \
    for (uint i_ = LANE; i_ < 32u * CG; i_ += WG) {                                                                  \
        uint d_ = (d0) + i_ % 32u, r_ = i_ / 32u * 4u;                                                               \
        col_tile[i_ % 32u * (CG + 1u) + i_ / 32u] = vec4(AT(r_, d_), AT(r_ + 1u, d_), AT(r_ + 2u, d_), AT(r_ + 3u, d_)); \
    }
#define LOAD_PLAIN(AT, c0, d0)                                                                                       \
    for (uint i_ = LANE; i_ < 32u * CG; i_ += WG) {                                                                  \
        uint c_ = (c0) + i_ / CG, d_ = (d0) + i_ % CG * 4u;                                                          \
        col_tile[i_] = vec4(AT(c_, d_), AT(c_, d_ + 1u), AT(c_, d_ + 2u), AT(c_, d_ + 3u));                          \
    }

// s[j] += rows . column 4 CX + j over all D
#define DOTS(s, ROW_AT, COL_AT, D)                                                                                   \
    for (uint d0_ = 0u; d0_ < (D); d0_ += 32u) {                                                                     \
        barrier();                                                                                                   \
        LOAD_ROWS(ROW_AT, d0_)                                                                                       \
        LOAD_COLS(COL_AT, d0_)                                                                                       \
        barrier();                                                                                                   \
        for (uint d = 0u; d < 32u; d++) {                                                                            \
            vec4 a_ = row_tile[d * (RG + 1u) + RY], b_ = col_tile[d * (CG + 1u) + CX];                               \
            s[0] += a_ * b_.x;                                                                                       \
            s[1] += a_ * b_.y;                                                                                       \
            s[2] += a_ * b_.z;                                                                                       \
            s[3] += a_ * b_.w;                                                                                       \
        }                                                                                                            \
    }

// The lane's weights into the tile; whoever reads it passes a barrier first.
#define PUT(s)                                                                                                       \
    [[unroll]] for (uint j_ = 0u; j_ < 4u; j_++) p_tile[(4u * CX + j_) * RG + RY] = s[j_];

// acc[chunk] += sum over the tile's columns c of weight(row, c) * COL_AT(c, d), d = (chunk0 + chunk) * 4 CG + 4 CX + 0..3
#define UPDATE(acc, COL_AT, chunk0)                                                                                  \
    [[unroll]] for (uint k_ = 0u; k_ < CHUNKS; k_++)                                                                 \
        for (uint c0_ = 0u; c0_ < 4u * CG; c0_ += 32u) {                                                             \
            barrier();                                                                                               \
            LOAD_PLAIN(COL_AT, c0_, ((chunk0) + k_) * 4u * CG)                                                       \
            barrier();                                                                                               \
            for (uint c = 0u; c < 32u; c++) {                                                                        \
                vec4 w_ = p_tile[(c0_ + c) * RG + RY], v_ = col_tile[c * CG + CX];                                   \
                acc[4u * k_] += w_ * v_.x;                                                                           \
                acc[4u * k_ + 1u] += w_ * v_.y;                                                                      \
                acc[4u * k_ + 2u] += w_ * v_.z;                                                                      \
                acc[4u * k_ + 3u] += w_ * v_.w;                                                                      \
            }                                                                                                        \
        }

// Per row over the columns' lanes, in a fixed order; out may be v.
#define ROW_MAX(out, v)                                                                                              \
    barrier();                                                                                                       \
    p_tile[CX * RG + RY] = v;                                                                                        \
    barrier();                                                                                                       \
    out = p_tile[RY];                                                                                                \
    for (uint c_ = 1u; c_ < CG; c_++) out = max(out, p_tile[c_ * RG + RY]);                                          \
    barrier();
#define ROW_SUM(out, v)                                                                                              \
    barrier();                                                                                                       \
    p_tile[CX * RG + RY] = v;                                                                                        \
    barrier();                                                                                                       \
    out = p_tile[RY];                                                                                                \
    for (uint c_ = 1u; c_ < CG; c_++) out += p_tile[c_ * RG + RY];                                                   \
    barrier();

// STORE(row, d, i, component) for everything the lane holds: acc[i].component goes to (row, d)
#define EACH(chunk0, STORE)                                                                                          \
    [[unroll]] for (uint k_ = 0u; k_ < 4u * CHUNKS; k_++) {                                                          \
        uint d_ = ((chunk0) * 4u + k_ / 4u * 4u) * CG + 4u * CX + k_ % 4u;                                           \
        STORE(4u * RY, d_, k_, x)                                                                                    \
        STORE(4u * RY + 1u, d_, k_, y)                                                                               \
        STORE(4u * RY + 2u, d_, k_, z)                                                                               \
        STORE(4u * RY + 3u, d_, k_, w)                                                                               \
    }
#define ROWS4(AT) vec4(AT(4u * RY), AT(4u * RY + 1u), AT(4u * RY + 2u), AT(4u * RY + 3u))

vec4 exp_or_nan(vec4 v) { return vec4(exp_or_nan(v.x), exp_or_nan(v.y), exp_or_nan(v.z), exp_or_nan(v.w)); }
vec4 log_or_nan(vec4 v) { return vec4(log_or_nan(v.x), log_or_nan(v.y), log_or_nan(v.z), log_or_nan(v.w)); }
uvec4 ramp(uint first) { return uvec4(first) + uvec4(0u, 1u, 2u, 3u); }
vec4 where_upto(uint a, uvec4 b, vec4 yes, vec4 no) { return mix(no, yes, lessThanEqual(uvec4(a), b)); } // a <= b ? yes : no
// a >= b + 0..3 ? yes : no, for int a and b; one register for b
vec4 where_from(uint a, uint b, vec4 yes, vec4 no) { return mix(no, yes, greaterThanEqual(ivec4(int(a - b)), ivec4(0, 1, 2, 3))); }
