// SPDX-License-Identifier: Apache-2.0
// The part of cuFFT that lorma calls, on the host: transforms by their definition, in double.

#include <cufft.h>

#include <cmath>
#include <complex>
#include <cstring>
#include <limits>
#include <map>
#include <numbers>
#include <vector>

#include "arena.hpp"
#include "queue.hpp"

namespace {

struct Plan {
  long long n = 0;
  long long batch = 0;
  cufftType type{};
  bool allocates = true;
  int device = 0;
  cudaStream_t stream = nullptr;
  void* work = nullptr;

  std::size_t work_bytes() const { return std::size_t(8 * n * batch); }
};

std::map<cufftHandle, Plan>& plans() {
  static auto& it = *new std::map<cufftHandle, Plan>;  // outlives every context
  return it;
}

/// The n-th roots of unity.
class Roots {
 public:
  explicit Roots(long long n) : n_(n) {
    for (long long k = 0; k < n; ++k) {
      const double angle = 2.0 * std::numbers::pi * double(k) / double(n);
      values_.emplace_back(std::cos(angle), std::sin(angle));
    }
  }
  std::complex<double> operator()(long long k) const { return values_[std::size_t(k % n_)]; }

 private:
  long long n_;
  std::vector<std::complex<double>> values_;
};

/// Runs or records a call of a plan, which must still exist then, with the work area of now.
template <typename F>
cufftResult submit(cufftHandle handle, cufftType type, F call) {
  ++stand_in::counters().transforms;
  const auto found = plans().find(handle);
  if (found == plans().end() || found->second.type != type) return CUFFT_INVALID_PLAN;
  const Plan p = found->second;
  if (p.device != stand_in::current_device()) return CUFFT_INVALID_DEVICE;
  if (p.allocates || p.work == nullptr) return CUFFT_NO_WORKSPACE;
  const auto status = stand_in::submit(p.stream, [handle, p, call] {
    // Its contents are lost, so that nothing that is read afterwards may lie there.
    void* work = stand_in::resolve(p.work, p.work_bytes());
    if (work == nullptr || plans().count(handle) == 0) return cudaErrorIllegalAddress;
    std::memset(work, 0xff, p.work_bytes());
    return call(p) == CUFFT_SUCCESS ? cudaSuccess : cudaErrorIllegalAddress;
  });
  return status == cudaSuccess ? CUFFT_SUCCESS : CUFFT_EXEC_FAILED;
}

template <typename R>
cufftResult forward(const Plan& p, const R* in, void* out) {
  const long long bins = p.n / 2 + 1;
  const R* x = stand_in::resolve_as<R>(in, std::size_t(p.n * p.batch));
  R* y = stand_in::resolve_as<R>(out, std::size_t(2 * bins * p.batch));
  if (x == nullptr || y == nullptr) return CUFFT_INVALID_VALUE;
  const Roots root(p.n);
  for (long long c = 0; c < p.batch; ++c) {
    for (long long k = 0; k < bins; ++k) {
      std::complex<double> sum = 0;
      for (long long i = 0; i < p.n; ++i) {
        sum += double(x[i + c * p.n]) * std::conj(root(i * k));
      }
      y[2 * (k + c * bins)] = static_cast<R>(sum.real());
      y[2 * (k + c * bins) + 1] = static_cast<R>(sum.imag());
    }
  }
  return CUFFT_SUCCESS;
}

template <typename R>
cufftResult backward(const Plan& p, void* in, R* out) {
  const long long bins = p.n / 2 + 1;
  R* x = stand_in::resolve_as<R>(in, std::size_t(2 * bins * p.batch));
  R* y = stand_in::resolve_as<R>(out, std::size_t(p.n * p.batch));
  if (x == nullptr || y == nullptr) return CUFFT_INVALID_VALUE;
  const Roots root(p.n);
  std::vector<R> result(std::size_t(p.n * p.batch));
  for (long long c = 0; c < p.batch; ++c) {
    for (long long i = 0; i < p.n; ++i) {
      double sum = 0;
      for (long long k = 0; k < bins; ++k) {
        const std::complex<double> v(x[2 * (k + c * bins)], x[2 * (k + c * bins) + 1]);
        const bool own_mirror = k == 0 || 2 * k == p.n;
        sum += (own_mirror ? 1.0 : 2.0) * (v * root(i * k)).real();
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
  plans()[*handle] = {.device = stand_in::current_device()};
  ++stand_in::counters().plans;
  return CUFFT_SUCCESS;
}
cufftResult cufftDestroy(cufftHandle handle) {
  if (plans().erase(handle) != 1) return CUFFT_INVALID_PLAN;
  --stand_in::counters().plans;
  return CUFFT_SUCCESS;
}
cufftResult cufftSetStream(cufftHandle plan, cudaStream_t stream) {
  plans().at(plan).stream = stream;
  return CUFFT_SUCCESS;
}
cufftResult cufftSetAutoAllocation(cufftHandle plan, int allocates) {
  plans().at(plan).allocates = allocates != 0;
  return CUFFT_SUCCESS;
}
cufftResult cufftSetWorkArea(cufftHandle plan, void* work) {
  plans().at(plan).work = work;
  return CUFFT_SUCCESS;
}
cufftResult cufftMakePlanMany64(cufftHandle plan, int rank, long long* n, long long*, long long,
                                long long, long long*, long long, long long, cufftType type,
                                long long batch, size_t* scratch) {
  if (rank != 1 || *n < 1 || batch < 1) return CUFFT_INVALID_SIZE;
  // Its tables are allocated.
  if (stand_in::any_capture()) return CUFFT_INTERNAL_ERROR;
  if (!stand_in::grant(stand_in::limits().plans)) return CUFFT_ALLOC_FAILED;
  Plan& p = plans().at(plan);
  p.n = *n;
  p.batch = batch;
  p.type = type;
  *scratch = p.work_bytes();
  return CUFFT_SUCCESS;
}
cufftResult cufftExecR2C(cufftHandle plan, cufftReal* in, cufftComplex* out) {
  return submit(plan, CUFFT_R2C, [=](const Plan& p) { return forward(p, in, out); });
}
cufftResult cufftExecD2Z(cufftHandle plan, cufftDoubleReal* in, cufftDoubleComplex* out) {
  return submit(plan, CUFFT_D2Z, [=](const Plan& p) { return forward(p, in, out); });
}
cufftResult cufftExecC2R(cufftHandle plan, cufftComplex* in, cufftReal* out) {
  return submit(plan, CUFFT_C2R, [=](const Plan& p) { return backward(p, in, out); });
}
cufftResult cufftExecZ2D(cufftHandle plan, cufftDoubleComplex* in, cufftDoubleReal* out) {
  return submit(plan, CUFFT_Z2D, [=](const Plan& p) { return backward(p, in, out); });
}

}  // extern "C"
