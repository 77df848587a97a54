/* Elements of any dtype as numbers, and the random numbers that operands are made of. */
#include "verify.h"
#include <math.h>
#include <string.h>

/* splitmix64 (Steele et al. 2014): one word of state, and the whole sequence depends on the case's seed alone. */
uint64_t verify_random(uint64_t *state) {
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

double verify_uniform(uint64_t *state) { return (double)(verify_random(state) >> 11) * 0x1p-53; }

double verify_normal(uint64_t *state) {
    double u = verify_uniform(state), v = verify_uniform(state);
    return sqrt(-2 * log(1 - u)) * cos(6.283185307179586 * v);
}

int64_t verify_below(uint64_t *state, int64_t n) { return (int64_t)(verify_uniform(state) * (double)n); }

void verify_set(void *image, ssa_dtype dtype, int64_t i, double value) {
    char *p = (char *)image + (size_t)i * ssa_dtype_size(dtype);
    float f = (float)value;
    int32_t k = (int32_t)value;
    switch (dtype) {
    case SSA_F64: memcpy(p, &value, sizeof value); break;
    case SSA_I32: memcpy(p, &k, sizeof k); break;
    case SSA_F32: memcpy(p, &f, sizeof f); break;
    default: ssa_from_f32(p, dtype, &f, 1);
    }
}
