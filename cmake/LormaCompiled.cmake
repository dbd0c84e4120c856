# SPDX-License-Identifier: Apache-2.0
# lorma::compiled: the standard adapters and the decompositions compiled once, lorma::compiled_io, files,
# and lorma::compiled_model, adapters and checkpoints, for programs that would rather link than compile
# them. Their code is that of lorma::lorma with the components that were found (a BLAS, OpenMP, ...), so
# whoever links them gets those as well; a program with other ones fails to link (LORMA_ABI).

# lorma_compile(name macro folder [library...]): src/<folder>*.cpp as lorma::<name>.
function(lorma_compile name macro folder)
  file(GLOB sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/src/${folder}*.cpp)
  add_library(lorma_${name} STATIC ${sources})
  add_library(lorma::${name} ALIAS lorma_${name})
  # These have most of what they instantiate in common.
  foreach(source IN LISTS sources)
    if(source MATCHES "/(adapter|operators)_[a-z_]*\\.cpp$")
      set_source_files_properties(${source} PROPERTIES UNITY_GROUP adapters)
    elseif(source MATCHES "/analysis_[a-z_]*\\.cpp$")
      set_source_files_properties(${source} PROPERTIES UNITY_GROUP analysis)
    endif()
  endforeach()
  set_target_properties(lorma_${name} PROPERTIES UNITY_BUILD ${LORMA_TOGETHER} UNITY_BUILD_MODE GROUP)
  set_target_properties(lorma_${name} PROPERTIES EXPORT_NAME ${name} POSITION_INDEPENDENT_CODE ON)
  target_compile_definitions(lorma_${name} PUBLIC ${macro})
  target_link_libraries(lorma_${name} PUBLIC ${ARGN} PRIVATE $<BUILD_INTERFACE:lorma_program_options>)
  foreach(component IN LISTS LORMA_CODE_COMPONENTS)
    target_link_libraries(lorma_${name} PUBLIC lorma_${component})
  endforeach()
  set(LORMA_COMPONENTS ${LORMA_COMPONENTS} ${name} PARENT_SCOPE)
endfunction()

# Decompositions cost more where they run without optimization than it takes to compile.
if(NOT LORMA_SANITIZE)
  set_source_files_properties(${PROJECT_SOURCE_DIR}/src/decompositions.cpp
                              PROPERTIES COMPILE_OPTIONS $<$<CONFIG:Debug>:-O1>)
endif()
lorma_compile(compiled LORMA_COMPILED "" lorma)
if(TARGET lorma_safetensors)
  lorma_compile(compiled_io LORMA_COMPILED_IO io/ lorma_compiled lorma_safetensors)
endif()
if(TARGET lorma_model)
  lorma_compile(compiled_model LORMA_COMPILED_MODEL model/ lorma_compiled_io lorma_model)
endif()
