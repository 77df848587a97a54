/* A launch as a lowering writes it down becomes one of the device: its variant is looked up, its operands are bound, its grid is folded
 * to the device's limits. Scratch memory. */
#include "inside.h"
#include <stdio.h>
#include <stdlib.h>

const ssa_call   *lowered_call(const lowering *l) { return l->call; }
const dev_limits *lowered_limits(const lowering *l) { return l->limits; }
ssa_error        *lowering_error(lowering *l) { return l->err; }

int64_t element_bytes(const lowering *l, ssa_dtype dtype) { return widened(l->limits, dtype) ? 4 : (int64_t)ssa_dtype_size(dtype); }

/* -- scratch --------------------------------------------------------------------------------------------------------- */

ssa_status scratch(lowering *l, ssa_dtype dtype, int64_t elements, ssa_tensor *out) {
    uint64_t first = l->scratch_used, bytes = ((uint64_t)elements * 4 + 255) / 256 * 256;
    *out = (ssa_tensor){.offset = (int64_t)(first / 4), .shape = {elements}, .rank = 1, .dtype = dtype};
    l->scratch_used += bytes;
    if (l->scratch_used > l->scratch_peak) l->scratch_peak = l->scratch_used;
    gpu_backend *be = l->be;
    if (!be) return SSA_OK;
    if (!be->scratch || be->scratch->base.bytes < l->scratch_used) {
        /* A larger one. The old one lives on: launches of this call, or a recorded program, may refer to it. What this call
         * has put there already stays there, so a fresh scratch starts at 0 for this piece. */
        uint64_t    size = 1 << 20;
        ssa_buffer *fresh;
        if (l->scratch_used > be->dev->limits.max_buffer)
            return ssa_fail(l->err, SSA_ERR_MEMORY, "%s needs %llu bytes of scratch, %s's largest buffer has %llu", ssa_op_name(l->call->op),
                            (unsigned long long)l->scratch_used, be->base.name, (unsigned long long)be->dev->limits.max_buffer);
        while (size < l->scratch_used) size *= 2;
        if (size > be->dev->limits.max_buffer) size = be->dev->limits.max_buffer;
        SSA_TRY(gpu_alloc(&be->base, SSA_F32, (int64_t)(size / 4), &fresh, l->err));
        if (be->scratch) {
            gpu_buffer **grown = realloc(be->retired, (size_t)(be->retired_count + 1) * sizeof *grown);
            if (!grown) {
                gpu_free(&be->base, fresh);
                return ssa_fail(l->err, SSA_ERR_MEMORY, "out of memory for scratch");
            }
            be->retired = grown;
            be->retired[be->retired_count++] = be->scratch;
        }
        be->scratch = (gpu_buffer *)fresh;
    }
    out->buffer = &be->scratch->base;
    return SSA_OK;
}

/* -- variants -------------------------------------------------------------------------------------------------------- */

/* The name forced for a kernel in "kernel=name,kernel=name"; NULL: none. Lives as long as the list. */
static const char *forced_name(const lowering *l, const char *kernel, char name[TUNE_NAME]) {
    size_t n = strlen(kernel);
    for (const char *p = l->forced; p && *p; p += strcspn(p, ","), p += *p == ',') {
        size_t length = strcspn(p, ",");
        if (length <= n + 1 || length - n > TUNE_NAME || strncmp(p, kernel, n) || p[n] != '=') continue;
        snprintf(name, TUNE_NAME, "%.*s", (int)(length - n - 1), p + n + 1);
        return name;
    }
    return NULL;
}

const variant *variant_for(const lowering *l, const char *kernel, const variant_size *sizes) {
    char           name[TUNE_NAME];
    const char    *forced = forced_name(l, kernel, name);
    const variant *v = forced ? variant_named(kernel, forced) : NULL;
    if (!v) v = variant_first(kernel, l->limits, sizes);
    return v ? v : variant_named(kernel, "portable");
}

const char *choice_for(lowering *l, const tune_point *p) {
    char        name[TUNE_NAME];
    const char *forced = forced_name(l, p->kernel, name);
    if (forced) { /* the name of the line itself, which outlives the buffer */
        const variant *v = variant_named(p->kernel, forced);
        return v ? v->name : p->library && !strcmp(forced, TUNE_LIBRARY) ? TUNE_LIBRARY : NULL;
    }
    if (l->considering) {
        tuner_consider(l->tuner, p);
        return NULL;
    }
    return tuner_choice(l->tuner, p);
}

