# The build rules that more than one folder shares.

find_package(Threads REQUIRED)

# What all code of this tree is compiled with, and nothing of a user's. Designated initializers leave
# members out on purpose. GCC 12 sees overlapping copies inside its own std::string (GCC bug 105651).
set(gcc_before_13 "$<AND:$<CXX_COMPILER_ID:GNU>,$<VERSION_LESS:$<CXX_COMPILER_VERSION>,13>>")
add_library(corodump_warnings INTERFACE)
target_compile_options(
    corodump_warnings
    INTERFACE -Wall -Wextra -Wconversion -Wshadow -Wno-missing-field-initializers
              $<${gcc_before_13}:-Wno-restrict>
              $<$<BOOL:${CORODUMP_WERROR}>:-Werror>)

# How the agent's own code is compiled, whatever the build type: it runs in production services, where
# a profiler follows its frame pointers. Only sanitizers choose for themselves.
add_library(corodump_agent_options INTERFACE)
target_compile_features(corodump_agent_options INTERFACE cxx_std_20)
target_compile_options(corodump_agent_options INTERFACE -fno-omit-frame-pointer)
if(NOT CMAKE_CXX_FLAGS MATCHES "-fsanitize")
    target_compile_options(corodump_agent_options INTERFACE -O2)
endif()
target_compile_definitions(corodump_agent_options INTERFACE CORODUMP_VERSION="${PROJECT_VERSION}")
target_include_directories(
    corodump_agent_options INTERFACE "${PROJECT_SOURCE_DIR}" "${PROJECT_SOURCE_DIR}/include")

# corodump_room(<name> SOURCES <file>... [LINKS <target>...])
#
# A room of agent/ as the OBJECT library corodump_<name>; a room of headers alone as an INTERFACE
# library. Which room may import which is not written here: tests/contract checks the includes.
function(corodump_room name)
    cmake_parse_arguments(PARSE_ARGV 1 room "" "" "SOURCES;LINKS")
    set(target corodump_${name})
    if(NOT room_SOURCES)
        add_library(${target} INTERFACE)
        target_link_libraries(${target} INTERFACE corodump_agent_options)
        return()
    endif()
    add_library(${target} OBJECT EXCLUDE_FROM_ALL ${room_SOURCES})
    set_target_properties(
        ${target} PROPERTIES POSITION_INDEPENDENT_CODE ON CXX_EXTENSIONS OFF
                             CXX_VISIBILITY_PRESET hidden VISIBILITY_INLINES_HIDDEN ON)
    target_link_libraries(
        ${target} PUBLIC corodump_agent_options PRIVATE corodump_warnings Threads::Threads
                                                        ${room_LINKS})
endfunction()
