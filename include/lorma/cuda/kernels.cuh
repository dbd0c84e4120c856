// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_CUDA_KERNELS_CUH
#define LORMA_CUDA_KERNELS_CUH

/// Definitions of kernels.hpp, for exactly one translation unit of a program:
///   #include <lorma/cuda/kernels.cuh>          // in a file that nvcc compiles
/// The CMake target lorma::cublas brings it along.

#include <type_traits>

#include "lorma/cuda/circulants.cuh"
#include "lorma/cuda/elements.cuh"

extern "C" {

cudaError_t lorma_cuda_copy(cudaStream_t stream, double scale, LormaCudaMatrix from,
                            LormaCudaMatrix to) {
  using namespace lorma_cuda_kernels;
  return with_type(from, [&](auto in) {
    return with_type(to, [&](auto out) {
      using T = typename decltype(in)::Element;
      using U = typename decltype(out)::Element;
      const bool columns = out.row_stride == 1;
      const Copy<T, U> copy{static_cast<typename Compute<T>::type>(scale),
                            columns ? in : in.transposed(), columns ? out : out.transposed()};
      return run(stream, copy.to.box(), copy);
    });
  });
}

cudaError_t lorma_cuda_add(cudaStream_t stream, double scale, LormaCudaMatrix from,
                           LormaCudaMatrix to) {
  using namespace lorma_cuda_kernels;
  return with_type(from, [&](auto in) {
    return with_type(to, [&](auto out) {
      const bool columns = out.row_stride == 1;
      return add_elements(stream, scale, columns ? in : in.transposed(),
                          columns ? out : out.transposed());
    });
  });
}

cudaError_t lorma_cuda_fill(cudaStream_t stream, LormaCudaMatrix x, double value) {
  using namespace lorma_cuda_kernels;
  return with_type(x, [&](auto out) {
    const auto lines = out.along_lines();
    return run(stream, lines.box(), Fill<typename decltype(out)::Element>{lines, value});
  });
}

cudaError_t lorma_cuda_add_identity(cudaStream_t stream, LormaCudaMatrix x, double value) {
  using namespace lorma_cuda_kernels;
  return with_type(x, [&](auto out) {
    using T = typename decltype(out)::Element;
    return run(stream, {x.rows < x.cols ? x.rows : x.cols, 1, 1},
               AddIdentity<T>{out, static_cast<typename Compute<T>::type>(value)});
  });
}

cudaError_t lorma_cuda_rotate(cudaStream_t stream, int direction, LormaCudaMatrix from,
                              LormaCudaMatrix to) {
  using namespace lorma_cuda_kernels;
  if (from.type != to.type) return cudaErrorInvalidValue;
  return with_type(to, [&](auto out) {
    using T = typename decltype(out)::Element;
    const Elements<T> in{static_cast<T*>(from.data), from.rows, from.cols, from.row_stride,
                         from.col_stride};
    return run(stream, {to.cols, to.rows, 1}, Rotate<T>{direction, in, out});
  });
}

cudaError_t lorma_cuda_find_non_finite(cudaStream_t stream, LormaCudaMatrix x, int* flag) {
  using namespace lorma_cuda_kernels;
  return with_type(x, [&](auto in) {
    const auto lines = in.along_lines();
    return run(stream, lines.box(), FindNonFinite<typename decltype(in)::Element>{lines, flag});
  });
}

cudaError_t lorma_cuda_write_pointers(cudaStream_t stream, const void* const* pointers,
                                      long long count, const void** table) {
  using namespace lorma_cuda_kernels;
  for (Int done = 0; done < count; done += WritePointers::capacity) {
    WritePointers chunk{};
    const Int left = count - done;
    const Int size = left < WritePointers::capacity ? left : WritePointers::capacity;
    for (Int i = 0; i < size; ++i) chunk.pointers[i] = pointers[done + i];
    chunk.table = table + done;
    const cudaError_t status = run(stream, {size, 1, 1}, chunk);
    if (status != cudaSuccess) return status;
  }
  return cudaSuccess;
}

cudaError_t lorma_cuda_spread(cudaStream_t stream, LormaCudaCirculants s, LormaCudaMatrix B,
                              LormaCudaMatrix G, void* t) {
  using namespace lorma_cuda_kernels;
  return with_real(s, [&](auto zero) {
    using R = decltype(zero);
    return with_type(B, [&](auto b) {
      return with_type(G, [&](auto g) {
        using T = typename decltype(b)::Element;
        using U = typename decltype(g)::Element;
        return run(stream, {s.n, s.r, s.b}, Spread<R, T, U>{s, b, g, static_cast<R*>(t)});
      });
    });
  });
}

cudaError_t lorma_cuda_gather(cudaStream_t stream, LormaCudaCirculants s, double scale,
                              LormaCudaMatrix B, const void* u, LormaCudaMatrix H) {
  using namespace lorma_cuda_kernels;
  return with_real(s, [&](auto zero) {
    using R = decltype(zero);
    return with_type(B, [&](auto b) {
      return with_type(H, [&](auto h) {
        using T = typename decltype(b)::Element;
        using U = typename decltype(h)::Element;
        return run(stream, {s.n, s.b, 1},
                   Gather<R, T, U>{s, static_cast<R>(scale), b, static_cast<const R*>(u), h});
      });
    });
  });
}

cudaError_t lorma_cuda_correlate(cudaStream_t stream, LormaCudaCirculants s, const void* a,
                                 const void* y, void* z) {
  using namespace lorma_cuda_kernels;
  return with_real(s, [&](auto zero) {
    using C = Complex<decltype(zero)>;
    return run(stream, {s.m, s.r, s.b},
               Correlate<decltype(zero)>{s, static_cast<const C*>(a), static_cast<const C*>(y),
                                         static_cast<C*>(z)});
  });
}

cudaError_t lorma_cuda_convolve(cudaStream_t stream, LormaCudaCirculants s, const void* a,
                                const void* t, void* x) {
  using namespace lorma_cuda_kernels;
  return with_real(s, [&](auto zero) {
    using C = Complex<decltype(zero)>;
    return run(stream, {s.m, s.b, 1},
               Convolve<decltype(zero)>{s, static_cast<const C*>(a), static_cast<const C*>(t),
                                        static_cast<C*>(x)});
  });
}

cudaError_t lorma_cuda_gradient_A(cudaStream_t stream, LormaCudaCirculants s, const void* t,
                                  const void* y, void* dA) {
  using namespace lorma_cuda_kernels;
  return with_real(s, [&](auto zero) {
    using C = Complex<decltype(zero)>;
    return run(stream, {s.m, s.r, 1},
               GradientA<decltype(zero)>{s, static_cast<const C*>(t), static_cast<const C*>(y),
                                         static_cast<C*>(dA)});
  });
}

cudaError_t lorma_cuda_gradient_B(cudaStream_t stream, LormaCudaCirculants s, LormaCudaMatrix G,
                                  const void* u, void* dB) {
  using namespace lorma_cuda_kernels;
  return with_real(s, [&](auto zero) {
    using R = decltype(zero);
    return with_type(G, [&](auto g) {
      using U = typename decltype(g)::Element;
      return run(stream, {s.n, s.r, 1},
                 GradientB<R, U>{s, g, static_cast<const R*>(u), static_cast<R*>(dB)});
    });
  });
}

}  // extern "C"

#endif