/* The constants of a launch in the kernel's order: the variant's own, and those of the call by name. */
static ssa_status constants_of(const lowering *l, const variant *v, const launch_desc *d, dev_kernel_desc *k) {
    for (int i = 0; i < DEV_MAX_CONSTANTS && v->constant[i].name; i++) {
        const variant_constant *c = &v->constant[i];
        uint32_t value = c->value[0];
        if (c->kind == CONSTANT_OF_CALL) {
            int at = 0;
            while (at < DEV_MAX_CONSTANTS && d->call[at].name && strcmp(d->call[at].name, c->name)) at++;
            if (at == DEV_MAX_CONSTANTS || !d->call[at].name)
                return ssa_fail(l->err, SSA_ERR_RUNTIME, "kernel %s: its lowering gives no %s", d->kernel, c->name);
            value = d->call[at].value;
        }
        k->constants[k->constant_count++] = (dev_constant){c->name, value};
    }
    return SSA_OK;
}

/* -- launches -------------------------------------------------------------------------------------------------------- */

static int storage(const lowering *l, ssa_dtype dtype) {
    if (widened(l->limits, dtype)) return 0;
    return dtype == SSA_BF16 ? 1 : dtype == SSA_F16 ? 2 : 0;
}

/* The device finds it again, or has it compiled: seconds, with some drivers minutes. */
static ssa_status get_kernel(const lowering *l, const dev_kernel_desc *k, dev_kernel **out) {
    const ssa_backend *be = &l->be->base;
    char               text[96];
    if (!be->activity) return l->be->dev->vt->kernel(l->be->dev, k, out, l->err);
    snprintf(text, sizeof text, "compiling %s", k->name);
    be->activity(be->activity_user, true, text);
    ssa_status s = l->be->dev->vt->kernel(l->be->dev, k, out, l->err);
    be->activity(be->activity_user, true, NULL);
    return s;
}

static dev_launch *append(gpu_backend *be, ssa_error *err) {
    launch_list *list = &be->list;
    if (list->count == list->capacity) {
        int         capacity = list->capacity ? 2 * list->capacity : 64;
        dev_launch *item = realloc(list->item, (size_t)capacity * sizeof *item);
        if (!item) {
            ssa_fail(err, SSA_ERR_MEMORY, "out of memory for the launch list");
            return NULL;
        }
        list->item = item;
        list->capacity = capacity;
    }
    dev_launch *la = &list->item[list->count++];
    memset(la, 0, sizeof *la);
    return la;
}

static ssa_status bind(lowering *l, dev_binding *out, const launch_binding *b, const char *kernel) {
    const gpu_buffer *g = (const gpu_buffer *)b->t.buffer;
    out->buffer = g->memory;
    out->element_bytes = g->element_bytes;
    out->offset = (uint64_t)b->t.offset * g->element_bytes;
    out->bytes = (uint64_t)ssa_numel(&b->t) * g->element_bytes;
    out->access = b->access;
    /* The device may have to start the binding up to 256 bytes earlier. */
    if (out->bytes + out->offset % 256 > l->limits->max_range)
        return ssa_fail(l->err, SSA_ERR_UNSUPPORTED, "%s: kernel %s needs a binding of %llu bytes, the device allows %llu", ssa_op_name(l->call->op), kernel,
                        (unsigned long long)out->bytes, (unsigned long long)l->limits->max_range);
    /* Kernels index by 32 bits: off[i] + index, for every element up to the binding's last. off[i] counts from the binding where bindings
     * have offsets (and so a range below that of the largest buffer), else from the buffer's start. */
    bool     whole = l->limits->max_range >= l->limits->max_buffer;
    uint64_t first = (whole ? out->offset : out->offset % 256) / out->element_bytes, end = first + out->bytes / out->element_bytes;
    if (end > (uint64_t)1 << 32)
        return ssa_fail(l->err, SSA_ERR_UNSUPPORTED, "%s: kernel %s binds elements up to %llu, and its 32-bit indices reach 4294967296", ssa_op_name(l->call->op),
                        kernel, (unsigned long long)end);
    return SSA_OK;
}

