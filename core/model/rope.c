/* The table of cos and sin for rotary embeddings, made on the host because drivers' sin is not exact enough.
 * Inverse frequencies and angles are f32, as in the authors' code; cos and sin are double, rounded. */
#include "model.h"
#include <math.h>

/* "llama3" scaling: long periods are stretched by `factor`, short ones kept, those between are blended. */
static float scaled(const ssa_model_config *c, float inverse) {
    const double two_pi = 6.283185307179586;
    if (c->rope_factor == 0) return inverse;
    double period = two_pi / inverse, length = (double)c->rope_original_length;
    if (period < length / c->rope_high_freq_factor) return inverse;
    if (period > length / c->rope_low_freq_factor) return (float)(inverse / c->rope_factor);
    double smooth = (length / period - c->rope_low_freq_factor) / (c->rope_high_freq_factor - c->rope_low_freq_factor);
    return (float)((1 - smooth) * inverse / c->rope_factor + smooth * inverse);
}

void rope_table(const ssa_model_config *c, int64_t T, float *table) {
    int64_t D = c->head_dim;
    for (int64_t d = 0; d < D / 2; d++) {
        float power = (float)pow(c->rope_theta, (double)((float)(2 * d) / (float)D));
        float inverse = scaled(c, 1.0f / power);
        for (int64_t t = 0; t < T; t++) {
            float angle = (float)t * inverse;
            table[t * D + d] = (float)cos((double)angle);
            table[t * D + D / 2 + d] = (float)sin((double)angle);
        }
    }
}
