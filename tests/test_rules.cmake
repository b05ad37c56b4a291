# How the tests of unit/ and integration/ are built and named.

set(CORODUMP_TEST_PROGRAMS_DIR "${CMAKE_CURRENT_BINARY_DIR}/programs")

add_library(corodump_test_options INTERFACE)
target_compile_features(corodump_test_options INTERFACE cxx_std_20)
target_include_directories(
    corodump_test_options INTERFACE "${PROJECT_SOURCE_DIR}" "${PROJECT_SOURCE_DIR}/include")
target_link_libraries(corodump_test_options INTERFACE corodump_warnings Threads::Threads)

# What tests themselves do is quickly done; optimising it under a sanitizer takes minutes. The agent
# is optimised as ever.
set(CORODUMP_TEST_OPTIMIZATION)
if(CMAKE_CXX_FLAGS MATCHES "-fsanitize")
    set(CORODUMP_TEST_OPTIMIZATION -O0)
endif()

# Where a test finds what it runs or reads.
add_library(corodump_test_paths INTERFACE)
target_compile_definitions(
    corodump_test_paths
    INTERFACE CORODUMP_TEST_PROGRAMS_DIR="${CORODUMP_TEST_PROGRAMS_DIR}"
              CORODUMP_SCHEMA="${PROJECT_SOURCE_DIR}/docs/corodump.schema.json"
              CORODUMP_SCHEMA_VALIDATOR="${PROJECT_SOURCE_DIR}/tests/golden/validate_schema.py"
              CORODUMP_PYTHON="${CORODUMP_PYTHON}"
              CORODUMP_SOURCE_DIR="${PROJECT_SOURCE_DIR}"
              $<$<TARGET_EXISTS:corodump>:CORODUMP_CLI="$<TARGET_FILE:corodump>">)

# corodump_discover(<target> <label> <timeout in seconds> [property value]...)
function(corodump_discover target label timeout)
    gtest_discover_tests(
        ${target}
        TEST_PREFIX "${target}."
        DISCOVERY_MODE PRE_TEST
        DISCOVERY_TIMEOUT 60
        PROPERTIES LABELS ${label} TIMEOUT ${timeout} ${ARGN})
endfunction()

# Asio 1.22 knows coroutines of GCC's and of older clangs' only.
function(corodump_asio_options target tier)
    if(tier MATCHES "standalone")
        target_compile_definitions(${target} PRIVATE ASIO_HAS_CO_AWAIT=1 ASIO_HAS_STD_COROUTINE=1)
    endif()
endfunction()

# corodump_precompile(<target> <tier>): the target begins with tests/precompiled.hpp as the tier, a
# target of include/, compiles it.
#
# target_precompile_headers names its header after the options of linked targets; but auto.hpp comes
# first in what links corodump::auto, and a precompiled header must be a file's first. So it is made by
# an object library whose object is the precompiled header, and named in an option of the target's own.
function(corodump_precompile target tier)
    set(maker precompiled_${tier})
    set(header "${CMAKE_BINARY_DIR}/tests/${maker}/precompiled.hpp")
    if(NOT TARGET ${maker})
        set(asio_includes)
        if(tier MATCHES "asio")
            set(asio "boost/asio")
            if(tier MATCHES "standalone")
                set(asio "asio")
            endif()
            string(CONCAT asio_includes "#include <${asio}.hpp>\n"
                          "#include <${asio}/experimental/awaitable_operators.hpp>")
        endif()
        configure_file("${PROJECT_SOURCE_DIR}/tests/precompiled.hpp.in" "${header}" @ONLY)
        file(CONFIGURE OUTPUT "${header}.cpp" CONTENT "#include \"${header}\"\n" @ONLY)
        add_library(${maker} OBJECT "${header}.cpp")
        target_link_libraries(
            ${maker} PRIVATE corodump_test_options ${tier} nlohmann_json::nlohmann_json
                             GTest::gtest)
        corodump_asio_options(${maker} ${tier})
        target_compile_options(${maker} PRIVATE -x c++-header ${CORODUMP_TEST_OPTIMIZATION})
        if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
            set(compiled "${header}.gch")
        else()
            set(compiled "${header}.pch")
        endif()
        add_custom_command(
            OUTPUT "${compiled}"
            COMMAND "${CMAKE_COMMAND}" -E copy $<TARGET_OBJECTS:${maker}> "${compiled}"
            DEPENDS $<TARGET_OBJECTS:${maker}>
            VERBATIM)
        add_custom_target(${maker}_file DEPENDS "${compiled}")
        set_target_properties(${maker} PROPERTIES CORODUMP_PRECOMPILED "${compiled}")
    endif()
    add_dependencies(${target} ${maker}_file)
    get_target_property(compiled ${maker} CORODUMP_PRECOMPILED)
    get_target_property(sources ${target} SOURCES)
    set_property(
        SOURCE ${sources}
        TARGET_DIRECTORY ${target}
        APPEND
        PROPERTY OBJECT_DEPENDS "${compiled}")
    target_compile_options(${target} BEFORE PRIVATE "SHELL:-include \"${header}\"")
    # g++ forgets the headers' own `#pragma GCC diagnostic` where templates come from such a file; a
    # source's options come last.
    if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
        set_property(
            SOURCE ${sources}
            TARGET_DIRECTORY ${target}
            APPEND
            PROPERTY COMPILE_OPTIONS -Wno-invalid-offsetof -Wno-shadow)
    endif()
endfunction()
