# SPDX-License-Identifier: Apache-2.0
# lorma::cublas: the backend CuBlas with its libraries, and lorma's kernels compiled by nvcc.

if(NOT DEFINED CMAKE_CUDA_ARCHITECTURES)
  # Instructions for the cards that the toolkit knows, and the intermediate code that drivers of
  # all others translate. A card of its own costs 2 s; the preset `test` pins fewer.
  set(CMAKE_CUDA_ARCHITECTURES "75-virtual")
  execute_process(COMMAND ${CMAKE_CUDA_COMPILER} --list-gpu-code OUTPUT_VARIABLE lorma_known_cards)
  foreach(lorma_card IN ITEMS 80 86 89 90 100 120)
    if(lorma_known_cards MATCHES "sm_${lorma_card}\n")
      list(APPEND CMAKE_CUDA_ARCHITECTURES "${lorma_card}-real")
    endif()
  endforeach()
endif()
enable_language(CUDA)
set(lorma_kernels ${PROJECT_BINARY_DIR}/lorma_cuda_kernels.cu)
file(CONFIGURE OUTPUT ${lorma_kernels} CONTENT "#include \"lorma/cuda/kernels.cuh\"\n" @ONLY)
add_library(lorma_cuda_kernels STATIC ${lorma_kernels})
set_target_properties(lorma_cuda_kernels PROPERTIES EXPORT_NAME cuda_kernels
                      POSITION_INDEPENDENT_CODE ON CUDA_STANDARD 17)
target_include_directories(lorma_cuda_kernels PRIVATE ${PROJECT_SOURCE_DIR}/include)
target_link_libraries(lorma_cuda_kernels PUBLIC CUDA::cudart)

lorma_component(cublas lorma_cuda_kernels CUDA::cudart CUDA::cublas CUDA::cufft)
