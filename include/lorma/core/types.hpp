// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_CORE_TYPES_HPP
#define LORMA_CORE_TYPES_HPP

/// The vocabulary of scalars and matrices.

#include <Eigen/Core>
#include <concepts>
#include <type_traits>

#include "lorma/core/config.hpp"

namespace lorma::inline LORMA_ABI {

using Index = Eigen::Index;

/// Owning dense matrix on the CPU, column-major whatever Eigen's default is.
template <typename Scalar>
using Matrix = Eigen::Matrix<Scalar, Eigen::Dynamic, Eigen::Dynamic, Eigen::ColMajor>;

template <typename Scalar>
using Vector = Eigen::Matrix<Scalar, Eigen::Dynamic, 1>;

/// Types that lorma computes in.
template <typename T>
concept ComputeScalar = std::same_as<T, float> || std::same_as<T, double>;

/// Types that a frozen weight may be stored in besides the compute type; arithmetic on them is
/// done in float and rounded once.
template <typename T>
concept StorageOnlyScalar = std::same_as<T, Eigen::half> || std::same_as<T, Eigen::bfloat16>;

/// Types that factors and activations may have; a backend declares which of them it takes.
template <typename T>
concept ElementScalar = ComputeScalar<T> || StorageOnlyScalar<T>;

/// The type in which products of T are summed, and the type of the scale s = alpha / r.
template <typename T>
using Accumulator = std::conditional_t<StorageOnlyScalar<T>, float, T>;

namespace detail {
template <typename T>
struct DoubleFor {
  using type = double;
};
}  // namespace detail

/// double, but known as such only once T is. In a template over T, Eigen's expressions of double
/// cost compile time wherever the template is included, those of DoubleFor<T> where it is called.
template <typename T>
using DoubleFor = typename detail::DoubleFor<T>::type;

/// Distance from 1 to the next number of T.
template <ElementScalar T>
constexpr double epsilon_of() {
  if constexpr (std::same_as<T, Eigen::half>) return 0x1p-10;
  if constexpr (std::same_as<T, Eigen::bfloat16>) return 0x1p-7;
  return std::same_as<T, float> ? 0x1p-23 : 0x1p-52;
}

/// A weight of type `Storage` can meet an adapter of type `Compute`.
template <typename Storage, typename Compute>
concept StorableIn = std::same_as<std::remove_const_t<Storage>, Compute> ||
    (std::same_as<Compute, float>&& StorageOnlyScalar<std::remove_const_t<Storage>>);

}  // namespace lorma::inline LORMA_ABI

#endif
