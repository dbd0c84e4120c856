// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_IO_SAFETENSORS_WRITER_HPP
#define LORMA_IO_SAFETENSORS_WRITER_HPP

/// Writes a safetensors file, whole or not at all, byte for byte as the reference implementation
/// does: tensors of wide types first, then by name, `__metadata__` at the head of the header, the
/// header padded with spaces to a multiple of 8 bytes.
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
/// Memory: the header, a few rows, and what the caller holds. The old file may be mapped, and its
/// tensors may be what is written: it is replaced by renaming (AtomicFile).

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "lorma/core/view.hpp"
#include "lorma/io/atomic_file.hpp"
#include "lorma/io/dtype.hpp"
#include "lorma/io/message.hpp"
#include "lorma/io/safetensors_header.hpp"

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

namespace detail {

[[noreturn]] inline void write_error(const std::string* tensor, std::string_view rule) {
  throw FormatError(
      "lorma::write_safetensors: " +
      (tensor == nullptr ? std::string("file: ") : "tensor " + in_quotes(*tensor) + ": ") +
      std::string(rule));
}

/// A JSON string; throws FormatError unless `text` is valid UTF-8.
inline std::string json_string(const std::string& text) {
  try {
    return nlohmann::json(text).dump();
  } catch (const nlohmann::json::exception&) {
    write_error(nullptr, "expected names and metadata in UTF-8, got " + in_quotes(text));
  }
}

/// Bytes of a tensor to be written; throws FormatError where the format has no such tensor.
inline std::uint64_t source_bytes(const TensorSource& source) {
  const std::optional<std::uint64_t> bits = tensor_bits(source.dtype, source.shape);
  const std::string what =
      std::string(dtype_name(source.dtype)) + " of shape " + shape_text(source.shape);
  if (!bits) write_error(&source.name, "expected a size below 2^64 bits, got " + what);
  if (*bits % 8 != 0) write_error(&source.name, "expected whole bytes, got " + what);
  return *bits / 8;
}

/// The length and the header, for tensors in the order in which they will be written.
inline std::string safetensors_header(const std::vector<const TensorSource*>& tensors,
                                      const std::map<std::string, std::string>& metadata) {
  std::string json;
  const auto comma = [&json](bool first) { json += first ? "{" : ","; };
  bool first = true;
  if (!metadata.empty()) {
    comma(first);
    first = false;
    json += json_string(std::string(safetensors_metadata_key)) + ':';
    bool first_entry = true;
    for (const auto& [key, value] : metadata) {
      comma(first_entry);
      first_entry = false;
      json += json_string(key) + ':' + json_string(value);
    }
    json += '}';
  }
  std::uint64_t begin = 0;
  for (const TensorSource* const source : tensors) {
    const std::uint64_t end = begin + source_bytes(*source);
    if (end < begin) write_error(&source->name, "expected less than 2^64 bytes in all");
    comma(first);
    first = false;
    json += json_string(source->name) + R"(:{"dtype":")" + std::string(dtype_name(source->dtype)) +
            R"(","shape":[)";
    for (std::size_t i = 0; i < source->shape.size(); ++i) {
      if (i > 0) json += ',';
      json += std::to_string(source->shape[i]);
    }
    json += R"(],"data_offsets":[)" + std::to_string(begin) + ',' + std::to_string(end) + "]}";
    begin = end;
  }
  json += first ? "{}" : "}";
  json.resize((json.size() + 7) / 8 * 8, ' ');
  const std::uint64_t length = json.size();
  if (length > safetensors_max_header) {
    write_error(nullptr,
                "expected a header of at most 100000000 bytes, got " + std::to_string(length));
  }
  std::string header(safetensors_length_bytes, '\0');
  std::memcpy(header.data(), &length, sizeof length);
  return header + json;
}

}  // namespace detail

/// The order in which write_safetensors asks for tensors: wide types first, then by name.
inline std::vector<const TensorSource*> writing_order(const std::vector<TensorSource>& tensors) {
  std::vector<const TensorSource*> order;
  order.reserve(tensors.size());
  for (const TensorSource& source : tensors) order.push_back(&source);
  std::sort(order.begin(), order.end(), [](const TensorSource* a, const TensorSource* b) {
    return a->dtype != b->dtype ? a->dtype > b->dtype : a->name < b->name;
  });
  return order;
}

/// Writes `tensors` (in any order) and `metadata` to `path`. Throws FormatError before anything is
/// written if a name is given twice, is "__metadata__" or no UTF-8, or a size is none of the
/// format; ShapeError if a source yields other than its number of bytes; Error with the system's
/// reason if the disk fails. In each case `path` holds what it held.
inline void write_safetensors(const std::filesystem::path& path,
                              const std::vector<TensorSource>& tensors,
                              const std::map<std::string, std::string>& metadata = {}) {
  std::set<std::string_view> names;
  for (const TensorSource& source : tensors) {
    if (source.name == detail::safetensors_metadata_key) {
      detail::write_error(&source.name, "expected a name other than that of the metadata");
    }
    if (!names.insert(source.name).second) {
      detail::write_error(&source.name, "expected every name once, got it twice");
    }
  }
  const std::vector<const TensorSource*> order = writing_order(tensors);
  const std::string header = detail::safetensors_header(order, metadata);

  AtomicFile file(path);
  file.write(std::as_bytes(std::span(header)));
  for (const TensorSource* const source : order) {
    const std::uint64_t wanted = detail::source_bytes(*source);
    std::uint64_t left = wanted;
    const auto check = [&](bool good, std::string_view got) {
      if (good) return;
      throw ShapeError("lorma::write_safetensors: tensor " + detail::in_quotes(source->name) +
                       ": expected " + std::to_string(wanted) + " bytes, got " + std::string(got));
    };
    source->produce([&](std::span<const std::byte> bytes) {
      check(bytes.size() <= left, "more");
      left -= bytes.size();
      file.write(bytes);
    });
    check(left == 0, std::to_string(wanted - left));
  }
  file.commit();
}

}  // namespace lorma::inline LORMA_ABI

#endif
