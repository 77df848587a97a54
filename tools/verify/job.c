/* The operands of a case and their memory: shapes and dtypes from the table of operations, images on the host, buffers with guard
 * zones on the CPU and on the device. */
#include "verify.h"
#include <stdlib.h>
#include <string.h>

void verify_job_free(verify_runner *r, verify_job *job) {
    for (int i = 0; i < job->info.count; i++) {
        verify_operand *o = &job->operand[i];
        free(job->wide[i]);
        if (o->alias >= 0) continue;
        free(o->image);
        free(o->want);
        free(o->got);
        ssa_tensor_free(r->cpu, &o->cpu);
        ssa_tensor_free(r->dev, &o->dev);
    }
}

ssa_dtype verify_dtype_of(const verify_case *c, const ssa_operand_info *o, ssa_dtype act) {
    switch (o->type) {
    case 'a': return act;
    case 's': return SSA_F32;
    case 'i': return SSA_I32;
    default: return c->other == VERIFY_SAME_DTYPE ? act : (ssa_dtype)c->other;
    }
}

void verify_shape_of(const verify_case *c, const ssa_operand_info *info, int i, verify_operand *o) {
    o->rank = info->rank < 0 ? 1 : info->rank;
    for (int k = 0; k < o->rank; k++)
        o->shape[k] = info->rank < 0 ? VDIM(c, 'E') : info->letter[k] ? info->factor[k] * VDIM(c, info->letter[k]) : info->factor[k];
    if (c->op == SSA_MATMUL && ((i == 0 && c->attr.trans_a) || (i == 1 && c->attr.trans_b))) {
        int64_t swap = o->shape[1];
        o->shape[1] = o->shape[2];
        o->shape[2] = swap;
    }
    if (c->rank2) {
        o->rank = 2;
        o->shape[0] = o->shape[1];
        o->shape[1] = o->shape[2];
    }
    o->elements = 1;
    for (int k = 0; k < o->rank; k++) o->elements *= o->shape[k];
}

/* Buffers with guards around the operands. Half of the cases, at random, have their operands at odd elements, so that no kernel can count
 * on aligned vectors without asking; the others begin at a multiple of 256 bytes, where the fast variants run. */
ssa_status verify_job_init(verify_runner *r, verify_job *job, const verify_case *c, ssa_dtype act, int64_t number) {
    enum { BEFORE = 128, AFTER = 67 };
    memset(job, 0, sizeof *job);
    job->c = c;
    job->act = act;
    job->cpu = r->cpu;
    job->random = r->options.seed ^ ((uint64_t)number << 20) ^ 0x5eed;
    bool odd = verify_random(&job->random) & 1;
    ssa_op_describe(c->op, &job->info);
    for (int i = 0; i < job->info.count; i++) {
        verify_operand *o = &job->operand[i];
        o->info = job->info.operand[i];
        o->dtype = verify_dtype_of(c, &o->info, act);
        o->alias = -1;
        verify_shape_of(c, &o->info, i, o);
        for (int k = 0; k < 2; k++)
            if (c->alias[k][0] == i && i) o->alias = c->alias[k][1];
        if (o->alias >= 0) {
            verify_operand *of = &job->operand[o->alias];
            o->before = of->before, o->total = of->total, o->image = of->image, o->want = of->want, o->got = of->got, o->cpu = of->cpu,
            o->dev = of->dev;
            continue;
        }
        o->before = BEFORE + (r->any_offsets ? (int64_t)(verify_random(&job->random) % 97) : odd ? 1 + 2 * i : 0);
        o->total = o->before + o->elements + AFTER;
        size_t bytes = (size_t)o->total * ssa_dtype_size(o->dtype);
        o->image = malloc(bytes);
        o->want = malloc(bytes);
        o->got = malloc(bytes);
        if (!o->image || !o->want || !o->got) return ssa_fail(r->err, SSA_ERR_MEMORY, "out of memory for a case of %s", job->info.name);
        ssa_status s = ssa_tensor_new(r->cpu, o->dtype, &o->cpu, o->total);
        if (s) return ssa_fail(r->err, s, "%s", ssa_context_error(r->cpu)->text);
        o->cpu = ssa_view_shape(o->cpu, o->before, o->rank, o->shape);
    }
    return SSA_OK;
}

ssa_status verify_job_create(verify_runner *r, verify_job *job) {
    for (int i = 0; i < job->info.count; i++) {
        verify_operand *o = &job->operand[i];
        if (o->alias >= 0) {
            o->dev = job->operand[o->alias].dev;
            continue;
        }
        SSA_TRY(ssa_tensor_new(r->dev, o->dtype, &o->dev, o->total));
        o->dev = ssa_view_shape(o->dev, o->before, o->rank, o->shape);
    }
    return SSA_OK;
}

/* Dtypes that make a difference to this case. */
bool verify_dtype_applies(const verify_case *c, ssa_dtype act) {
    if (c->f32 && act != SSA_F32) return false;
    ssa_op_info info;
    bool matters = false;
    ssa_op_describe(c->op, &info);
    for (int i = 0; i < info.count; i++)
        matters |= info.operand[i].type == 'a' || (c->other == VERIFY_SAME_DTYPE && strchr("bx", info.operand[i].type));
    if (!matters) return act == SSA_F32;
    for (int k = 0; k < 2; k++) {
        const ssa_operand_info *out = &info.operand[(int)c->alias[k][0]], *in = &info.operand[(int)c->alias[k][1]];
        if (c->alias[k][0] && verify_dtype_of(c, out, act) != verify_dtype_of(c, in, act)) return false;
    }
    return c->op != SSA_MATMUL || c->other != (int)act; /* the same case as the one with VERIFY_SAME_DTYPE */
}
