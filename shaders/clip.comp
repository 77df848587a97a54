#version 450
// clip: clip_out[0] = norm = sqrt(sumsq); clip_out[1] = 1 if norm <= max_norm or max_norm is 0, else max_norm / (norm + 1e-6);
// -1 where the norm is not finite, which is told by its bits: compilers assume that floats are finite.
//   0 sumsq [1] in, f32   1 clip_out [2] out, f32
//   push: max_norm
//   workgroup WG, of which one invocation works; no shared memory; no subgroup use
#include "common.glsl"
layout(constant_id = 0) const uint WG = 64;
layout(local_size_x_id = 0) in;
READ(0, float, sumsq);
WRITE(1, float, clip_out);
PUSH { uint off[8]; float max_norm; } p;

void main() {
    if (GROUP != 0u || LANE != 0u) return;
    float square = sumsq[p.off[0]], norm = sqrt(square);
    bool finite = (floatBitsToUint(square) & 0x7f800000u) != 0x7f800000u;
    clip_out[p.off[1]] = norm;
    clip_out[p.off[1] + 1u] = !finite ? -1.0 : p.max_norm == 0.0 || norm <= p.max_norm ? 1.0 : p.max_norm / (norm + 1e-6);
}
