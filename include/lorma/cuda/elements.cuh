// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_CUDA_ELEMENTS_CUH
#define LORMA_CUDA_ELEMENTS_CUH

/// Elements of every type, and what is done to them one by one.

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <type_traits>

#include "lorma/cuda/kernels.hpp"
#include "lorma/cuda/launch.cuh"

namespace lorma_cuda_kernels {

template <typename T>
struct Compute {
  using type = float;
};
template <>
struct Compute<double> {
  using type = double;
};

LORMA_CUDA_CALLABLE inline float read(float x) {
  return x;
}
LORMA_CUDA_CALLABLE inline double read(double x) {
  return x;
}
LORMA_CUDA_CALLABLE inline float read(__half x) {
  return __half2float(x);
}
LORMA_CUDA_CALLABLE inline float read(__nv_bfloat16 x) {
  return __bfloat162float(x);
}

LORMA_CUDA_CALLABLE inline void write(float& to, double x) {
  to = static_cast<float>(x);
}
LORMA_CUDA_CALLABLE inline void write(float& to, float x) {
  to = x;
}
LORMA_CUDA_CALLABLE inline void write(double& to, double x) {
  to = x;
}
LORMA_CUDA_CALLABLE inline void write(double& to, float x) {
  to = static_cast<double>(x);
}
LORMA_CUDA_CALLABLE inline void write(__half& to, float x) {
  to = __float2half_rn(x);
}
LORMA_CUDA_CALLABLE inline void write(__half& to, double x) {
  to = __double2half(x);
}
LORMA_CUDA_CALLABLE inline void write(__nv_bfloat16& to, float x) {
  to = __float2bfloat16_rn(x);
}
LORMA_CUDA_CALLABLE inline void write(__nv_bfloat16& to, double x) {
  to = __double2bfloat16(x);
}

/// A LormaCudaMatrix whose type is known.
template <typename T>
struct Elements {
  using Element = T;
  T* data;
  Int rows, cols, row_stride, col_stride;
  LORMA_CUDA_CALLABLE T& at(Int i, Int j) const { return data[i * row_stride + j * col_stride]; }
  /// The same elements with unit stride along the rows' index where either order has it: neighbours
  /// in a warp are then neighbours in memory.
  Elements along_lines() const { return row_stride == 1 ? *this : transposed(); }
  Elements transposed() const { return {data, cols, rows, col_stride, row_stride}; }
  Box box() const { return {rows, cols, 1}; }
};

template <typename F>
cudaError_t with_type(const LormaCudaMatrix& x, F f) {
  const auto elements = [&x](auto* data) {
    return Elements<std::remove_pointer_t<decltype(data)>>{data, x.rows, x.cols, x.row_stride,
                                                           x.col_stride};
  };
  switch (x.type) {
    case LORMA_CUDA_FLOAT:
      return f(elements(static_cast<float*>(x.data)));
    case LORMA_CUDA_DOUBLE:
      return f(elements(static_cast<double*>(x.data)));
    case LORMA_CUDA_HALF:
      return f(elements(static_cast<__half*>(x.data)));
    case LORMA_CUDA_BFLOAT16:
      return f(elements(static_cast<__nv_bfloat16*>(x.data)));
  }
  return cudaErrorInvalidValue;
}

template <typename T, typename U>
struct Copy {
  typename Compute<T>::type scale;
  Elements<T> from;
  Elements<U> to;
  LORMA_CUDA_CALLABLE void operator()(Int i, Int j, Int) const {
    write(to.at(i, j), scale * read(from.at(i, j)));
  }
};

template <typename T, typename U>
struct Add {
  typename Compute<U>::type scale;
  Elements<T> from;
  Elements<U> to;
  LORMA_CUDA_CALLABLE void operator()(Int i, Int j, Int) const {
    write(to.at(i, j), read(to.at(i, j)) + scale * read(from.at(i, j)));
  }
};

template <typename T, typename U>
cudaError_t add_elements(cudaStream_t stream, double scale, Elements<T> from, Elements<U> to) {
  using C = typename Compute<U>::type;
  if constexpr (std::is_same<T, U>::value || std::is_same<T, C>::value) {
    return run(stream, to.box(), Add<T, U>{static_cast<C>(scale), from, to});
  } else {
    return cudaErrorInvalidValue;
  }
}

template <typename T>
struct Fill {
  Elements<T> x;
  double value;
  LORMA_CUDA_CALLABLE void operator()(Int i, Int j, Int) const { write(x.at(i, j), value); }
};

template <typename T>
struct AddIdentity {
  Elements<T> x;
  typename Compute<T>::type value;
  LORMA_CUDA_CALLABLE void operator()(Int i, Int, Int) const {
    write(x.at(i, i), read(x.at(i, i)) + value);
  }
};

/// Both row-major or both column-major would leave one side strided; rows are what is turned, so
/// the index that runs fastest is the column.
template <typename T>
struct Rotate {
  int direction;
  Elements<T> from;
  Elements<T> to;
  LORMA_CUDA_CALLABLE void operator()(Int j, Int i, Int) const {
    Int source = direction > 0 ? j - i : j + i;
    if (source < 0) source += to.cols;
    if (source >= to.cols) source -= to.cols;
    to.at(i, j) = from.at(i, source);
  }
};

template <typename T>
struct FindNonFinite {
  Elements<T> x;
  int* flag;
  LORMA_CUDA_CALLABLE void operator()(Int i, Int j, Int) const {
    const auto value = read(x.at(i, j));
    if (!(value - value == 0)) *flag = 1;  // several threads may write the same 1
  }
};

/// Pointers as arguments of a kernel, which the launch copies: no memory of the host has to live
/// until the kernel runs.
struct WritePointers {
  static constexpr Int capacity = 128;
  const void* pointers[capacity];
  const void** table;
  LORMA_CUDA_CALLABLE void operator()(Int i, Int, Int) const { table[i] = pointers[i]; }
};

}  // namespace lorma_cuda_kernels

#endif
