// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_CUDA_KERNELS_CUH
#define LORMA_CUDA_KERNELS_CUH

/// Definitions of kernels.hpp, for exactly one translation unit of a program:
///   #include <lorma/cuda/kernels.cuh>          // in a file that nvcc compiles
/// The CMake target lorma::cublas brings it along. Every kernel is a function of one index, so that
/// a host compiler can run the same functions in a loop (the tests do).

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <type_traits>

#include "lorma/cuda/kernels.hpp"

#ifdef __CUDACC__
#define LORMA_CUDA_CALLABLE __host__ __device__
#else
#include <cmath>
#define LORMA_CUDA_CALLABLE
#endif

namespace lorma_cuda_kernels {

using Int = long long;

#ifdef __CUDACC__
template <typename F>
__global__ void over_indices(Int count, F f) {
  const Int step = static_cast<Int>(gridDim.x) * blockDim.x;
  for (Int i = static_cast<Int>(blockIdx.x) * blockDim.x + threadIdx.x; i < count; i += step) f(i);
}
template <typename F>
cudaError_t run(cudaStream_t stream, Int count, F f) {
  if (count <= 0) return cudaSuccess;
  constexpr Int threads = 256;
  const Int blocks = (count + threads - 1) / threads;
  const auto grid = static_cast<unsigned>(blocks < (Int(1) << 20) ? blocks : (Int(1) << 20));
  over_indices<<<grid, static_cast<unsigned>(threads), 0, stream>>>(count, f);
  return cudaGetLastError();
}
#else
template <typename F>
cudaError_t run(cudaStream_t, Int count, F f) {
  for (Int i = 0; i < count; ++i) f(i);
  return cudaSuccess;
}
#endif

// ------------------------------------------------------------------------------- elements
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
  T* data;
  Int rows, cols, row_stride, col_stride;
  LORMA_CUDA_CALLABLE T& at(Int i, Int j) const { return data[i * row_stride + j * col_stride]; }
  /// Elements numbered along the stored lines, so that neighbours in a warp are neighbours in
  /// memory.
  LORMA_CUDA_CALLABLE T& stored(Int index) const {
    if (row_stride == 1) return at(index % rows, index / rows);
    return at(index / cols, index % cols);
  }
};

template <typename F>
cudaError_t with_type(const LormaCudaMatrix& x, F f) {
  switch (x.type) {
    case LORMA_CUDA_FLOAT:
      return f(
          Elements<float>{static_cast<float*>(x.data), x.rows, x.cols, x.row_stride, x.col_stride});
    case LORMA_CUDA_DOUBLE:
      return f(Elements<double>{static_cast<double*>(x.data), x.rows, x.cols, x.row_stride,
                                x.col_stride});
    case LORMA_CUDA_HALF:
      return f(Elements<__half>{static_cast<__half*>(x.data), x.rows, x.cols, x.row_stride,
                                x.col_stride});
    case LORMA_CUDA_BFLOAT16:
      return f(Elements<__nv_bfloat16>{static_cast<__nv_bfloat16*>(x.data), x.rows, x.cols,
                                       x.row_stride, x.col_stride});
  }
  return cudaErrorInvalidValue;
}

template <typename T, typename U>
struct Copy {
  Elements<T> from;
  Elements<U> to;
  LORMA_CUDA_CALLABLE void operator()(Int index) const {
    const bool by_column = to.row_stride == 1;
    const Int i = by_column ? index % to.rows : index / to.cols;
    const Int j = by_column ? index / to.rows : index % to.cols;
    write(to.at(i, j), read(from.at(i, j)));
  }
};

template <typename T>
struct Fill {
  Elements<T> x;
  double value;
  LORMA_CUDA_CALLABLE void operator()(Int index) const { write(x.stored(index), value); }
};

template <typename T>
struct AddIdentity {
  Elements<T> x;
  LORMA_CUDA_CALLABLE void operator()(Int i) const {
    using C = typename Compute<T>::type;
    write(x.at(i, i), static_cast<C>(read(x.at(i, i)) + C(1)));
  }
};

