/* A case once more in f64 on the CPU, from the same f32 inputs: what the f32 results of device and CPU are measured against. */
#include "verify.h"
#include <stdlib.h>
#include <string.h>

/* Only where the whole case is f32, and something is computed. */
static bool applies(const verify_job *job) {
    bool floats = false;
    for (int i = job->info.inputs; i < job->info.count; i++) floats |= job->operand[i].dtype == SSA_F32;
    return job->act == SSA_F32 && job->c->other == VERIFY_SAME_DTYPE && floats && job->info.inputs > 0;
}

static ssa_status create(verify_job *job, int i, ssa_tensor *t) {
    const verify_operand *o = &job->operand[i];
    SSA_TRY(ssa_tensor_create(job->cpu, o->dtype == SSA_I32 ? SSA_I32 : SSA_F64, o->rank, o->shape, t));
    if (o->dtype == SSA_I32) return ssa_write(job->cpu, *t, o->image + (size_t)o->before * 4);
    double *numbers = malloc((size_t)o->elements * sizeof *numbers);
    if (!numbers) return SSA_ERR_MEMORY;
    for (int64_t k = 0; k < o->elements; k++) numbers[k] = verify_get(o->image, o->dtype, o->before + k);
    ssa_status s = ssa_write(job->cpu, *t, numbers);
    free(numbers);
    return s;
}

ssa_status verify_wide(verify_job *job) {
    ssa_tensor t[SSA_MAX_OPERANDS] = {{0}};
    ssa_status s = SSA_OK;
    if (!applies(job)) return SSA_OK;
    for (int i = 0; i < job->info.count && !s; i++) {
        int alias = job->operand[i].alias;
        if (alias >= 0) t[i] = t[alias];
        else s = create(job, i, &t[i]);
    }
    if (!s) s = ssa_run(job->cpu, job->c->op, job->info.count, t, &job->c->attr);
    for (int i = job->info.inputs; i < job->info.count && !s; i++) {
        if (t[i].dtype != SSA_F64) continue;
        job->wide[i] = malloc((size_t)job->operand[i].elements * sizeof(double));
        s = job->wide[i] ? ssa_read(job->cpu, t[i], job->wide[i]) : SSA_ERR_MEMORY;
        if (!s) continue;
        free(job->wide[i]);
        job->wide[i] = NULL;
    }
    for (int i = 0; i < job->info.count; i++)
        if (job->operand[i].alias < 0) ssa_tensor_free(job->cpu, &t[i]);
    return s;
}
