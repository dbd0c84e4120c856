// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_IO_SAFETENSORS_PLAN_HPP
#define LORMA_IO_SAFETENSORS_PLAN_HPP

/// What a safetensors file will hold, laid out and checked before anything is computed or written.
///
///   const SafetensorsPlan plan({{"lora_A", Dtype::F32, {8, 768}}, {"step", Dtype::I64, {}}}, {});
///   for (const PlannedTensor& t : plan.tensors()) ...       // in the order of the file
///
/// The order is that of the reference implementation: wide types first, then by name.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "lorma/io/dtype.hpp"
#include "lorma/io/message.hpp"
#include "lorma/io/safetensors_events.hpp"

namespace lorma::inline LORMA_ABI {

/// A tensor that a file will hold.
struct PlannedTensor {
  std::string name;
  Dtype dtype = Dtype::U8;
  std::vector<std::uint64_t> shape;
  std::uint64_t bytes = 0;   ///< of its data; the plan's own
  std::size_t given_as = 0;  ///< its place among those given; the plan's own
};

namespace detail {

[[noreturn]] inline void plan_error(const std::string* tensor, std::string_view rule) {
  throw FormatError(
      "lorma::SafetensorsPlan: " +
      (tensor == nullptr ? std::string("file: ") : "tensor " + in_quotes(*tensor) + ": ") +
      std::string(rule));
}

/// Throws FormatError for a header that is too long: of `length` bytes, which `qualifier` may call
/// a lower bound.
inline void check_header_length(std::uint64_t length, std::string_view qualifier = "") {
  if (length <= safetensors_max_header) return;
  plan_error(nullptr, "expected a header of at most 100000000 bytes, got " +
                          std::string(qualifier) + std::to_string(length));
}

/// Adds `text` as a JSON string; throws FormatError unless it is valid UTF-8 and fits the header.
inline void add_json_string(std::string& json, const std::string& text) {
  check_header_length(json.size() + text.size(), "at least ");
  try {
    json += nlohmann::json(text).dump();
  } catch (const nlohmann::json::exception&) {
    plan_error(nullptr, "expected names and metadata in UTF-8, got " + in_quotes(text));
  }
}

/// Bytes of the data; throws FormatError where the format has no such tensor.
inline std::uint64_t planned_bytes(const PlannedTensor& tensor) {
  const std::optional<std::uint64_t> bits = tensor_bits(tensor.dtype, tensor.shape);
  const std::string what =
      std::string(dtype_name(tensor.dtype)) + " of shape " + shape_text(tensor.shape);
  if (!bits) plan_error(&tensor.name, "expected a size below 2^64 bits, got " + what);
  if (*bits % 8 != 0) plan_error(&tensor.name, "expected whole bytes, got " + what);
  return *bits / 8;
}

}  // namespace detail

class SafetensorsPlan {
 public:
  /// `tensors` in any order. Throws FormatError if a name is given twice, is "__metadata__" or no
  /// UTF-8, or a size is none of the format.
  explicit SafetensorsPlan(std::vector<PlannedTensor> tensors,
                           const std::map<std::string, std::string>& metadata = {})
      : tensors_(std::move(tensors)) {
    std::set<std::string_view> names;
    for (std::size_t i = 0; i < tensors_.size(); ++i) {
      PlannedTensor& tensor = tensors_[i];
      if (!names.insert(tensor.name).second) {
        detail::plan_error(&tensor.name, "expected every name once, got it twice");
      }
      if (tensor.name == detail::safetensors_metadata_key) {
        detail::plan_error(&tensor.name, "expected a name other than that of the metadata");
      }
      tensor.bytes = detail::planned_bytes(tensor);
      tensor.given_as = i;
    }
    std::sort(tensors_.begin(), tensors_.end(), [](const auto& a, const auto& b) {
      return a.dtype != b.dtype ? a.dtype > b.dtype : a.name < b.name;
    });
    write_header(metadata);
  }

  /// In the order of the file.
  const std::vector<PlannedTensor>& tensors() const { return tensors_; }
  /// What the file begins with: the length and the JSON, padded with spaces to a multiple of 8.
  const std::string& header() const { return header_; }
  /// Of the whole file.
  std::uint64_t bytes() const { return header_.size() + data_bytes_; }

 private:
  void write_header(const std::map<std::string, std::string>& metadata) {
    std::string json;
    const auto comma = [&json](bool first) { json += first ? "{" : ","; };
    bool first = true;
    if (!metadata.empty()) {
      comma(first);
      first = false;
      detail::add_json_string(json, std::string(detail::safetensors_metadata_key));
      json += ':';
      bool first_entry = true;
      for (const auto& [key, value] : metadata) {
        comma(first_entry);
        first_entry = false;
        detail::add_json_string(json, key);
        json += ':';
        detail::add_json_string(json, value);
      }
      json += '}';
    }
    for (const PlannedTensor& tensor : tensors_) {
      const std::uint64_t end = data_bytes_ + tensor.bytes;
      if (end < data_bytes_) {
        detail::plan_error(&tensor.name, "expected less than 2^64 bytes in all");
      }
      comma(first);
      first = false;
      detail::add_json_string(json, tensor.name);
      json += R"(:{"dtype":")" + std::string(dtype_name(tensor.dtype)) + R"(","shape":[)";
      for (std::size_t i = 0; i < tensor.shape.size(); ++i) {
        if (i > 0) json += ',';
        json += std::to_string(tensor.shape[i]);
      }
      json +=
          R"(],"data_offsets":[)" + std::to_string(data_bytes_) + ',' + std::to_string(end) + "]}";
      data_bytes_ = end;
    }
    json += first ? "{}" : "}";
    json.resize((json.size() + 7) / 8 * 8, ' ');
    const std::uint64_t length = json.size();
    detail::check_header_length(length);
    header_.resize(detail::safetensors_length_bytes);
    std::memcpy(header_.data(), &length, sizeof length);
    header_ += json;
  }

  std::vector<PlannedTensor> tensors_;
  std::string header_;
  std::uint64_t data_bytes_ = 0;
};

}  // namespace lorma::inline LORMA_ABI

#endif
