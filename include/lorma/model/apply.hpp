// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_MODEL_APPLY_HPP
#define LORMA_MODEL_APPLY_HPP

/// Changes put into weights, or taken out of them.

#include <sstream>
#include <string>

#include "lorma/adapter/by_name.hpp"
#include "lorma/model/change.hpp"
#include "lorma/model/compiled.hpp"
#include "lorma/model/stored_weight.hpp"

namespace lorma::inline LORMA_ABI::model {

/// How a change is applied.
struct Application {
  bool undo = false;
  double strength = 1.0;  ///< t of (1 - t) W0 + t W
  double epsilon = 0.0;   ///< of the type that the weight is stored in
};

/// Throws Error where the change cannot be undone at that strength.
LORMA_MODEL_FUNCTION void check_application(const Change& change, const Application& how);

/// Whether P = I + M: the inflations that compose, change their rank and take a strength.
LORMA_MODEL_FUNCTION bool is_plus(const LormaLayer& layer);

namespace detail {

template <typename S>
void add(const LoraLayer& layer, const Application& how, bool turned, RowMajorMatrix<S>& W) {
  const double scale = (how.undo ? -1.0 : 1.0) * how.strength * layer.scale;
  const Matrix<S> B = (scale * layer.B.template cast<double>()).template cast<S>();
  const Matrix<S> A = layer.A.template cast<S>();
  const double before = how.undo ? static_cast<double>(W.stableNorm()) : 0.0;
  if (turned) {
    W.noalias() += A.transpose() * B.transpose();
  } else {
    W.noalias() += B * A;
  }
  if (!how.undo) return;
  // What was rounded away beside a large change does not come back.
  const double after = static_cast<double>(W.stableNorm());
  if (before == 0.0 || how.epsilon * before < after) return;
  std::ostringstream text;
  text << lorma::detail::in_quotes(layer.module) << ": expected a weight that the change leaves "
       << "digits of, got one of norm " << before << " (eps " << how.epsilon << ") and norm "
       << after << " without the change: no digit would come back";
  throw RankDeficient(text.str());
}

}  // namespace detail

/// The weight, or the slice of it, that one layer multiplies: W (out x in) becomes W1. S: float or
/// double. Throws as apply does.
template <typename S>
void multiply(const LormaLayer& layer, const Application& how, const MatrixView<S>& W) {
  visit_adapter<S>({.inflation = layer.inflation, .side = layer.side}, [&](auto type) {
    using Adapter = typename decltype(type)::type;
    constexpr bool plus = IsPlus<typename Adapter::Inflation>;
    const double t = plus ? how.strength : 1.0;  // (1 - t) I + t (I + s B A) = I + t s B A
    const Matrix<S> B = (t * layer.B.template cast<double>()).template cast<S>();
    const Matrix<S> A = layer.A.template cast<S>();
    const AdapterView<S, typename Adapter::Inflation, Auto, typename Adapter::Side> adapter(
        B, A, static_cast<S>(layer.alpha) / static_cast<S>(A.rows()));
    Workspace workspace;
    if (how.undo) {
      return adapter.unmerge_in_place(W, workspace, Finiteness::unchecked, how.epsilon);
    }
    if (plus || how.strength == 1.0) return adapter.merge_in_place(W, workspace);
    visit_eigen(W, [&](auto w) {
      const Matrix<S> old = w;
      adapter.merge_in_place(W, workspace);
      w = static_cast<S>(1.0 - how.strength) * old + static_cast<S>(how.strength) * w;
    });
  });
}

/// W, as stored, becomes what the change makes of it. S: float or double. Throws Error; when
/// it is undone, RankDeficient where no digit of the old weight would come back.
template <typename S>
void apply(const Change& change, const Application& how, RowMajorMatrix<S>& W) {
  if (how.strength == 0.0) return;
  const bool turned = change.is_turned();
  if (change.add) return detail::add(*change.add, how, turned, W);
  auto all = view_of(W);
  if (turned) all = all.transposed();
  for (const LormaLayer& layer : change.multiply) {
    const OutputSlice& outputs = layer.outputs;
    multiply(layer, how, outputs.is_whole() ? all : all.row_range(outputs.first, outputs.count));
  }
}

#ifdef LORMA_MODEL_BODIES
LORMA_MODEL_FUNCTION void check_application(const Change& change, const Application& how) {
  if (!how.undo || how.strength == 1.0) return;
  for (const LormaLayer& layer : change.multiply) {
    if (is_plus(layer)) continue;
    throw Error(lorma::detail::in_quotes(layer.key()) +
                ": expected inflation Identity to undo a strength other than 1, got " +
                layer.inflation);
  }
}

LORMA_MODEL_FUNCTION bool is_plus(const LormaLayer& layer) {
  bool plus = false;
  lorma::detail::visit_name(AllInflations{}, "inflation", layer.inflation,
                            [&](auto type) { plus = IsPlus<typename decltype(type)::type>; });
  return plus;
}
#endif

}  // namespace lorma::inline LORMA_ABI::model

#endif
