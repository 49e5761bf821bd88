# Compiler settings and the two functions that every folder uses.
set(CMAKE_CXX_STANDARD 23)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)

find_package(Threads REQUIRED)
find_package(PkgConfig REQUIRED)
pkg_check_modules(ISAL REQUIRED IMPORTED_TARGET libisal)
pkg_check_modules(URING REQUIRED IMPORTED_TARGET liburing>=2.3)

option(PENSTOCK_DCHECK "DCHECK is on" OFF)
set(PENSTOCK_SANITIZE "" CACHE STRING "value of -fsanitize=, empty for none")

find_program(CCACHE ccache)
if(CCACHE)
  # Paths below the source folder count as relative, so that two clones share what was compiled.
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CMAKE_COMMAND} -E env CCACHE_BASEDIR=${PROJECT_SOURCE_DIR} CCACHE_NOHASHDIR=1
      ${CCACHE})
endif()

add_library(penstock_flags INTERFACE)
target_include_directories(penstock_flags INTERFACE ${PROJECT_SOURCE_DIR})
target_compile_options(penstock_flags INTERFACE -Wall -Wextra -Wpedantic -Wshadow -Werror -fno-omit-frame-pointer
  -Wno-missing-field-initializers  # a designated initialiser names what differs from the default
  # GCC 12 reports these for correct code of its own library in optimised builds.
  $<$<CXX_COMPILER_ID:GNU>:-Wno-error=restrict -Wno-error=array-bounds>
  $<$<CXX_COMPILER_ID:GNU>:-Wno-error=stringop-overflow -Wno-error=maybe-uninitialized -Wno-error=uninitialized>)
if(PENSTOCK_DCHECK)
  target_compile_definitions(penstock_flags INTERFACE PENSTOCK_DCHECK=1)
endif()
if(PENSTOCK_SANITIZE)
  # vptr needs type information, and control calls Disks of the layers that have none. And instrumented code makes GCC
  # see uninitialised reads inside std::optional and std::variant that are none.
  target_compile_options(penstock_flags INTERFACE
    -fsanitize=${PENSTOCK_SANITIZE} -fno-sanitize=vptr -fno-sanitize-recover=all
    $<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized>)
  target_link_options(penstock_flags INTERFACE -fsanitize=${PENSTOCK_SANITIZE} -fno-sanitize-recover=all)
  if(PENSTOCK_SANITIZE MATCHES address AND CMAKE_CXX_COMPILER_ID STREQUAL GNU)
    target_link_libraries(penstock_flags INTERFACE penstock_sanitized_memory)
    target_link_options(penstock_flags INTERFACE LINKER:--wrap=memmove)
  endif()
  # Only what is never shipped: the tests are some 80 large programs, and linking them is work too.
  find_program(MOLD mold)
  if(MOLD)
    target_link_options(penstock_flags INTERFACE $<$<CXX_COMPILER_ID:GNU>:-fuse-ld=mold>)
  endif()
endif()

# The layers below control promise neither to throw nor to need type information.
add_library(penstock_strict INTERFACE)
target_link_libraries(penstock_strict INTERFACE penstock_flags)
target_compile_options(penstock_strict INTERFACE -fno-exceptions -fno-rtti)

# penstock_layer(NAME [LAX] SOURCES a.cc ... LINKS lib ...): static library penstock_NAME of one layer.
# LAX is control's: it may use libraries that throw.
function(penstock_layer name)
  cmake_parse_arguments(ARG "LAX" "" "SOURCES;LINKS;PRIVATE_LINKS" ${ARGN})
  add_library(penstock_${name} STATIC ${ARG_SOURCES})
  target_link_libraries(penstock_${name} PUBLIC penstock_flags ${ARG_LINKS} PRIVATE ${ARG_PRIVATE_LINKS})
  if(NOT ARG_LAX)
    target_link_libraries(penstock_${name} PRIVATE penstock_strict)
  endif()
endfunction()

# What is shipped, and what proves it: the program, the benchmarks, the programs of the compat tests. The release build
# needs no more; unit tests belong to the builds that check themselves.
add_custom_target(shipped)

# penstock_test(NAME [LAX] [TIMEOUT s] [LABEL l] SOURCES a_test.cc ... LINKS lib ...): a GoogleTest binary NAME, each of
# its cases a ctest case. Label sim: scripts/dev sim SEED runs it. What may take longest begins first (COST), so that no
# core is idle at the end.
function(penstock_test name)
  cmake_parse_arguments(ARG "LAX" "TIMEOUT;LABEL" "SOURCES;LINKS" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE penstock_flags ${ARG_LINKS} GTest::gtest GTest::gtest_main Threads::Threads)
  if(NOT ARG_LAX)
    target_link_libraries(${name} PRIVATE penstock_strict)
  endif()
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 300)
  endif()
  if(NOT ARG_LABEL)
    set(ARG_LABEL unit)
  endif()
  if(ARG_LABEL STREQUAL compat)
    add_dependencies(shipped ${name})
  elseif(ARG_LABEL STREQUAL unit)
    # A unit test's own code runs once: optimising it costs more than it gives. What it tests is built as ever.
    target_compile_options(${name} PRIVATE $<$<CONFIG:Debug>:-O0>)
  endif()
  gtest_discover_tests(${name} DISCOVERY_TIMEOUT 60 NO_PRETTY_VALUES
    PROPERTIES TIMEOUT ${ARG_TIMEOUT} COST ${ARG_TIMEOUT} LABELS ${ARG_LABEL})
endfunction()

# penstock_check(NAME [TIMEOUT s] [LABEL l] COMMAND program args ...): a test that is a program of its own and passes by
# ending with 0. Label compat: needs the program itself, so it runs against the release build only.
function(penstock_check name)
  cmake_parse_arguments(ARG "" "TIMEOUT;LABEL" "COMMAND" ${ARGN})
  add_test(NAME ${name} COMMAND ${ARG_COMMAND} WORKING_DIRECTORY ${PROJECT_SOURCE_DIR})
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 300)
  endif()
  if(NOT ARG_LABEL)
    set(ARG_LABEL house)
  endif()
  set_tests_properties(${name} PROPERTIES TIMEOUT ${ARG_TIMEOUT} COST ${ARG_TIMEOUT} LABELS ${ARG_LABEL})
endfunction()

# penstock_bench(NAME SOURCES a_bench.cc ... LINKS lib ...): a Google Benchmark binary; runs tiny as a test, so that it
# cannot rot.
function(penstock_bench name)
  cmake_parse_arguments(ARG "" "" "SOURCES;LINKS" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE penstock_strict ${ARG_LINKS} benchmark::benchmark benchmark::benchmark_main)
  add_dependencies(shipped ${name})
  add_test(NAME bench.${name} COMMAND ${name} --benchmark_min_time=0.001)
  set_tests_properties(bench.${name} PROPERTIES TIMEOUT 120 LABELS bench)
endfunction()
