# The files of an installation, and the package that find_package(corodump) finds in it.
include(CMakePackageConfigHelpers)

set(package_dir "${CMAKE_INSTALL_LIBDIR}/cmake/corodump")
set(exported corodump_headers corodump_agent corodump_auto corodump_throws corodump_spdlog_adapter)
if(CORODUMP_WITH_ASIO)
    list(APPEND exported corodump_asio corodump_asio_standalone)
endif()

install(
    TARGETS ${exported}
    EXPORT corodump-targets
    LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}
            COMPONENT corodump-runtime
            NAMELINK_COMPONENT corodump-development
    ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR}
            COMPONENT corodump-development)
install(
    EXPORT corodump-targets
    NAMESPACE corodump::
    DESTINATION ${package_dir}
    COMPONENT corodump-development)
install(
    DIRECTORY include/corodump
    DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}
    COMPONENT corodump-development)

configure_package_config_file(
    cmake/corodump-config.cmake.in "${CMAKE_CURRENT_BINARY_DIR}/corodump-config.cmake"
    INSTALL_DESTINATION ${package_dir})
write_basic_package_version_file(
    "${CMAKE_CURRENT_BINARY_DIR}/corodump-config-version.cmake" COMPATIBILITY SameMinorVersion)
install(
    FILES "${CMAKE_CURRENT_BINARY_DIR}/corodump-config.cmake"
          "${CMAKE_CURRENT_BINARY_DIR}/corodump-config-version.cmake"
    DESTINATION ${package_dir}
    COMPONENT corodump-development)

if(CORODUMP_BUILD_CLI)
    install(TARGETS corodump RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR}
                                     COMPONENT corodump-command)
    file(GLOB manual_pages CONFIGURE_DEPENDS packaging/man/*.1)
    install(FILES ${manual_pages} DESTINATION ${CMAKE_INSTALL_MANDIR}/man1
                                  COMPONENT corodump-command)
    install(FILES docs/corodump.schema.json DESTINATION ${CMAKE_INSTALL_DATADIR}/corodump
                                            COMPONENT corodump-command)
    install(FILES README.md CHANGELOG.md DESTINATION ${CMAKE_INSTALL_DOCDIR}
                                         COMPONENT corodump-command)
    # In a folder of their own, as here, so that the links between the pages hold.
    install(DIRECTORY docs DESTINATION ${CMAKE_INSTALL_DOCDIR} COMPONENT corodump-command
            FILES_MATCHING PATTERN "*.md" PATTERN examples EXCLUDE)
endif()
