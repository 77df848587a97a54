/* The front end of operations: reads the table (ssa/ops.def), checks shapes and dtypes, hands calls to the backend. */
#include "context.h"
#include <stdlib.h>
#include <string.h>

typedef struct { const char *name, *inputs, *outputs, *attributes; } row;

static const row table[SSA_OP_COUNT] = {
#define OP(ID, name, inputs, outputs, attributes) {#name, inputs, outputs, attributes},
#include "ssa/ops.def"
#undef OP
};

const char *ssa_op_name(ssa_op op) { return table[op].name; }

/* Reads "name:t![B,T,3Q] name:t[*]" into operands; the table is ours, so its form is taken for granted. */
static int parse(const char *s, bool out, ssa_operand_info *o) {
    int n = 0;
    while (*s) {
        memset(&o[n], 0, sizeof o[n]);
        const char *colon = strchr(s, ':');
        memcpy(o[n].name, s, (size_t)(colon - s));
        o[n].out = out;
        o[n].type = colon[1];
        s = colon + 2;
        if (*s == '!') { o[n].inout = true; s++; }
        s++; /* [ */
        if (*s == '*') { o[n].rank = -1; s++; }
        while (*s != ']') {
            int i = o[n].rank++;
            char *end;
            long factor = strtol(s, &end, 10);
            o[n].factor[i] = end == s ? 1 : (int)factor;
            s = end;
            if (*s >= 'A' && *s <= 'Z') o[n].letter[i] = *s++;
            if (*s == ',') s++;
        }
        s++;
        while (*s == ' ') s++;
        n++;
    }
    return n;
}

void ssa_op_describe(ssa_op op, ssa_op_info *info) {
    memset(info, 0, sizeof *info);
    info->name = table[op].name;
    info->attributes = table[op].attributes;
    info->inputs = parse(table[op].inputs, false, info->operand);
    info->count = info->inputs + parse(table[op].outputs, true, info->operand + info->inputs);
}

#define DIM(c) call->dim[(c) - 'A']

/* Binds or compares one size. */
static ssa_status bind(ssa_error *err, ssa_call *call, const ssa_operand_info *o, char letter, int factor, int64_t size) {
    if (!letter) {
        if (size != factor) return ssa_fail(err, SSA_ERR_INPUT, "%s: %s has a dimension of %lld where %d is needed", ssa_op_name(call->op), o->name, (long long)size, factor);
        return SSA_OK;
    }
    if (size % factor) return ssa_fail(err, SSA_ERR_INPUT, "%s: %s has a dimension of %lld, not a multiple of %d", ssa_op_name(call->op), o->name, (long long)size, factor);
    size /= factor;
    if (!DIM(letter)) DIM(letter) = size;
    if (DIM(letter) != size)
        return ssa_fail(err, SSA_ERR_INPUT, "%s: %s has %c = %lld, the operands before it %lld", ssa_op_name(call->op), o->name, letter, (long long)size, (long long)DIM(letter));
    return SSA_OK;
}

static ssa_status bind_shape(ssa_error *err, ssa_call *call, const ssa_operand_info *o, const ssa_tensor *t) {
    if (o->rank < 0) return bind(err, call, o, 'E', 1, ssa_numel(t));
    if (t->rank != o->rank) return ssa_fail(err, SSA_ERR_INPUT, "%s: %s has rank %d where %d is needed", ssa_op_name(call->op), o->name, t->rank, o->rank);
    for (int i = 0; i < o->rank; i++) SSA_TRY(bind(err, call, o, o->letter[i], o->factor[i], t->shape[i]));
    return SSA_OK;
}

/* Matrix operands may have rank 2 (one matrix) and are stored transposed where the attributes say so. */
static ssa_status bind_matrix(ssa_error *err, ssa_call *call, const ssa_operand_info *o, const ssa_tensor *t, bool transposed) {
    if (t->rank != 2 && t->rank != 3) return ssa_fail(err, SSA_ERR_INPUT, "matmul: %s has rank %d where 2 or 3 is needed", o->name, t->rank);
    SSA_TRY(bind(err, call, o, 'G', 1, t->rank == 3 ? t->shape[0] : 1));
    SSA_TRY(bind(err, call, o, o->letter[transposed ? 2 : 1], 1, t->shape[t->rank - 2]));
    return bind(err, call, o, o->letter[transposed ? 1 : 2], 1, t->shape[t->rank - 1]);
}

