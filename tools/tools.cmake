# The `ssa` command: one file a subcommand; it uses the public API only.
file(GLOB TOOL_SOURCES CONFIGURE_DEPENDS tools/*.c tools/verify/*.c)
add_executable(ssa_command ${TOOL_SOURCES})
set_target_properties(ssa_command PROPERTIES OUTPUT_NAME ssa INSTALL_RPATH "$ORIGIN/../${CMAKE_INSTALL_LIBDIR}")
target_include_directories(ssa_command PRIVATE tools)
target_link_libraries(ssa_command PRIVATE ssa ssa_flags PkgConfig::CJSON m)
install(TARGETS ssa_command)
