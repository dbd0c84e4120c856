// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_ANALYSIS_EXTREME_SINGULAR_VALUES_HPP
#define LORMA_ANALYSIS_EXTREME_SINGULAR_VALUES_HPP

/// sigma_1 and sigma_n of P = I(BA), each enclosed from both sides.
///
/// c I + M: by its structure, O(n r^2). Other inflations: the eigenvalues of P^T P at both ends by
/// restarted Lanczos iteration, products with P and P^T alone. Such an iteration bounds each end
/// from within, and knows nothing beyond what it found; that nothing is beyond is proved by two
/// factorizations of P^T P, which need the dense P and are left out above a size of the caller's
/// choice. sigma_n below about 1e-6 sigma_1 is lost in the square: no lower bound is found then.
/// Needs Spectra (spectralib.org, Debian's libspectra-dev); not part of the umbrella.

#include <Spectra/SymEigsSolver.h>

#include <algorithm>
#include <cmath>
#include <exception>
#include <limits>
#include <new>

#include "lorma/analysis/certain_rank.hpp"
#include "lorma/analysis/multiplier_spectrum.hpp"

namespace lorma::inline LORMA_ABI::analysis {

/// Both ends of the spectrum of P, what is proved of them, and what they cost.
struct ExtremeSingularValues {
  double largest = 0.0;    ///< the best that was found, at most sigma_1 to within rounding
  double smallest = 0.0;   ///< the best that was found, at least sigma_n to within rounding
  bool converged = false;  ///< both are proved to within a thousandth of themselves
  Index products = 0;      ///< with P^T P
  double largest_at_most = std::numeric_limits<double>::infinity();  ///< sigma_1 is not above
  double smallest_at_least = 0.0;                                    ///< sigma_n is not below

  /// 2-norm condition number of P; a lower bound when not converged.
  double condition() const {
    return smallest > 0.0 ? largest / smallest : std::numeric_limits<double>::infinity();
  }
};

namespace detail {

/// x -> P^T P x / unit^2, in the form that Spectra asks for. Some of its thresholds are absolute:
/// the operator is to be of size 1.
template <typename AdapterType>
class SquaredMultiplier {
 public:
  using Scalar = double;

  SquaredMultiplier(const AdapterType& adapter, double unit) : adapter_(adapter), unit_(unit) {}

  Index rows() const { return adapter_.dim(); }
  Index cols() const { return adapter_.dim(); }
  void perform_op(const double* x, double* y) const {
    const Eigen::Map<const Eigen::VectorXd> in(x, rows());
    const Vector<double> Px = adapter_.apply(in) / unit_;
    Eigen::Map<Eigen::VectorXd>(y, rows()) = adapter_.apply_adjoint(Px) / unit_;
  }

