// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_IO_JSON_FILE_HPP
#define LORMA_IO_JSON_FILE_HPP

/// Small JSON files of configuration: read with a bound, fields asked for by name and type, written
/// whole or not at all.

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <vector>

#include "lorma/core/types.hpp"
#include "lorma/io/atomic_file.hpp"
#include "lorma/io/message.hpp"

namespace lorma::inline LORMA_ABI::detail {

/// Refuses the file: FormatError "'<file>': <rule>".
[[noreturn]] inline void json_error(const std::filesystem::path& file, const std::string& rule) {
  throw FormatError(in_quotes(file.string(), 1024) + ": " + rule);
}

/// The object in a file of at most 16 MiB. Throws Error if it cannot be read, FormatError if it is
/// no JSON object, or nests deeper than 100.
inline nlohmann::json read_json_object(const std::filesystem::path& file) {
  constexpr std::uintmax_t most = std::uintmax_t(16) << 20;
  std::error_code error;
  const std::uintmax_t size = std::filesystem::file_size(file, error);
  if (error) throw_io_error("read_json_object", "read", file, error.value());
  if (size > most) json_error(file, "expected at most 16 MiB, got " + std::to_string(size));
  std::ifstream in(file, std::ios::binary);
  const std::string text((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
  if (!in.good() && !in.eof()) throw_io_error("read_json_object", "read", file, EIO);
  int depth = 0;
  int deepest = 0;
  for (const char c : text) {  // brackets within strings only make the bound stricter
    depth += c == '[' || c == '{' ? 1 : c == ']' || c == '}' ? -1 : 0;
    deepest = std::max(deepest, depth);
  }
  if (deepest > 100) json_error(file, "expected at most 100 levels of JSON");
  nlohmann::json json = nlohmann::json::parse(text, nullptr, false);
  if (!json.is_object()) json_error(file, "expected a JSON object");
  return json;
}

/// Fields of one JSON object of a file; messages name both.
class JsonFields {
 public:
  JsonFields(const std::filesystem::path& file, const nlohmann::json& object,
             std::string where = "")
      : file_(file), object_(object), where_(std::move(where)) {}

  /// The field, or null where it is absent or null.
  const nlohmann::json& find(const std::string& key) const {
    static const nlohmann::json null;
    const auto found = object_.find(key);
    return found == object_.end() ? null : *found;
  }
  bool boolean(const std::string& key) const {
    const nlohmann::json& value = find(key);
    if (value.is_null()) return false;
    if (!value.is_boolean()) refuse(key, "true or false");
    return value.get<bool>();
  }
  std::string text(const std::string& key, const std::string& fallback) const {
    const nlohmann::json& value = find(key);
    if (value.is_null()) return fallback;
    if (!value.is_string()) refuse(key, "a string");
    return value.get<std::string>();
  }
  std::string text(const std::string& key) const {
    if (!find(key).is_string()) refuse(key, "a string");
    return find(key).get<std::string>();
  }
  /// A whole number in [1, 2^31).
  Index count(const std::string& key) const { return count_of(key, find(key)); }
  Index count_of(const std::string& key, const nlohmann::json& value) const {
    if (!value.is_number_integer() || value.get<double>() < 1.0 || value.get<double>() >= 0x1p31) {
      refuse(key, "a whole number from 1 to 2147483647");
    }
    return value.get<Index>();
  }
  /// A finite number above zero.
  double positive(const std::string& key) const { return positive_of(key, find(key)); }
  double positive_of(const std::string& key, const nlohmann::json& value) const {
    const double number = value.is_number() ? value.get<double>() : 0.0;
    if (!(number > 0.0) || !std::isfinite(number)) refuse(key, "a finite number above 0");
    return number;
  }
  /// An object, or an empty one where the field is absent.
  const nlohmann::json& object(const std::string& key) const {
    static const nlohmann::json empty = nlohmann::json::object();
    const nlohmann::json& value = find(key);
    if (value.is_null()) return empty;
    if (!value.is_object()) refuse(key, "an object");
    return value;
  }
  [[noreturn]] void refuse(const std::string& key, const std::string& expected) const {
    const nlohmann::json& value = find(key);
    json_error(file_, where_ + "expected " + in_quotes(key) + " to be " + expected + ", got " +
                          (value.is_null() ? std::string("none")
                                           : escaped(value.dump(-1, ' ', true), 80)));
  }

 private:
  const std::filesystem::path& file_;
  const nlohmann::json& object_;
  std::string where_;
};

inline void write_json(const std::filesystem::path& file, const nlohmann::ordered_json& json) {
  std::string text;
  try {
    text = json.dump(2) + '\n';
  } catch (const nlohmann::json::exception&) {
    json_error(file, "expected names in UTF-8 to write");
  }
  AtomicFile out(file);
  out.write(std::as_bytes(std::span(text)));
  out.commit();
}

/// One message for all problems found, the first twenty in words.
inline void throw_problems(const std::filesystem::path& file,
                           const std::vector<std::string>& problems) {
  if (problems.empty()) return;
  std::string text;
  for (std::size_t i = 0; i < problems.size() && i < 20; ++i) {
    text += (i == 0 ? "" : "; ") + problems[i];
  }
  if (problems.size() > 20) text += "; and " + std::to_string(problems.size() - 20) + " more";
  json_error(file, text);
}

}  // namespace lorma::inline LORMA_ABI::detail

#endif
