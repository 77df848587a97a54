/* The cases of the regimes in which a kernel goes wrong that is right on ordinary small data: indices beyond 2^16 and 2^17, other
 * values of every scalar, more slots and blocks than a workgroup has invocations, exact ties, scores in the hundreds, every pattern
 * of a 16-bit type, an element that is not finite. Each is there for the edit of a kernel that nothing else would catch. */
#include "cases.h"
#include <math.h>
#include <string.h>

/* Beyond 2^16 rows, tokens, ids; beyond 2^17 elements. f32 alone, and few channels: the indices matter, not the sums. */
static void sizes(builder *b) {
    const extra *f32 = WITH(.f32 = true);
    verify_add(b, SSA_SUM, "E=2200001", ATTRS(.scale = 0.25f), f32); /* more parts than sum_total's workgroup */
    verify_add(b, SSA_RMSNORM, "R=66000 C=3", ATTRS(.eps = 1e-5f), f32);
    verify_add(b, SSA_RMSNORM_BWD, "R=66000 C=3", ATTRS(.accumulate = true), f32);
    verify_add(b, SSA_EMBEDDING, "R=66000 V=3 C=3", ATTRS(0), f32);
    verify_add(b, SSA_EMBEDDING, "R=65 V=70000 C=3", ATTRS(0), f32);
    verify_add(b, SSA_EMBEDDING_BWD, "R=66000 V=300 C=3", ATTRS(0), f32);
    verify_add(b, SSA_EMBEDDING_BWD, "R=65 V=70000 C=3", ATTRS(.accumulate = true), f32);
    verify_add(b, SSA_ROPE, "B=1 T=66000 Q=1 D=4", ATTRS(0), f32);
    verify_add(b, SSA_ROPE, "B=2 T=3 Q=1 D=2", ATTRS(.position = 70000), f32);
    verify_add(b, SSA_MATMUL, "G=1 M=66000 N=3 K=2", ATTRS(0), f32);
    verify_add(b, SSA_MATMUL, "G=1 M=2 N=66000 K=3", ATTRS(.trans_b = true), f32);
    verify_add(b, SSA_MATMUL, "G=1 M=3 N=2 K=66001", ATTRS(.trans_a = true, .accumulate = true), f32);
    verify_add(b, SSA_MATMUL, "G=1 M=400 N=400 K=3", ATTRS(.trans_b = true), f32);
    verify_add(b, SSA_BLOCK_MEAN, "B=1 T=66001 H=1 D=4", ATTRS(.block_size = 2), f32);
    verify_add(b, SSA_SPARSE_LISTS, "B=1 T=66001 S=1 K=2", ATTRS(.block_size = 512), f32);
    verify_add(b, SSA_SELECT, "B=1 T=2100 Q=32 H=1 S=1 D=2", ATTRS(.block_size = 16, .top_k = 3), f32);
    verify_add(b, SSA_ATTN_FULL, "B=1 T=260 Q=8 H=8 D=64", ATTRS(0), f32);
    verify_add(b, SSA_ATTN_FULL_BWD, "B=1 T=260 Q=8 H=8 D=64", ATTRS(0), f32);
    verify_add(b, SSA_ATTN_SPARSE, "B=1 T=260 Q=8 H=8 S=8 D=64 K=3", ATTRS(.block_size = 16), f32);
    verify_add(b, SSA_ATTN_SPARSE_BWD, "B=1 T=260 Q=8 H=8 S=8 D=64 K=3", ATTRS(.block_size = 16), f32);
    verify_add(b, SSA_ATTN_SPARSE, "B=1 T=66000 Q=1 H=1 S=1 D=2 K=1", ATTRS(.block_size = 16), WITH(.f32 = true, .full = true));
    verify_add(b, SSA_GATE, "B=1 T=16500 Q=4 D=2", ATTRS(0), f32);
    verify_add(b, SSA_GATE_BWD, "B=1 T=16500 Q=4 D=2", ATTRS(0), f32);
    verify_add(b, SSA_ALIGN, "B=1 T=16500 Q=4 D=2", ATTRS(.scale = 2, .gated = true), f32);
    verify_add(b, SSA_ALIGN_BWD, "B=1 T=16500 Q=4 D=2", ATTRS(.scale = 2, .gated = true), f32);
    verify_add(b, SSA_LM_LOSS, "R=66000 C=2 V=3", ATTRS(0), f32);
    verify_add(b, SSA_LM_LOSS, "R=7 C=2 V=70000", ATTRS(0), f32);
    /* Not lm_loss_grad: dw would be a sum of 66000 terms of one sign, one after the other, beyond what the error model of f32 allows. */
    verify_add(b, SSA_LM_LOSS_GRAD, "R=7 C=2 V=70000", ATTRS(.scale = 0.3f), f32);
}

