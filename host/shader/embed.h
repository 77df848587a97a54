/* Kernel sources embedded at build time (embed.cmake); each list ends with a null name. The environment variable
 * SSA_KERNEL_DIR, a folder with shaders/ and opencl/, takes precedence over them while kernels are being written. */
#ifndef SSA_EMBED_H
#define SSA_EMBED_H

#include <stdbool.h>

typedef struct embedded_source { const char *name, *text; } embedded_source;
extern const embedded_source ssa_shader_sources[], ssa_opencl_sources[];

/* The text of a kernel file, or NULL. A text read from SSA_KERNEL_DIR is kept until the process ends. folder: "shaders" or "opencl". */
const char *kernel_source(const embedded_source *list, const char *folder, const char *name);

/* SSA_LANES=reversed: kernels are compiled with LANES_REVERSED, so that LANE counts a workgroup's invocations from its end. A right
 * kernel gives the same bits. A driver that runs them one after the other, as those for CPUs do, hides a barrier that is missing
 * behind a write of low lanes for others to read; counted from the end it shows that one. */
bool kernel_lanes_reversed(void);

#endif
