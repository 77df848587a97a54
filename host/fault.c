/* SSA_FAULT: a device that fails on purpose, so that what happens then is tested and not hoped for.
 *
 *   alloc=N   the Nth allocation from now finds no memory        launch=N  the Nth run or replay fails
 *   read=N    the Nth read-back fails                            record=N  the Nth program cannot be recorded
 *   write=N   the Nth write fails                                compile=N the Nth kernel variant does not compile
 *   lost=N    the device is lost at the Nth run or replay; from then on everything fails
 *   wrong=X   operation X, or if there is none the kernel X, is wrong: after each launch of it, the first element of the first
 *             binding it writes changes
 *   hang=N    the driver's compiler does not end on the Nth kernel variant (see host/patience.c)
 *   slow_compile=MS  every kernel variant takes that much longer
 *
 * Several are separated by commas. Numbered ones fail once, what follows them works again; after lost and hang nothing
 * does. */
#include "device.h"
#include "ssa/ops.h"
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { ALLOC, LAUNCH, READ, WRITE, RECORD, COMPILE, HANG, LOST, SLOW_COMPILE, KINDS };
static const char *const names[KINDS] = {"alloc", "launch", "read", "write", "record", "compile", "hang", "lost", "slow_compile"};

typedef struct { dev_kernel_desc desc; dev_kernel *kernel; } variant;

/* A program whose launches must be interrupted is kept as a list. */
typedef struct { dev_launch *launches; int count; } listed;

/* The device keeps its identity, only its vtable is replaced: what looks into it (limits) finds everything in place, and
 * functions that are not replaced need no forwarding. */
typedef struct {
    device_vtable        vt; /* first: the fault of a device is found through its vtable */
    const device_vtable *inner;
    uint64_t             at[KINDS], seen[KINDS];
    char                 wrong[32];
    bool                 wrong_is_op, lost;
    variant             *variants; /* asked for since the plan was made */
    int                  count;
} fault;

static fault *fault_of(device *dev) { return (fault *)(void *)(uintptr_t)dev->vt; }

/* -- whether it is time ---------------------------------------------------------------------------------------------- */

static ssa_status check_lost(const fault *f, ssa_error *err) {
    return f->lost ? ssa_fail(err, SSA_ERR_DEVICE_LOST, "the device is lost (SSA_FAULT)") : SSA_OK;
}

static ssa_status strike(fault *f, int kind, ssa_status status, const char *what, ssa_error *err) {
    if (++f->seen[kind] != f->at[kind]) return SSA_OK;
    return ssa_fail(err, status, "%s number %llu fails (SSA_FAULT)", what, (unsigned long long)f->at[kind]);
}

static ssa_status before_launch(fault *f, ssa_error *err) {
    SSA_TRY(check_lost(f, err));
    f->lost = ++f->seen[LOST] == f->at[LOST];
    SSA_TRY(check_lost(f, err));
    return strike(f, LAUNCH, SSA_ERR_RUNTIME, "launch", err);
}

/* -- memory ---------------------------------------------------------------------------------------------------------- */

static ssa_status fault_alloc(device *dev, uint64_t bytes, dev_buffer **out, ssa_error *err) {
    fault *f = fault_of(dev);
    SSA_TRY(check_lost(f, err));
    SSA_TRY(strike(f, ALLOC, SSA_ERR_MEMORY, "allocation", err));
    return f->inner->alloc(dev, bytes, out, err);
}

static ssa_status fault_write(device *dev, dev_buffer *buffer, uint64_t offset, uint64_t bytes, const void *host, ssa_error *err) {
    fault *f = fault_of(dev);
    SSA_TRY(check_lost(f, err));
    SSA_TRY(strike(f, WRITE, SSA_ERR_RUNTIME, "write", err));
    return f->inner->write(dev, buffer, offset, bytes, host, err);
}

static ssa_status fault_read(device *dev, dev_buffer *buffer, uint64_t offset, uint64_t bytes, void *host, ssa_error *err) {
    fault *f = fault_of(dev);
    SSA_TRY(check_lost(f, err));
    SSA_TRY(strike(f, READ, SSA_ERR_RUNTIME, "read", err));
    return f->inner->read(dev, buffer, offset, bytes, host, err);
}

static ssa_status fault_wait(device *dev, ssa_error *err) {
    SSA_TRY(check_lost(fault_of(dev), err));
    return fault_of(dev)->inner->wait(dev, err);
}

