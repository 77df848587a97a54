# The tests: Check suites, one executable for each tests/test_*.c, run by ctest once or once for each lane.
#
# A lane is a driver that the machine has: an environment that picks it, and a label (`ctest -L lavapipe`). What is not here is skipped and
# seen: an entry lane.NAME for a driver that is missing, status 77 of a test, lines "skipped: ..." of its parts; tools/test counts them.
pkg_check_modules(CHECK REQUIRED IMPORTED_TARGET check)

# The conformance machinery, which the `ssa` command links too.
file(GLOB VERIFY_SOURCES CONFIGURE_DEPENDS tools/verify/*.c)
add_library(ssa_test_verify OBJECT ${VERIFY_SOURCES})
target_include_directories(ssa_test_verify PUBLIC tools core/include)
target_link_libraries(ssa_test_verify PUBLIC ssa_flags)

# A compiler that hangs is named before the test's own timeout ends it (SSA_COMPILE_SECONDS).

# SSA_TEST_SLOW marks drivers on which whole models take minutes: tests keep to what is short there, unless SSA_TEST_FULL is set.
# name of the lane -> LANE_name: its environment. Lanes exist where their driver's file does.
function(ssa_absent name what)
  add_test(NAME ${name} COMMAND ${CMAKE_COMMAND} -E echo "skipped: ${what} is not here")
  set_tests_properties(${name} PROPERTIES SKIP_REGULAR_EXPRESSION "^skipped: ")
endfunction()
function(ssa_lane name file)
  if(EXISTS "${file}")
    set(LANE_${name} ${ARGN} PARENT_SCOPE)
  else()
    ssa_absent(lane.${name} "the driver ${name}")
  endif()
endfunction()
file(GLOB LAVAPIPE /usr/share/vulkan/icd.d/lvp_icd*.json)
list(APPEND LAVAPIPE absent)
list(GET LAVAPIPE 0 LAVAPIPE)
set(SWIFTSHADER /usr/lib/chromium/vk_swiftshader_icd.json)
# Not under the sanitizers: synchronization validation 1.3.239 leaks its own command buffers' state.
if(SSA_SANITIZE)
elseif(EXISTS /usr/share/vulkan/explicit_layer.d/VkLayer_khronos_validation.json)
  set(VALIDATE SSA_TEST_VALIDATE=1)
else()
  ssa_absent(lane.validation "Vulkan's validation layer")
endif()
# VK_ICD_FILENAMES is what loaders before 1.3.207 read.
ssa_lane(lavapipe ${LAVAPIPE} SSA_TEST_DEVICE=vulkan VK_DRIVER_FILES=${LAVAPIPE} VK_ICD_FILENAMES=${LAVAPIPE} ${VALIDATE})
ssa_lane(swiftshader ${SWIFTSHADER} SSA_TEST_DEVICE=vulkan VK_DRIVER_FILES=${SWIFTSHADER} VK_ICD_FILENAMES=${SWIFTSHADER} SSA_TEST_SLOW=1)
ssa_lane(pocl /etc/OpenCL/vendors/pocl.icd SSA_TEST_DEVICE=opencl OCL_ICD_VENDORS=/etc/OpenCL/vendors/pocl.icd)
ssa_lane(rusticl /etc/OpenCL/vendors/rusticl.icd SSA_TEST_DEVICE=opencl OCL_ICD_VENDORS=/etc/OpenCL/vendors/rusticl.icd RUSTICL_ENABLE=llvmpipe SSA_TEST_SLOW=1)
set(LANE_cpu SSA_TEST_DEVICE=cpu) # always there

# ssa_test(NAME COMMAND... [LANES lane...] [ENV variable=value...] [TIMEOUT seconds])
# One ctest entry NAME, or NAME.lane for each of the lanes that exist here. COMMAND may name a target.
function(ssa_test name)
  cmake_parse_arguments(T "" "TIMEOUT" "LANES;ENV" ${ARGN})
  if(NOT T_TIMEOUT)
    set(T_TIMEOUT 600)
  endif()
  if(NOT T_LANES)
    set(T_LANES none)
  endif()
  foreach(lane IN LISTS T_LANES)
    if(lane STREQUAL none)
      set(test ${name})
    elseif(DEFINED LANE_${lane})
      set(test ${name}.${lane})
    else()
      continue()
    endif()
    add_test(NAME ${test} COMMAND ${T_UNPARSED_ARGUMENTS} WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
    set_tests_properties(${test} PROPERTIES SKIP_RETURN_CODE 77 TIMEOUT ${T_TIMEOUT} LABELS ${lane}
      ENVIRONMENT "SSA_CACHE_DIR=${CMAKE_BINARY_DIR}/test_cache;SSA_COMPILE_SECONDS=200;${LANE_${lane}};${T_ENV}")
  endforeach()
endfunction()

# What runs where; a file that is not listed runs once, without a lane.
set(TEST_ops_LANES cpu lavapipe swiftshader pocl rusticl)
set(TEST_properties_LANES cpu lavapipe swiftshader pocl rusticl)
set(TEST_formulas_LANES cpu lavapipe swiftshader pocl rusticl)
set(TEST_device_vulkan_LANES lavapipe swiftshader)
set(TEST_device_opencl_LANES pocl rusticl)
set(TEST_golden_LANES cpu lavapipe swiftshader pocl rusticl)
set(TEST_near_ties_LANES cpu lavapipe pocl)
set(TEST_attention_LANES cpu lavapipe pocl)
set(TEST_train_LANES cpu lavapipe pocl) # the slow drivers: by hand, SSA_TEST_DEVICE and the environment of a lane
set(TEST_finite_LANES cpu lavapipe pocl)
set(TEST_loop_LANES cpu lavapipe pocl)
set(TEST_fault_LANES lavapipe pocl)
set(TEST_ops_TIMEOUT 1800)

file(GLOB TEST_SOURCES CONFIGURE_DEPENDS tests/test_*.c)
foreach(source IN LISTS TEST_SOURCES)
  get_filename_component(target ${source} NAME_WE)
  string(REPLACE test_ "" name ${target})
  add_executable(${target} ${source} ${KEEP_LOADED})
  target_link_libraries(${target} PRIVATE ssa_test_verify ssa_inside PkgConfig::CHECK)
  ssa_test(${name} ${target} LANES ${TEST_${name}_LANES} TIMEOUT ${TEST_${name}_TIMEOUT})
endforeach()

# The fuzz targets' corpora, replayed (tests/fuzz/run.sh looks for new inputs).
file(GLOB FUZZ_SOURCES CONFIGURE_DEPENDS tests/fuzz/fuzz_*.c)
foreach(source IN LISTS FUZZ_SOURCES)
  get_filename_component(target ${source} NAME_WE)
  string(REPLACE fuzz_ "" name ${target})
  add_executable(replay_${name} ${source} tests/fuzz/replay.c)
  target_link_libraries(replay_${name} PRIVATE ssa_inside)
  ssa_test(fuzz.${name} replay_${name} tests/fuzz/corpus/${name} TIMEOUT 120)
endforeach()

# Every kernel variant through AMD's compiler, without AMD's hardware (RADV's null device); spills are failures.
file(GLOB RADV /usr/share/vulkan/icd.d/radeon_icd*.json)
list(APPEND RADV absent)
list(GET RADV 0 RADV)
if(NOT EXISTS "${RADV}")
  ssa_absent(compile.radv "RADV, AMD's compiler,")
  set(RADV_FAMILIES)
else()
  set(RADV_FAMILIES vega10 navi21 gfx1100)
endif()
foreach(family IN LISTS RADV_FAMILIES)
  ssa_test(compile.radv_${family} $<TARGET_FILE:ssa_command> verify compile --quiet --exceptions tools/lab_exceptions TIMEOUT 1200
    ENV RADV_FORCE_FAMILY=${family} VK_DRIVER_FILES=${RADV} VK_ICD_FILENAMES=${RADV} XDG_RUNTIME_DIR=${CMAKE_BINARY_DIR})
endforeach()

# Every OpenCL kernel through Intel's and AMD's compilers, one card each; SSA_TEST_ALL=1 tests/compile_opencl.sh takes all seven.
set_target_properties(list_variants PROPERTIES EXCLUDE_FROM_ALL OFF)
ssa_test(compile_opencl ${CMAKE_SOURCE_DIR}/tests/compile_opencl.sh $<TARGET_FILE:list_variants> TIMEOUT 3000)

# Comments, bindings, parameters and shared memory of every kernel and its twin agree.
ssa_test(contracts ${CMAKE_SOURCE_DIR}/tests/contracts.sh $<TARGET_FILE:list_variants>)

# What documents name is there; includes keep to who may call whom.
ssa_test(documents ${CMAKE_SOURCE_DIR}/tests/documents.sh $<TARGET_FILE:ssa_command>)

# The command, as a user meets it.
ssa_test(cli ${CMAKE_SOURCE_DIR}/tests/cli.sh $<TARGET_FILE:ssa_command>)
ssa_test(files ${CMAKE_SOURCE_DIR}/tests/files.sh $<TARGET_FILE:ssa_command>)
ssa_test(data ${CMAKE_SOURCE_DIR}/tests/data.sh $<TARGET_FILE:ssa_command>)
ssa_test(eval ${CMAKE_SOURCE_DIR}/tests/eval.sh $<TARGET_FILE:ssa_command>)
ssa_test(run ${CMAKE_SOURCE_DIR}/tests/run.sh $<TARGET_FILE:ssa_command>)
ssa_test(options ${CMAKE_SOURCE_DIR}/tests/options.sh $<TARGET_FILE:ssa_command>)
ssa_test(told ${CMAKE_SOURCE_DIR}/tests/told.sh $<TARGET_FILE:ssa_command>)
ssa_test(output ${CMAKE_SOURCE_DIR}/tests/output.sh $<TARGET_FILE:ssa_command>)
ssa_test(lost ${CMAKE_SOURCE_DIR}/tests/lost.sh $<TARGET_FILE:ssa_command>)
ssa_test(verify ${CMAKE_SOURCE_DIR}/tests/verify.sh $<TARGET_FILE:ssa_command>)
ssa_test(wrong ${CMAKE_SOURCE_DIR}/tests/wrong.sh $<TARGET_FILE:ssa_command>)
ssa_test(planted ${CMAKE_SOURCE_DIR}/tests/planted.sh $<TARGET_FILE:ssa_command>)

# Libraries and drivers that fail, and the threads.
foreach(kind crash hang)
  add_library(driver_${kind} MODULE tests/drivers/${kind}.c)
endforeach()
ssa_test(libraries ${CMAKE_SOURCE_DIR}/tests/libraries.sh $<TARGET_FILE:ssa_command> $<TARGET_FILE:driver_crash> $<TARGET_FILE:driver_hang>)
ssa_test(globals ${CMAKE_SOURCE_DIR}/tests/globals.sh $<TARGET_FILE:ssa_inside>)