 private:
  const AdapterType& adapter_;
  double unit_;
};

/// Within this part of itself an end counts as known.
inline constexpr double known = 1e-3;

/// All singular values are known to within `error`, the smallest of an `is_singular` P exactly.
inline ExtremeSingularValues enclosed(double largest, double smallest, double error,
                                      bool is_singular) {
  const bool converged = error <= known * (is_singular ? largest : smallest);
  return {largest, smallest, converged, 0, largest + error, std::max(0.0, smallest - error)};
}

/// Proves the ends that were found, from G = P P^T (lower triangle) of a P that is known to within
/// `error`.
template <typename Real>
void prove(Matrix<Real> G, double error, ExtremeSingularValues& ends) {
  const Index n = G.rows();
  const double trace = G.trace();
  // Rounding of G and of its shift; P + E has (P + E)(P + E)^T within 2 ||P|| ||E|| + ||E||^2.
  const double blur =
      1.1 * static_cast<double>(n + 8) * 0x1p-53 * trace + error * (2.2 * std::sqrt(trace) + error);
  Workspace workspace;
  Matrix<Real> shifted;
  const auto inertia_above = [&](double threshold) {
    shifted = G;
    shifted.diagonal().array() -= threshold;
    return inertia_in_place(workspace, view_of(shifted));
  };
  const double above = ends.largest * ends.largest * (1.0 + 0.5 * known);
  const Inertia top = inertia_above(above);
  if (top.negative == n) ends.largest_at_most = std::sqrt(above + blur + top.error);
  const double below = ends.smallest * ends.smallest * (1.0 - 0.5 * known);
  const Inertia bottom = inertia_above(below);
  if (bottom.positive == n) {
    ends.smallest_at_least = std::sqrt(std::max(0.0, below - blur - bottom.error));
  }
}

/// Of an inflation without c I + M; `f` holds the scale in B.
template <typename Inflation>
ExtremeSingularValues extremes_by_iteration(PlusFactors f, double tolerance, Index restarts,
                                            Index dense) {
  constexpr std::string_view name = "extreme_singular_values";
  const Index n = f.B.rows();
  const Index r = f.B.cols();
  // A turn of M is as large as M: near 1 no square overflows or vanishes.
  double unit = 1.0;
  if constexpr (TurnsRows<Inflation>) {
    const double unit_B = unit_of(f.B);
    const double unit_A = unit_of(f.A);
    unit = unit_B * unit_A;
    f.B /= unit_B;
    f.A /= unit_A;
  }
  Adapter<double, Inflation> P(n, r, static_cast<double>(r));
  P.B() = f.B;
  P.A() = f.A;
  // Of the numbers of a P that is formed: products of r terms.
  const double formed = static_cast<double>(r + 4) * 0x1p-53 * f.B.norm() * f.A.norm();
  const auto in_units = [&](ExtremeSingularValues ends) {
    for (double* value :
         {&ends.largest, &ends.smallest, &ends.largest_at_most, &ends.smallest_at_least}) {
      *value *= unit;
    }
    return ends;
  };
  constexpr Index small = 64;  // for a subspace
  if (n <= small) {
    const Eigen::VectorXd sigma = singular_values(P.inflated());
    const double error = 1.01 * svd_error(n, n) * sigma(0) + formed;
    return in_units(enclosed(sigma(0), sigma(n - 1), error, false));
  }
  // One column of P lies between the ends.
  const double column = finite_copy(name, P.apply(Vector<double>::Unit(n, 0).eval())).norm();
  ExtremeSingularValues ends;
  ends.largest = ends.smallest = column;
  // Factors that cancel leave a P much smaller than they are.
  const auto squared = [&](const auto& x) {
    ++ends.products;
    return Vector<double>(P.apply_adjoint(P.apply(x)));
  };
  const double size = std::sqrt(first_ritz_pair<double>(n, squared, 0.1, 12).value);
  SquaredMultiplier<decltype(P)> op(P, size > 0.0 ? std::ldexp(1.0, std::ilogb(size)) : 1.0);
  // |P v| lies between the ends, whatever v is.
  const auto solve = [&](Spectra::SortRule end) {
    Spectra::SymEigsSolver<decltype(op)> solver(op, 1, 60);
    solver.init();
    solver.compute(end, restarts, tolerance);
    ends.products += solver.num_operations();
    if (solver.info() != Spectra::CompInfo::Successful) return;
    const Vector<double> v = solver.eigenvectors(1).col(0);
    const double value = P.apply(v).norm() / v.norm();
    ends.largest = std::max(ends.largest, value);
    ends.smallest = std::min(ends.smallest, value);
  };
  try {
    solve(Spectra::SortRule::LargestAlge);
    solve(Spectra::SortRule::SmallestAlge);
  } catch (const Error&) {
    throw;
  } catch (const std::bad_alloc&) {
    throw;
  } catch (const std::exception&) {  // of Spectra, which broke down: what it found is lost
  }
  if (n > dense) return in_units(ends);
  prove(gram(P.inflated()), formed, ends);
  // A sigma_n that was found to be 0 is at least 0, but not proved to be no more.
  ends.converged = ends.largest_at_most <= (1.0 + known) * ends.largest && ends.smallest > 0.0 &&
                   ends.smallest_at_least >= (1.0 - known) * ends.smallest;
  return in_units(ends);
}

}  // namespace detail

/// `tolerance` and `restarts` are those of the iteration. P is formed, for a proof, up to n =
/// `dense`: n^3 / 3 products twice and one Gram matrix, n^2 numbers four times; above that nothing
/// is proved and `converged` stays false. Cost else: `products` times two applications of P
/// (LoRMA_pi: O(r n log n) each), O(n) numbers times the dimension of the iteration's space. Throws
/// NonFinite, Error for a tolerance or restarts that are not positive. An iteration that breaks
/// down has not converged.
template <typename AdapterType>
ExtremeSingularValues extreme_singular_values(const AdapterType& adapter, double tolerance = 1e-10,
                                              Index restarts = 1000, Index dense = 2048) {
  constexpr std::string_view name = "extreme_singular_values";
  using Inflation = typename AdapterType::Inflation;
  if (!(tolerance > 0.0) || restarts < 1) {
    throw Error(
        "lorma::analysis::extreme_singular_values: expected a tolerance > 0 and restarts >= "
        "1, got " +
        std::to_string(tolerance) + " and " + std::to_string(restarts));
  }
  const PlusFactors f = detail::balanced_factors(name, adapter.factors());
  if constexpr (AddsIdentity<Inflation>) {
    const ShiftedCore core = detail::core_of(name, adapter);
    const double terms = f.B.stableNorm() * f.A.stableNorm() + std::abs(core.shift);
    const auto length = static_cast<double>(f.B.rows() + 2 * f.B.cols());
    const bool is_singular = identity_multiple<Inflation> == 0.0 && f.B.cols() < f.B.rows();
    return detail::enclosed(core.largest, core.smallest, 8.0 * length * 0x1p-53 * terms,
                            is_singular);
  } else {
    return detail::extremes_by_iteration<Inflation>(f, tolerance, restarts, dense);
  }
}

}  // namespace lorma::inline LORMA_ABI::analysis

#endif
