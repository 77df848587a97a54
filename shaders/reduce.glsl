// reduce.glsl: sums and maxima over a workgroup of WG invocations (a power of two), through shared memory, no subgroups.
// Shared memory 4 * WG bytes. Every invocation must call them; the tree's order is fixed, so are the bits.
shared float reduce_shared[WG];

float group_sum(float v) {
    barrier();
    reduce_shared[LANE] = v;
    barrier();
    for (uint n = WG / 2u; n > 0u; n /= 2u) {
        if (LANE < n) reduce_shared[LANE] += reduce_shared[LANE + n];
        barrier();
    }
    return reduce_shared[0];
}

float group_max(float v) {
    barrier();
    reduce_shared[LANE] = v;
    barrier();
    for (uint n = WG / 2u; n > 0u; n /= 2u) {
        if (LANE < n) reduce_shared[LANE] = max(reduce_shared[LANE], reduce_shared[LANE + n]);
        barrier();
    }
    return reduce_shared[0];
}
