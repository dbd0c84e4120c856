// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_PRIMITIVES_OVERLAP_HPP
#define LORMA_PRIMITIVES_OVERLAP_HPP

/// Whether two views share an element: an output that is also an input would be read half written.

#include <cstdint>
#include <functional>

#include "lorma/core/error.hpp"
#include "lorma/core/view.hpp"

namespace lorma::inline LORMA_ABI::detail {

/// False only when the views certainly share nothing: disjoint ranges of memory, or two blocks of
/// one parent (same order and leading dimension) whose inner ranges are disjoint.
template <typename T, typename U>
bool may_overlap(const MatrixView<T>& a, const MatrixView<U>& b) {
  if (a.empty() || b.empty() || a.data == nullptr || b.data == nullptr) return false;
  const auto last = [](const auto& v) {
    return v.data + (v.rows - 1) * v.row_stride() + (v.cols - 1) * v.col_stride() + 1;
  };
  const auto address = [](const void* p) { return reinterpret_cast<std::uintptr_t>(p); };
  const auto a0 = address(a.data), a1 = address(last(a));
  const auto b0 = address(b.data), b1 = address(last(b));
  if (a1 <= b0 || b1 <= a0) return false;
  if (a.ld != b.ld || a.order != b.order || sizeof(T) != sizeof(U)) return true;
  const auto line = static_cast<std::uintptr_t>(a.ld) * sizeof(T);
  const auto inner = [](const auto& v) {
    return static_cast<std::uintptr_t>(v.col_major() ? v.rows : v.cols) * sizeof(T);
  };
  const std::uintptr_t shift = (b0 > a0 ? b0 - a0 : line - (a0 - b0) % line) % line;
  return shift < inner(a) || shift + inner(b) > line;
}

template <typename T, typename U>
void check_no_overlap(std::string_view function, std::string_view output, const MatrixView<T>& a,
                      std::string_view input, const MatrixView<U>& b) {
  if (!may_overlap(a, b)) return;
  throw ShapeError("lorma::" + std::string(function) + ": expected " + std::string(output) +
                   " to share no memory with " + std::string(input) + ", got overlapping matrices");
}

}  // namespace lorma::inline LORMA_ABI::detail

#endif
