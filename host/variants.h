/* Kernel variants as data: the one list is host/variants.def. Whoever must know kernels walks it: lowering chooses from it, `ssa verify`
 * forces each line in turn, compile lanes compile each, the tuner times them. */
#ifndef SSA_HOST_VARIANTS_H
#define SSA_HOST_VARIANTS_H

#include "device.h"

/* What a variant needs of a device; 0 needs nothing. */
typedef struct variant_needs {
    uint32_t   invocations;  /* a workgroup */
    uint32_t   shared_bytes;
    uint32_t   subgroup;     /* exactly this size, required of the driver, all of them full */
    uint32_t   features;     /* DEV_* bits */
    dev_matrix matrix;       /* a shape of the matrix units */
} variant_needs;

/* What a shape must be like: a size, named by a letter, at least, at most or a multiple of a value. */
typedef struct variant_condition { char size, rule; int64_t value; } variant_condition;
#define AT_LEAST(size, value) {size, '>', value}
#define AT_MOST(size, value)  {size, '<', value}
#define MULTIPLE(size, value) {size, '%', value}

/* A specialisation constant, in the kernel's order. FIX: always this value. TRY: candidates of the tuner, the default first. CALL: given
 * by each call; the values that occur. */
enum { VARIANT_MOST_VALUES = 8, VARIANT_MOST_CONDITIONS = 4 };
typedef enum { CONSTANT_FIXED, CONSTANT_TRIED, CONSTANT_OF_CALL } constant_kind;
typedef struct variant_constant {
    const char   *name;
    constant_kind kind;
    int           count;
    uint32_t      value[VARIANT_MOST_VALUES];
} variant_constant;
#define VARIANT_VALUES(...) (int)(sizeof((uint32_t[]){__VA_ARGS__}) / sizeof(uint32_t)), {__VA_ARGS__}
#define FIX(name, number)   {name, CONSTANT_FIXED, 1, {number}}
#define TRY(name, ...)      {name, CONSTANT_TRIED, VARIANT_VALUES(__VA_ARGS__)}
#define CALL(name, ...)     {name, CONSTANT_OF_CALL, VARIANT_VALUES(__VA_ARGS__)}

typedef struct variant {
    const char       *kernel, *name; /* "matmul", "tile128" */
    const char       *source;        /* shaders/SOURCE.comp, opencl/SOURCE.cl */
    variant_needs     needs;
    variant_condition when[VARIANT_MOST_CONDITIONS];
    variant_constant  constant[DEV_MAX_CONSTANTS];
} variant;

/* A size that a lowering tells, by letter; the list ends with letter 0. */
typedef struct variant_size { char letter; int64_t value; } variant_size;

/* The list, in its order; NULL behind the last. */
const variant *variant_at(int i);
/* By name; NULL: there is none. */
const variant *variant_named(const char *kernel, const char *name);
/* Whether a device has what the variant needs; if not, `why` (may be NULL) says what is missing. */
bool variant_runs(const variant *v, const dev_limits *limits, char *why, int size);
/* Whether the sizes meet the variant's conditions. A size that is not told meets none. */
bool variant_fits(const variant *v, const variant_size *sizes);
/* The first of a kernel's variants that runs on the device and fits; NULL: none does. */
const variant *variant_first(const char *kernel, const dev_limits *limits, const variant_size *sizes);
/* Whether a list of forced variants ("kernel=name,...") names lines that run on the device. */
ssa_status variants_check(const char *forced, const dev_limits *limits, ssa_error *err);
/* Index of a constant; -1: the variant has none of this name. */
int      variant_constant_index(const variant *v, const char *name);
/* A fixed constant, the default of a tried one, the largest of a call's. */
uint32_t variant_value(const variant *v, const char *name);

#endif
