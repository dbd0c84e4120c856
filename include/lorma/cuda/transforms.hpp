// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_CUDA_TRANSFORMS_HPP
#define LORMA_CUDA_TRANSFORMS_HPP

/// Real Fourier transforms of length n by cuFFT, on columns that lie one after the other.

#include <algorithm>

#include "lorma/cuda/device_workspace.hpp"

namespace lorma::inline LORMA_ABI::detail {

/// Which ways a set of plans goes.
struct Directions {
  bool forward = true;
  bool backward = true;
};

/// The plans for two numbers of columns. Everything that can fail short of the launch fails in the
/// constructor.
template <typename R>
class Transforms {
  static constexpr bool is_double = std::same_as<R, double>;

 public:
  /// Throws BackendError.
  Transforms(DeviceWorkspace& workspace, Index n, Index most_columns, Index other_columns,
             const Directions& directions)
      : counts_{most_columns, other_columns} {
    constexpr cufftType to = is_double ? CUFFT_D2Z : CUFFT_R2C;
    constexpr cufftType from = is_double ? CUFFT_Z2D : CUFFT_C2R;
    for (int i = 0; i < 2; ++i) {
      if (counts_[i] == 0) continue;
      if (directions.forward) forward_[i] = workspace.context().plan(to, n, counts_[i]);
      if (directions.backward) backward_[i] = workspace.context().plan(from, n, counts_[i]);
    }
  }

  /// Scratch that any of them needs.
  std::size_t work_bytes() const {
    return std::max({forward_[0].work_bytes, forward_[1].work_bytes, backward_[0].work_bytes,
                     backward_[1].work_bytes});
  }

  void forward(void* work, Index columns, R* x, R* spectrum) const {
    const cufftHandle plan = prepared(forward_, work, columns);
    if constexpr (is_double) {
      check_cufft("cufftExecD2Z",
                  cufftExecD2Z(plan, x, reinterpret_cast<cufftDoubleComplex*>(spectrum)));
    } else {
      check_cufft("cufftExecR2C", cufftExecR2C(plan, x, reinterpret_cast<cufftComplex*>(spectrum)));
    }
  }
  /// Unscaled; overwrites the spectrum.
  void backward(void* work, Index columns, R* spectrum, R* x) const {
    const cufftHandle plan = prepared(backward_, work, columns);
    if constexpr (is_double) {
      check_cufft("cufftExecZ2D",
                  cufftExecZ2D(plan, reinterpret_cast<cufftDoubleComplex*>(spectrum), x));
    } else {
      check_cufft("cufftExecC2R", cufftExecC2R(plan, reinterpret_cast<cufftComplex*>(spectrum), x));
    }
  }

 private:
  cufftHandle prepared(const CufftPlan (&plans)[2], void* work, Index columns) const {
    const CufftPlan& plan = plans[columns == counts_[0] ? 0 : 1];
    check_cufft("cufftSetWorkArea", cufftSetWorkArea(plan.handle, work));
    return plan.handle;
  }

  Index counts_[2];
  CufftPlan forward_[2];
  CufftPlan backward_[2];
};

}  // namespace lorma::inline LORMA_ABI::detail

#endif
