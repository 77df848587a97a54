/* Which kernels an operation launches: asked of the lowering itself, so that nobody keeps a list. */
#include "session.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

ssa_status case_operands_create(ssa_context *ctx, const verify_case *c, ssa_dtype act, case_operands *out) {
    ssa_op_info    info;
    verify_operand o;
    ssa_status     s = SSA_OK;
    *out = (case_operands){0};
    ssa_op_describe(c->op, &info);
    out->count = info.count;
    for (int i = 0; i < info.count && !s; i++) {
        int alias = -1;
        for (int k = 0; k < 2; k++)
            if (c->alias[k][0] == i && i) alias = c->alias[k][1];
        verify_shape_of(c, &info.operand[i], i, &o);
        if (alias < 0) s = ssa_tensor_create(ctx, verify_dtype_of(c, &info.operand[i], act), o.rank, o.shape, &out->owned[i]);
        out->t[i] = alias < 0 ? out->owned[i] : out->t[alias];
    }
    return s;
}

void case_operands_free(ssa_context *ctx, case_operands *o) {
    for (int i = 0; i < o->count; i++)
        if (o->owned[i].buffer) ssa_tensor_free(ctx, &o->owned[i]);
}

ssa_status kernels_of_case(ssa_context *ctx, const verify_case *c, ssa_dtype act, void (*each)(void *user, const char *kernel), void *user) {
    case_operands o;
    ssa_status    s = case_operands_create(ctx, c, act, &o);
    if (!s) s = ssa_kernels_of(ctx, c->op, o.count, o.t, &c->attr, each, user);
    case_operands_free(ctx, &o);
    if (s) ssa_error_clear(ssa_context_error(ctx));
    return s;
}

/* -- the list ------------------------------------------------------------------------------------------------------------------ */

typedef struct kernel_users { char name[48]; bool op[SSA_OP_COUNT]; } kernel_users;
typedef struct kernel_table { kernel_users *at; int count, capacity; ssa_op op; bool full; } kernel_table;

static void note(void *user, const char *kernel) {
    kernel_table *t = user;
    int           i = 0;
    while (i < t->count && strcmp(t->at[i].name, kernel)) i++;
    if (i == t->capacity) {
        int           capacity = t->capacity ? 2 * t->capacity : 64;
        kernel_users *at = realloc(t->at, (size_t)capacity * sizeof *at);
        if (!at) {
            t->full = true;
            return;
        }
        t->at = at;
        t->capacity = capacity;
    }
    if (i == t->count) {
        memset(&t->at[t->count++], 0, sizeof *t->at);
        snprintf(t->at[i].name, sizeof t->at[i].name, "%s", kernel);
    }
    t->at[i].op[t->op] = true;
}

static int by_name(const void *a, const void *b) { return strcmp(((const kernel_users *)a)->name, ((const kernel_users *)b)->name); }

static void print(const kernel_table *t) {
    for (int i = 0; i < t->count; i++) {
        printf("%-22s", t->at[i].name);
        for (int op = 0; op < SSA_OP_COUNT; op++)
            if (t->at[i].op[op]) printf(" %s", ssa_op_name((ssa_op)op));
        printf("\n");
    }
}

static ssa_status collect(const char *device, const verify_case_list *cases, kernel_table *t, ssa_error *err) {
    ssa_context *ctx;
    SSA_TRY(ssa_open(device, NULL, &ctx, err));
    for (int i = 0; i < cases->count; i++) {
        t->op = cases->at[i].op;
        for (ssa_dtype act = SSA_F32; act <= SSA_F16; act++) {
            if (!verify_dtype_applies(&cases->at[i], act)) continue;
            kernels_of_case(ctx, &cases->at[i], act, note, t); /* a case that the device refuses launches nothing */
        }
    }
    ssa_close(ctx);
    return t->full ? ssa_fail(err, SSA_ERR_MEMORY, "out of memory for the list of kernels") : SSA_OK;
}

ssa_status kernels_list(const char *device, ssa_error *err) {
    kernel_table     t = {0};
    verify_case_list cases = {0};
    const char      *wanted = strcmp(device, "auto") ? device : "vulkan";
    SSA_TRY(verify_cases(&cases, err));
    ssa_status s = collect(wanted, &cases, &t, err);
    if (s && wanted != device) { /* auto: no Vulkan here */
        ssa_error_clear(err);
        s = collect("opencl", &cases, &t, err);
    }
    if (!s && !t.count) s = ssa_fail(err, SSA_ERR_INPUT, "%s has no kernels: --device vulkan or opencl", device);
    qsort(t.at, (size_t)t.count, sizeof *t.at, by_name);
    if (!s) print(&t);
    free(cases.at);
    free(t.at);
    return s;
}
