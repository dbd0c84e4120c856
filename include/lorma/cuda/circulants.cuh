// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_CUDA_CIRCULANTS_CUH
#define LORMA_CUDA_CIRCULANTS_CUH

/// Elementwise products around the transforms of operators/spectral_cublas.hpp. Sums run in one
/// thread, in a fixed order.

#include "lorma/cuda/elements.cuh"

namespace lorma_cuda_kernels {

template <typename R>
struct Complex {
  R re, im;
};

/// Over (n, r, b).
template <typename R, typename T, typename U>
struct Spread {
  LormaCudaCirculants s;
  Elements<T> B;
  Elements<U> G;
  R* t;
  LORMA_CUDA_CALLABLE void operator()(Int i, Int q, Int c) const {
    t[i + s.n * (q + s.r * c)] =
        static_cast<R>(read(B.at(i, q))) * static_cast<R>(read(G.at(i, c)));
  }
};

/// Over (n, b).
template <typename R, typename T, typename U>
struct Gather {
  LormaCudaCirculants s;
  R scale;
  Elements<T> B;
  const R* u;
  Elements<U> H;
  LORMA_CUDA_CALLABLE void operator()(Int i, Int c, Int) const {
    R sum = 0;
    for (Int q = 0; q < s.r; ++q) {
      sum += static_cast<R>(read(B.at(i, q))) * u[i + s.n * (q + s.r * c)];
    }
    write(H.at(i, c), scale * sum);
  }
};

/// Over (m, r, b).
template <typename R>
struct Correlate {
  LormaCudaCirculants s;
  const Complex<R>* a;
  const Complex<R>* y;
  Complex<R>* z;
  LORMA_CUDA_CALLABLE void operator()(Int k, Int q, Int c) const {
    const Complex<R> p = a[k + s.m * q];
    const Complex<R> x = y[k + s.m * c];
    z[k + s.m * (q + s.r * c)] = {p.re * x.re + p.im * x.im, p.re * x.im - p.im * x.re};
  }
};

/// Over (m, b).
template <typename R>
struct Convolve {
  LormaCudaCirculants s;
  const Complex<R>* a;
  const Complex<R>* t;
  Complex<R>* x;
  LORMA_CUDA_CALLABLE void operator()(Int k, Int c, Int) const {
    Complex<R> sum{0, 0};
    for (Int q = 0; q < s.r; ++q) {
      const Complex<R> p = a[k + s.m * q];
      const Complex<R> v = t[k + s.m * (q + s.r * c)];
      sum.re += p.re * v.re - p.im * v.im;
      sum.im += p.re * v.im + p.im * v.re;
    }
    x[k + s.m * c] = sum;
  }
};

/// Over (m, r).
template <typename R>
struct GradientA {
  LormaCudaCirculants s;
  const Complex<R>* t;
  const Complex<R>* y;
  Complex<R>* dA;
  LORMA_CUDA_CALLABLE void operator()(Int k, Int q, Int) const {
    Complex<R> sum = dA[k + s.m * q];
    for (Int c = 0; c < s.b; ++c) {
      const Complex<R> v = t[k + s.m * (q + s.r * c)];
      const Complex<R> x = y[k + s.m * c];
      sum.re += v.re * x.re + v.im * x.im;
      sum.im += v.re * x.im - v.im * x.re;
    }
    dA[k + s.m * q] = sum;
  }
};

/// Over (n, r).
template <typename R, typename U>
struct GradientB {
  LormaCudaCirculants s;
  Elements<U> G;
  const R* u;
  R* dB;
  LORMA_CUDA_CALLABLE void operator()(Int i, Int q, Int) const {
    R sum = dB[i + s.n * q];
    for (Int c = 0; c < s.b; ++c) {
      sum += static_cast<R>(read(G.at(i, c))) * u[i + s.n * (q + s.r * c)];
    }
    dB[i + s.n * q] = sum;
  }
};

/// Calls f with a zero of the type that transforms are in.
template <typename F>
cudaError_t with_real(const LormaCudaCirculants& s, F f) {
  return s.type == LORMA_CUDA_DOUBLE ? f(double{}) : f(float{});
}

}  // namespace lorma_cuda_kernels

#endif
