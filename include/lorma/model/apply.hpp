// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_MODEL_APPLY_HPP
#define LORMA_MODEL_APPLY_HPP

/// Changes put into weights, or taken out of them.

#include <algorithm>
#include <cmath>
#include <sstream>
#include <string>
#include <vector>

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

/// Whether P = I + M: only such layers can be composed, resized, or undone at a strength other than
/// 1. Throws Error for an unknown inflation.
LORMA_MODEL_FUNCTION bool is_plus(const LormaLayer& layer);

namespace detail {

/// One matrix of W as it is stored: all of W, or one expert's.
template <typename S>
using WeightBlock = Eigen::Ref<RowMajorMatrix<S>, 0, Eigen::OuterStride<>>;

/// Adds scale B A of one of `count` matrices, or takes it out. Throws RankDeficient.
template <typename S>
void add(const LoraLayer& layer, Index expert, Index count, const Application& how, bool turned,
         WeightBlock<S> W) {
  const double scale = (how.undo ? -1.0 : 1.0) * how.strength * layer.scale;
  const Index r = layer.A.rows() / count;
  const Index d = layer.B.rows();
  const Eigen::Map<const Matrix<float>, 0, Eigen::OuterStride<>> columns(
      layer.B.data() + expert * d, d, r, Eigen::OuterStride<>(count * d));
  const Matrix<S> B = (scale * columns.template cast<double>()).template cast<S>();
  const Matrix<S> A = layer.A.middleRows(expert * r, r).template cast<S>();
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

/// DoRA: the rows of W (out x in) are brought to the norms of `magnitude`.
template <typename S>
void bring_to_norms(const Eigen::VectorXf& magnitude, bool turned, WeightBlock<S> W) {
  using Vector = Eigen::Matrix<S, Eigen::Dynamic, 1>;
  const Vector norms = turned ? Vector(W.colwise().norm().transpose()) : Vector(W.rowwise().norm());
  const Vector factors = magnitude.template cast<S>().cwiseQuotient(norms);
  if (turned) {
    W.array().rowwise() *= factors.transpose().array();
  } else {
    W.array().colwise() *= factors.array();
  }
}

/// If A of a CyclicPermutation has one nonzero entry a row, P is r shifted diagonals: a row of P Y
/// is a sum of r rows of Y, each product rounded once. False, and W untouched, for other layers.
template <typename S>
bool multiply_diagonals(const LormaLayer& layer, double strength, const MatrixView<S>& W) {
  if (layer.inflation != "CyclicPermutation") return false;
  const Index n = layer.A.cols();
  const Index r = layer.A.rows();
  std::vector<Index> turns(static_cast<std::size_t>(r));
  Matrix<S> diagonals(n, r);
  for (Index q = 0; q < r; ++q) {
    Index turn = 0;
    const float entry = layer.A.row(q).cwiseAbs().maxCoeff(&turn);
    if ((layer.A.row(q).array() != 0.0F).count() != 1 || !std::isfinite(entry)) return false;
    turns[static_cast<std::size_t>(q)] = turn;
    const double scale = layer.scale() * static_cast<double>(layer.A(q, turn));
    diagonals.col(q) = (scale * layer.B.col(q).template cast<double>()).template cast<S>();
  }
  const bool pre = layer.side == "Pre";
  visit_eigen(pre ? W : W.transposed(), [&](auto w) {
    const Matrix<S> old = w;
    w.setZero();
    for (Index i = 0; i < n; ++i) {
      for (Index q = 0; q < r; ++q) {
        const Index j = (i + turns[static_cast<std::size_t>(q)]) % n;
        // P(i, j) is the entry: row i of P W0, or row j of (W0 P)^T.
        if (diagonals(i, q) == S(0) && q > 0) continue;
        w.row(pre ? i : j) += diagonals(i, q) * old.row(pre ? j : i);
      }
    }
    if (strength == 1.0) return;
    w = static_cast<S>(1.0 - strength) * old + static_cast<S>(strength) * w;
  });
  return true;
}

}  // namespace detail

/// W (out x in), the weight or the slice of it that one layer multiplies, becomes (1 - t) W + t P W
/// (Pre) or (1 - t) W + t W P (Post); to undo, what it was before. S: float or double. Throws as
/// apply does.
template <typename S>
void multiply(const LormaLayer& layer, const Application& how, const MatrixView<S>& W) {
  if (!how.undo && detail::multiply_diagonals(layer, how.strength, W)) return;
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

/// W, as stored (weight_form.hpp), becomes what multipliers, an additive change and DoRA's norms
/// make of it; to undo, the additive change is taken out, then the multipliers. A whole tensor is
/// for the caller to load as W first. S: float or double. Throws Error; to undo, RankDeficient
/// where no digit of the old weight would come back.
template <typename S>
void apply(const Change& change, const Application& how, RowMajorMatrix<S>& W) {
  if (how.strength == 0.0) return;
  const bool is_dora = change.add && change.add->magnitude.size() > 0;
  if (how.strength != 1.0 && change.add && (is_dora || !change.multiply.empty())) {
    const RowMajorMatrix<S> old = W;
    apply(change, {how.undo, 1.0, how.epsilon}, W);
    W = static_cast<S>(1.0 - how.strength) * old + static_cast<S>(how.strength) * W;
    return;
  }
  const bool turned = change.is_turned();
  const auto multiply_all = [&] {
    auto all = view_of(W);
    if (turned) all = all.transposed();
    for (const LormaLayer& layer : change.multiply) {
      const OutputSlice& outputs = layer.outputs;
      multiply(layer, how, outputs.is_whole() ? all : all.row_range(outputs.first, outputs.count));
    }
  };
  if (!how.undo) multiply_all();
  if (change.add) {
    const Index count = change.add->rank > 0 ? change.add->A.rows() / change.add->rank : 1;
    const Index rows = W.rows() / std::max<Index>(count, 1);
    for (Index i = 0; i < count; ++i) {
      detail::WeightBlock<S> block = W.middleRows(i * rows, rows);
      detail::add<S>(*change.add, i, count, how, turned, block);
      if (is_dora) detail::bring_to_norms<S>(change.add->magnitude, turned, block);
    }
  }
  if (how.undo) multiply_all();
}

#ifdef LORMA_MODEL_BODIES
LORMA_MODEL_FUNCTION void check_application(const Change& change, const Application& how) {
  if (!how.undo) return;
  if (change.add && change.add->magnitude.size() > 0) {
    throw Error(lorma::detail::in_quotes(change.tensor) +
                ": expected an adapter that can be taken out, got DoRA: the norms of the base's "
                "rows are not kept");
  }
  if (how.strength == 1.0) return;
  if (change.add && !change.multiply.empty()) {
    throw Error(lorma::detail::in_quotes(change.tensor) + ": expected a strength of 1 to undo " +
                change.text());
  }
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
