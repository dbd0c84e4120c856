// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_ANALYSIS_EXTREME_SINGULAR_VALUES_HPP
#define LORMA_ANALYSIS_EXTREME_SINGULAR_VALUES_HPP

/// sigma_1 and sigma_n of P = I(BA) from products with P and P^T alone: no n x n matrix.
///
/// Needs Spectra (spectralib.org, Debian's libspectra-dev); not part of the umbrella. The
/// eigenvalues of P^T P at both ends, by restarted Lanczos iteration. sigma_n below about 1e-8
/// sigma_1 is lost in the square and reported as an upper bound; clustered ends converge slowly.

#include <Spectra/SymEigsSolver.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "lorma/adapter/adapter.hpp"
#include "lorma/analysis/singular_values.hpp"

namespace lorma::inline LORMA_ABI::analysis {

/// Both ends of the spectrum of P, and what they cost.
struct ExtremeSingularValues {
  double largest = 0.0;
  double smallest = 0.0;   ///< not converged: the best that was found, at least sigma_n
  bool converged = false;  ///< both ends
  Index products = 0;      ///< with P^T P

  /// 2-norm condition number of P; a lower bound when not converged.
  double condition() const {
    return smallest > 0.0 ? largest / smallest : std::numeric_limits<double>::infinity();
  }
};

namespace detail {

/// x -> P^T P x, in the form that Spectra asks for.
template <typename AdapterType>
class SquaredMultiplier {
 public:
  using Scalar = double;

  explicit SquaredMultiplier(const AdapterType& adapter) : adapter_(adapter) {}

  Index rows() const { return adapter_.dim(); }
  Index cols() const { return adapter_.dim(); }
  void perform_op(const double* x, double* y) const {
    const Eigen::Map<const Eigen::VectorXd> in(x, rows());
    Eigen::Map<Eigen::VectorXd>(y, rows()) = adapter_.apply_adjoint(adapter_.apply(in));
  }

 private:
  const AdapterType& adapter_;
};

}  // namespace detail

/// Cost: `products` times two applications of P (LoRMA_pi: O(r n log n) each), O(n) numbers times
/// the dimension of the iteration's space. Throws NonFinite.
template <typename AdapterType>
ExtremeSingularValues extreme_singular_values(const AdapterType& adapter, double tolerance = 1e-10,
                                              Index restarts = 1000) {
  detail::check_finite("extreme_singular_values", adapter.A());
  detail::check_finite("extreme_singular_values", adapter.B());
  const Index n = adapter.dim();
  Adapter<double, typename AdapterType::Inflation> P(n, adapter.rank(),
                                                     static_cast<double>(adapter.alpha()));
  P.A() = adapter.A().template cast<double>();
  P.B() = adapter.B().template cast<double>();
  ExtremeSingularValues result;
  if (n < 4) {  // too small for a subspace
    const Eigen::VectorXd sigma = singular_values(P.inflated());
    return {sigma(0), sigma(n - 1), true, 0};
  }
  detail::SquaredMultiplier<decltype(P)> op(P);
  const Index space = std::min<Index>(n, 60);
  result.converged = true;
  const auto solve = [&](Spectra::SortRule end) {
    Spectra::SymEigsSolver<decltype(op)> solver(op, 1, space);
    solver.init();
    solver.compute(end, restarts, tolerance);
    result.products += solver.num_operations();
    if (solver.info() == Spectra::CompInfo::Successful) {
      return std::sqrt(std::max(0.0, solver.eigenvalues()(0)));
    }
    result.converged = false;
    return std::numeric_limits<double>::quiet_NaN();
  };
  result.largest = solve(Spectra::SortRule::LargestAlge);
  result.smallest = solve(Spectra::SortRule::SmallestAlge);
  return result;
}

}  // namespace lorma::inline LORMA_ABI::analysis

#endif
