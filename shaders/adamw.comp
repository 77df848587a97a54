#version 450
// adamw: AdamW (Loshchilov & Hutter 2019): g = grad * clip[1]; m = b1 m + (1-b1) g; v = b2 v + (1-b2) g^2;
// param -= lr wd param + lr (m step_values[1]) / (sqrt(v step_values[2]) + eps), lr = step_values[0]; w = param.
// clip[1] < 0: param, m and v stay as they are.
//   0 grad [n] in, f32   1 step_values [8] in, f32   2 clip [2] in, f32   3 param [n] in, out, f32   4 m [n] in, out, f32
//   5 v [n] in, out, f32   6 w [n] out (may be param)
//   push: n, beta1, beta2, eps, weight_decay
//   workgroup WG, EACH elements an invocation; no shared memory; no subgroup use
#include "common.glsl"
layout(constant_id = 0) const uint WG = 128;
layout(constant_id = 1) const uint EACH = 4;
layout(local_size_x_id = 0) in;
READ(0, float, grad);
READ(1, float, step_values);
READ(2, float, clip);
BOTH(3, float, param);
BOTH(4, float, m);
BOTH(5, float, v);
WRITE(6, act_t, w);
PUSH { uint off[8]; uint n; float beta1, beta2, eps, weight_decay; } p;

void main() {
    float lr = step_values[p.off[1]], c1 = step_values[p.off[1] + 1u], c2 = step_values[p.off[1] + 2u], factor = clip[p.off[2] + 1u];
    bool skip = factor < 0.0; // a factor that is NaN does not skip: it is seen
    for (uint k = 0u; k < EACH; k++) {
        uint i = (GROUP * EACH + k) * WG + LANE;
        if (i >= p.n) break;
        float x = param[p.off[3] + i];
        if (!skip) {
            float g = grad[p.off[0] + i] * factor;
            float mi = p.beta1 * m[p.off[4] + i] + (1.0 - p.beta1) * g, vi = p.beta2 * v[p.off[5] + i] + (1.0 - p.beta2) * g * g;
            x = x - lr * p.weight_decay * x - lr * (mi * c1) / (sqrt(vi * c2) + p.eps);
            m[p.off[4] + i] = mi;
            v[p.off[5] + i] = vi;
            param[p.off[3] + i] = x;
        }
        w[p.off[6] + i] = store_act(x);
    }
}