/* Of each scalar attribute at least three values, so that none can stand in the kernel instead. */
static void scalars(builder *b) {
    static const struct { float beta1, beta2, eps, decay; } adamw[] = {{0.9f, 0.999f, 1e-3f, 0.01f}, {0.8f, 0.95f, 0.1f, 0.5f}, {0, 0.5f, 1e-6f, 2}, {0.5f, 0, 1e-2f, 0}};
    static const float factors[] = {0.03f, 0.7f, 1.3f, -2, 10};
    for (size_t i = 0; i < sizeof adamw / sizeof *adamw; i++)
        ADD(SSA_ADAMW, "E=300", .beta1 = adamw[i].beta1, .beta2 = adamw[i].beta2, .eps = adamw[i].eps, .weight_decay = adamw[i].decay);
    for (size_t i = 0; i < sizeof factors / sizeof *factors; i++) {
        float x = factors[i];
        ADD(SSA_SUM, "E=300", .scale = x);
        ADD(SSA_ALIGN, "B=1 T=17 Q=3 D=16", .scale = x, .gated = i % 2, .loss = (int32_t)i / 2 % 2);
        ADD(SSA_ALIGN_BWD, "B=1 T=17 Q=3 D=16", .scale = x, .gated = i % 2, .loss = (int32_t)i / 2 % 2, .main = i % 2);
        ADD(SSA_LM_LOSS_GRAD, "R=17 C=16 V=33", .scale = x);
        verify_add(b, SSA_FILL, "E=300", ATTRS(.value = 1e-7f * x), NULL); /* f16 has these as subnormals */
        if (x < 0 || x > 2) continue;
        ADD(SSA_ATTN_FULL, "B=1 T=65 Q=4 H=2 D=16", .scale = x);
        ADD(SSA_ATTN_FULL_BWD, "B=1 T=65 Q=4 H=2 D=16", .scale = x);
        ADD(SSA_ATTN_SPARSE, "B=1 T=65 Q=4 H=2 S=2 D=16 K=3", .scale = x, .block_size = 8);
        ADD(SSA_ATTN_SPARSE_BWD, "B=1 T=65 Q=4 H=2 S=2 D=16 K=3", .scale = x, .block_size = 8);
        ADD(SSA_SELECT, "B=1 T=129 Q=8 H=2 S=2 D=16", .scale = x, .block_size = 4, .top_k = 5);
        ADD(SSA_RMSNORM, "R=17 C=33", .eps = x * x);
        ADD(SSA_CLIP, "", .max_norm = 2 * x);
    }
    for (int power = -21; power <= -19; power++) ADD(SSA_CLIP, "", .max_norm = ldexpf(1, power)); /* the norm is 2^-20: 1e-6 matters */
    static const float values[] = {0, 65504, 65520, -1e30f, NAN, INFINITY, -INFINITY};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) ADD(SSA_FILL, "E=300", .value = values[i]);
    static const float integers[] = {0.5f, 2.5f, -1.5f, 16777216, -2e9f}; /* halves to even */
    for (size_t i = 0; i < sizeof integers / sizeof *integers; i++) verify_add(b, SSA_FILL, "E=300", ATTRS(.value = integers[i]), WITH(.other = TO(SSA_I32)));
}