static ssa_status check_dtype(ssa_error *err, const ssa_call *call, const ssa_operand_info *o, const ssa_tensor *t, ssa_dtype *act) {
    const char *op = ssa_op_name(call->op), *have = ssa_dtype_name(t->dtype);
    switch (o->type) {
    case 'a':
        if (t->dtype == SSA_I32) return ssa_fail(err, SSA_ERR_INPUT, "%s: %s is i32 where a floating-point dtype is needed", op, o->name);
        if (*act == SSA_DTYPE_COUNT) *act = t->dtype;
        if (*act != t->dtype) return ssa_fail(err, SSA_ERR_INPUT, "%s: %s is %s, the operands before it %s", op, o->name, have, ssa_dtype_name(*act));
        return SSA_OK;
    case 'b':
        if (t->dtype == SSA_I32) return ssa_fail(err, SSA_ERR_INPUT, "%s: %s is i32 where a floating-point dtype is needed", op, o->name);
        return SSA_OK;
    case 's':
        if (t->dtype != SSA_F32 && t->dtype != SSA_F64) return ssa_fail(err, SSA_ERR_INPUT, "%s: %s is %s where f32 is needed", op, o->name, have);
        return SSA_OK;
    case 'i':
        if (t->dtype != SSA_I32) return ssa_fail(err, SSA_ERR_INPUT, "%s: %s is %s where i32 is needed", op, o->name, have);
        return SSA_OK;
    default: return SSA_OK;
    }
}

/* What letters cannot say. */
static ssa_status check_relations(ssa_error *err, const ssa_call *call) {
    const char      *op = ssa_op_name(call->op);
    const ssa_attrs *a = &call->attr;
    bool blocks = call->op == SSA_BLOCK_MEAN || call->op == SSA_SELECT || call->op == SSA_ATTN_SPARSE || call->op == SSA_SPARSE_LISTS || call->op == SSA_ATTN_SPARSE_BWD;
    if (DIM('Q') && DIM('H') && DIM('Q') % DIM('H'))
        return ssa_fail(err, SSA_ERR_INPUT, "%s: %lld query heads are not a multiple of %lld KV heads", op, (long long)DIM('Q'), (long long)DIM('H'));
    if (DIM('S') && DIM('H') && DIM('S') != DIM('H') && DIM('S') != DIM('Q'))
        return ssa_fail(err, SSA_ERR_INPUT, "%s: %lld selection heads are neither the %lld KV heads nor the %lld query heads", op, (long long)DIM('S'), (long long)DIM('H'), (long long)DIM('Q'));
    if (call->op == SSA_ROPE) {
        if (DIM('D') % 2) return ssa_fail(err, SSA_ERR_INPUT, "rope: head_dim %lld is odd", (long long)DIM('D'));
        if (a->position < 0 || a->position + DIM('T') > DIM('P'))
            return ssa_fail(err, SSA_ERR_INPUT, "rope: positions %d..%lld are beyond the table's %lld", a->position, (long long)(a->position + DIM('T') - 1), (long long)DIM('P'));
    }
    if (blocks) {
        if (a->block_size < 1) return ssa_fail(err, SSA_ERR_INPUT, "%s: block_size %d is out of range 1..", op, a->block_size);
        int64_t n = (DIM('T') + a->block_size - 1) / a->block_size;
        if (call->op == SSA_SELECT && DIM('T') == 0) return ssa_fail(err, SSA_ERR_INPUT, "select: no tokens");
        if (DIM('N') && DIM('N') != n) return ssa_fail(err, SSA_ERR_INPUT, "%s: %lld blocks given where %lld tokens make %lld", op, (long long)DIM('N'), (long long)DIM('T'), (long long)n);
        if (DIM('L') && DIM('L') != n + 1 + DIM('T') * DIM('K'))
            return ssa_fail(err, SSA_ERR_INPUT, "%s: lists have %lld entries where %lld are needed", op, (long long)DIM('L'), (long long)(n + 1 + DIM('T') * DIM('K')));
    }
    if (call->op == SSA_SELECT) {
        if (a->top_k < 1 || a->top_k > 1024) return ssa_fail(err, SSA_ERR_INPUT, "select: top_k %d is out of range 1..1024", a->top_k);
        if (DIM('K') != (a->top_k < DIM('N') ? a->top_k : DIM('N')))
            return ssa_fail(err, SSA_ERR_INPUT, "select: idx has %lld slots where min(top_k %d, blocks %lld) is needed", (long long)DIM('K'), a->top_k, (long long)DIM('N'));
        if (a->select == SSA_SELECT_COMPAT && a->top_k > a->block_size / 2 && a->top_k != a->block_size)
            return ssa_fail(err, SSA_ERR_INPUT, "select: compat is defined for top_k <= block_size/2 and top_k = block_size, not for top_k %d with block_size %d", a->top_k, a->block_size);
    }
    return SSA_OK;
}

