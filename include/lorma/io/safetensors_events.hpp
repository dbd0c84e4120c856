// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_IO_SAFETENSORS_EVENTS_HPP
#define LORMA_IO_SAFETENSORS_EVENTS_HPP

/// The JSON of a safetensors header, event by event: what each value may be where it stands.
///
/// A handler of the parser's events, not a tree built by it: only so are names given twice seen, is
/// depth bounded without stack, and is nothing kept of what the format does not know. Used by
/// safetensors_header.hpp, which checks what concerns the data.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "lorma/io/dtype.hpp"
#include "lorma/io/message.hpp"

namespace lorma::inline LORMA_ABI::detail {

inline constexpr std::string_view safetensors_metadata_key = "__metadata__";
inline constexpr std::uint64_t safetensors_max_header = 100'000'000;
inline constexpr std::size_t safetensors_length_bytes = 8;

/// Throws FormatError naming the file, the tensor where one is concerned, and the rule.
[[noreturn]] inline void safetensors_error(std::string_view file, const std::string* tensor,
                                           std::string_view rule) {
  throw FormatError("lorma::SafetensorsFile: file " + in_quotes(file, 1024) +
                    (tensor == nullptr ? "" : ", tensor " + in_quotes(*tensor)) + ": " +
                    std::string(rule));
}

/// Takes the events of the JSON parser (a SAX handler, so that names given twice are seen and depth
/// costs no stack).
class SafetensorsEvents {
 public:
  using Json = nlohmann::json;

  struct Entry {
    std::string name;
    Dtype dtype = Dtype::U8;
    std::vector<std::uint64_t> shape;
    std::vector<std::uint64_t> offsets;  // begin, end
  };

  explicit SafetensorsEvents(std::string_view file) : file_(file) {}

  std::vector<Entry> entries;
  std::map<std::string, std::string> metadata;

  bool null() { return scalar("null"); }
  bool boolean(bool) { return scalar("a boolean"); }
  bool number_integer(Json::number_integer_t) { return scalar("a negative integer"); }
  bool number_float(Json::number_float_t, const std::string&) {
    return scalar("a number with a fraction or an exponent, or beyond 64 bits");
  }
  bool binary(Json::binary_t&) { return scalar("binary data"); }

  bool number_unsigned(Json::number_unsigned_t value) {
    std::vector<std::uint64_t>* const list = open_list();
    if (list == nullptr) return scalar("an integer");
    if (field_ == Field::offsets && list->size() == 2) fail("'data_offsets' has a third item");
    list->push_back(value);
    return true;
  }

  bool string(std::string& value) {
    if (place() == Place::metadata_value) {
      metadata[metadata_key_] = value;
    } else if (place() == Place::field && field_ == Field::dtype) {
      const std::optional<Dtype> dtype = parse_dtype(value);
      if (!dtype) fail("expected a 'dtype' of the format, got " + in_quotes(value));
      entries.back().dtype = *dtype;
    } else {
      return scalar("a string");
    }
    return true;
  }

  bool start_object(std::size_t) {
    if (place() != Place::document && place() != Place::root_value && !skipping()) {
      wrong("an object");
    }
    return enter();
  }

  bool start_array(std::size_t) {
    const bool list =
        place() == Place::field && (field_ == Field::shape || field_ == Field::offsets);
    if (!list && !skipping()) wrong("an array");
    return enter();
  }

  bool key(std::string& name) {
    const bool is_new = names_.back().insert(name).second;
    if (names_.size() == 1) {
      in_metadata_ = name == safetensors_metadata_key;
      field_ = Field::none;
      if (!in_metadata_) entries.push_back({name, {}, {}, {}});
      if (!is_new) fail("name " + in_quotes(name) + " stands twice in the header");
      return true;
    }
    if (!is_new) {
      fail(std::string(in_metadata_ ? "metadata name " : "field ") + in_quotes(name) +
           " stands twice");
    }
    if (in_metadata_) {
      metadata_key_ = name;
    } else if (names_.size() == 2) {
      field_ = name == "dtype"          ? Field::dtype
               : name == "shape"        ? Field::shape
               : name == "data_offsets" ? Field::offsets
                                        : Field::other;
    }
    return true;
  }

