# The `ssa` command: one file a subcommand; it uses the public API only.
file(GLOB TOOL_SOURCES CONFIGURE_DEPENDS tools/*.c tools/verify/*.c)
add_executable(ssa_command ${TOOL_SOURCES})
set_target_properties(ssa_command PROPERTIES OUTPUT_NAME ssa INSTALL_RPATH "$ORIGIN/../${CMAKE_INSTALL_LIBDIR}")
target_include_directories(ssa_command PRIVATE tools)
target_link_libraries(ssa_command PRIVATE ssa ssa_flags PkgConfig::CJSON m)
install(TARGETS ssa_command)

# Prints the list of kernel variants for the lanes that compile them without a device (tests/compile_opencl.sh, tools/lab).
add_executable(list_variants EXCLUDE_FROM_ALL tests/list_variants.c)
target_link_libraries(list_variants PRIVATE ssa_inside)
