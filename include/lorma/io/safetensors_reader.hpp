// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_IO_SAFETENSORS_READER_HPP
#define LORMA_IO_SAFETENSORS_READER_HPP

/// A safetensors file, memory-mapped: opening costs the header alone, tensors are paged in as used.
///
///   SafetensorsFile file("model.safetensors");
///   for (const StoredTensor& t : file.tensors()) { ... t.name, t.dtype, t.shape, t.bytes ... }
///   Matrix<float> W = file.matrix<float>("layer.weight");          // from F64, F32, F16 or BF16
///   StoredMatrix<float> V = file.matrix_view<float>("layer.weight");  // F32 in place
///   adapter.forward(V.map(), X);
///
/// A [d, k] tensor is row-major in the file and a d x k matrix here. Whatever the file holds, a
/// function returns or throws lorma::Error; FormatError names the file, the tensor and the rule.

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <limits>
#include <map>
#include <numeric>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "lorma/io/dtype.hpp"
#include "lorma/io/memory_map.hpp"
#include "lorma/io/message.hpp"
#include "lorma/io/safetensors_header.hpp"

namespace lorma::inline LORMA_ABI {

/// Dense row-major matrix, as tensors lie in files.
template <typename T>
using RowMajorMatrix = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

/// A 2-D tensor of a file: in place where its address is aligned for T, else a copy that it owns.
template <DtypeScalar T>
class StoredMatrix {
 public:
  /// Valid as long as this object and, unless copied(), the file.
  Eigen::Map<const RowMajorMatrix<T>> map() const {
    return {copied_ ? copy_.data() : data_, rows_, cols_};
  }
  Index rows() const { return rows_; }
  Index cols() const { return cols_; }
  bool copied() const { return copied_; }

 private:
  friend class SafetensorsFile;

  StoredMatrix(std::span<const std::byte> bytes, Index rows, Index cols)
      : rows_(rows),
        cols_(cols),
        copied_(std::bit_cast<std::uintptr_t>(bytes.data()) % alignof(T) != 0) {
    if (copied_) {
      copy_.resize(bytes.size() / sizeof(T));
      if (!bytes.empty()) {
        std::memcpy(static_cast<void*>(copy_.data()), bytes.data(), bytes.size());
      }
    } else {
      data_ = reinterpret_cast<const T*>(bytes.data());
    }
  }

  std::vector<T> copy_;
  const T* data_ = nullptr;
  Index rows_;
  Index cols_;
  bool copied_;
};

/// Move-only. Spans and maps handed out stay valid when the object is moved.
class SafetensorsFile {
 public:
  /// Throws Error if the file cannot be read, FormatError if it breaks a rule of the format.
  explicit SafetensorsFile(const std::filesystem::path& path)
      : SafetensorsFile(MemoryMap(path), path.string()) {}

  /// The same on bytes in memory, which must outlive the object; `name` stands in messages.
  static SafetensorsFile from_bytes(std::span<const std::byte> bytes, std::string name) {
    return SafetensorsFile(bytes, std::move(name));
  }

  const std::string& name() const { return name_; }
  /// In the order of their data.
  const std::vector<StoredTensor>& tensors() const { return header_.tensors; }
  const std::map<std::string, std::string>& metadata() const { return header_.metadata; }

  /// Brings the pages of `part` of this file's data in before they are read.
  void prefetch(std::span<const std::byte> part) const { map_.prefetch(part); }
  /// Gives the memory of pages back that reading `part` of this file's data brought in.
  void forget(std::span<const std::byte> part) const { map_.forget(part); }

  bool contains(std::string_view tensor) const { return find(tensor) != nullptr; }

  /// Throws FormatError if the file has no tensor of that name.
  const StoredTensor& tensor(std::string_view tensor) const {
    const StoredTensor* const found = find(tensor);
    if (found != nullptr) return *found;
    fail(tensor,
         "expected a tensor of that name, got none among " + std::to_string(tensors().size()));
  }

  /// A 2-D tensor stored as T. Throws FormatError if there is none of the name, or of another type
  /// or number of dimensions. Cost: none where aligned, else one copy.
  template <DtypeScalar T>
  StoredMatrix<T> matrix_view(std::string_view name) const {
    const StoredTensor& stored = with_dimensions(name, 2);
    if (stored.dtype != dtype_of<T>) {
      fail(name, "expected type " + std::string(dtype_name(dtype_of<T>)) + ", got " +
                     std::string(dtype_name(stored.dtype)));
    }
    return {stored.bytes, extent(stored, 0), extent(stored, 1)};
  }

  /// A 2-D tensor of type F64, F32, F16 or BF16, each element rounded to T once. Throws FormatError
  /// if there is none of the name, or of another type or number of dimensions.
  template <ComputeScalar T>
  Matrix<T> matrix(std::string_view name) const {
    const StoredTensor& stored = with_dimensions(name, 2);
    Matrix<T> out(extent(stored, 0), extent(stored, 1));
    convert(stored, out);
    return out;
  }

