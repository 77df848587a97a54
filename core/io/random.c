/* Philox 4x32-10 (Salmon, Moraes, Dror, Shaw: Parallel random numbers: as easy as 1, 2, 3; 2011).
 * counter = (index, stream), key = seed, each as two words, low word first. */
#include "ssa/io.h"
#include <math.h>

void ssa_philox(uint64_t seed, uint64_t stream, uint64_t index, uint32_t out[4]) {
    uint32_t c0 = (uint32_t)index, c1 = (uint32_t)(index >> 32), c2 = (uint32_t)stream, c3 = (uint32_t)(stream >> 32);
    uint32_t k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32);
    for (int round = 0; round < 10; round++) {
        uint64_t a = (uint64_t)c0 * 0xD2511F53u, b = (uint64_t)c2 * 0xCD9E8D57u;
        c0 = (uint32_t)(b >> 32) ^ c1 ^ k0;
        c2 = (uint32_t)(a >> 32) ^ c3 ^ k1;
        c1 = (uint32_t)b;
        c3 = (uint32_t)a;
        k0 += 0x9E3779B9u; /* golden ratio */
        k1 += 0xBB67AE85u; /* sqrt(3) - 1 */
    }
    out[0] = c0;
    out[1] = c1;
    out[2] = c2;
    out[3] = c3;
}

/* The upper 53 bits of two words: every double of the grid 2^-53 in [0, 1) is equally likely. */
static double unit(uint32_t low, uint32_t high) { return (double)(((uint64_t)high << 32 | low) >> 11) * 0x1p-53; }

double ssa_uniform(uint64_t seed, uint64_t stream, uint64_t index) {
    uint32_t r[4];
    ssa_philox(seed, stream, index, r);
    return unit(r[0], r[1]);
}

double ssa_normal(uint64_t seed, uint64_t stream, uint64_t index) {
    uint32_t r[4];
    ssa_philox(seed, stream, index, r);
    double radius = sqrt(-2 * log(1 - unit(r[0], r[1]))); /* 1 - u is in (0, 1]: the logarithm is finite */
    return radius * cos(6.283185307179586476925 * unit(r[2], r[3]));
}
