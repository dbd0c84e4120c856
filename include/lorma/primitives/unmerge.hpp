// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_PRIMITIVES_UNMERGE_HPP
#define LORMA_PRIMITIVES_UNMERGE_HPP

/// unmerge behind the door: W becomes P^-1 W (Pre) or W P^-1 (Post), without a copy of the weight
/// that was merged.
///
/// With condition number c of P about log10(c) decimal digits of the weight are lost; when none
/// would be left in the weight's own type, RankDeficient is thrown and W is untouched. Cost: see
/// operators/inverse.hpp. Allocates; waits for a device.

#include <sstream>

#include "lorma/operators/inverse.hpp"
#include "lorma/primitives/merge.hpp"

namespace lorma::inline LORMA_ABI {

namespace detail {

/// Throws RankDeficient unless digits survive: condition * eps < 1.
inline void check_invertible(std::string_view inflation, double condition, double epsilon) {
  if (condition * epsilon < 1.0) return;
  std::ostringstream text;
  text << "lorma::unmerge_in_place: expected an invertible multiplier, got " << inflation
       << " with condition number ";
  if (condition < std::numeric_limits<double>::infinity()) {
    text << condition;
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
    check_invertible(Inflation::name, inverse.condition(), std::max(epsilon, epsilon_of<T>()));
    if (W.empty()) return;
    multiply_weight<Side, S, Backend>(workspace, inverse, as_const(W), W);
  };
  if constexpr (OnHost<Backend>) {
    undo(Inverse<Inflation, S>(f));
  } else {
    undo(DeviceInverse<Inflation, Backend, S>(workspace, context, f));
  }
}

}  // namespace detail
}  // namespace lorma::inline LORMA_ABI

#endif
