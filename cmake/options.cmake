# What a builder may choose. A project that adds corodump as a subdirectory gets the agent alone.

option(CORODUMP_BUILD_TESTS "Build the tests" ${PROJECT_IS_TOP_LEVEL})
option(CORODUMP_BUILD_BENCH "Build the benchmarks" ${PROJECT_IS_TOP_LEVEL})
option(CORODUMP_BUILD_FUZZ "Build the fuzz targets, with clang's libFuzzer (see the preset fuzz)" OFF)
option(CORODUMP_BUILD_CLI "Build the corodump command" ${PROJECT_IS_TOP_LEVEL})
option(CORODUMP_BUILD_EXAMPLES "Build docs/examples" ${PROJECT_IS_TOP_LEVEL})
option(CORODUMP_WITH_ASIO "Provide corodump::asio, and test it" ON)
option(CORODUMP_WITH_SPDLOG "Log through spdlog; without it the agent writes its lines itself" ON)
option(CORODUMP_WERROR "Treat compiler warnings in corodump's own code as errors" OFF)
# A second compiler or sanitizer need not repeat all each time; empty: all, as `./dev test --all` has it.
set(CORODUMP_TEST_ROOMS "" CACHE STRING "Rooms whose unit tests are built; empty: all")
set(CORODUMP_TEST_INTEGRATION "" CACHE STRING
    "Integration tests that are built, a regular expression of their names; empty: all")
set(CORODUMP_TEST_CHAOS "" CACHE STRING "The same for tests/chaos")
set(CORODUMP_HOST_OPTIONS "" CACHE STRING
    "Compiler options for the integration tests alone, as a service might use them: -O0;-fno-rtti")

if(PROJECT_IS_TOP_LEVEL AND NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
    set(CMAKE_BUILD_TYPE RelWithDebInfo CACHE STRING "" FORCE)
endif()
