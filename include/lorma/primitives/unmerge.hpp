// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_PRIMITIVES_UNMERGE_HPP
#define LORMA_PRIMITIVES_UNMERGE_HPP

/// unmerge: W becomes P^-1 W (Pre) or W P^-1 (Post), without a copy of the weight that was merged.
///
/// With condition number c of P about log10(c) decimal digits of the weight are lost; when none
/// would be left in the weight's own type, RankDeficient is thrown and W is untouched. Cost: see
/// operators/inverse.hpp. Allocates; waits for a device.

#include <sstream>

#include "lorma/operators/inverse.hpp"
#include "lorma/primitives/merge.hpp"

namespace lorma::inline LORMA_ABI {

namespace detail {

/// Distance from 1 to the next number of a type that weights are stored in.
template <typename T>
constexpr double storage_epsilon() {
  if constexpr (std::same_as<T, Eigen::half>) return 0x1p-10;
  if constexpr (std::same_as<T, Eigen::bfloat16>) return 0x1p-7;
  if constexpr (std::same_as<T, float>) return 0x1p-23;
  return 0x1p-52;
}

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

}  // namespace detail

/// Undoes merge_in_place. `epsilon` is that of the type which W was or will be rounded to, where
/// that is coarser than its own. Throws ShapeError, NonFinite on request, RankDeficient (with the
/// condition number); W is untouched then.
template <typename Inflation, typename Order = Auto, typename Side = Pre,
          typename Backend = EigenCpu, typename S, typename W>
void unmerge_in_place(const Factors<S>& f, W&& w, typename Backend::Workspace& workspace,
                      Finiteness finiteness = Finiteness::unchecked, double epsilon = 0.0) {
  static_assert(detail::CheckPolicies<S, Inflation, Order, Side, Backend>::ok);
  detail::check_places("unmerge_in_place", detail::place_of<Backend>(workspace),
                       {{"the factors", f.place}, {"the weight", detail::place_of<Backend>(w)}});
  const auto view = Backend::output("unmerge_in_place", w);
  using T = std::remove_cvref_t<decltype(*view.data)>;
  static_assert(StorableIn<T, S>,
                "lorma: the weight must have the adapter's Scalar, or be half or bfloat16 with a "
                "float adapter");
  detail::check_weight<Side>("unmerge_in_place", f, view.rows, view.cols);
  detail::check_finiteness<Backend>("unmerge_in_place", finiteness, workspace, f, view);
  const auto undo = [&](const auto& inverse) {
    detail::check_invertible(Inflation::name, inverse.condition(),
                             std::max(epsilon, detail::storage_epsilon<T>()));
    if (view.empty()) return;
    detail::multiply_weight<Side, S, Backend>(workspace, inverse, as_const(view), view);
  };
  if constexpr (std::is_same_v<Backend, EigenCpu>) {
    undo(Inverse<Inflation, S>(f));
  } else {
    undo(DeviceInverse<Inflation, Backend, S>(workspace, Backend::context_of(w), f));
  }
}

}  // namespace lorma::inline LORMA_ABI

#endif