  /// A tensor of any number of dimensions, as its row-major elements fill rows x cols. Throws
  /// FormatError if these are other than it has in number, and as above.
  template <DtypeScalar T>
  StoredMatrix<T> matrix_view(std::string_view name, Index rows, Index cols) const {
    const StoredTensor& stored = with_size(name, rows, cols);
    if (stored.dtype != dtype_of<T>) {
      fail(name, "expected type " + std::string(dtype_name(dtype_of<T>)) + ", got " +
                     std::string(dtype_name(stored.dtype)));
    }
    return {stored.bytes, rows, cols};
  }
  template <ComputeScalar T>
  Matrix<T> matrix(std::string_view name, Index rows, Index cols) const {
    const StoredTensor& stored = with_size(name, rows, cols);
    Matrix<T> out(rows, cols);
    convert(stored, out);
    return out;
  }

  /// A 1-D tensor as matrix() takes a 2-D one.
  template <ComputeScalar T>
  Eigen::Matrix<T, Eigen::Dynamic, 1> vector(std::string_view name) const {
    const StoredTensor& stored = with_dimensions(name, 1);
    Eigen::Matrix<T, Eigen::Dynamic, 1> out(extent(stored, 0));
    convert(stored, out);
    return out;
  }

 private:
  SafetensorsFile(MemoryMap&& map, std::string name)
      : SafetensorsFile(map.bytes(), std::move(name)) {
    map_ = std::move(map);
  }

  SafetensorsFile(std::span<const std::byte> bytes, std::string name)
      : name_(std::move(name)),
        header_(parse_safetensors_header(bytes, name_)),
        by_name_(header_.tensors.size()) {
    std::iota(by_name_.begin(), by_name_.end(), std::size_t{0});
    std::sort(by_name_.begin(), by_name_.end(), [this](std::size_t a, std::size_t b) {
      return header_.tensors[a].name < header_.tensors[b].name;
    });
  }

  [[noreturn]] void fail(std::string_view tensor, const std::string& rule) const {
    const std::string name(tensor);
    detail::safetensors_error(name_, &name, rule);
  }

  const StoredTensor* find(std::string_view tensor) const {
    const auto found = std::lower_bound(
        by_name_.begin(), by_name_.end(), tensor,
        [this](std::size_t i, std::string_view name) { return header_.tensors[i].name < name; });
    if (found == by_name_.end() || header_.tensors[*found].name != tensor) return nullptr;
    return &header_.tensors[*found];
  }

  const StoredTensor& with_dimensions(std::string_view name, std::size_t dimensions) const {
    const StoredTensor& stored = tensor(name);
    if (stored.shape.size() != dimensions) {
      fail(name, "expected a " + std::to_string(dimensions) + "-D tensor, got shape " +
                     detail::shape_text(stored.shape));
    }
    return stored;
  }

  const StoredTensor& with_size(std::string_view name, Index rows, Index cols) const {
    const StoredTensor& stored = tensor(name);
    const std::array<std::uint64_t, 2> shape = {static_cast<std::uint64_t>(rows),
                                                static_cast<std::uint64_t>(cols)};
    // Bytes: what is empty may have a huge extent, and no elements to count.
    const auto bits = tensor_bits(stored.dtype, shape);
    if (!bits || *bits / 8 != stored.bytes.size()) {
      fail(name, "expected " + std::to_string(rows) + " x " + std::to_string(cols) +
                     " elements, got shape " + detail::shape_text(stored.shape));
    }
    return stored;
  }

  /// An extent as an Index; only that of an empty tensor can be too large.
  Index extent(const StoredTensor& stored, std::size_t i) const {
    if (stored.shape[i] > static_cast<std::uint64_t>(std::numeric_limits<Index>::max())) {
      fail(stored.name,
           "expected extents that an Index holds, got shape " + detail::shape_text(stored.shape));
    }
    return static_cast<Index>(stored.shape[i]);
  }

  template <typename Out>
  void convert(const StoredTensor& stored, Out& out) const {
    switch (stored.dtype) {
      case Dtype::F64:
        return convert_from<double>(stored.bytes, out);
      case Dtype::F32:
        return convert_from<float>(stored.bytes, out);
      case Dtype::F16:
        return convert_from<Eigen::half>(stored.bytes, out);
      case Dtype::BF16:
        return convert_from<Eigen::bfloat16>(stored.bytes, out);
      default:
        fail(stored.name,
             "expected type F64, F32, F16 or BF16, got " + std::string(dtype_name(stored.dtype)));
    }
  }

  template <typename Stored, typename Out>
  static void convert_from(std::span<const std::byte> bytes, Out& out) {
    if (out.size() == 0) return;  // one extent may be huge
    constexpr Index block = 16;   // rows at a time, whose cache lines stay while columns go by
    const Index rows = out.rows();
    const Index cols = out.cols();
    for (Index first = 0; first < rows; first += block) {
      const Index last = std::min(first + block, rows);
      for (Index j = 0; j < cols; ++j) {
        for (Index i = first; i < last; ++i) {
          std::array<std::byte, sizeof(Stored)> raw;
          std::memcpy(raw.data(),
                      bytes.data() + static_cast<std::size_t>(i * cols + j) * raw.size(),
                      raw.size());
          using T = typename Out::Scalar;
          if constexpr (ComputeScalar<Stored>) {
            out(i, j) = static_cast<T>(std::bit_cast<Stored>(raw));
          } else {
            out(i, j) = static_cast<T>(static_cast<float>(std::bit_cast<Stored>(raw)));
          }
        }
      }
    }
  }

  MemoryMap map_;
  std::string name_;
  SafetensorsHeader header_;
  std::vector<std::size_t> by_name_;  // positions in header_.tensors, sorted by name
};

}  // namespace lorma::inline LORMA_ABI

#endif