template <typename T>
struct FindNonFinite {
  Elements<T> x;
  int* flag;
  LORMA_CUDA_CALLABLE void operator()(Int index) const {
    const auto value = read(x.stored(index));
    if (!(value - value == 0)) *flag = 1;  // several threads may write the same 1
  }
};

// ------------------------------------------------------------------------------- circulants
template <typename R>
struct Complex {
  R re, im;
};

template <typename R, typename T, typename U>
struct Spread {
  LormaCudaCirculants s;
  Elements<T> B;
  Elements<U> G;
  R* t;
  LORMA_CUDA_CALLABLE void operator()(Int index) const {
    const Int i = index % s.n;
    const Int q = index / s.n % s.r;
    const Int c = index / s.n / s.r;
    t[index] = static_cast<R>(read(B.at(i, q))) * static_cast<R>(read(G.at(i, c)));
  }
};

template <typename R, typename T, typename U>
struct Gather {
  LormaCudaCirculants s;
  R scale;
  Elements<T> B;
  const R* u;
  Elements<U> H;
  LORMA_CUDA_CALLABLE void operator()(Int index) const {
    const Int i = index % s.n;
    const Int c = index / s.n;
    R sum = 0;
    for (Int q = 0; q < s.r; ++q) {
      sum += static_cast<R>(read(B.at(i, q))) * u[i + s.n * (q + s.r * c)];
    }
    write(H.at(i, c), scale * sum);
  }
};

template <typename R>
struct Correlate {
  LormaCudaCirculants s;
  const Complex<R>* a;
  const Complex<R>* y;
  Complex<R>* z;
  LORMA_CUDA_CALLABLE void operator()(Int index) const {
    const Int k = index % s.m;
    const Complex<R> p = a[k + s.m * (index / s.m % s.r)];
    const Complex<R> x = y[k + s.m * (index / s.m / s.r)];
    z[index] = {p.re * x.re + p.im * x.im, p.re * x.im - p.im * x.re};
  }
};

template <typename R>
struct Convolve {
  LormaCudaCirculants s;
  const Complex<R>* a;
  const Complex<R>* t;
  Complex<R>* x;
  LORMA_CUDA_CALLABLE void operator()(Int index) const {
    const Int k = index % s.m;
    const Int c = index / s.m;
    Complex<R> sum{0, 0};
    for (Int q = 0; q < s.r; ++q) {
      const Complex<R> p = a[k + s.m * q];
      const Complex<R> v = t[k + s.m * (q + s.r * c)];
      sum.re += p.re * v.re - p.im * v.im;
      sum.im += p.re * v.im + p.im * v.re;
    }
    x[index] = sum;
  }
};

template <typename R>
struct GradientA {
  LormaCudaCirculants s;
  const Complex<R>* t;
  const Complex<R>* y;
  Complex<R>* dA;
  LORMA_CUDA_CALLABLE void operator()(Int index) const {
    const Int k = index % s.m;
    const Int q = index / s.m;
    Complex<R> sum = dA[index];
    for (Int c = 0; c < s.b; ++c) {
      const Complex<R> v = t[k + s.m * (q + s.r * c)];
      const Complex<R> x = y[k + s.m * c];
      sum.re += v.re * x.re + v.im * x.im;
      sum.im += v.re * x.im - v.im * x.re;
    }
    dA[index] = sum;
  }
};

template <typename R, typename U>
struct GradientB {
  LormaCudaCirculants s;
  Elements<U> G;
  const R* u;
  R* dB;
  LORMA_CUDA_CALLABLE void operator()(Int index) const {
    const Int i = index % s.n;
    const Int q = index / s.n;
    R sum = dB[index];
    for (Int c = 0; c < s.b; ++c) {
      sum += static_cast<R>(read(G.at(i, c))) * u[i + s.n * (q + s.r * c)];
    }
    dB[index] = sum;
  }
};

