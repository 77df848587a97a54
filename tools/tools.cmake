# The `ssa` command: one file a subcommand; it uses the public API only.
file(GLOB TOOL_SOURCES CONFIGURE_DEPENDS tools/*.c tools/verify/*.c)
add_executable(ssa_command ${TOOL_SOURCES} ${KEEP_LOADED})
set_target_properties(ssa_command PROPERTIES OUTPUT_NAME ssa INSTALL_RPATH "$ORIGIN/../${CMAKE_INSTALL_LIBDIR}")
target_include_directories(ssa_command PRIVATE tools)
target_link_libraries(ssa_command PRIVATE ssa ssa_flags PkgConfig::CJSON m)
target_compile_definitions(ssa_command PRIVATE SSA_VERSION="${PROJECT_VERSION}")
install(TARGETS ssa_command)

# Prints the list of kernel variants for the lanes that compile them without a device (tests/compile_opencl.sh, tools/lab).
add_executable(list_variants EXCLUDE_FROM_ALL tests/list_variants.c)
target_link_libraries(list_variants PRIVATE ssa_inside)

# The man page and the completions of shells, made by the command from the tables it parses by.
set(SSA_HELP_FILES)
function(ssa_help form file folder)
  add_custom_command(OUTPUT ${CMAKE_BINARY_DIR}/help/${file} COMMAND ssa_command help --${form} > ${CMAKE_BINARY_DIR}/help/${file} DEPENDS ssa_command VERBATIM)
  set(SSA_HELP_FILES ${SSA_HELP_FILES} ${CMAKE_BINARY_DIR}/help/${file} PARENT_SCOPE)
  install(FILES ${CMAKE_BINARY_DIR}/help/${file} DESTINATION ${folder})
endfunction()
file(MAKE_DIRECTORY ${CMAKE_BINARY_DIR}/help)
ssa_help(man ssa.1 ${CMAKE_INSTALL_MANDIR}/man1)
ssa_help(bash ssa ${CMAKE_INSTALL_DATADIR}/bash-completion/completions)
ssa_help(zsh _ssa ${CMAKE_INSTALL_DATADIR}/zsh/site-functions)
ssa_help(fish ssa.fish ${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d)
add_custom_target(ssa_help ALL DEPENDS ${SSA_HELP_FILES})
