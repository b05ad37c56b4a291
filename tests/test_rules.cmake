# How the tests of unit/ and integration/ are built and named.

set(CORODUMP_TEST_PROGRAMS_DIR "${CMAKE_CURRENT_BINARY_DIR}/programs")

add_library(corodump_test_options INTERFACE)
target_compile_features(corodump_test_options INTERFACE cxx_std_20)
target_include_directories(
    corodump_test_options INTERFACE "${PROJECT_SOURCE_DIR}" "${PROJECT_SOURCE_DIR}/include")
target_link_libraries(corodump_test_options INTERFACE corodump_warnings Threads::Threads)

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