/* More slots and blocks than a workgroup has invocations, and than one pass of sparse_lists_count takes. */
static void slots(builder *b) {
    static const char *many = "B=1 T=200 Q=4 H=2 S=2 D=16 K=150";
    ADD(SSA_SELECT, "B=1 T=200 Q=4 H=2 S=2 D=16", .block_size = 1, .top_k = 150);
    ADD(SSA_SELECT, "B=1 T=300 Q=2 H=1 S=2 D=16", .block_size = 1, .top_k = 9, .score = SSA_SCORE_DOT);
    ADD(SSA_ATTN_SPARSE, many, .block_size = 1);
    ADD(SSA_ATTN_SPARSE_BWD, many, .block_size = 1);
    ADD(SSA_SPARSE_LISTS, many, .block_size = 1);
    ADD(SSA_SPARSE_LISTS, "B=2 T=1100 S=2 K=3", .block_size = 1);
}

static void data(builder *b) {
    const extra *large = WITH(.data = DATA_LARGE), *ties = WITH(.data = DATA_TIES);
    for (ssa_dtype to = SSA_F32; to <= SSA_F16; to++) verify_add(b, SSA_CAST, "E=70001", ATTRS(0), WITH(.other = TO(to), .data = DATA_BITS));
    verify_add(b, SSA_ATTN_FULL, "B=2 T=65 Q=4 H=2 D=64", ATTRS(0), large);
    verify_add(b, SSA_ATTN_FULL_BWD, "B=2 T=65 Q=4 H=2 D=64", ATTRS(0), large);
    verify_add(b, SSA_ATTN_SPARSE, "B=1 T=65 Q=4 H=2 S=4 D=64 K=3", ATTRS(.block_size = 8), large);
    verify_add(b, SSA_ATTN_SPARSE_BWD, "B=1 T=65 Q=4 H=2 S=4 D=64 K=3", ATTRS(.block_size = 8), large);
    verify_add(b, SSA_SELECT, "B=1 T=65 Q=1 H=1 S=1 D=16", ATTRS(.block_size = 2, .top_k = 2), large);
    verify_add(b, SSA_SELECT, "B=1 T=65 Q=2 H=1 S=1 D=16", ATTRS(.block_size = 4, .top_k = 2), large);
    for (int gated = 0; gated < 2; gated++) {
        verify_add(b, SSA_ALIGN, "B=1 T=17 Q=3 D=16", ATTRS(.scale = 1, .gated = gated), large);
        verify_add(b, SSA_ALIGN_BWD, "B=1 T=17 Q=3 D=16", ATTRS(.scale = 1, .gated = gated), large);
    }
    verify_add(b, SSA_SELECT, "B=1 T=65 Q=4 H=2 S=2 D=8", ATTRS(.block_size = 4, .top_k = 4, .score = SSA_SCORE_DOT), ties);
    for (int score = SSA_SCORE_SOFTMAX; score <= SSA_SCORE_DOT; score++) { /* a head each: sums of exponentials may come near */
        verify_add(b, SSA_SELECT, "B=1 T=150 Q=2 H=1 S=2 D=8", ATTRS(.block_size = 1, .top_k = 9, .score = score), ties);
        verify_add(b, SSA_SELECT, "B=2 T=129 Q=4 H=2 S=4 D=8", ATTRS(.block_size = 4, .top_k = 4, .score = score), ties);
        verify_add(b, SSA_SELECT, "B=1 T=129 Q=2 H=2 S=2 D=8", ATTRS(.block_size = 4, .top_k = 4, .score = score, .select = SSA_SELECT_COMPAT), ties);
    }
}

static bool scores(ssa_op op) {
    return op == SSA_SELECT || op == SSA_ATTN_FULL || op == SSA_ATTN_FULL_BWD || op == SSA_ATTN_SPARSE || op == SSA_ATTN_SPARSE_BWD;
}

