# SPDX-License-Identifier: Apache-2.0
# The optional parts of lorma, a target each: lorma::<component> is lorma::lorma with it. Nobody gets
# one unasked. Their options are AUTO (where it is found), ON (an error where it is not) or OFF.
set(LORMA_WITH_BLAS AUTO CACHE STRING "A BLAS under Eigen: AUTO, ON or OFF")
set(LORMA_WITH_OPENMP AUTO CACHE STRING "Threads by OpenMP: AUTO, ON or OFF")
set(LORMA_WITH_LAPACKE AUTO CACHE STRING "LAPACKE for dense decompositions: AUTO, ON or OFF")
set(LORMA_WITH_FFTW OFF CACHE STRING "FFTW (GPL) as the engine of Spectral: AUTO, ON or OFF")
set(LORMA_WITH_SAFETENSORS AUTO CACHE STRING "lorma/io (needs nlohmann/json): AUTO, ON or OFF")
set(LORMA_WITH_PATTERNS AUTO CACHE STRING "lorma/patterns (needs PCRE2): AUTO, ON or OFF")
set(LORMA_WITH_MODEL AUTO CACHE STRING
    "lorma/model, adapters and checkpoints (needs safetensors and patterns): AUTO, ON or OFF")
set(LORMA_WITH_CUDA OFF CACHE STRING "The backend CuBlas (needs nvcc): AUTO, ON or OFF")
set(LORMA_WITH_TORCH OFF CACHE STRING "lorma/torch, the bridge to libtorch: AUTO, ON or OFF")
set(LORMA_COMPONENTS "")

# lorma_look_for(component option what): sets LORMA_FOUND_<component> as the option wants it, and says so.
macro(lorma_look_for component option what)
  if(NOT "${${option}}" MATCHES "^(AUTO|ON|OFF)$")
    message(FATAL_ERROR "lorma: ${option} is \"${${option}}\", expected AUTO, ON or OFF")
  endif()
  set(LORMA_FOUND_${component} OFF)
  if(NOT ${option} STREQUAL "OFF")
    cmake_language(CALL lorma_find_${component})
    if(LORMA_FOUND_${component})
      message(STATUS "lorma: ${what}")
    elseif(${option} STREQUAL "ON")
      message(FATAL_ERROR "lorma: ${option}=ON, but it was not found (${what})")
    else()
      message(STATUS "lorma: without ${what}")
    endif()
  endif()
endmacro()

# lorma_component(name [library...]): the target lorma::<name> over lorma::lorma and the libraries.
function(lorma_component name)
  add_library(lorma_${name} INTERFACE)
  add_library(lorma::${name} ALIAS lorma_${name})
  set_target_properties(lorma_${name} PROPERTIES EXPORT_NAME ${name})
  target_link_libraries(lorma_${name} INTERFACE lorma ${ARGN})
  set(LORMA_COMPONENTS ${LORMA_COMPONENTS} ${name} PARENT_SCOPE)
endfunction()

lorma_look_for(blas LORMA_WITH_BLAS "a BLAS under Eigen")
if(LORMA_FOUND_blas)
  lorma_component(blas BLAS::BLAS)
  target_compile_definitions(lorma_blas INTERFACE EIGEN_USE_BLAS)
  message(STATUS "lorma: the BLAS is ${BLAS_LIBRARIES}")
endif()

lorma_look_for(openmp LORMA_WITH_OPENMP "threads by OpenMP")
if(LORMA_FOUND_openmp)
  lorma_component(openmp OpenMP::OpenMP_CXX)
endif()

lorma_look_for(lapacke LORMA_WITH_LAPACKE "LAPACKE for dense decompositions")
if(LORMA_FOUND_lapacke)
  lorma_component(lapacke lorma::lapacke_files)
  target_compile_definitions(lorma_lapacke INTERFACE LORMA_WITH_LAPACKE)
endif()

lorma_look_for(fftw LORMA_WITH_FFTW "FFTW (GPL) as the engine of Spectral")
if(LORMA_FOUND_fftw)
  lorma_component(fftw lorma::fftw_files)
  target_compile_definitions(lorma_fftw INTERFACE LORMA_WITH_FFTW)
endif()

lorma_look_for(safetensors LORMA_WITH_SAFETENSORS "lorma/io, safetensors (nlohmann/json)")
if(LORMA_FOUND_safetensors)
  lorma_component(safetensors nlohmann_json::nlohmann_json)
endif()

lorma_look_for(patterns LORMA_WITH_PATTERNS "lorma/patterns, regular expressions (PCRE2)")
if(LORMA_FOUND_patterns)
  lorma_component(patterns lorma::patterns_files)
endif()

lorma_look_for(model LORMA_WITH_MODEL "lorma/model, adapters and checkpoints (safetensors, patterns)")
if(LORMA_FOUND_model)
  if(NOT TARGET lorma_safetensors OR NOT TARGET lorma_patterns)
    message(FATAL_ERROR "lorma: lorma/model needs LORMA_WITH_SAFETENSORS and LORMA_WITH_PATTERNS")
  endif()
  lorma_component(model lorma_safetensors lorma_patterns Threads::Threads)
endif()

lorma_look_for(torch LORMA_WITH_TORCH "lorma/torch, the bridge to libtorch")
if(LORMA_FOUND_torch)
  lorma_component(torch lorma::torch_files OpenMP::OpenMP_CXX)
endif()

# Languages are enabled in the scope of a directory, hence a file that is included.
lorma_look_for(cublas LORMA_WITH_CUDA "the backend CuBlas (CUDA, nvcc)")
if(LORMA_FOUND_cublas)
  include(cmake/LormaCuda.cmake)
endif()
