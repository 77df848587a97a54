/* The cases: which shapes and attributes of each operation are tried. Sizes are odd on purpose: 1, 3, 17, 63, 65, 129 lie
 * around every tile and subgroup size. The quick set takes seconds on a software driver. corners.c has the rest. */
#include "cases.h"
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void append(char *text, size_t size, const char *format, ...) __attribute__((format(printf, 3, 4)));
static void append(char *text, size_t size, const char *format, ...) {
    size_t n = strlen(text);
    va_list args;
    va_start(args, format);
    vsnprintf(text + n, size - n, format, args);
    va_end(args);
}

/* Attributes and the rest in words, behind the sizes. */
static void describe(verify_case *c) {
    static const char *data[DATA_KINDS] = {"", " large", " zero-rows", " selected", " infinite", " ignored", " ties", " bits", ""};
    const ssa_attrs *a = &c->attr;
    ssa_op_info info;
    ssa_op_describe(c->op, &info);
#define SAY(...) append(c->text, sizeof c->text, __VA_ARGS__)
    if (strstr(info.attributes, "max_norm")) SAY("max_norm=%g", (double)a->max_norm);
    if (strstr(info.attributes, "value")) SAY(" value=%g", (double)a->value);
    if (a->block_size) SAY(" block=%d", a->block_size);
    if (a->top_k) SAY(" top_k=%d", a->top_k);
    if (strstr(info.attributes, "score")) SAY(a->score == SSA_SCORE_DOT ? " dot" : " softmax");
    if (strstr(info.attributes, "select")) SAY(a->select == SSA_SELECT_COMPAT ? " compat" : " exact");
    if (strstr(info.attributes, "loss")) SAY(a->loss == SSA_LOSS_L2 ? " l2" : " smoothl1");
    if (strstr(info.attributes, "main")) SAY(a->main == SSA_MAIN_SPARSE ? " main=sparse" : " main=full");
    if (strstr(info.attributes, "gated")) SAY(a->gated ? " gated" : " ungated");
    if (a->trans_a) SAY(" trans_a");
    if (a->trans_b) SAY(" trans_b");
    if (a->accumulate) SAY(" accumulate");
    if (a->residual) SAY(" residual");
    if (a->inverse) SAY(" inverse");
    if (a->position) SAY(" position=%d", a->position);
    if (c->rank2) SAY(" rank2");
    if (c->other != VERIFY_SAME_DTYPE) SAY(" to=%s", ssa_dtype_name((ssa_dtype)c->other));
    for (int i = 0; i < 2; i++)
        if (c->alias[i][0]) SAY(" %s=%s", info.operand[(int)c->alias[i][0]].name, info.operand[(int)c->alias[i][1]].name);
    SAY("%s", data[c->data]);
    if (c->data == DATA_NOT_FINITE) SAY(" with %g in %s", c->bad_value, info.operand[c->bad].name);
#undef SAY
}

static int64_t min64(int64_t a, int64_t b) { return a < b ? a : b; }

void verify_add(builder *b, ssa_op op, const char *sizes, const ssa_attrs *attr, const extra *x) {
    verify_case_list *l = b->list;
    if (b->status) return;
    if (l->count == l->capacity) {
        int capacity = l->capacity ? 2 * l->capacity : 256;
        verify_case *at = realloc(l->at, (size_t)capacity * sizeof *at);
        if (!at) {
            b->status = ssa_fail(b->err, SSA_ERR_MEMORY, "out of memory for %d cases", capacity);
            return;
        }
        l->at = at;
        l->capacity = capacity;
    }
    verify_case *c = &l->at[l->count++];
    memset(c, 0, sizeof *c);
    c->op = op;
    c->attr = *attr;
    c->other = VERIFY_SAME_DTYPE;
    if (x) {
        c->full = x->full;
        c->rank2 = x->rank2;
        c->f32 = x->f32;
        c->bad = x->bad;
        c->bad_value = x->value;
        c->other = x->other - 1;
        c->data = x->data;
        memcpy(c->alias, x->alias, sizeof c->alias);
    }
    for (const char *s = sizes; *s; s++)
        if (*s >= 'A' && *s <= 'Z' && s[1] == '=') VDIM(c, *s) = strtoll(s + 2, NULL, 10);
    int64_t T = VDIM(c, 'T'), K = VDIM(c, 'K');
    if (c->attr.block_size) {
        int64_t N = (T + c->attr.block_size - 1) / c->attr.block_size;
        VDIM(c, 'N') = N;
        VDIM(c, 'K') = K = min64(c->attr.top_k ? c->attr.top_k : K, N);
        VDIM(c, 'L') = N + 1 + T * K;
    }
    if (op == SSA_ROPE) VDIM(c, 'P') = c->attr.position + T + 2;
    bool attention = op == SSA_ATTN_FULL || op == SSA_ATTN_FULL_BWD || op == SSA_SELECT || op == SSA_ATTN_SPARSE || op == SSA_ATTN_SPARSE_BWD;
    if (attention && c->attr.scale == 0) c->attr.scale = 1 / sqrtf((float)VDIM(c, 'D'));
    snprintf(c->text, sizeof c->text, "%s", sizes);
    describe(c);
}

