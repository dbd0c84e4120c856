// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_MODEL_MERGED_WEIGHT_HPP
#define LORMA_MODEL_MERGED_WEIGHT_HPP

/// One weight of a checkpoint with what adapters make of it: checked, computed, rounded once.

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "lorma/model/apply.hpp"
#include "lorma/model/compiled.hpp"
#include "lorma/model/fit.hpp"
#include "lorma/model/monitor.hpp"
#include "lorma/model/quantized.hpp"

namespace lorma::inline LORMA_ABI::model {

/// A change and how much of it.
struct WeightedChange {
  const Change* change = nullptr;
  double strength = 1.0;  ///< t of (1 - t) W0 + t W
};

/// A weight and the changes that are put into it, one after the other, or taken out.
struct MergedWeight {
  std::string name;
  const SafetensorsFile* file = nullptr;  ///< null, as `tensor`: the base does not have it
  const StoredTensor* tensor = nullptr;
  Dtype type = Dtype::F32;                     ///< in which it is written
  std::vector<std::uint64_t> shape;            ///< in which it is written
  const QuantizedWeight* quantized = nullptr;  ///< what the base has of it, where that is codes
  std::vector<WeightedChange> changes;         ///< in the order in which they are applied

  /// Of what is written.
  double bytes() const {
    double numbers = dtype_bits(type) / 8.0;
    for (const std::uint64_t extent : shape) numbers *= static_cast<double>(extent);
    return numbers;
  }

  /// "Identity, Pre, rank 8; then LoRA, rank 4"
  std::string text() const {
    std::string all = quantized != nullptr ? "dequantized" : "";
    for (const WeightedChange& one : changes) {
      all += (all.empty() ? "" : "; then ") + one.change->text();
    }
    return all;
  }
};

/// How weights are computed.
struct Computation {
  bool undo = false;
  bool in_double = false;  ///< F64 weights always are
};

/// Memory that one weight after the other is computed in: fresh pages cost as much as the work.
struct WeightScratch {
  RowMajorMatrix<float> single;
  RowMajorMatrix<double> full;
  std::vector<std::byte> bytes;  ///< the new weight, as it is to be stored

  template <typename S>
  RowMajorMatrix<S>& in() {
    if constexpr (std::same_as<S, double>)
      return full;
    else
      return single;
  }
};

/// Throws NonFinite where a factor of a change is not finite.
LORMA_MODEL_FUNCTION void check_factors(const Change& change);

/// The new weight, as it is to be stored, into scratch.bytes. Throws NonFinite where it is not
/// finite, with the row and the cause: the base's own NaN, or a number too large for the type;
/// RankDeficient where it cannot be undone; Stopped.
LORMA_MODEL_FUNCTION void compute_weight(const MergedWeight& weight, const Computation& how,
                                         const Monitor& monitor, WeightScratch& scratch);

#ifdef LORMA_MODEL_BODIES
namespace detail {

/// A tensor as a change reads it.
template <typename S>
void load_as(const SafetensorsFile& file, const StoredTensor& tensor, WeightForm form,
             RowMajorMatrix<S>& W) {
  load<S>(file, tensor, matrices_of(form, tensor.shape).value_or(flat(tensor.shape)), W);
}

/// What the base has of a weight.
template <typename S>
void load_base(const MergedWeight& weight, RowMajorMatrix<S>& W) {
  if (weight.quantized != nullptr) return dequantize<S>(*weight.quantized, W);
  load_as<S>(*weight.file, *weight.tensor, weight.changes.front().change->form, W);
}

template <typename S>
void refuse_base(const MergedWeight& weight, RowMajorMatrix<S>& W) {
  if (weight.file == nullptr) return;
  load_base(weight, W);
  const Index row = first_row_not_finite(W);
  if (row < 0) return;
  throw NonFinite(
      lorma::detail::in_quotes(weight.tensor->name) + ": expected a finite weight, the base has " +
      what_is_not_finite(RowMajorMatrix<S>(W.row(row))) + " in row " + std::to_string(row));
}

inline void check_factor(const std::string& layer, const char* name, const Matrix<float>& factor) {
  const Index row = first_row_not_finite(factor);
  if (row < 0) return;
  throw NonFinite(lorma::detail::in_quotes(layer) + ": expected finite factors, the adapter's " +
                  name + " has " + what_is_not_finite(Matrix<float>(factor.row(row))) + " in row " +
                  std::to_string(row));
}

}  // namespace detail

LORMA_MODEL_FUNCTION void check_factors(const Change& change) {
  for (const LormaLayer& layer : change.multiply) {
    detail::check_factor(layer.key(), "B", layer.B);
    detail::check_factor(layer.key(), "A", layer.A);
  }
  if (!change.add) return;
  detail::check_factor(change.add->module, "B", change.add->B);
  detail::check_factor(change.add->module, "A", change.add->A);
}

LORMA_MODEL_FUNCTION void compute_weight(const MergedWeight& weight, const Computation& how,
                                         const Monitor& monitor, WeightScratch& scratch) {
  const Change* last = weight.changes.empty() ? nullptr : weight.changes.back().change;
  const bool is_whole =
      last != nullptr && last->is_whole() && weight.changes.back().strength == 1.0;
  if (is_whole && last->saved->tensor->dtype == weight.type) {
    const auto bytes = last->saved->tensor->bytes;
    scratch.bytes.assign(bytes.begin(), bytes.end());
    return;
  }
  const auto in = [&](auto zero) {
    using S = decltype(zero);
    RowMajorMatrix<S>& W = scratch.in<S>();
    W.resize(0, 0);
    if (weight.file != nullptr && !is_whole) detail::load_base(weight, W);
    const double epsilon = has_arithmetic(weight.type) ? epsilon_of(weight.type) : 0.0;
    for (const WeightedChange& one : weight.changes) {
      monitor.check();
      const Change& change = *one.change;
      if (!change.saved) {
        apply<S>(change, {how.undo, one.strength, epsilon}, W);
        continue;
      }
      RowMajorMatrix<S> whole;
      detail::load_as<S>(*change.file, *change.saved->tensor, change.form, whole);
      apply<S>(change, {how.undo, 1.0, epsilon}, whole);
      // A whole tensor at a strength t is mixed with the one before, if that has its size.
      const bool is_mixed =
          one.strength != 1.0 && W.rows() == whole.rows() && W.cols() == whole.cols();
      const auto t = static_cast<S>(one.strength);
      if (is_mixed) whole = (S(1) - t) * W + t * whole;
      W = std::move(whole);
    }
    monitor.check();
    try {
      round<S>(weight.name, W, weight.type, scratch.bytes);
    } catch (const NonFinite&) {
      detail::refuse_base(weight, W);
      throw;
    }
  };
  if (how.in_double || weight.type == Dtype::F64) {
    in(double{});
  } else {
    in(float{});
  }
}
#endif

}  // namespace lorma::inline LORMA_ABI::model

#endif
