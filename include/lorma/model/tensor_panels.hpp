// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_MODEL_TENSOR_PANELS_HPP
#define LORMA_MODEL_TENSOR_PANELS_HPP

/// Tensors of any number of dimensions read a part at a time, so that one can be measured whose
/// copies would not fit in memory.
///
///   const Panels panels(file, tensor);                       // 64000 x 2048, or 2048 x 64000
///   for (Index i = 0; i < panels.rows(); i += count) {
///     panels.read(i, count, rows);                           // count x 2048, in double
///   }

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

#include "lorma/model/stored_weight.hpp"

namespace lorma::inline LORMA_ABI::model {

/// Elements [first, first + out.size()) of a tensor, in the order of the file, each rounded to S at
/// most once. Throws FormatError for types without arithmetic.
template <ComputeScalar S>
void load_elements(const StoredTensor& tensor, std::size_t first, std::span<S> out) {
  with_stored_type(tensor.dtype, [&](auto zero) {
    using T = decltype(zero);
    const std::byte* const from = tensor.bytes.data() + first * sizeof(T);
    const auto count = static_cast<Index>(out.size());
    Eigen::Map<Eigen::Array<S, Eigen::Dynamic, 1>> to(out.data(), count);
    std::vector<T> aligned;
    const T* at = reinterpret_cast<const T*>(from);
    if (std::bit_cast<std::uintptr_t>(from) % alignof(T) != 0) {
      aligned.resize(out.size());
      std::memcpy(static_cast<void*>(aligned.data()), from, out.size() * sizeof(T));
      at = aligned.data();
    }
    to = Eigen::Map<const Eigen::Array<T, Eigen::Dynamic, 1>>(at, count)
             .template cast<Accumulator<T>>()
             .template cast<S>();
  });
}

/// A matrix on disk, turned so that it has at least as many rows as columns; refers to both
/// arguments.
class Panels {
 public:
  /// Throws FormatError for types without arithmetic and other than 2 dimensions.
  Panels(const SafetensorsFile& file, const StoredTensor& tensor) : file_(file), tensor_(tensor) {
    require_matrix(tensor);
    stored_rows_ = static_cast<Index>(tensor.shape[0]);
    stored_cols_ = static_cast<Index>(tensor.shape[1]);
  }

  /// Whether the rows are the columns of what is stored.
  bool is_turned() const { return stored_rows_ < stored_cols_; }
  Index rows() const { return std::max(stored_rows_, stored_cols_); }
  Index cols() const { return std::min(stored_rows_, stored_cols_); }

  /// `out` becomes rows [first, first + count). The pages read are given back; if is_turned(), all
  /// at once with the last row.
  void read(Index first, Index count, Matrix<double>& out) const {
    out.resize(count, cols());
    if (!is_turned()) {
      // A cache line of each column at a time: turning all rows at once is several times slower.
      constexpr Index most = 8;
      RowMajorMatrix<double> part;
      for (Index i = 0; i < count; i += most) {
        part.resize(std::min(most, count - i), cols());
        load_elements<double>(tensor_, static_cast<std::size_t>((first + i) * cols()),
                              {part.data(), static_cast<std::size_t>(part.size())});
        out.middleRows(i, part.rows()) = part;
      }
      const std::size_t each = dtype_bits(tensor_.dtype) / 8;
      file_.forget(tensor_.bytes.subspan(static_cast<std::size_t>(first * cols()) * each,
                                         static_cast<std::size_t>(out.size()) * each));
      return;
    }
    std::vector<double> row(static_cast<std::size_t>(count));
    for (Index j = 0; j < cols(); ++j) {
      load_elements<double>(tensor_, static_cast<std::size_t>(j * rows() + first), std::span(row));
      out.col(j) = Eigen::Map<const Vector<double>>(row.data(), count);
    }
    if (first + count == rows()) file_.forget(tensor_.bytes);
  }

 private:
  const SafetensorsFile& file_;
  const StoredTensor& tensor_;
  Index stored_rows_ = 0;
  Index stored_cols_ = 0;
};

}  // namespace lorma::inline LORMA_ABI::model

#endif