static void elementwise(builder *b) {
    static const char *sizes[] = {"E=1", "E=3", "E=17", "E=63", "E=65", "E=129", "E=4099", "E=140001", "E=1048577"};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        bool full = i > 7;
        verify_add(b, SSA_FILL, sizes[i], ATTRS(.value = 1.37f), WITH(.full = full));
        verify_add(b, SSA_FILL, sizes[i], ATTRS(.value = -2.6f), WITH(.full = full, .other = TO(SSA_I32)));
        for (ssa_dtype to = SSA_F32; to <= SSA_F16; to++)
            verify_add(b, SSA_CAST, sizes[i], ATTRS(0), WITH(.full = full, .other = TO(to), .data = i == 5 ? DATA_LARGE : DATA_PLAIN));
        verify_add(b, SSA_ADD, sizes[i], ATTRS(0), WITH(.full = full));
        verify_add(b, SSA_SWIGLU, sizes[i], ATTRS(0), WITH(.full = full, .data = i % 2 ? DATA_LARGE : DATA_PLAIN));
        verify_add(b, SSA_SWIGLU_BWD, sizes[i], ATTRS(0), WITH(.full = full, .data = i % 2 ? DATA_LARGE : DATA_PLAIN));
        verify_add(b, SSA_SUM, sizes[i], ATTRS(.scale = 0.25f, .accumulate = i % 2), WITH(.full = full));
        verify_add(b, SSA_SUMSQ, sizes[i], ATTRS(.accumulate = i % 2 == 0), WITH(.full = full));
        verify_add(b, SSA_ADAMW, sizes[i], ATTRS(.beta1 = 0.9f, .beta2 = 0.95f, .eps = 1e-8f, .weight_decay = i % 2 ? 0.1f : 0), WITH(.full = full));
    }
    verify_add(b, SSA_ADD, "E=129", ATTRS(0), WITH(.alias = {{2, 0}}));
    verify_add(b, SSA_SWIGLU_BWD, "E=129", ATTRS(0), WITH(.alias = {{3, 1}, {4, 2}}));
    verify_add(b, SSA_ADAMW, "E=65", ATTRS(.beta1 = 0.9f, .beta2 = 0.95f, .eps = 1e-8f, .weight_decay = 0.1f), WITH(.data = DATA_INFINITE));
    verify_add(b, SSA_ADAMW, "E=65", ATTRS(.beta1 = 0.9f, .beta2 = 0.95f, .eps = 1e-8f, .weight_decay = 0.1f), WITH(.alias = {{6, 3}}));
    /* the norm is 2.5: above the limit, at it, below it, no limit, not finite */
    ADD(SSA_CLIP, "", .max_norm = 1);
    ADD(SSA_CLIP, "", .max_norm = 2.5f);
    ADD(SSA_CLIP, "", .max_norm = 100);
    ADD(SSA_CLIP, "", .max_norm = 0);
    verify_add(b, SSA_CLIP, "", ATTRS(.max_norm = 1), WITH(.data = DATA_INFINITE));
}

