/* GLSL kernels -> SPIR-V at run time, through shaderc, with a cache on disk (cache.h).
 *
 * The compiler is a shared libshaderc found at run time, or else the one linked into this library. SSA_SHADERC=PATH forces a
 * shared one, SSA_SHADERC=static the one inside. SSA_SHADERC_OPT=0 switches spirv-opt off, as does a kernel that says
 * "#pragma optimize(off)". A kernel that says "#pragma target(vulkan1.3)" is compiled to SPIR-V 1.6, all others to 1.3. */
#ifndef SSA_COMPILE_H
#define SSA_COMPILE_H

#include "ssa/status.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct spirv { uint32_t *words; size_t bytes; } spirv; /* words: the caller's to free */

/* Compiles shaders/KERNEL.comp, or `text` in its place where it is not NULL, with ACT and ACT2 defined. vulkan13: the device takes
 * SPIR-V 1.6.
 * SSA_ERR_UNSUPPORTED: there is no such kernel, no compiler, or the compiler or device is too old for it. */
ssa_status shader_compile(const char *kernel, const char *text, int act, int act2, bool vulkan13, spirv *out, ssa_error *err);

/* Which compiler it is, as in "libshaderc.so.1" or "shaderc 2023.2 (static)"; NULL and a reason if there is none. */
const char *shader_compiler(const char **reason);

#endif
