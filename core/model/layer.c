/* One transformer layer, forward and backward side by side.
 *
 *   z1 = norm(x);  q, k, v and the attention's own projections of z1;  q, k rotated
 *   y = attention(q, k, v, ...)                                          core/attention/
 *   x_mid = x + y Wo^T;  x_next = x_mid + mlp(norm(x_mid)) */
#include "model.h"

static ssa_tensor matrix(ssa_tensor t, int64_t rows) { return ssa_view(t, 0, rows, ssa_numel(&t) / rows); }

/* y [R, N] = x [R, K] W^T */
static ssa_status linear(ssa_model *m, ssa_tensor x, int param, ssa_tensor y) {
    return SSA_CALL(m->ctx, SSA_MATMUL, SSA_T(matrix(x, rows_of(m)), weight(m, param), matrix(y, rows_of(m))), .trans_b = true);
}

/* dW (+)= dy^T x, and dx (+)= dy W. */
static ssa_status linear_bwd(ssa_model *m, ssa_tensor dy, ssa_tensor x, int param, ssa_tensor dx, bool add_dx, layer_pass pass) {
    int64_t R = rows_of(m);
    RUN(SSA_MATMUL, SSA_T(matrix(dy, R), matrix(x, R), grad(m, param)), .trans_a = true, .accumulate = pass.accumulate);
    RUN(SSA_MATMUL, SSA_T(matrix(dy, R), weight(m, param), matrix(dx, R)), .accumulate = add_dx);
    return SSA_OK;
}

ssa_status layer_forward(ssa_model *m, int l, layer_pass pass) {
    const layer_params   *p = &m->layer[l];
    layer_acts           *a = acts_of(m, l);
    const attention_kept *kept = &a->attention;
    float                 eps = m->config.rms_norm_eps;
    ssa_tensor            x = m->x[l], y = m->query[0], branch = m->rc[0], act = m->rf[0];

    RUN(SSA_RMSNORM, SSA_T(x, weight(m, p->attn_norm), a->z1, a->rstd1), .eps = eps);
    SSA_TRY(linear(m, a->z1, p->q, kept->q));
    SSA_TRY(linear(m, a->z1, p->k, kept->k));
    SSA_TRY(linear(m, a->z1, p->v, kept->v));
    for (int i = 0; i < m->projections; i++) SSA_TRY(linear(m, a->z1, p->projection[i], kept->projection[i]));
    RUN(SSA_ROPE, SSA_T(kept->q, m->cos_sin, kept->q), .position = 0);
    RUN(SSA_ROPE, SSA_T(kept->k, m->cos_sin, kept->k), .position = 0);
    attention_pass through = {.main = pass.main, .losses = pass.losses, .add_losses = l > 0 || pass.accumulate};
    SSA_TRY(m->attention.system->forward(&m->attention, kept, &through, &y));
    SSA_TRY(linear(m, y, p->o, branch));
    RUN(SSA_ADD, SSA_T(x, branch, a->x_mid), .value = 0);

    RUN(SSA_RMSNORM, SSA_T(a->x_mid, weight(m, p->mlp_norm), a->z2, a->rstd2), .eps = eps);
    SSA_TRY(linear(m, a->z2, p->gate, a->gate));
    SSA_TRY(linear(m, a->z2, p->up, a->up));
    RUN(SSA_SWIGLU, SSA_T(a->gate, a->up, act), .value = 0);
    SSA_TRY(linear(m, act, p->down, branch));
    RUN(SSA_ADD, SSA_T(a->x_mid, branch, m->x[l + 1]), .value = 0);
    return SSA_OK;
}

static ssa_status mlp_backward(ssa_model *m, int l, layer_pass pass) {
    const layer_params *p = &m->layer[l];
    layer_acts         *a = acts_of(m, l);
    ssa_tensor          act = m->rf[0], dact = m->rf[1], dgate = m->rf[0], dup = m->rf[2], dz = m->rc[1]; /* dgate takes act's place */
    RUN(SSA_SWIGLU, SSA_T(a->gate, a->up, act), .value = 0);
    SSA_TRY(linear_bwd(m, m->dx, act, p->down, dact, false, pass));
    RUN(SSA_SWIGLU_BWD, SSA_T(dact, a->gate, a->up, dgate, dup), .value = 0);
    SSA_TRY(linear_bwd(m, dgate, a->z2, p->gate, dz, false, pass));
    SSA_TRY(linear_bwd(m, dup, a->z2, p->up, dz, true, pass));
    RUN(SSA_RMSNORM_BWD, SSA_T(dz, a->x_mid, weight(m, p->mlp_norm), a->rstd2, m->dx, grad(m, p->mlp_norm)), .accumulate = pass.accumulate, .residual = true);
    return SSA_OK;
}

static ssa_status attention_backward(ssa_model *m, int l, layer_pass pass) {
    const layer_params   *p = &m->layer[l];
    layer_acts           *a = acts_of(m, l);
    const attention_kept *kept = &a->attention;
    attention_pass        through = {.main = pass.main};
    attention_grads       g = {.dy = m->query[1], .dq = m->query[2], .dk = m->key[0], .dv = m->key[1]};
    ssa_tensor            y = m->query[0], dz = m->rc[1];
    for (int i = 0; i < m->projections; i++) g.dprojection[i] = m->projection[i];
    SSA_TRY(m->attention.system->output(&m->attention, kept, pass.main, &y));
    SSA_TRY(linear_bwd(m, m->dx, y, p->o, g.dy, false, pass));
    SSA_TRY(m->attention.system->backward(&m->attention, kept, &through, &g));
    RUN(SSA_ROPE, SSA_T(g.dq, m->cos_sin, g.dq), .inverse = true);
    RUN(SSA_ROPE, SSA_T(g.dk, m->cos_sin, g.dk), .inverse = true);
    SSA_TRY(linear_bwd(m, g.dq, a->z1, p->q, dz, false, pass));
    SSA_TRY(linear_bwd(m, g.dk, a->z1, p->k, dz, true, pass));
    SSA_TRY(linear_bwd(m, g.dv, a->z1, p->v, dz, true, pass));
    for (int i = 0; i < m->projections; i++) SSA_TRY(linear_bwd(m, g.dprojection[i], a->z1, p->projection[i], dz, true, pass));
    RUN(SSA_RMSNORM_BWD, SSA_T(dz, m->x[l], weight(m, p->attn_norm), a->rstd1, m->dx, grad(m, p->attn_norm)), .accumulate = pass.accumulate, .residual = true);
    return SSA_OK;
}

/* m->dx holds the gradient of x[l + 1]; along the residual path it passes unchanged. */
ssa_status layer_backward(ssa_model *m, int l, layer_pass pass) {
    if (m->options.recompute) SSA_TRY(layer_forward(m, l, (layer_pass){.main = pass.main}));
    SSA_TRY(mlp_backward(m, l, pass));
    return attention_backward(m, l, pass);
}
