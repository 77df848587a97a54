/* CLBlast, found at run time: f32 matrix products. Only its C functions are used; their types are written out here, so that
 * its header is not needed to build. */
#include "ocl.h"
#include <dlfcn.h>
#include <stdlib.h>

#define SHAPE   int layout, int trans_a, int trans_b, size_t m, size_t n, size_t k
#define MATRICES                                                                                                          \
    float alpha, cl_mem a, size_t a_offset, size_t a_ld, cl_mem b, size_t b_offset, size_t b_ld, float beta, cl_mem c,     \
        size_t c_offset, size_t c_ld
enum { ROW_MAJOR = 101, TRANS_NO = 111, TRANS_YES = 112 };

struct ocl_clblast {
    void *library;
    int (*sgemm)(SHAPE, MATRICES, cl_command_queue *queue, cl_event *event);
    int (*strided)(SHAPE, float alpha, cl_mem a, size_t a_offset, size_t a_ld, size_t a_stride, cl_mem b, size_t b_offset, size_t b_ld,
                   size_t b_stride, float beta, cl_mem c,
                   size_t c_offset, size_t c_ld, size_t c_stride, size_t batch, cl_command_queue *queue, cl_event *event);
    int (*with_space)(SHAPE, MATRICES, cl_command_queue *queue, cl_event *event, cl_mem space); /* both or neither */
    int (*space_bytes)(SHAPE, size_t a_offset, size_t a_ld, size_t b_offset, size_t b_ld, size_t c_offset, size_t c_ld, cl_command_queue *queue,
                       size_t *bytes);
    int (*clear)(void);
    cl_mem space;       /* grows in prepare; the queue is in order, so all products share it */
    size_t space_size;
    bool   used;
};

static ocl_clblast *open_library(void) {
    static const char *const names[] = {"libclblast.so.1", "libclblast.so"};
    ocl_clblast *b = calloc(1, sizeof *b);
    if (!b) return NULL;
    for (size_t i = 0; i < sizeof names / sizeof *names && !b->library; i++) b->library = dlopen(names[i], RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    if (b->library) {
        *(void **)&b->sgemm = dlsym(b->library, "CLBlastSgemm");
        *(void **)&b->strided = dlsym(b->library, "CLBlastSgemmStridedBatched");
        *(void **)&b->with_space = dlsym(b->library, "CLBlastSgemmWithTempBuffer");
        *(void **)&b->space_bytes = dlsym(b->library, "CLBlastSGemmTempBufferSize");
        *(void **)&b->clear = dlsym(b->library, "CLBlastClearCache");
        if (b->sgemm && b->strided && b->clear) return b;
        dlclose(b->library);
    }
    free(b);
    return NULL;
}

/* CLBlast's cache of programs holds on to our context: it is emptied, which other devices of the process only notice by a
 * recompilation. */
void ocl_clblast_close(ocl_device *d) {
    ocl_clblast *b = d->clblast;
    if (!b) return;
    if (b->used) b->clear();
    if (b->space) d->cl.clReleaseMemObject(b->space);
    dlclose(b->library);
    free(b);
    d->clblast = NULL;
}

typedef struct { int ta, tb; size_t m, n, k, a_ld, b_ld, c_ld; } shape;

static shape shape_of(const dev_gemm *g) {
    shape s = {g->trans_a ? TRANS_YES : TRANS_NO, g->trans_b ? TRANS_YES : TRANS_NO, (size_t)g->M, (size_t)g->N, (size_t)g->K, 0, 0, (size_t)g->N};
    s.a_ld = g->trans_a ? s.m : s.k;
    s.b_ld = g->trans_b ? s.k : s.n;
    return s;
}

static size_t space_for(ocl_device *d, ocl_clblast *b, const shape *s, size_t a_offset, size_t b_offset, size_t c_offset) {
    size_t bytes = 0;
    if (!b->with_space || !b->space_bytes) return 0;
    return b->space_bytes(ROW_MAJOR, s->ta, s->tb, s->m, s->n, s->k, a_offset, s->a_ld, b_offset, s->b_ld, c_offset, s->c_ld, &d->queue,
                          &bytes) ? 0 : bytes;
}

/* The workspace is the device's, not lowering's: CLBlast's functions take no offset into it. Offsets of 1 stand for the worst
 * case, in which CLBlast copies all three matrices. */
static bool make_space(ocl_device *d, const dev_gemm *g) {
    ocl_clblast *b = d->clblast;
    shape  s = shape_of(g);
    size_t bytes = g->batch == 1 ? space_for(d, b, &s, 1, 1, 1) : 0;
    cl_int code;
    if (bytes <= b->space_size) return true;
    if (bytes > d->base.limits.max_buffer) return false;
    cl_mem grown = d->cl.clCreateBuffer(d->context, CL_MEM_READ_WRITE, bytes, NULL, &code);
    if (!grown) return false;
    if (d->cl.clEnqueueMigrateMemObjects(d->queue, 1, &grown, CL_MIGRATE_MEM_OBJECT_CONTENT_UNDEFINED, 0, NULL, NULL)) {
        d->cl.clReleaseMemObject(grown);
        return false;
    }
    if (b->space) d->cl.clReleaseMemObject(b->space);
    b->space = grown;
    b->space_size = bytes;
    return true;
}

bool ocl_gemm_can(device *dev, const dev_gemm *g, uint64_t *workspace) {
    ocl_device *d = (ocl_device *)dev;
    *workspace = 0; /* the device keeps it, see make_space */
    if (!d->clblast_sought) d->clblast = open_library();
    d->clblast_sought = true;
    return d->clblast && !d->lost.status && g->M && g->N && g->K && g->batch && make_space(d, g);
}

cl_int ocl_clblast_run(ocl_device *d, const dev_gemm *g, const dev_binding *bind, cl_event *event) {
    ocl_clblast *b = d->clblast;
    shape  s = shape_of(g);
    size_t first[3];
    cl_mem mem[3];
    float  beta = g->accumulate ? 1.0f : 0.0f;
    for (int i = 0; i < 3; i++) {
        first[i] = (size_t)(bind[i].offset / sizeof(float));
        mem[i] = bind[i].buffer->mem;
    }
    b->used = true;
    if (g->batch != 1)
        return b->strided(ROW_MAJOR, s.ta, s.tb, s.m, s.n, s.k, 1.0f, mem[0], first[0], s.a_ld, s.m * s.k, mem[1], first[1], s.b_ld, s.k * s.n, beta,
                          mem[2], first[2], s.c_ld, s.m * s.n, (size_t)g->batch, &d->queue, event);
    size_t bytes = space_for(d, b, &s, first[0], first[1], first[2]);
    if (bytes && bytes <= b->space_size)
        return b->with_space(ROW_MAJOR, s.ta, s.tb, s.m, s.n, s.k, 1.0f, mem[0], first[0], s.a_ld, mem[1], first[1], s.b_ld, beta, mem[2], first[2],
                             s.c_ld, &d->queue, event, b->space);
    return b->sgemm(ROW_MAJOR, s.ta, s.tb, s.m, s.n, s.k, 1.0f, mem[0], first[0], s.a_ld, mem[1], first[1], s.b_ld, beta, mem[2], first[2], s.c_ld,
                    &d->queue, event);
}
