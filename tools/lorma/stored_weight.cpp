// SPDX-License-Identifier: Apache-2.0
#include "stored_weight.hpp"

#include <bit>
#include <cmath>

#include "stop.hpp"

namespace lorma_tool {
namespace {

using lorma::Dtype;
using lorma::Index;
using lorma::RowMajorMatrix;

/// Calls f with a zero of the C++ type of a type that has arithmetic.
template <typename F>
auto with_type(Dtype type, F&& f) {
  switch (type) {
    case Dtype::F64:
      return f(double{});
    case Dtype::F16:
      return f(Eigen::half{});
    case Dtype::BF16:
      return f(Eigen::bfloat16{});
    default:
      return f(float{});
  }
}

/// The float between which and x lies no number of 16 bits and no middle of two: conversions to 16
/// bits exist from float alone, and rounding to nearest twice is wrong at ties. "Round to odd":
/// toward zero, the last bit set where that was not exact.
float sticky(double x) {
  const auto nearest = static_cast<float>(x);
  if (static_cast<double>(nearest) == x || !std::isfinite(nearest)) return nearest;
  auto bits = std::bit_cast<std::uint32_t>(nearest);
  if (std::abs(static_cast<double>(nearest)) > std::abs(x)) --bits;
  return std::bit_cast<float>(bits | 1U);
}

}  // namespace

bool has_arithmetic(Dtype type) {
  return type == Dtype::F64 || type == Dtype::F32 || type == Dtype::F16 || type == Dtype::BF16;
}

bool same_bytes(const lorma::StoredTensor& a, const lorma::StoredTensor& b) {
  return a.dtype == b.dtype && a.shape == b.shape &&
         std::equal(a.bytes.begin(), a.bytes.end(), b.bytes.begin(), b.bytes.end());
}

template <typename S>
RowMajorMatrix<S> load(const lorma::SafetensorsFile& file, const lorma::StoredTensor& tensor) {
  RowMajorMatrix<S> W = with_type(tensor.dtype, [&](auto zero) -> RowMajorMatrix<S> {
    using T = decltype(zero);
    using Wide = std::conditional_t<lorma::StorageOnlyScalar<T>, float, T>;
    const auto stored = file.matrix_view<T>(tensor.name);
    return stored.map().template cast<Wide>().template cast<S>();
  });
  file.forget(tensor.bytes);
  return W;
}

template <typename S>
std::vector<std::byte> rounded(const std::string& name, const RowMajorMatrix<S>& W, Dtype type) {
  return with_type(type, [&](auto zero) {
    using T = decltype(zero);
    using Narrow = std::conditional_t<lorma::StorageOnlyScalar<T>, float, T>;
    std::vector<std::byte> bytes(static_cast<std::size_t>(W.size()) * sizeof(T));
    constexpr Index block = 64;
    for (Index i = 0; i < W.rows(); i += block) {
      check_stop();
      const Index count = std::min(block, W.rows() - i);
      RowMajorMatrix<T> rows(count, W.cols());
      if constexpr (std::same_as<S, double> && lorma::StorageOnlyScalar<T>) {
        rows =
            W.middleRows(i, count).unaryExpr([](double x) { return sticky(x); }).template cast<T>();
      } else {
        rows = W.middleRows(i, count).template cast<Narrow>().template cast<T>();
      }
      // x * 0 is 0 for finite x and NaN otherwise: no branch in the loop.
      if (!((rows.template cast<Narrow>().array() * Narrow(0)).sum() == Narrow(0))) {
        throw lorma::NonFinite(lorma::detail::in_quotes(name) +
                               ": expected a finite weight, got NaN or infinity in rows " +
                               std::to_string(i) + " to " + std::to_string(i + count - 1));
      }
      std::memcpy(bytes.data() + static_cast<std::size_t>(i * W.cols()) * sizeof(T),
                  static_cast<const void*>(rows.data()),
                  static_cast<std::size_t>(rows.size()) * sizeof(T));
    }
    return bytes;
  });
}

template RowMajorMatrix<float> load(const lorma::SafetensorsFile&, const lorma::StoredTensor&);
template RowMajorMatrix<double> load(const lorma::SafetensorsFile&, const lorma::StoredTensor&);
template std::vector<std::byte> rounded(const std::string&, const RowMajorMatrix<float>&, Dtype);
template std::vector<std::byte> rounded(const std::string&, const RowMajorMatrix<double>&, Dtype);

}  // namespace lorma_tool
