# SPDX-License-Identifier: Apache-2.0
# Translation units with flags that change code have different namespaces: LORMA_ABI, preprocessed
# under every set of flags below that the compiler takes, is an identifier and never the same twice.
cmake_policy(VERSION 3.25)

# tag(<variable> <flag>...): LORMA_ABI under the flags; empty where the compiler refuses them.
file(WRITE ${WORK_DIR}/abi.cpp "#include <lorma/core/config.hpp>\nTAG LORMA_ABI\n")
function(tag variable)
  execute_process(COMMAND ${COMPILER} -std=c++20 -E -P -I${INCLUDE_DIR} -isystem ${EIGEN_DIR} ${ARGN}
                          ${WORK_DIR}/abi.cpp
                  RESULT_VARIABLE result OUTPUT_VARIABLE output ERROR_QUIET)
  string(REGEX MATCH "TAG ([^\n]*)" line "${output}")
  set(${variable} "${CMAKE_MATCH_1}" PARENT_SCOPE)
  if(NOT result EQUAL 0)
    set(${variable} "" PARENT_SCOPE)
  endif()
endfunction()

tag(plain)
if(NOT plain MATCHES "^[a-z][a-z0-9_]*$")
  message(FATAL_ERROR "LORMA_ABI is no identifier: \"${plain}\"")
endif()

set(seen "${plain}")
foreach(flags IN ITEMS
    -msse4.2 -mavx "-mavx -mf16c" -mavx2 "-mavx2 -mfma" "-mavx2 -mfma -mbmi2" "-mavx512f -mfma"
    "-mavx512dq -mfma" "-mavx512bw -mfma" "-mavx512vl -mfma" "-mavx512bf16 -mfma -mavx512dq"
    "-mavx512fp16 -mfma" -fopenmp -DEIGEN_USE_BLAS -DLORMA_WITH_LAPACKE
    "-DEIGEN_USE_BLAS -DLORMA_WITH_LAPACKE" -DLORMA_WITH_FFTW -DLORMA_NO_GNU_VECTORS
    -DEIGEN_DONT_VECTORIZE -DEIGEN_DEFAULT_TO_ROW_MAJOR -DEIGEN_MAX_ALIGN_BYTES=128
    -DEIGEN_MAX_STATIC_ALIGN_BYTES=0 -D_GLIBCXX_DEBUG -ffast-math -ffinite-math-only
    "-DLORMA_VERSION_HPP -DLORMA_VERSION_MAJOR=9 -DLORMA_VERSION_MINOR=1 -DLORMA_VERSION_PATCH=0")
  separate_arguments(list NATIVE_COMMAND "${flags}")
  tag(name ${list})
  if(name STREQUAL "")
    message(STATUS "not taken by the compiler: ${flags}")
  elseif(name IN_LIST seen)
    message(FATAL_ERROR "${flags} changes code but not the namespace: ${name}")
  endif()
  list(APPEND seen "${name}")
endforeach()

# A macro may be defined in a file, as nothing, or on the command line, as 1.
tag(nothing -DEIGEN_USE_BLAS=)
tag(one -DEIGEN_USE_BLAS=1)
tag(checked -DNDEBUG)
if(NOT nothing STREQUAL one OR NOT checked STREQUAL plain)
  message(FATAL_ERROR "the same code under different names: ${nothing} ${one}, ${checked} ${plain}")
endif()