static void rows(builder *b) {
    static const char *sizes[] = {"R=1 C=1", "R=1 C=3", "R=3 C=17", "R=17 C=63", "R=63 C=65", "R=65 C=129", "R=129 C=1", "R=2 C=1000", "R=300 C=640"};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        bool full = i > 7;
        verify_data data = i == 3 ? DATA_ZERO_ROWS : DATA_PLAIN;
        verify_add(b, SSA_RMSNORM, sizes[i], ATTRS(.eps = i == 2 ? 0.3f : 1e-5f), WITH(.full = full, .data = data));
        verify_add(b, SSA_RMSNORM_BWD, sizes[i], ATTRS(.accumulate = i % 2, .residual = (i / 2) % 2), WITH(.full = full, .data = data));
    }
    ADD(SSA_RMSNORM_BWD, "R=17 C=65", .accumulate = true, .residual = true);
    verify_add(b, SSA_RMSNORM_BWD, "R=17 C=65", ATTRS(0), WITH(.alias = {{4, 0}}));
    static const char *tables[] = {"R=1 V=1 C=1", "R=3 V=2 C=3", "R=17 V=65 C=17", "R=63 V=3 C=65", "R=129 V=300 C=129", "R=1000 V=1025 C=16"};
    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++) {
        bool full = i > 4;
        verify_add(b, SSA_EMBEDDING, tables[i], ATTRS(0), WITH(.full = full));
        verify_add(b, SSA_EMBEDDING_BWD, tables[i], ATTRS(0), WITH(.full = full));
        verify_add(b, SSA_EMBEDDING_BWD, tables[i], ATTRS(.accumulate = true), WITH(.full = full));
    }
    verify_add(b, SSA_EMBEDDING_BWD, "R=17 V=5 C=3", ATTRS(0), WITH(.data = DATA_IGNORED));
    ADD(SSA_ROPE, "B=1 T=1 Q=1 D=2", 0);
    ADD(SSA_ROPE, "B=2 T=3 Q=1 D=16", .position = 5);
    ADD(SSA_ROPE, "B=1 T=17 Q=3 D=64", .inverse = true);
    ADD(SSA_ROPE, "B=2 T=63 Q=2 D=32", .position = 1000, .inverse = true);
    ADD(SSA_ROPE, "B=1 T=65 Q=1 D=128", 0);
    ADD(SSA_ROPE, "B=3 T=5 Q=16 D=6", .position = 1);
    verify_add(b, SSA_ROPE, "B=2 T=17 Q=2 D=16", ATTRS(0), WITH(.alias = {{2, 0}}));
    verify_add(b, SSA_ROPE, "B=2 T=300 Q=32 D=64", ATTRS(.inverse = true), WITH(.full = true));
}

static void matmul(builder *b) {
    static const char *sizes[] = {"G=1 M=1 N=1 K=1",     "G=2 M=3 N=17 K=1",    "G=1 M=17 N=3 K=63",    "G=3 M=63 N=65 K=17",   "G=1 M=65 N=129 K=63",
                                  "G=2 M=129 N=64 K=65", "G=1 M=1 N=300 K=129", "G=1 M=256 N=64 K=128", "G=1 M=300 N=257 K=513"};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (int trans = 0; trans < 4; trans++) {
            bool full = i > 7 || (i == 7 && trans == 3);
            size_t turn = i + (size_t)trans; /* accumulate, rank and c's dtype vary so that each meets each layout */
            verify_add(b, SSA_MATMUL, sizes[i], ATTRS(.trans_a = trans & 1, .trans_b = trans & 2, .accumulate = turn % 2),
                WITH(.full = full, .rank2 = sizes[i][2] == '1' && turn % 3 == 0, .other = turn % 4 < 2 ? 0 : TO(SSA_F32)));
        }
    verify_add(b, SSA_MATMUL, "G=1 M=17 N=65 K=63", ATTRS(.accumulate = true), WITH(.other = TO(SSA_F32)));
    verify_add(b, SSA_MATMUL, "G=1 M=17 N=65 K=63", ATTRS(.accumulate = true), WITH(.rank2 = true));
    /* the contraction of a weight gradient is long */
    verify_add(b, SSA_MATMUL, "G=1 M=33 N=31 K=2049", ATTRS(.trans_a = true, .accumulate = true), WITH(.other = TO(SSA_F32), .rank2 = true));
}

static void full_attention(builder *b) {
    static const char *sizes[] = {"B=1 T=1 Q=1 H=1 D=16",   "B=2 T=3 Q=2 H=1 D=16",    "B=1 T=17 Q=3 H=1 D=32",  "B=1 T=63 Q=6 H=2 D=16",
                                  "B=2 T=65 Q=16 H=1 D=16", "B=1 T=129 Q=4 H=2 D=64",  "B=1 T=65 Q=3 H=3 D=128", "B=2 T=33 Q=32 H=2 D=8",
                                  "B=1 T=129 Q=2 H=2 D=32", "B=1 T=257 Q=32 H=2 D=64", "B=2 T=300 Q=9 H=3 D=128"};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        bool full = i > 8;
        verify_data data = i == 3 ? DATA_LARGE : DATA_PLAIN;
        verify_add(b, SSA_ATTN_FULL, sizes[i], ATTRS(0), WITH(.full = full, .data = data));
        verify_add(b, SSA_ATTN_FULL_BWD, sizes[i], ATTRS(.accumulate = i % 2), WITH(.full = full, .data = data));
    }
    ADD(SSA_ATTN_FULL_BWD, "B=1 T=63 Q=6 H=2 D=16", 0);
}

