# SPDX-License-Identifier: Apache-2.0
# What lorma stands on and how it is found, for our own build and for the installed package alike.
# lorma_find_<component>() looks and sets LORMA_FOUND_<component>; nothing here is an error.

# Eigen 3.4 or newer. The version is judged here: the file by which each Eigen judges requests accepts
# its own major version alone, so that asking for 3.4 would pass over the 5 that somebody points to.
macro(lorma_find_eigen)
  if(NOT TARGET Eigen3::Eigen)
    find_package(Eigen3 QUIET NO_MODULE)
  endif()
  set(LORMA_FOUND_eigen OFF)
  if(TARGET Eigen3::Eigen AND (NOT Eigen3_VERSION OR Eigen3_VERSION VERSION_GREATER_EQUAL 3.4))
    set(LORMA_FOUND_eigen ON)
  endif()
  set(lorma_eigen_wanted "lorma needs Eigen 3.4 or newer; found: ${Eigen3_VERSION} ${Eigen3_DIR}")
endmacro()

macro(lorma_find_blas)
  if(BLA_VENDOR)
    find_package(BLAS QUIET)
  else()
    foreach(vendor IN ITEMS Intel10_64lp OpenBLAS FLAME All)
      set(BLA_VENDOR ${vendor})
      find_package(BLAS QUIET)
      if(BLAS_FOUND)
        break()
      endif()
    endforeach()
    unset(BLA_VENDOR)
  endif()
  set(LORMA_FOUND_blas ${BLAS_FOUND})
endmacro()

macro(lorma_find_openmp)
  find_package(OpenMP QUIET COMPONENTS CXX)
  set(LORMA_FOUND_openmp ${OpenMP_CXX_FOUND})
endmacro()

# lorma_find_files(component header [SUFFIXES folder...] LIBRARIES name...): for what has no package
# of its own: lorma::<component>_files, imported, so that no path of this machine enters an exported
# target.
function(lorma_find_files component header)
  cmake_parse_arguments(PARSE_ARGV 2 arg "" "" "SUFFIXES;LIBRARIES")
  string(TOUPPER LORMA_${component} prefix)
  find_path(${prefix}_INCLUDE ${header} PATH_SUFFIXES ${arg_SUFFIXES})
  mark_as_advanced(${prefix}_INCLUDE)
  set(needed ${prefix}_INCLUDE)
  foreach(library IN LISTS arg_LIBRARIES)
    string(TOUPPER ${library} upper)
    find_library(${prefix}_LIBRARY_${upper} NAMES ${library})
    mark_as_advanced(${prefix}_LIBRARY_${upper})
    list(APPEND needed ${prefix}_LIBRARY_${upper})
    list(APPEND libraries ${${prefix}_LIBRARY_${upper}})
  endforeach()
  set(found ON)
  foreach(variable IN LISTS needed)
    if(NOT ${variable})
      set(found OFF)
    endif()
  endforeach()
  if(found AND NOT TARGET lorma::${component}_files)
    add_library(lorma::${component}_files INTERFACE IMPORTED)
    set_target_properties(lorma::${component}_files PROPERTIES
                          INTERFACE_INCLUDE_DIRECTORIES "${${prefix}_INCLUDE}"
                          INTERFACE_LINK_LIBRARIES "${libraries}")
  endif()
  set(LORMA_FOUND_${component} ${found} PARENT_SCOPE)
endfunction()

macro(lorma_find_lapacke)
  lorma_find_files(lapacke lapacke.h SUFFIXES lapacke openblas LIBRARIES lapacke)
endmacro()

macro(lorma_find_fftw)
  lorma_find_files(fftw fftw3.h LIBRARIES fftw3 fftw3f)
endmacro()

macro(lorma_find_safetensors)
  find_package(nlohmann_json 3.10 QUIET)
  set(LORMA_FOUND_safetensors ${nlohmann_json_FOUND})
endmacro()

macro(lorma_find_patterns)
  lorma_find_files(patterns pcre2.h LIBRARIES pcre2-8)
endmacro()

macro(lorma_find_model)
  lorma_find_safetensors()
  lorma_find_patterns()
  find_package(Threads QUIET)
  set(LORMA_FOUND_model OFF)
  if(LORMA_FOUND_safetensors AND LORMA_FOUND_patterns AND Threads_FOUND)
    set(LORMA_FOUND_model ON)
  endif()
endmacro()

# libtorch: Debian's, or with -DCMAKE_PREFIX_PATH=<site-packages>/torch the one inside a Python package.
# at::parallel_for is code of headers, which needs OpenMP's flag to be parallel.
macro(lorma_find_torch)
  lorma_find_openmp()
  lorma_find_files(torch ATen/Parallel.h LIBRARIES torch torch_cpu c10)
  if(LORMA_FOUND_torch AND LORMA_FOUND_openmp)
    set_property(TARGET lorma::torch_files APPEND PROPERTY INTERFACE_INCLUDE_DIRECTORIES
                 "${LORMA_TORCH_INCLUDE}/torch/csrc/api/include")
    # What libtorch with CUDA needs itself lies beside it, where the loader looks but no linker.
    set_property(TARGET lorma::torch_files APPEND PROPERTY INTERFACE_LINK_OPTIONS
                 "$<$<PLATFORM_ID:Linux>:LINKER:--allow-shlib-undefined>")
  else()
    set(LORMA_FOUND_torch OFF)
  endif()
endmacro()

# In our own build with the compiler of the kernels, which an installed package brings compiled.
macro(lorma_find_cublas)
  find_package(CUDAToolkit 12.5 QUIET)
  set(LORMA_FOUND_cublas ${CUDAToolkit_FOUND})
  if(CUDAToolkit_FOUND AND NOT TARGET lorma::cublas)
    include(CheckLanguage)
    if(NOT CMAKE_CUDA_COMPILER AND NOT DEFINED ENV{CUDACXX})
      set(CMAKE_CUDA_COMPILER "${CUDAToolkit_NVCC_EXECUTABLE}")
    endif()
    check_language(CUDA)
    if(NOT CMAKE_CUDA_COMPILER)
      set(LORMA_FOUND_cublas OFF)
    endif()
  endif()
endmacro()
