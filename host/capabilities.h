/* What a device can do beyond its limits, as data: feature bits and the shapes of its matrix units. Kernel variants state what they
 * need in the same terms (host/variants.h). */
#ifndef SSA_HOST_CAPABILITIES_H
#define SSA_HOST_CAPABILITIES_H

#include <stdbool.h>
#include <stdint.h>

/* CAPABILITY(ID, word): a feature bit and its word for people. */
#define DEV_CAPABILITIES(CAPABILITY)                                                                                                   \
    CAPABILITY(FP16, "fp16")                 /* arithmetic in 16-bit floats */                                                         \
    CAPABILITY(FP64, "fp64")                                                                                                           \
    CAPABILITY(STORAGE16, "storage16")       /* 16-bit elements in buffers */                                                          \
    CAPABILITY(STORAGE8, "storage8")                                                                                                   \
    CAPABILITY(INT16, "int16")                                                                                                         \
    CAPABILITY(INT8, "int8")                                                                                                           \
    CAPABILITY(INT64, "int64")                                                                                                         \
    CAPABILITY(MEMORY_MODEL, "memory_model") /* Vulkan's, which matrix units need */                                                   \
    CAPABILITY(BFLOAT16, "bfloat16")         /* as a type of shaders */                                                                \
    CAPABILITY(BFLOAT16_MATRIX, "bfloat16_coopmat")                                                                                    \
    CAPABILITY(SUBGROUP_BASIC, "subgroup_basic")                                                                                       \
    CAPABILITY(SUBGROUP_VOTE, "subgroup_vote")                                                                                         \
    CAPABILITY(SUBGROUP_ARITHMETIC, "subgroup_arith")                                                                                  \
    CAPABILITY(SUBGROUP_BALLOT, "subgroup_ballot")                                                                                     \
    CAPABILITY(SUBGROUP_SHUFFLE, "subgroup_shuffle")                                                                                   \
    CAPABILITY(SUBGROUP_SHUFFLE_RELATIVE, "subgroup_shuffle_rel")                                                                      \
    CAPABILITY(SUBGROUP_CLUSTERED, "subgroup_clustered")                                                                               \
    CAPABILITY(MATRIX, "coopmat")            /* cooperative matrices of the KHR extension, in the shapes of `matrix` */                \
    CAPABILITY(SPIRV, "spirv")               /* OpenCL: intermediate programs */                                                       \
    CAPABILITY(INT64_ATOMICS, "int64-atomics")                                                                                         \
    CAPABILITY(FLOAT_ATOMICS, "float-atomics")                                                                                         \
    CAPABILITY(INT_DOT, "int-dot")

enum dev_capability_number {
#define CAPABILITY(ID, word) DEV_##ID##_NUMBER,
    DEV_CAPABILITIES(CAPABILITY)
#undef CAPABILITY
    DEV_CAPABILITY_COUNT
};

#define CAPABILITY(ID, word) static const uint32_t DEV_##ID = 1u << DEV_##ID##_NUMBER;
DEV_CAPABILITIES(CAPABILITY)
#undef CAPABILITY

typedef enum { DEV_TYPE_F32, DEV_TYPE_F16, DEV_TYPE_BF16 } dev_component;
typedef enum { DEV_SCOPE_SUBGROUP, DEV_SCOPE_WORKGROUP } dev_scope;

/* One shape that matrix units multiply: D [M,N] = A [M,K] B [K,N] + C [M,N]; a: type of A and B; c: of C and D. */
typedef struct dev_matrix {
    uint16_t      M, N, K;
    dev_component a, c;
    dev_scope     scope;
} dev_matrix;

enum { DEV_MAX_MATRICES = 32 };
typedef struct dev_capabilities {
    uint32_t   features;                 /* DEV_* bits */
    int        matrices;
    dev_matrix matrix[DEV_MAX_MATRICES];
} dev_capabilities;

/* Whether everything in `features` is there, and the shape (M 0: none is asked for). */
bool capabilities_have(const dev_capabilities *c, uint32_t features, const dev_matrix *matrix);
/* Words for people, one at a time: "fp16", "coopmat:16x16x16:f16:f32"; false behind the last. */
bool capabilities_word(const dev_capabilities *c, int i, char *word, int size);

#endif
