// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_MODEL_STORED_WEIGHT_HPP
#define LORMA_MODEL_STORED_WEIGHT_HPP

/// Weights between their type on disk and the type of arithmetic: the one place where a Dtype
/// becomes a C++ type.
///
///   with_stored_type(tensor.dtype, [&](auto zero) { using T = decltype(zero); ... });
///   RowMajorMatrix<float> W;
///   load(file, file.tensor("w"), W);                    // exact from F32, F16 and BF16
///   round("w", W, Dtype::BF16, bytes);                  // each element once, to nearest

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <sstream>
#include <string>
#include <vector>

#include "lorma/io/safetensors.hpp"
#include "lorma/model/weight_form.hpp"

namespace lorma::inline LORMA_ABI::model {

/// Whether a type has arithmetic here: F64, F32, F16, BF16.
inline bool has_arithmetic(Dtype type) {
  return type == Dtype::F64 || type == Dtype::F32 || type == Dtype::F16 || type == Dtype::BF16;
}

/// Calls f with a zero of the C++ type of a type that has arithmetic: double, float, Eigen::half or
/// Eigen::bfloat16. Throws FormatError for another.
template <typename F>
auto with_stored_type(Dtype type, F&& f) {
  switch (type) {
    case Dtype::F64:
      return f(double{});
    case Dtype::F32:
      return f(float{});
    case Dtype::F16:
      return f(Eigen::half{});
    case Dtype::BF16:
      return f(Eigen::bfloat16{});
    default:
      throw FormatError(
          "lorma::model::with_stored_type: expected type F64, F32, F16 or BF16, got " +
          std::string(dtype_name(type)));
  }
}

/// Calls f with a zero of the type that a weight is computed in: double for F64, else float, which
/// holds the numbers of F32, F16 and BF16 exactly. Throws FormatError for types without arithmetic.
template <typename F>
auto with_compute_type(Dtype type, F&& f) {
  return with_stored_type(type, [&](auto zero) { return f(Accumulator<decltype(zero)>{}); });
}

/// Throws FormatError unless a tensor has two dimensions and a type that has arithmetic.
inline void require_matrix(const StoredTensor& tensor) {
  if (has_arithmetic(tensor.dtype) && tensor.shape.size() == 2) return;
  throw FormatError(
      lorma::detail::in_quotes(tensor.name) + ": expected a matrix of F64, F32, F16 or BF16, got " +
      std::string(dtype_name(tensor.dtype)) + ' ' + lorma::detail::shape_text(tensor.shape));
}

/// Distance from 1 to the next number of a type. Throws FormatError for types without arithmetic.
inline double epsilon_of(Dtype type) {
  return with_stored_type(type, [](auto zero) { return lorma::epsilon_of<decltype(zero)>(); });
}

/// Whether type, shape and every byte are the same. Cost: one reading of both.
inline bool same_bytes(const StoredTensor& a, const StoredTensor& b) {
  return a.dtype == b.dtype && a.shape == b.shape &&
         std::equal(a.bytes.begin(), a.bytes.end(), b.bytes.begin(), b.bytes.end());
}

/// W becomes a 2-D tensor, as stored, each element rounded to S at most once; the tensor's pages
/// are given back. Throws FormatError for types without arithmetic and other numbers of dimensions.
template <ComputeScalar S>
void load(const SafetensorsFile& file, const StoredTensor& tensor, RowMajorMatrix<S>& W) {
  with_stored_type(tensor.dtype, [&](auto zero) {
    using T = decltype(zero);
    const StoredMatrix<T> stored = file.matrix_view<T>(tensor.name);
    file.prefetch(tensor.bytes);
    W = stored.map().template cast<Accumulator<T>>().template cast<S>();
  });
  file.forget(tensor.bytes);
}

/// The same of a tensor read as one matrix or several, one below the other.
template <ComputeScalar S>
void load(const SafetensorsFile& file, const StoredTensor& tensor, const MatrixStack& stack,
          RowMajorMatrix<S>& W) {
  with_stored_type(tensor.dtype, [&](auto zero) {
    using T = decltype(zero);
    const StoredMatrix<T> stored =
        file.matrix_view<T>(tensor.name, stack.count * stack.rows, stack.cols);
    file.prefetch(tensor.bytes);
    W = stored.map().template cast<Accumulator<T>>().template cast<S>();
  });
  file.forget(tensor.bytes);
}

namespace detail {

/// A float such that between it and x lies no number of 16 bits and no middle of two: Eigen
/// converts to 16 bits from float alone, and rounding to nearest twice is wrong at ties. "Round to
/// odd": toward zero, the last bit set where that was not exact.
inline float sticky(double x) {
  const auto nearest = static_cast<float>(x);
  if (static_cast<double>(nearest) == x || !std::isfinite(nearest)) return nearest;
  auto bits = std::bit_cast<std::uint32_t>(nearest);
  if (std::abs(static_cast<double>(nearest)) > std::abs(x)) --bits;
  return std::bit_cast<float>(bits | 1U);
}

/// The first row with a number that is not finite; -1 if there is none.
template <typename Derived>
Index first_row_not_finite(const Eigen::DenseBase<Derived>& W) {
  for (Index i = 0; i < W.rows(); ++i) {
    for (Index j = 0; j < W.cols(); ++j) {
      if (!std::isfinite(static_cast<double>(W.derived().coeff(i, j)))) return i;
    }
  }
  return -1;
}

/// "NaN" or "an infinity": what a row has.
template <typename Derived>
const char* what_is_not_finite(const Eigen::DenseBase<Derived>& row) {
  for (Index j = 0; j < row.size(); ++j) {
    if (std::isnan(static_cast<double>(row.derived().coeff(j)))) return "NaN";
  }
  return "an infinity";
}

/// Throws NonFinite for rows of W from `first` on, which became `rows` of a type.
template <typename S, typename Rows>
[[noreturn]] void refuse_rows(const std::string& name, const RowMajorMatrix<S>& W, Index first,
                              const Rows& rows, Dtype type) {
  const Index row = first_row_not_finite(rows);
  const auto computed = W.row(first + row);
  const std::string start = lorma::detail::in_quotes(name) + ": expected a finite weight, got ";
  const std::string where = " in row " + std::to_string(first + row);
  if (first_row_not_finite(computed) >= 0) {
    throw NonFinite(start + what_is_not_finite(computed) + where);
  }
  const double largest = static_cast<double>(computed.cwiseAbs().maxCoeff());
  std::ostringstream text;
  text << start << "numbers up to " << largest << where << ", which " << dtype_name(type)
       << " does not hold";
  throw NonFinite(text.str());
}

}  // namespace detail

/// `bytes` become those of W in `type`, each element rounded to nearest once. Throws NonFinite,
/// with the name, for NaN, infinity and numbers too large for the type, and FormatError for types
/// without arithmetic.
template <ComputeScalar S>
void round(const std::string& name, const RowMajorMatrix<S>& W, Dtype type,
           std::vector<std::byte>& bytes) {
  with_stored_type(type, [&](auto zero) {
    using T = decltype(zero);
    using Narrow = Accumulator<T>;
    bytes.resize(static_cast<std::size_t>(W.size()) * sizeof(T));
    // An allocation is aligned for every T.
    Eigen::Map<RowMajorMatrix<T>> out(reinterpret_cast<T*>(bytes.data()), W.rows(), W.cols());
    constexpr Index block = 64;
    for (Index i = 0; i < W.rows(); i += block) {
      const Index count = std::min(block, W.rows() - i);
      auto rows = out.middleRows(i, count);
      if constexpr (std::same_as<S, double> && StorageOnlyScalar<T>) {
        rows = W.middleRows(i, count)
                   .unaryExpr([](double x) { return detail::sticky(x); })
                   .template cast<T>();
      } else {
        rows = W.middleRows(i, count).template cast<Narrow>().template cast<T>();
      }
      // x * 0 is 0 for finite x and NaN otherwise: no branch in the loop.
      if (!((rows.template cast<Narrow>().array() * Narrow(0)).sum() == Narrow(0))) {
        detail::refuse_rows(name, W, i, rows, type);
      }
    }
  });
}

}  // namespace lorma::inline LORMA_ABI::model

#endif
