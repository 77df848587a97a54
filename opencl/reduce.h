// reduce.h: sums and maxima over a workgroup of WG work-items (a power of two), through local memory, no subgroups.
// `shared` is the kernel's __local float[WG]. Every work-item must call them; the tree's order is fixed, so are the bits.
static inline float group_sum(float v, __local float *shared) {
    BARRIER;
    shared[LANE] = v;
    BARRIER;
    for (uint n = WG / 2u; n > 0u; n /= 2u) {
        if (LANE < n) shared[LANE] += shared[LANE + n];
        BARRIER;
    }
    return shared[0];
}

static inline float group_max(float v, __local float *shared) {
    BARRIER;
    shared[LANE] = v;
    BARRIER;
    for (uint n = WG / 2u; n > 0u; n /= 2u) {
        if (LANE < n) shared[LANE] = max(shared[LANE], shared[LANE + n]);
        BARRIER;
    }
    return shared[0];
}