typedef struct {
    const char *sizes;
    int block, top_k;
    bool full;
} sparse_shape;

/* Sparse attention and its preparations. S=H: the group shares its blocks; S=Q: each head has its own. */
static void sparse_attention(builder *b) {
    static const sparse_shape shapes[] = {{"B=1 T=1 Q=1 H=1 S=1 D=16", 16, 1, false},      {"B=2 T=3 Q=2 H=1 S=1 D=16", 16, 4, false},
                                          {"B=1 T=17 Q=3 H=1 S=1 D=32", 1, 1, false},      {"B=1 T=17 Q=2 H=2 S=2 D=8", 1, 5, false},
                                          {"B=1 T=63 Q=6 H=2 S=2 D=16", 16, 2, false},     {"B=1 T=63 Q=6 H=2 S=6 D=16", 8, 3, false},
                                          {"B=2 T=65 Q=16 H=1 S=1 D=16", 16, 3, false},    {"B=1 T=129 Q=4 H=2 S=2 D=64", 16, 4, false},
                                          {"B=1 T=129 Q=3 H=3 S=3 D=128", 32, 2, false},   {"B=2 T=65 Q=3 H=1 S=3 D=32", 7, 3, false},
                                          {"B=1 T=129 Q=2 H=1 S=1 D=32", 3, 17, false},    {"B=1 T=65 Q=2 H=1 S=1 D=16", 64, 16, false},
                                          {"B=1 T=129 Q=32 H=2 S=2 D=16", 16, 100, false}, {"B=1 T=300 Q=32 H=2 S=2 D=64", 16, 8, true},
                                          {"B=2 T=513 Q=16 H=1 S=16 D=32", 16, 16, true},
                                          {"B=1 T=17 Q=16 H=1 S=1 D=128", 16, 2, false},   {"B=1 T=17 Q=8 H=1 S=1 D=128", 16, 2, false}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        const sparse_shape *s = &shapes[i];
        char with_k[128];
        bool full = s->full;
        verify_data data = i % 2 ? DATA_SELECTED : i == 6 ? DATA_LARGE : DATA_PLAIN;
        snprintf(with_k, sizeof with_k, "%s K=%d", s->sizes, s->top_k);
        verify_add(b, SSA_BLOCK_MEAN, s->sizes, ATTRS(.block_size = s->block), WITH(.full = full));
        for (int score = SSA_SCORE_SOFTMAX; score <= SSA_SCORE_DOT; score++)
            verify_add(b, SSA_SELECT, s->sizes, ATTRS(.block_size = s->block, .top_k = s->top_k, .score = score), WITH(.full = full));
        verify_add(b, SSA_ATTN_SPARSE, with_k, ATTRS(.block_size = s->block), WITH(.full = full, .data = data));
        verify_add(b, SSA_SPARSE_LISTS, with_k, ATTRS(.block_size = s->block), WITH(.full = full));
        verify_add(b, SSA_ATTN_SPARSE_BWD, with_k, ATTRS(.block_size = s->block, .accumulate = i % 2 == 0), WITH(.full = full, .data = data));
    }
    verify_add(b, SSA_ATTN_SPARSE_BWD, "B=1 T=63 Q=6 H=2 S=2 D=16 K=3", ATTRS(.block_size = 16), WITH(.data = DATA_PLAIN));
    verify_add(b, SSA_ATTN_SPARSE_BWD, "B=1 T=65 Q=4 H=2 S=4 D=16 K=3", ATTRS(.block_size = 8, .accumulate = true), WITH(.data = DATA_PLAIN));
    /* more counts than anything else: the pieces by selection head and the larger tiles of small bindings (--limits range=4352, 2048) */
    verify_add(b, SSA_SPARSE_LISTS, "B=2 T=129 Q=3 H=1 S=3 D=16 K=1", ATTRS(.block_size = 1), WITH(.data = DATA_PLAIN));
    /* compat: half of the slots from the current superblock (block_size blocks), half from before; several superblocks */
    for (int score = SSA_SCORE_SOFTMAX; score <= SSA_SCORE_DOT; score++) {
        ADD(SSA_SELECT, "B=1 T=129 Q=4 H=2 S=2 D=16", .block_size = 4, .top_k = 4, .score = score, .select = SSA_SELECT_COMPAT);
        ADD(SSA_SELECT, "B=1 T=65 Q=4 H=2 S=4 D=16", .block_size = 2, .top_k = 2, .score = score, .select = SSA_SELECT_COMPAT);
        ADD(SSA_SELECT, "B=1 T=129 Q=16 H=1 S=1 D=16", .block_size = 8, .top_k = 4, .score = score, .select = SSA_SELECT_COMPAT);
        ADD(SSA_SELECT, "B=2 T=63 Q=2 H=1 S=1 D=32", .block_size = 16, .top_k = 16, .score = score, .select = SSA_SELECT_COMPAT);
        verify_add(b, SSA_SELECT, "B=1 T=600 Q=16 H=1 S=1 D=32", ATTRS(.block_size = 16, .top_k = 16, .score = score, .select = SSA_SELECT_COMPAT),
            WITH(.full = true));
    }
    verify_add(b, SSA_SELECT, "B=1 T=700 Q=2 H=1 S=1 D=16", ATTRS(.block_size = 1, .top_k = 65), WITH(.full = true));
}

