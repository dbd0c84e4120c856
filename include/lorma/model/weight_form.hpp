// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_MODEL_WEIGHT_FORM_HPP
#define LORMA_MODEL_WEIGHT_FORM_HPP

/// How the axes of a tensor are read as matrices, which are what adapters change.

#include <cstdint>
#include <limits>
#include <optional>

#include "lorma/io/dtype.hpp"

namespace lorma::inline LORMA_ABI {

/// What a tensor is to its module.
enum class WeightForm : unsigned char {
  matrix,   ///< [a, b]: a x b
  vector,   ///< [d], a bias: d x 1
  kernel,   ///< [d, c, ...], of a convolution: d x (c ...)
  experts,  ///< [e, a, b]: e matrices a x b, one below the other
};

namespace detail {

/// What tensors of a form are, for messages.
inline const char* in_words(WeightForm form) {
  switch (form) {
    case WeightForm::matrix:
      return "a 2-D tensor";
    case WeightForm::vector:
      return "a vector";
    case WeightForm::kernel:
      return "a kernel of a convolution";
    case WeightForm::experts:
      return "a 2-D or 3-D tensor";
  }
  return "a tensor";
}

}  // namespace detail

/// A tensor as `count` row-major matrices, one below the other.
struct MatrixStack {
  Index count = 1;
  Index rows = 0;  ///< of each
  Index cols = 0;
};

/// The matrices of a tensor of a form; nothing where it has another number of axes, or sizes that
/// no Index holds. Two axes may also be a kernel of size 1, or one expert.
inline std::optional<MatrixStack> matrices_of(WeightForm form, TensorShape shape) {
  std::uint64_t all = 1;
  for (const std::uint64_t extent : shape) {
    const auto product = detail::checked_product(all, extent);
    if (!product || extent > static_cast<std::uint64_t>(std::numeric_limits<Index>::max() / 8)) {
      return std::nullopt;
    }
    all = *product;
  }
  const auto at = [shape](std::size_t i) { return static_cast<Index>(shape[i]); };
  switch (form) {
    case WeightForm::vector:
      if (shape.size() != 1) return std::nullopt;
      return MatrixStack{1, at(0), 1};
    case WeightForm::kernel:
      if (shape.size() < 2) return std::nullopt;
      return MatrixStack{1, at(0), shape[0] == 0 ? 0 : static_cast<Index>(all / shape[0])};
    case WeightForm::experts:
      if (shape.size() == 3) return MatrixStack{at(0), at(1), at(2)};
      [[fallthrough]];
    case WeightForm::matrix:
      if (shape.size() != 2) return std::nullopt;
      return MatrixStack{1, at(0), at(1)};
  }
  return std::nullopt;
}

/// Any tensor as one matrix: its first extent by all others; a number as 1 x 1.
inline MatrixStack flat(TensorShape shape) {
  if (shape.empty()) return {1, 1, 1};
  if (const auto kernel = matrices_of(WeightForm::kernel, shape)) return *kernel;
  if (const auto vector = matrices_of(WeightForm::vector, shape)) return *vector;
  return {1, 0, 0};  // extents that only a tensor without elements can have
}

}  // namespace lorma::inline LORMA_ABI

#endif