/// Calls f with a zero of the type that transforms are in.
template <typename F>
cudaError_t with_real(const LormaCudaCirculants& s, F f) {
  return s.type == LORMA_CUDA_DOUBLE ? f(double{}) : f(float{});
}

}  // namespace lorma_cuda_kernels

extern "C" {

cudaError_t lorma_cuda_copy(cudaStream_t stream, LormaCudaMatrix from, LormaCudaMatrix to) {
  using namespace lorma_cuda_kernels;
  return with_type(from, [&](auto in) {
    return with_type(to, [&](auto out) {
      using T = std::remove_pointer_t<decltype(in.data)>;
      using U = std::remove_pointer_t<decltype(out.data)>;
      return run(stream, to.rows * to.cols, Copy<T, U>{in, out});
    });
  });
}

cudaError_t lorma_cuda_fill(cudaStream_t stream, LormaCudaMatrix x, double value) {
  using namespace lorma_cuda_kernels;
  return with_type(x, [&](auto out) {
    using T = std::remove_pointer_t<decltype(out.data)>;
    return run(stream, x.rows * x.cols, Fill<T>{out, value});
  });
}

cudaError_t lorma_cuda_add_identity(cudaStream_t stream, LormaCudaMatrix x) {
  using namespace lorma_cuda_kernels;
  return with_type(x, [&](auto out) {
    using T = std::remove_pointer_t<decltype(out.data)>;
    return run(stream, x.rows < x.cols ? x.rows : x.cols, AddIdentity<T>{out});
  });
}

cudaError_t lorma_cuda_find_non_finite(cudaStream_t stream, LormaCudaMatrix x, int* flag) {
  using namespace lorma_cuda_kernels;
  return with_type(x, [&](auto in) {
    using T = std::remove_pointer_t<decltype(in.data)>;
    return run(stream, x.rows * x.cols, FindNonFinite<T>{in, flag});
  });
}

cudaError_t lorma_cuda_spread(cudaStream_t stream, LormaCudaCirculants s, LormaCudaMatrix B,
                              LormaCudaMatrix G, void* t) {
  using namespace lorma_cuda_kernels;
  return with_real(s, [&](auto zero) {
    using R = decltype(zero);
    return with_type(B, [&](auto b) {
      return with_type(G, [&](auto g) {
        using T = std::remove_pointer_t<decltype(b.data)>;
        using U = std::remove_pointer_t<decltype(g.data)>;
        return run(stream, s.n * s.r * s.b, Spread<R, T, U>{s, b, g, static_cast<R*>(t)});
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
        using T = std::remove_pointer_t<decltype(b.data)>;
        using U = std::remove_pointer_t<decltype(h.data)>;
        return run(stream, s.n * s.b,
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
    return run(stream, s.m * s.r * s.b,
               Correlate<decltype(zero)>{s, static_cast<const C*>(a), static_cast<const C*>(y),
                                         static_cast<C*>(z)});
  });
}

cudaError_t lorma_cuda_convolve(cudaStream_t stream, LormaCudaCirculants s, const void* a,
                                const void* t, void* x) {
  using namespace lorma_cuda_kernels;
  return with_real(s, [&](auto zero) {
    using C = Complex<decltype(zero)>;
    return run(stream, s.m * s.b,
               Convolve<decltype(zero)>{s, static_cast<const C*>(a), static_cast<const C*>(t),
                                        static_cast<C*>(x)});
  });
}

cudaError_t lorma_cuda_gradient_A(cudaStream_t stream, LormaCudaCirculants s, const void* t,
                                  const void* y, void* dA) {
  using namespace lorma_cuda_kernels;
  return with_real(s, [&](auto zero) {
    using C = Complex<decltype(zero)>;
    return run(stream, s.m * s.r,
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
      using U = std::remove_pointer_t<decltype(g.data)>;
      return run(stream, s.n * s.r,
                 GradientB<R, U>{s, g, static_cast<const R*>(u), static_cast<R*>(dB)});
    });
  });
}

}  // extern "C"

#endif