ssa_status ssa_call_prepare(ssa_error *err, ssa_op op, int count, const ssa_tensor *operands, const ssa_attrs *attrs, ssa_call *call) {
    ssa_op_info info;
    ssa_dtype   act = SSA_DTYPE_COUNT;
    bool        f64 = false, f32 = false;
    if ((unsigned)op >= SSA_OP_COUNT) return ssa_fail(err, SSA_ERR_INPUT, "operation %d does not exist", (int)op);
    ssa_op_describe(op, &info);
    memset(call, 0, sizeof *call);
    call->op = op;
    call->count = info.count;
    if (attrs) call->attr = *attrs;
    if (count != info.count) return ssa_fail(err, SSA_ERR_INPUT, "%s takes %d operands, not %d", info.name, info.count, count);
    for (int i = 0; i < count; i++) {
        const ssa_operand_info *o = &info.operand[i];
        const ssa_tensor       *t = &operands[i];
        call->t[i] = *t;
        if (!t->buffer || t->offset < 0 || t->offset + ssa_numel(t) > t->buffer->elements)
            return ssa_fail(err, SSA_ERR_INPUT, "%s: %s reaches outside its buffer", info.name, o->name);
        if (t->dtype != t->buffer->dtype) return ssa_fail(err, SSA_ERR_INPUT, "%s: %s is a view of another dtype than its buffer's", info.name, o->name);
        SSA_TRY(check_dtype(err, call, o, t, &act));
        f64 |= t->dtype == SSA_F64;
        f32 |= t->dtype != SSA_F64 && t->dtype != SSA_I32;
        if (op == SSA_MATMUL) SSA_TRY(bind_matrix(err, call, o, t, i == 0 ? call->attr.trans_a : i == 1 && call->attr.trans_b));
        else SSA_TRY(bind_shape(err, call, o, t));
    }
    if (f64 && f32 && op != SSA_CAST) return ssa_fail(err, SSA_ERR_INPUT, "%s: f64 and narrower operands in one call", info.name);
    call->act = act != SSA_DTYPE_COUNT ? act : f64 ? SSA_F64 : SSA_F32;
    return check_relations(err, call);
}

ssa_status ssa_run(ssa_context *ctx, ssa_op op, int count, const ssa_tensor *operands, const ssa_attrs *attrs) {
    ssa_call call;
    SSA_TRY(ssa_call_prepare(&ctx->error, op, count, operands, attrs, &call));
    const ssa_backend_vtable *vt = ctx->backend->vt;
    if (ctx->preparing) return vt->prepare ? vt->prepare(ctx->backend, &call, &ctx->error) : SSA_OK;
    return vt->run(ctx->backend, &call, &ctx->error);
}

ssa_status ssa_run_operands(ssa_context *ctx, ssa_op op, ssa_operands operands, const ssa_attrs *attrs) {
    return ssa_run(ctx, op, operands.count, operands.t, attrs);
}
