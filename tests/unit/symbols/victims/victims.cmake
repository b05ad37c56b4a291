# The unwinder's victims: one source, compiled by each compiler that is here with each set of flags.
# Custom commands, since a build has one compiler for C++; never instrumented by sanitizers.

find_program(CORODUMP_GNU_CXX NAMES g++)
find_program(CORODUMP_CLANG_CXX NAMES clang++-19 clang++)
mark_as_advanced(CORODUMP_GNU_CXX CORODUMP_CLANG_CXX)

set(victims_dir "${CMAKE_CURRENT_BINARY_DIR}/victims")
set(victims_source "${CMAKE_CURRENT_LIST_DIR}/unwind_victims.cpp")
set(victim_objects)
set(victim_list "")

# corodump_victims(<name> <compiler> <flag>...)
function(corodump_victims name compiler)
    if(NOT compiler)
        return()
    endif()
    set(object "${victims_dir}/${name}.o")
    add_custom_command(
        OUTPUT "${object}"
        COMMAND "${compiler}" -std=c++20 -g -fPIE -Wall -Wextra ${ARGN} "-I${PROJECT_SOURCE_DIR}"
                "-I${victims_dir}" -DCORODUMP_VICTIMS=${name} -MD -MF "${object}.d" -c
                "${victims_source}" -o "${object}"
        DEPENDS "${victims_source}"
        DEPFILE "${object}.d"
        COMMENT "Compiling the unwinder's victims ${name}"
        VERBATIM)
    set(victim_objects ${victim_objects} "${object}" PARENT_SCOPE)
    set(victim_list "${victim_list}CORODUMP_VICTIM_SET(${name})\n" PARENT_SCOPE)
endfunction()

set(keep_frame -fno-omit-frame-pointer)
set(omit_frame -fomit-frame-pointer)
corodump_victims(gnu_O0 "${CORODUMP_GNU_CXX}" -O0)
corodump_victims(gnu_O0_no_frame "${CORODUMP_GNU_CXX}" -O0 ${omit_frame})
corodump_victims(gnu_O2 "${CORODUMP_GNU_CXX}" -O2 ${omit_frame})
corodump_victims(gnu_O2_frame "${CORODUMP_GNU_CXX}" -O2 ${keep_frame})
corodump_victims(gnu_O3_frame "${CORODUMP_GNU_CXX}" -O3 ${keep_frame} -fstack-clash-protection
                 -fcf-protection -fstack-protector-strong)
corodump_victims(gnu_Os "${CORODUMP_GNU_CXX}" -Os ${keep_frame})
corodump_victims(clang_O0 "${CORODUMP_CLANG_CXX}" -O0)
corodump_victims(clang_O0_no_frame "${CORODUMP_CLANG_CXX}" -O0 ${omit_frame})
corodump_victims(clang_O2 "${CORODUMP_CLANG_CXX}" -O2 ${omit_frame})
corodump_victims(clang_O2_frame "${CORODUMP_CLANG_CXX}" -O2 ${keep_frame})
corodump_victims(clang_Os "${CORODUMP_CLANG_CXX}" -Os ${keep_frame} -fstack-clash-protection)
file(GENERATE OUTPUT "${victims_dir}/victim_sets.inc" CONTENT "${victim_list}")

if(TARGET unit_symbols)
    target_sources(unit_symbols PRIVATE ${victim_objects})
    target_include_directories(unit_symbols PRIVATE "${victims_dir}")
    target_link_libraries(unit_symbols PRIVATE ${CMAKE_DL_LIBS})
endif()