static void gate_and_align(builder *b) {
    static const char *sizes[] = {"B=1 T=1 Q=1 D=16",   "B=2 T=3 Q=2 D=64",  "B=1 T=17 Q=3 D=32",  "B=1 T=63 Q=16 D=16",
                                  "B=2 T=65 Q=1 D=128", "B=1 T=129 Q=4 D=8", "B=2 T=300 Q=32 D=64"};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        bool full = i > 5;
        verify_data data = i == 2 ? DATA_LARGE : DATA_PLAIN;
        verify_add(b, SSA_GATE, sizes[i], ATTRS(0), WITH(.full = full, .data = data));
        verify_add(b, SSA_GATE_BWD, sizes[i], ATTRS(0), WITH(.full = full, .data = data));
        for (int turn = 0; turn < 4; turn++) {
            verify_add(b, SSA_ALIGN, sizes[i], ATTRS(.scale = 0.5f, .gated = turn & 1, .loss = turn / 2, .accumulate = (int)(i + (size_t)turn) % 2),
                WITH(.full = full || (i > 3 && turn % 2)));
            verify_add(b, SSA_ALIGN_BWD, sizes[i], ATTRS(.scale = 0.7f, .gated = turn & 1, .loss = turn / 2, .main = (turn + (int)i) % 2),
                WITH(.full = full || (i > 3 && turn % 2)));
        }
    }
    verify_add(b, SSA_GATE_BWD, "B=2 T=17 Q=3 D=16", ATTRS(0), WITH(.alias = {{3, 0}}));
    verify_add(b, SSA_ALIGN_BWD, "B=2 T=17 Q=3 D=16", ATTRS(.scale = 0.7f, .gated = true, .main = SSA_MAIN_FULL), WITH(.alias = {{4, 0}}));
    verify_add(b, SSA_ALIGN_BWD, "B=2 T=17 Q=3 D=16", ATTRS(.scale = 0.7f, .gated = true, .main = SSA_MAIN_SPARSE), WITH(.alias = {{4, 0}}));
}

static void loss(builder *b) {
    static const char *sizes[] = {"R=1 C=1 V=2",      "R=3 C=17 V=3",    "R=17 C=63 V=65",   "R=63 C=16 V=257",
                                  "R=65 C=129 V=300", "R=2 C=32 V=1025", "R=129 C=64 V=5000"};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        bool full = i > 5;
        verify_data data = i == 3 ? DATA_LARGE : DATA_PLAIN;
        verify_add(b, SSA_LM_LOSS, sizes[i], ATTRS(0), WITH(.full = full, .data = data));
        verify_add(b, SSA_LM_LOSS_GRAD, sizes[i], ATTRS(.scale = 0.3f, .accumulate = i % 2), WITH(.full = full, .data = data));
    }
    verify_add(b, SSA_LM_LOSS_GRAD, "R=17 C=16 V=33", ATTRS(.scale = 1, .accumulate = true), WITH(.data = DATA_PLAIN));
    verify_add(b, SSA_LM_LOSS_GRAD, "R=5 C=16 V=33", ATTRS(.scale = 1), WITH(.data = DATA_IGNORED));
}

ssa_status verify_case_add(verify_case_list *list, ssa_op op, const char *sizes, const ssa_attrs *attr, int other, ssa_error *err) {
    builder b = {list, err, SSA_OK};
    verify_add(&b, op, sizes, attr, &(extra){.other = other + 1});
    return b.status;
}

ssa_status verify_cases(verify_case_list *list, ssa_error *err) {
    builder b = {list, err, SSA_OK};
    memset(list, 0, sizeof *list);
    elementwise(&b);
    rows(&b);
    matmul(&b);
    full_attention(&b);
    sparse_attention(&b);
    gate_and_align(&b);
    loss(&b);
    verify_corners(&b);
    if (b.status) {
        free(list->at);
        memset(list, 0, sizeof *list);
    }
    return b.status;
}
