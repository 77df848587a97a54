# Vulkan is found at run time through volk (header and source in one package); only its headers are needed here.
find_path(SSA_VOLK_INCLUDE volk.h REQUIRED)
find_path(SSA_SHADERC_INCLUDE shaderc/shaderc.h REQUIRED)
target_include_directories(ssa_objects SYSTEM PRIVATE ${SSA_VOLK_INCLUDE} ${SSA_SHADERC_INCLUDE})

# shaderc: a shared one is looked for at run time (host/shader/compile.c). A static one, where one links AND runs, is the
# fall-back inside the library: Debian 12's shared one lacks symbols, and its plain static one crashes.
include(CheckCSourceRuns)
set(shaderc_probe "
#include <shaderc/shaderc.h>
int main(void) {
  char text[] = \"#version 450 layout(local_size_x = 1) in; void main() {}\";
  text[12] = 10; /* a line's end; written as an escape it would be one already in the file that CMake makes of this */
  shaderc_compiler_t c = shaderc_compiler_initialize();
  shaderc_compilation_result_t r = shaderc_compile_into_spv(c, text, sizeof text - 1, shaderc_glsl_compute_shader, \"a\", \"main\", 0);
  return shaderc_result_get_compilation_status(r) != shaderc_compilation_status_success;
}")
set(shaderc_whole -lshaderc_combined -lstdc++ -lm)
set(shaderc_parts -lshaderc_combined -lglslang -lMachineIndependent -lGenericCodeGen -lOSDependent -lOGLCompiler -lHLSL -lSPIRV
  -lSPIRV-Tools-opt -lSPIRV-Tools -lstdc++ -lm)
set(SHADERC_LIBRARIES)
if(NOT CMAKE_CROSSCOMPILING)
  set(CMAKE_REQUIRED_INCLUDES ${SSA_SHADERC_INCLUDE})
  foreach(way whole parts)
    if(NOT SHADERC_LIBRARIES)
      set(CMAKE_REQUIRED_LIBRARIES ${shaderc_${way}} Threads::Threads)
      check_c_source_runs("${shaderc_probe}" SSA_SHADERC_${way})
      if(SSA_SHADERC_${way})
        set(SHADERC_LIBRARIES ${shaderc_${way}})
      endif()
    endif()
  endforeach()
  unset(CMAKE_REQUIRED_INCLUDES)
  unset(CMAKE_REQUIRED_LIBRARIES)
endif()
if(SHADERC_LIBRARIES)
  pkg_check_modules(SSA_SHADERC_PC QUIET shaderc) # its version is part of the SPIR-V cache's key
  target_compile_definitions(ssa_objects PRIVATE SSA_SHADERC_STATIC="${SSA_SHADERC_PC_VERSION}")
  target_link_libraries(ssa_objects PUBLIC ${SHADERC_LIBRARIES})
else()
  message(STATUS "No static shaderc links here: Vulkan kernels need a shared libshaderc at run time")
endif()
