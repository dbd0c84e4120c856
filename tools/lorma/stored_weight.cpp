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

double epsilon_of(Dtype type) {
  return with_type(type, [](auto zero) { return lorma::epsilon_of<decltype(zero)>(); });
}

template <typename S>
void load(const lorma::SafetensorsFile& file, const lorma::StoredTensor& tensor,
          RowMajorMatrix<S>& W) {
  file.prefetch(tensor.bytes);
  with_type(tensor.dtype, [&](auto zero) {
    using T = decltype(zero);
    using Wide = std::conditional_t<lorma::StorageOnlyScalar<T>, float, T>;
    W = file.matrix_view<T>(tensor.name).map().template cast<Wide>().template cast<S>();
  });
  file.forget(tensor.bytes);
}

template <typename S>
void round(const std::string& name, const RowMajorMatrix<S>& W, Dtype type,
           std::vector<std::byte>& bytes) {
  with_type(type, [&](auto zero) {
    using T = decltype(zero);
    using Narrow = std::conditional_t<lorma::StorageOnlyScalar<T>, float, T>;
    bytes.resize(static_cast<std::size_t>(W.size()) * sizeof(T));
    // An allocation is aligned for every T.
    Eigen::Map<RowMajorMatrix<T>> out(reinterpret_cast<T*>(bytes.data()), W.rows(), W.cols());
    constexpr Index block = 64;
    for (Index i = 0; i < W.rows(); i += block) {
      check_stop();
      const Index count = std::min(block, W.rows() - i);
      auto rows = out.middleRows(i, count);
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
    }
  });
}

template void load(const lorma::SafetensorsFile&, const lorma::StoredTensor&,
                   RowMajorMatrix<float>&);
template void load(const lorma::SafetensorsFile&, const lorma::StoredTensor&,
                   RowMajorMatrix<double>&);
template void round(const std::string&, const RowMajorMatrix<float>&, Dtype,
                    std::vector<std::byte>&);
template void round(const std::string&, const RowMajorMatrix<double>&, Dtype,
                    std::vector<std::byte>&);

}  // namespace lorma_tool