  bool end_object() {
    if (names_.size() == 2 && !in_metadata_) {
      for (const char* const field : {"dtype", "shape", "data_offsets"}) {
        if (!names_.back().contains(field)) fail("field " + in_quotes(field) + " is missing");
      }
    }
    names_.pop_back();
    return true;
  }

  bool end_array() {
    names_.pop_back();
    if (names_.size() == 2 && field_ == Field::offsets && entries.back().offsets.size() != 2) {
      fail("expected 'data_offsets' to have two items, got " +
           std::to_string(entries.back().offsets.size()));
    }
    return true;
  }

  bool parse_error(std::size_t, const std::string&, const Json::exception& error) {
    // "[json.exception...] parse error at line 1, column 2: <why>; last read: <from the file>"
    std::string_view what = error.what();
    what = what.substr(0, what.find("; last read"));
    const std::size_t bracket = what.find("] ");
    if (bracket != std::string_view::npos) what.remove_prefix(bracket + 2);
    const std::string rule = "expected a header of valid UTF-8 JSON, got " + escaped(what, 240);
    if (names_.size() < 2) safetensors_error(file_, nullptr, rule);
    fail(rule);
  }

 private:
  enum class Place { document, root_value, metadata_value, field, deeper };
  enum class Field { none, dtype, shape, offsets, other };
  static constexpr std::size_t max_depth = 127;

  /// Where the value that comes now stands.
  Place place() const {
    switch (names_.size()) {
      case 0:
        return Place::document;
      case 1:
        return Place::root_value;
      case 2:
        return in_metadata_ ? Place::metadata_value : Place::field;
      default:
        return Place::deeper;
    }
  }

  /// Within a field of a tensor that the format does not know.
  bool skipping() const { return names_.size() >= 2 && field_ == Field::other; }

  /// The list of integers that is being read.
  std::vector<std::uint64_t>* open_list() {
    if (place() != Place::deeper) return nullptr;
    return field_ == Field::shape     ? &entries.back().shape
           : field_ == Field::offsets ? &entries.back().offsets
                                      : nullptr;
  }

  bool enter() {
    if (names_.size() == max_depth) {
      fail("expected at most " + std::to_string(max_depth) + " levels of JSON");
    }
    names_.emplace_back();
    return true;
  }

  /// A value that is good only where it is skipped.
  bool scalar(std::string_view got) {
    if (!skipping()) wrong(got);
    return true;
  }

  [[noreturn]] void wrong(std::string_view got) {
    std::string wanted;
    switch (place()) {
      case Place::document:
        wanted = "the header to be a JSON object";
        break;
      case Place::root_value:
        wanted = in_metadata_ ? "'__metadata__' to be an object of strings" : "an object";
        break;
      case Place::metadata_value:
        wanted = "metadata entry " + in_quotes(metadata_key_) + " to be a string";
        break;
      default:
        wanted = field_ == Field::dtype
                     ? "'dtype' to be a string"
                     : std::string(field_ == Field::shape ? "'shape'" : "'data_offsets'") +
                           " to be an array of non-negative integers";
    }
    fail("expected " + wanted + ", got " + std::string(got));
  }

  [[noreturn]] void fail(const std::string& rule) const {
    const bool in_tensor = !in_metadata_ && !names_.empty() && !entries.empty();
    safetensors_error(file_, in_tensor ? &entries.back().name : nullptr, rule);
  }

  std::string_view file_;
  std::vector<std::set<std::string, std::less<>>> names_;  // of each open container; none in arrays
  bool in_metadata_ = false;
  std::string metadata_key_;
  Field field_ = Field::none;
};

}  // namespace lorma::inline LORMA_ABI::detail

#endif
