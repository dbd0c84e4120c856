// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_BACKEND_COST_RATES_HPP
#define LORMA_BACKEND_COST_RATES_HPP

/// The vocabulary of the cost model: what a call does, and how fast a machine does it.

#include "lorma/core/config.hpp"

namespace lorma::inline LORMA_ABI {

/// Floating-point operations by the kind of kernel that does them, and memory traffic.
struct Work {
  double product = 0;    ///< flops in products with no small side
  double thin = 0;       ///< flops in products with a side of r
  double transform = 0;  ///< flops in Fourier transforms (2.5 n log2 n a real transform)
  double bytes = 0;      ///< bytes read and written beyond the caches
  double starts = 0;     ///< kernels started, where starting one takes time

  double flops() const { return product + thin + transform; }
  Work operator+(const Work& o) const {
    return {product + o.product, thin + o.thin, transform + o.transform, bytes + o.bytes,
            starts + o.starts};
  }
};

/// Rates that turn Work into seconds; the defaults are those of one core of a current x86 server
/// (benchmarks/auto_choice.cpp, least squares over 480 timings).
struct CostRates {
  double product = 95e9;
  double thin = 50e9;
  double transform = 45e9;
  double bytes = 30e9;
  double start = 0;  ///< seconds to start a kernel

  double seconds(const Work& w) const {
    return w.product / product + w.thin / thin + w.transform / transform + w.bytes / bytes +
           w.starts * start;
  }
};

}  // namespace lorma::inline LORMA_ABI

#endif
