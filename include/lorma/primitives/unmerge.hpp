// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_PRIMITIVES_UNMERGE_HPP
#define LORMA_PRIMITIVES_UNMERGE_HPP

/// unmerge behind the door: W becomes P^-1 W (Pre) or W P^-1 (Post), without a copy of the weight
/// that was merged.
///
/// A weight that is merged and then unmerged comes back with an error of RoundTrip::relative_error
/// at most. If RoundTrip::loss is 1 or more for the coarsest type that W was or will be rounded to,
/// RankDeficient is thrown and W is untouched. Cost: see operators/inverse.hpp. Allocates; waits
/// for a device.

#include <sstream>

#include "lorma/operators/inverse.hpp"
#include "lorma/primitives/merge.hpp"

namespace lorma::inline LORMA_ABI {

namespace detail {

/// Throws RankDeficient if a weight would lose all its digits: `loss` is 1 or more.
inline void check_invertible(std::string_view inflation, const RoundTrip& round_trip, double loss,
                             double epsilon) {
  if (loss < 1.0) return;
  const double condition = round_trip.condition;
  std::ostringstream text;
  text << "lorma::unmerge_in_place: expected an invertible multiplier, got " << inflation
       << " with condition number ";
  if (condition < std::numeric_limits<double>::infinity()) {
    text << condition << " (and terms " << round_trip.growth << " times its norm)";
  } else {
    text << "infinity";
  }
  text << ": no digit of the weight (eps " << epsilon << ") would survive; the weight is unchanged";
  throw RankDeficient(text.str());
}

/// unmerge of a weight stored as T.
template <typename S, typename Inflation, typename Side, typename Backend, typename T>
struct Unmerge {
  /// `epsilon` is that of a coarser type that W was or will be rounded to, or 0. Throws
  /// RankDeficient; W is untouched then.
  static void run(typename Backend::Workspace& workspace, const typename Backend::Context& context,
                  const Factors<S>& f, const MatrixView<T>& W, double epsilon);
};

template <typename S, typename Inflation, typename Side, typename Backend, typename T>
void Unmerge<S, Inflation, Side, Backend, T>::run(
    typename Backend::Workspace& workspace,
    [[maybe_unused]] const typename Backend::Context& context, const Factors<S>& f,
    const MatrixView<T>& W, double epsilon) {
  const auto undo = [&](const auto& inverse) {
    const double coarsest = std::max(epsilon, epsilon_of<T>());
    const RoundTrip& lost = inverse.round_trip();
    check_invertible(Inflation::name, lost, lost.loss(coarsest), coarsest);
    if (W.empty()) return;
    run_rehearsed<Backend>(
        workspace, [&] { multiply_weight<Side, S, Backend>(workspace, inverse, as_const(W), W); });
  };
  if constexpr (OnHost<Backend>) {
    undo(Inverse<Inflation, S>(f));
  } else {
    undo(Inverse<Inflation, S, Backend>(workspace, context, f));
  }
}

}  // namespace detail
}  // namespace lorma::inline LORMA_ABI

#endif