/* -- kernels --------------------------------------------------------------------------------------------------------- */

static bool same_desc(const dev_kernel_desc *a, const dev_kernel_desc *b) {
    bool same = !strcmp(a->name, b->name) && a->act == b->act && a->act2 == b->act2 && a->subgroup == b->subgroup &&
                a->constant_count == b->constant_count;
    for (int i = 0; i < a->constant_count && same; i++) same = a->constants[i].value == b->constants[i].value;
    return same;
}

static ssa_status fault_kernel(device *dev, const dev_kernel_desc *desc, dev_kernel **out, ssa_error *err) {
    fault *f = fault_of(dev);
    SSA_TRY(check_lost(f, err));
    for (int i = 0; i < f->count; i++)
        if (same_desc(&f->variants[i].desc, desc)) {
            *out = f->variants[i].kernel;
            return SSA_OK;
        }
    SSA_TRY(strike(f, COMPILE, SSA_ERR_RUNTIME, "compilation", err));
    if (f->at[SLOW_COMPILE]) {
        uint64_t ms = f->at[SLOW_COMPILE];
        nanosleep(&(struct timespec){.tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000 * 1000000)}, NULL);
    }
    dev->hang = ++f->seen[HANG] == f->at[HANG];
    SSA_TRY(f->inner->kernel(dev, desc, out, err));
    variant *grown = realloc(f->variants, (size_t)(f->count + 1) * sizeof *grown);
    if (!grown) return ssa_fail(err, SSA_ERR_MEMORY, "out of memory for the list of kernels");
    f->variants = grown;
    f->variants[f->count++] = (variant){*desc, *out};
    return SSA_OK;
}

/* -- wrong results --------------------------------------------------------------------------------------------------- */

static bool is_wrong(const fault *f, const dev_launch *la) {
    if (!f->wrong[0]) return false;
    if (f->wrong_is_op) return !strcmp(la->op, f->wrong);
    for (int i = 0; i < f->count; i++)
        if (f->variants[i].kernel == la->kernel && !strcmp(f->variants[i].desc.name, f->wrong)) return true;
    return false;
}

/* A number changes its sign and grows (by the sign alone, a partial sum and the sum over it would make it good again), a zero
 * becomes about one; an index changes its last bit, so that it stays an index. */
static ssa_status spoil(device *dev, const dev_launch *la, ssa_error *err) {
    fault   *f = fault_of(dev);
    bool     index = !strcmp(la->op, "select") || !strcmp(la->op, "sparse_lists");
    int      i = 0;
    uint32_t wide = 0;
    uint16_t narrow = 0;
    while (i < la->bindings && !(la->bind[i].access & DEV_WRITE)) i++;
    if (i == la->bindings) return SSA_OK;
    const dev_binding *b = &la->bind[i];
    void              *element = b->element_bytes == 2 ? (void *)&narrow : (void *)&wide;
    SSA_TRY(f->inner->read(dev, b->buffer, b->offset, b->element_bytes, element, err));
    wide = index ? wide ^ 1 : wide << 1 ? (wide ^ 0x80000000u) + 0x00800000u : 0x3f800000u;
    narrow = (uint16_t)(narrow << 1) ? (uint16_t)((narrow ^ 0x8000u) + 0x80u) : 0x3f80u;
    return f->inner->write(dev, b->buffer, b->offset, b->element_bytes, element, err);
}

static ssa_status run_list(device *dev, const dev_launch *launches, int count, ssa_error *err) {
    fault *f = fault_of(dev);
    int    first = 0;
    for (int i = 0; i < count; i++) {
        if (!is_wrong(f, &launches[i])) continue;
        SSA_TRY(f->inner->run(dev, launches + first, i + 1 - first, err));
        SSA_TRY(spoil(dev, &launches[i], err));
        first = i + 1;
    }
    return first < count ? f->inner->run(dev, launches + first, count - first, err) : SSA_OK;
}

/* -- running --------------------------------------------------------------------------------------------------------- */

static ssa_status fault_run(device *dev, const dev_launch *launches, int count, ssa_error *err) {
    SSA_TRY(before_launch(fault_of(dev), err));
    return run_list(dev, launches, count, err);
}

