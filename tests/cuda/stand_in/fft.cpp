// SPDX-License-Identifier: Apache-2.0
// The part of cuFFT that lorma calls, on the host: transforms by their definition, in double.

#include <cufft.h>

#include <cmath>
#include <complex>
#include <limits>
#include <map>
#include <numbers>
#include <vector>

#include "arena.hpp"

namespace {

struct Plan {
  long long n = 0;
  long long batch = 0;
  cufftType type{};
};

std::map<cufftHandle, Plan>& plans() {
  static auto& it = *new std::map<cufftHandle, Plan>;  // outlives every context
  return it;
}

std::complex<double> root(long long k, long long n) {
  const double angle = 2.0 * std::numbers::pi * double(k % n) / double(n);
  return {std::cos(angle), std::sin(angle)};
}

template <typename R>
cufftResult forward(cufftHandle handle, cufftType type, const R* in, void* out) {
  const Plan p = plans().at(handle);
  if (p.type != type) return CUFFT_INVALID_PLAN;
  const long long bins = p.n / 2 + 1;
  const R* x = stand_in::resolve_as<R>(in, std::size_t(p.n * p.batch));
  R* y = stand_in::resolve_as<R>(out, std::size_t(2 * bins * p.batch));
  if (x == nullptr || y == nullptr) return CUFFT_INVALID_VALUE;
  for (long long c = 0; c < p.batch; ++c) {
    for (long long k = 0; k < bins; ++k) {
      std::complex<double> sum = 0;
      for (long long i = 0; i < p.n; ++i) {
        sum += double(x[i + c * p.n]) * std::conj(root(i * k, p.n));
      }
      y[2 * (k + c * bins)] = static_cast<R>(sum.real());
      y[2 * (k + c * bins) + 1] = static_cast<R>(sum.imag());
    }
  }
  return CUFFT_SUCCESS;
}

template <typename R>
cufftResult backward(cufftHandle handle, cufftType type, void* in, R* out) {
  const Plan p = plans().at(handle);
  if (p.type != type) return CUFFT_INVALID_PLAN;
  const long long bins = p.n / 2 + 1;
  R* x = stand_in::resolve_as<R>(in, std::size_t(2 * bins * p.batch));
  R* y = stand_in::resolve_as<R>(out, std::size_t(p.n * p.batch));
  if (x == nullptr || y == nullptr) return CUFFT_INVALID_VALUE;
  std::vector<R> result(std::size_t(p.n * p.batch));
  for (long long c = 0; c < p.batch; ++c) {
    for (long long i = 0; i < p.n; ++i) {
      double sum = 0;
      for (long long k = 0; k < bins; ++k) {
        const std::complex<double> v(x[2 * (k + c * bins)], x[2 * (k + c * bins) + 1]);
        const bool own_mirror = k == 0 || 2 * k == p.n;
        sum += (own_mirror ? 1.0 : 2.0) * (v * root(i * k, p.n)).real();
      }
      result[std::size_t(i + c * p.n)] = static_cast<R>(sum);
    }
  }
  std::copy(result.begin(), result.end(), y);
  // cuFFT may overwrite the input of these transforms, so nobody may read it again.
  for (long long i = 0; i < 2 * bins * p.batch; ++i) x[i] = std::numeric_limits<R>::quiet_NaN();
  return CUFFT_SUCCESS;
}

}  // namespace

extern "C" {

cufftResult cufftCreate(cufftHandle* handle) {
  static cufftHandle next = 1;
  *handle = next++;
  plans()[*handle] = {};
  return CUFFT_SUCCESS;
}
cufftResult cufftDestroy(cufftHandle handle) {
  return plans().erase(handle) == 1 ? CUFFT_SUCCESS : CUFFT_INVALID_PLAN;
}
cufftResult cufftSetStream(cufftHandle, cudaStream_t) {
  return CUFFT_SUCCESS;
}
cufftResult cufftMakePlanMany64(cufftHandle plan, int rank, long long* n, long long*, long long,
                                long long, long long*, long long, long long, cufftType type,
                                long long batch, size_t* scratch) {
  if (rank != 1 || *n < 1 || batch < 1) return CUFFT_INVALID_SIZE;
  plans().at(plan) = {*n, batch, type};
  *scratch = 0;
  return CUFFT_SUCCESS;
}
cufftResult cufftExecR2C(cufftHandle plan, cufftReal* in, cufftComplex* out) {
  return forward(plan, CUFFT_R2C, in, out);
}
cufftResult cufftExecD2Z(cufftHandle plan, cufftDoubleReal* in, cufftDoubleComplex* out) {
  return forward(plan, CUFFT_D2Z, in, out);
}
cufftResult cufftExecC2R(cufftHandle plan, cufftComplex* in, cufftReal* out) {
  return backward(plan, CUFFT_C2R, in, out);
}
cufftResult cufftExecZ2D(cufftHandle plan, cufftDoubleComplex* in, cufftDoubleReal* out) {
  return backward(plan, CUFFT_Z2D, in, out);
}

}  // extern "C"