ssa_status launch(lowering *l, const launch_desc *d) {
    l->flops += d->flops;
    l->bytes += d->bytes;
    const variant *v = d->variant ? d->variant : variant_for(l, d->kernel, NULL);
    if (!v) return ssa_fail(l->err, SSA_ERR_RUNTIME, "kernel %s is not in the list of variants", d->kernel);
    if (l->each) l->each(l->user, v->source);
    if (!l->be) return SSA_OK;
    int64_t groups[3];
    for (int i = 0; i < 3; i++) {
        groups[i] = d->groups[i] ? d->groups[i] : 1;
        if (groups[i] < 0) return ssa_fail(l->err, SSA_ERR_RUNTIME, "kernel %s: negative group count", d->kernel);
    }
    int64_t max_x = l->limits->max_groups[0];
    if (groups[0] > max_x && groups[1] == 1) {
        groups[1] = ceil_div(groups[0], max_x);
        groups[0] = ceil_div(groups[0], groups[1]);
    }
    for (int i = 0; i < 3; i++)
        if (groups[i] > l->limits->max_groups[i])
            return ssa_fail(l->err, SSA_ERR_UNSUPPORTED, "%s: kernel %s needs %lld workgroups in dimension %d, the device allows %u", ssa_op_name(l->call->op), d->kernel,
                            (long long)groups[i], i, l->limits->max_groups[i]);
    if (groups[0] * groups[1] > UINT32_MAX) /* GROUP has 32 bits */
        return ssa_fail(l->err, SSA_ERR_UNSUPPORTED, "%s: kernel %s needs %lld workgroups, and counts them in 32 bits", ssa_op_name(l->call->op), d->kernel,
                        (long long)(groups[0] * groups[1]));
    dev_launch *la = append(l->be, l->err);
    if (!la) return SSA_ERR_MEMORY;
    la->op = ssa_op_name(l->call->op);
    for (int i = 0; i < 3; i++) la->groups[i] = (uint32_t)groups[i];
    while (la->bindings < DEV_MAX_BINDINGS && d->bind[la->bindings].t.buffer) {
        SSA_TRY(bind(l, &la->bind[la->bindings], &d->bind[la->bindings], d->kernel));
        la->bindings++;
    }
    la->params = d->push_count;
    memcpy(la->param, d->push, sizeof la->param);
    la->flops = d->flops;
    la->bytes = d->bytes;
    dev_kernel_desc k = {.name = v->source, .act = storage(l, d->act), .act2 = storage(l, d->act2), .bindings = la->bindings, .params = la->params,
                         .subgroup = v->needs.subgroup};
    SSA_TRY(constants_of(l, v, d, &k));
    return get_kernel(l, &k, &la->kernel);
}

bool gemm_library_can(const lowering *l, const dev_gemm *g) {
    uint64_t workspace;
    device  *dev = l->be ? l->be->dev : l->tuner ? l->tuner->dev : NULL;
    return dev && dev->vt->gemm_can && dev->vt->gemm_can(dev, g, &workspace);
}

ssa_status launch_gemm(lowering *l, const dev_gemm *g, ssa_tensor a, ssa_tensor b, ssa_tensor c) {
    uint64_t   workspace = 0, before = l->scratch_used;
    ssa_tensor space = {0};
    double     flops = 2.0 * (double)g->M * (double)g->N * (double)g->K * (double)g->batch;
    l->flops += flops;
    if (!l->be) return SSA_OK;
    if (!l->be->dev->vt->gemm_can(l->be->dev, g, &workspace))
        return ssa_fail(l->err, SSA_ERR_RUNTIME, "%s: the library cannot run a product of %llux%llux%llu any more", ssa_op_name(l->call->op),
                        (unsigned long long)g->M, (unsigned long long)g->N, (unsigned long long)g->K);
    if (workspace) SSA_TRY(scratch(l, SSA_F32, (int64_t)(workspace + 3) / 4, &space));
    dev_launch *la = append(l->be, l->err);
    if (!la) return SSA_ERR_MEMORY;
    la->op = ssa_op_name(l->call->op);
    la->gemm = *g;
    la->flops = flops;
    la->bindings = workspace ? 4 : 3;
    launch_binding bindings[4] = {RD(a), RD(b), RW(c), RW(space)};
    for (int i = 0; i < la->bindings; i++) SSA_TRY(bind(l, &la->bind[i], &bindings[i], "gemm"));
    l->scratch_used = before; /* the workspace is done with when the product is: the next one may have it */
    return SSA_OK;
}
