# The OpenCL device needs Khronos' headers to build (opencl-headers) and nothing to link: the ICD loader and CLBlast are
# found at run time. Without the headers absent.c stands in and says so.
find_path(SSA_OPENCL_INCLUDE CL/cl.h)
file(GLOB SSA_OPENCL_FILES ${CMAKE_SOURCE_DIR}/opencl/*.c)
set(SSA_OPENCL_ABSENT ${CMAKE_SOURCE_DIR}/opencl/absent.c)
if(SSA_OPENCL_INCLUDE)
  target_include_directories(ssa_objects SYSTEM PRIVATE ${SSA_OPENCL_INCLUDE})
  set_source_files_properties(${SSA_OPENCL_ABSENT} PROPERTIES HEADER_FILE_ONLY TRUE)
else()
  message(STATUS "CL/cl.h not found (Debian: opencl-headers): built without OpenCL")
  list(REMOVE_ITEM SSA_OPENCL_FILES ${SSA_OPENCL_ABSENT})
  set_source_files_properties(${SSA_OPENCL_FILES} PROPERTIES HEADER_FILE_ONLY TRUE)
endif()
