// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_IO_SAFETENSORS_WRITER_HPP
#define LORMA_IO_SAFETENSORS_WRITER_HPP

/// Writes a safetensors file, whole or not at all, byte for byte as the reference implementation
/// does (safetensors_plan.hpp). Small files of what is at hand:
///
///   std::vector<TensorSource> tensors;
///   tensors.push_back(TensorSource::copy("lora_A", A));               // any Eigen expression
///   tensors.push_back(TensorSource::view("weight", view_of_W));       // no copy, either order
///   tensors.push_back(TensorSource::bytes("codes", Dtype::F4, {n, 32}, packed));
///   tensors.push_back({"merged", Dtype::F32, {d, k}, [&](const ByteSink& sink) {
///     for (Index i = 0; i < d; ++i) sink(bytes_of_row(i));            // made as it is written
///   }});
///   write_safetensors("adapter.safetensors", tensors, {{"rank", "8"}});
///
/// Large ones by their plan, which says in which order the tensors will be asked for, so that each
/// is made when it is its turn:
///
///   write_safetensors("merged.safetensors", plan, [&](const PlannedTensor& t, const ByteSink&
///   sink)
///     { sink(bytes_of(t)); });
///
/// Memory: the header, a few rows, and what the caller holds. The old file may be mapped, and its
/// tensors may be what is written: it is replaced by renaming (AtomicFile).

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "lorma/core/view.hpp"
#include "lorma/io/atomic_file.hpp"
#include "lorma/io/dtype.hpp"
#include "lorma/io/message.hpp"
#include "lorma/io/safetensors_plan.hpp"

namespace lorma::inline LORMA_ABI {

/// Takes the next bytes of a tensor.
using ByteSink = std::function<void(std::span<const std::byte>)>;

/// A tensor to be written: what it is, and a function that hands its row-major bytes, in pieces of
/// any size, to a sink. What the function throws passes through write_safetensors.
struct TensorSource {
  std::string name;
  Dtype dtype = Dtype::U8;
  std::vector<std::uint64_t> shape;
  std::function<void(const ByteSink&)> produce;

  /// Owns a row-major copy of an Eigen expression; a compile-time vector becomes a 1-D tensor.
  template <typename Derived>
  requires DtypeScalar<typename Derived::Scalar>
  static TensorSource copy(std::string name, const Eigen::DenseBase<Derived>& expression) {
    using Scalar = typename Derived::Scalar;
    using Copy = Eigen::Matrix<Scalar, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
    const auto copy = std::make_shared<Copy>(expression.derived());
    std::vector<std::uint64_t> shape{static_cast<std::uint64_t>(copy->rows()),
                                     static_cast<std::uint64_t>(copy->cols())};
    if constexpr (Derived::IsVectorAtCompileTime) {
      shape = {static_cast<std::uint64_t>(copy->size())};
    }
    return {std::move(name), dtype_of<Scalar>, std::move(shape), [copy](const ByteSink& sink) {
              sink(std::as_bytes(std::span(copy->data(), static_cast<std::size_t>(copy->size()))));
            }};
  }

  /// Refers to a matrix of either storage order, which must live until it is written.
  template <typename T>
  requires DtypeScalar<std::remove_const_t<T>>
  static TensorSource view(std::string name, const MatrixView<T>& matrix) {
    return {std::move(name),
            dtype_of<std::remove_const_t<T>>,
            {static_cast<std::uint64_t>(matrix.rows), static_cast<std::uint64_t>(matrix.cols)},
            [matrix](const ByteSink& sink) { produce_rows<std::remove_const_t<T>>(matrix, sink); }};
  }

  /// Refers to row-major little-endian bytes, which must live until they are written.
  static TensorSource bytes(std::string name, Dtype dtype, std::vector<std::uint64_t> shape,
                            std::span<const std::byte> data) {
    return {std::move(name), dtype, std::move(shape), [data](const ByteSink& sink) { sink(data); }};
  }

 private:
  template <typename T>
  static void produce_rows(const MatrixView<const T>& matrix, const ByteSink& sink) {
    if (matrix.empty()) return;
    const auto cols = static_cast<std::size_t>(matrix.cols);
    if (!matrix.col_major()) {
      for (Index i = 0; i < matrix.rows; ++i) {
        sink(std::as_bytes(std::span(matrix.data + i * matrix.ld, cols)));
      }
      return;
    }
    // A few rows at a time, so that the cache lines read along a column are used whole.
    const Index block = std::min<Index>(64, matrix.rows);
    std::vector<T> rows(static_cast<std::size_t>(block) * cols);
    for (Index first = 0; first < matrix.rows; first += block) {
      const Index count = std::min(block, matrix.rows - first);
      for (Index j = 0; j < matrix.cols; ++j) {
        for (Index i = 0; i < count; ++i) {
          rows[static_cast<std::size_t>(i * matrix.cols + j)] = matrix(first + i, j);
        }
      }
      sink(std::as_bytes(std::span(rows.data(), static_cast<std::size_t>(count) * cols)));
    }
  }
};

/// Writes the tensors of `plan` to `path`: `produce(tensor, sink)` is called once for each, in the
/// order of the file, and hands the row-major bytes of `tensor` to the sink, in pieces of any size.
/// Throws ShapeError if these are other than tensor.bytes in number, Error with the system's reason
/// if the disk fails, and what `produce` throws. In each case `path` holds what it held.
template <typename Produce>
requires std::invocable<Produce&, const PlannedTensor&, const ByteSink&>
void write_safetensors(const std::filesystem::path& path, const SafetensorsPlan& plan,
                       Produce&& produce) {
  AtomicFile file(path);
  file.write(std::as_bytes(std::span(plan.header())));
  for (const PlannedTensor& tensor : plan.tensors()) {
    std::uint64_t left = tensor.bytes;
    const auto check = [&](bool good, std::string_view got) {
      if (good) return;
      throw ShapeError("lorma::write_safetensors: tensor " + detail::in_quotes(tensor.name) +
                       ": expected " + std::to_string(tensor.bytes) + " bytes, got " +
                       std::string(got));
    };
    produce(tensor, ByteSink([&](std::span<const std::byte> bytes) {
              check(bytes.size() <= left, "more");
              left -= bytes.size();
              file.write(bytes);
            }));
    check(left == 0, std::to_string(tensor.bytes - left));
  }
  file.commit();
}

/// The same of tensors that bring their function along, in any order. Throws FormatError, as
/// SafetensorsPlan does, before anything is written.
inline void write_safetensors(const std::filesystem::path& path,
                              const std::vector<TensorSource>& tensors,
                              const std::map<std::string, std::string>& metadata = {}) {
  std::vector<PlannedTensor> planned;
  planned.reserve(tensors.size());
  for (const TensorSource& source : tensors) {
    planned.push_back({source.name, source.dtype, source.shape});
  }
  write_safetensors(path, SafetensorsPlan(std::move(planned), metadata),
                    [&](const PlannedTensor& tensor, const ByteSink& sink) {
                      tensors[tensor.given_as].produce(sink);
                    });
}

}  // namespace lorma::inline LORMA_ABI

#endif
