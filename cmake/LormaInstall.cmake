# SPDX-License-Identifier: Apache-2.0
# Headers and targets; with the package lorma for find_package and pkg-config, or, where LORMA_EXPORT
# names the export set of a parent, as part of the parent's package.
include(CMakePackageConfigHelpers)

install(TARGETS lorma EXPORT ${LORMA_EXPORT})
foreach(component IN LISTS LORMA_COMPONENTS)
  install(TARGETS lorma_${component} EXPORT ${LORMA_EXPORT})
endforeach()
if(TARGET lorma_cuda_kernels)
  install(TARGETS lorma_cuda_kernels EXPORT ${LORMA_EXPORT})
endif()
install(DIRECTORY include/lorma DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})

set(lorma_cmake_dir ${CMAKE_INSTALL_LIBDIR}/cmake/lorma)
install(FILES cmake/LormaFind.cmake DESTINATION ${lorma_cmake_dir})
if(LORMA_EXPORT STREQUAL "lormaTargets")
  install(EXPORT lormaTargets NAMESPACE lorma:: DESTINATION ${lorma_cmake_dir})
  configure_package_config_file(cmake/lormaConfig.cmake.in lormaConfig.cmake
                                INSTALL_DESTINATION ${lorma_cmake_dir})
  set(independent ARCH_INDEPENDENT)  # unless something was compiled
  if(TARGET lorma_cuda_kernels OR TARGET lorma_compiled)
    set(independent "")
  endif()
  write_basic_package_version_file(lormaConfigVersion.cmake COMPATIBILITY SameMinorVersion
                                   ${independent})
  install(FILES ${CMAKE_CURRENT_BINARY_DIR}/lormaConfig.cmake
                ${CMAKE_CURRENT_BINARY_DIR}/lormaConfigVersion.cmake DESTINATION ${lorma_cmake_dir})
  file(RELATIVE_PATH lorma_prefix_from_pc /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
  configure_file(cmake/lorma.pc.in lorma.pc @ONLY)
  install(FILES ${CMAKE_CURRENT_BINARY_DIR}/lorma.pc
          DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
endif()
