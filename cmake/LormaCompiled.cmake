# SPDX-License-Identifier: Apache-2.0
# lorma::compiled: the standard adapters and the decompositions compiled once, for programs that would
# rather link than compile them. Its code is that of lorma::lorma with the components that were found
# (a BLAS, OpenMP, ...), so whoever links it gets those as well; a program with other ones fails to link
# (LORMA_ABI).
file(GLOB lorma_compiled_sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/src/*.cpp)
add_library(lorma_compiled STATIC ${lorma_compiled_sources})
add_library(lorma::compiled ALIAS lorma_compiled)
set_target_properties(lorma_compiled PROPERTIES EXPORT_NAME compiled POSITION_INDEPENDENT_CODE ON)
target_compile_definitions(lorma_compiled PUBLIC LORMA_COMPILED)
target_link_libraries(lorma_compiled PUBLIC lorma
                                     PRIVATE $<BUILD_INTERFACE:lorma_program_options>)
foreach(component IN LISTS LORMA_CODE_COMPONENTS)
  target_link_libraries(lorma_compiled PUBLIC lorma_${component})
endforeach()
list(APPEND LORMA_COMPONENTS compiled)