/* Each operand that holds floats once with NaN and with either infinity, so that none can cover up for another. */
static void not_finite(builder *b) {
    static const struct { ssa_op op; const char *sizes; ssa_attrs attr; } line[] = {
        {SSA_CAST, "E=9", {0}},
        {SSA_ADD, "E=9", {0}},
        {SSA_SWIGLU, "E=9", {0}},
        {SSA_SWIGLU_BWD, "E=9", {0}},
        {SSA_SUM, "E=300", {.scale = 0.5f, .accumulate = true}},
        {SSA_SUMSQ, "E=300", {.accumulate = true}},
        {SSA_CLIP, "", {.max_norm = 1}},
        {SSA_ADAMW, "E=9", {.beta1 = 0.9f, .beta2 = 0.95f, .eps = 1e-8f, .weight_decay = 0.1f}},
        {SSA_EMBEDDING, "R=17 V=3 C=5", {0}},
        {SSA_EMBEDDING_BWD, "R=17 V=3 C=5", {.accumulate = true}},
        {SSA_RMSNORM, "R=3 C=17", {.eps = 1e-5f}},
        {SSA_RMSNORM_BWD, "R=3 C=17", {.accumulate = true, .residual = true}},
        {SSA_ROPE, "B=1 T=5 Q=2 D=8", {0}},
        {SSA_MATMUL, "G=1 M=5 N=7 K=9", {.accumulate = true}},
        {SSA_ATTN_FULL, "B=1 T=17 Q=2 H=1 D=8", {0}},
        {SSA_ATTN_FULL_BWD, "B=1 T=17 Q=2 H=1 D=8", {0}},
        {SSA_BLOCK_MEAN, "B=1 T=9 H=1 D=8", {.block_size = 4}},
        {SSA_SELECT, "B=1 T=17 Q=2 H=1 S=1 D=8", {.block_size = 2, .top_k = 4}},
        {SSA_SELECT, "B=1 T=17 Q=2 H=1 S=2 D=8", {.block_size = 2, .top_k = 4, .score = SSA_SCORE_DOT}},
        {SSA_ATTN_SPARSE, "B=1 T=17 Q=2 H=1 S=1 D=8 K=2", {.block_size = 4}},
        {SSA_ATTN_SPARSE_BWD, "B=1 T=17 Q=2 H=1 S=1 D=8 K=2", {.block_size = 4}},
        {SSA_GATE, "B=1 T=3 Q=2 D=8", {0}},
        {SSA_GATE_BWD, "B=1 T=3 Q=2 D=8", {0}},
        {SSA_ALIGN, "B=1 T=3 Q=2 D=8", {.scale = 1}},
        {SSA_ALIGN, "B=1 T=3 Q=2 D=8", {.scale = 1, .gated = true, .loss = SSA_LOSS_L2, .accumulate = true}},
        {SSA_ALIGN_BWD, "B=1 T=3 Q=2 D=8", {.scale = 1}},
        {SSA_ALIGN_BWD, "B=1 T=3 Q=2 D=8", {.scale = 1, .gated = true, .loss = SSA_LOSS_L2, .main = SSA_MAIN_SPARSE}},
        {SSA_LM_LOSS, "R=5 C=3 V=7", {0}},
        {SSA_LM_LOSS_GRAD, "R=5 C=3 V=7", {.scale = 0.5f, .accumulate = true}},
    };
    static const double values[] = {NAN, INFINITY, -INFINITY};
    for (size_t i = 0; i < sizeof line / sizeof *line; i++) {
        ssa_op_info info;
        ssa_op_describe(line[i].op, &info);
        for (int k = 0; k < info.count; k++) {
            const ssa_operand_info *o = &info.operand[k];
            bool read = !o->out || line[i].op == SSA_ADAMW || (line[i].attr.accumulate && strcmp(o->name, "dx")) || (line[i].attr.residual && !strcmp(o->name, "dx"));
            if (o->type == 'i' || !read || (o->out && !o->inout)) continue;
            for (size_t v = 0; v < sizeof values / sizeof *values; v++) {
                bool root = values[v] < 0 && (line[i].op == SSA_CLIP || (line[i].op == SSA_ADAMW && !strcmp(o->name, "v"))); /* of a negative number: anything */
                bool peaked = isinf(values[v]) && scores(line[i].op) && strchr("qk", *o->name); /* exp of it overflows here and not there */
                if (!root && !peaked) verify_add(b, line[i].op, line[i].sizes, &line[i].attr, WITH(.data = DATA_NOT_FINITE, .bad = k, .value = values[v]));
            }
        }
    }
}

void verify_corners(builder *b) {
    sizes(b);
    scalars(b);
    slots(b);
    data(b);
    not_finite(b);
}