static ssa_status fault_record(device *dev, const dev_launch *launches, int count, dev_recorded **out, ssa_error *err) {
    fault *f = fault_of(dev);
    SSA_TRY(check_lost(f, err));
    SSA_TRY(strike(f, RECORD, SSA_ERR_RUNTIME, "recording", err));
    if (!f->wrong[0]) return f->inner->record(dev, launches, count, out, err);
    listed *l = calloc(1, sizeof *l);
    if (l) l->launches = malloc((size_t)(count ? count : 1) * sizeof *launches);
    if (!l || !l->launches) {
        free(l);
        return ssa_fail(err, SSA_ERR_MEMORY, "out of memory for a program");
    }
    if (count) memcpy(l->launches, launches, (size_t)count * sizeof *launches);
    l->count = count;
    *out = (dev_recorded *)l;
    return SSA_OK;
}

static ssa_status fault_replay(device *dev, dev_recorded *recorded, ssa_error *err) {
    fault *f = fault_of(dev);
    SSA_TRY(before_launch(f, err));
    if (!f->wrong[0]) return f->inner->replay(dev, recorded, err);
    return run_list(dev, ((listed *)recorded)->launches, ((listed *)recorded)->count, err);
}

static void fault_recorded_free(device *dev, dev_recorded *recorded) {
    fault *f = fault_of(dev);
    if (!f->wrong[0]) {
        f->inner->recorded_free(dev, recorded);
        return;
    }
    free(((listed *)recorded)->launches);
    free(recorded);
}

static void fault_destroy(device *dev) {
    fault *f = fault_of(dev);
    dev->vt = f->inner;
    free(f->variants);
    free(f);
    dev->vt->destroy(dev);
}

/* -- the plan -------------------------------------------------------------------------------------------------------- */

static ssa_status parse(fault *f, const char *p, ssa_error *err) {
    while (p && *p) {
        size_t item = strcspn(p, ","), key = strcspn(p, "=,"), size = item > key ? item - key - 1 : 0;
        const char *value = p + key + 1;
        char       *end = NULL;
        int         kind = 0;
        if (key == 5 && !strncmp(p, "wrong", 5) && size > 0 && size < sizeof f->wrong) {
            memcpy(f->wrong, value, size);
            f->wrong[size] = 0;
            f->wrong_is_op = false;
            for (int op = 0; op < SSA_OP_COUNT; op++) f->wrong_is_op |= !strcmp(f->wrong, ssa_op_name((ssa_op)op));
        } else {
            while (kind < KINDS && (strlen(names[kind]) != key || strncmp(p, names[kind], key))) kind++;
            if (kind < KINDS && size > 0 && isdigit((unsigned char)*value)) f->at[kind] = strtoull(value, &end, 10);
            if (end != p + item)
                return ssa_fail(err, SSA_ERR_INPUT, "SSA_FAULT: \"%.*s\" is not alloc=N, launch=N, read=N, write=N, record=N, compile=N, hang=N, "
                                "lost=N, wrong=NAME or slow_compile=MS", (int)(item < 64 ? item : 64), p);
        }
        p += item + (p[item] == ',');
    }
    return SSA_OK;
}

ssa_status fault_plan(device *dev, const char *plan, ssa_error *err) {
    fault *f = fault_of(dev), planned = {.vt = f->vt, .inner = f->inner};
    SSA_TRY(parse(&planned, plan, err));
    free(f->variants);
    *f = planned;
    return SSA_OK;
}

ssa_status fault_wrap(device *dev, const char *plan, ssa_error *err) {
    fault *f = calloc(1, sizeof *f);
    if (!f) return ssa_fail(err, SSA_ERR_MEMORY, "out of memory for SSA_FAULT");
    f->inner = dev->vt;
    f->vt = *dev->vt;
    f->vt.alloc = fault_alloc;
    f->vt.write = fault_write;
    f->vt.read = fault_read;
    f->vt.kernel = fault_kernel;
    f->vt.run = fault_run;
    f->vt.record = fault_record;
    f->vt.replay = fault_replay;
    f->vt.recorded_free = fault_recorded_free;
    f->vt.wait = fault_wait;
    f->vt.destroy = fault_destroy;
    dev->vt = &f->vt;
    ssa_status s = fault_plan(dev, plan, err);
    if (s) { /* the caller still has the device it gave */
        dev->vt = f->inner;
        free(f);
    }
    return s;
}
