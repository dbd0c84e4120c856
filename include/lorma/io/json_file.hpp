// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_IO_JSON_FILE_HPP
#define LORMA_IO_JSON_FILE_HPP

/// Small JSON files of configuration: read with a bound, fields asked for by name and type, written
/// whole or not at all.

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "lorma/core/types.hpp"
#include "lorma/io/atomic_file.hpp"
#include "lorma/io/memory_map.hpp"
#include "lorma/io/message.hpp"

namespace lorma::inline LORMA_ABI::detail {

/// Refuses the file: FormatError "'<file>': <rule>".
[[noreturn]] inline void json_error(const std::filesystem::path& file, const std::string& rule) {
  throw FormatError(in_quotes(file.string(), 1024) + ": " + rule);
}

/// A JSON object of a file, and the order of the keys of the objects right in it, which
/// nlohmann::json sorts.
struct JsonDocument {
  nlohmann::json value;
  std::map<std::string, std::vector<std::string>> order;

  /// Keys of the object `key`, as the file has them.
  const std::vector<std::string>& keys(const std::string& key) const {
    static const std::vector<std::string> none;
    const auto found = order.find(key);
    return found == order.end() ? none : found->second;
  }
};

/// Configurations are small.
inline constexpr std::size_t most_config_bytes = std::size_t(16) << 20;

/// The object in a file of at most `most` bytes. Throws Error if it cannot be read, FormatError if
/// it is no JSON object, nests deeper than 100, or has a key twice.
LORMA_IO_FUNCTION JsonDocument read_json_object(const std::filesystem::path& file,
                                                std::size_t most = most_config_bytes);

#ifdef LORMA_IO_BODIES
/// Keeps the order of keys and refuses a key that comes twice. Apart from the parser that makes the
/// document: with a callback that one would look through an object again for each of its members.
class KeyReader : public nlohmann::json_sax<nlohmann::json> {
 public:
  KeyReader(const std::filesystem::path& file, JsonDocument& document)
      : file_(file), document_(document) {}

  bool start_object(std::size_t) override {
    open_.emplace_back();
    return true;
  }
  bool key(std::string& key) override {
    if (!open_.back().insert(key).second) {
      json_error(file_, "expected every key once, got " + in_quotes(key) + " twice");
    }
    if (open_.size() == 1) outer_ = key;
    if (open_.size() == 2) document_.order[outer_].push_back(key);
    return true;
  }
  bool end_object() override {
    open_.pop_back();
    return true;
  }
  bool null() override { return true; }
  bool boolean(bool) override { return true; }
  bool number_integer(number_integer_t) override { return true; }
  bool number_unsigned(number_unsigned_t) override { return true; }
  bool number_float(number_float_t, const std::string&) override { return true; }
  bool string(std::string&) override { return true; }
  bool binary(binary_t&) override { return true; }
  bool start_array(std::size_t) override { return true; }
  bool end_array() override { return true; }
  bool parse_error(std::size_t, const std::string&, const nlohmann::detail::exception&) override {
    return false;  // what follows is no JSON, and will be refused as such
  }

 private:
  const std::filesystem::path& file_;
  JsonDocument& document_;
  std::vector<std::set<std::string>> open_;  ///< keys of the objects around what is being read
  std::string outer_;                        ///< key of the outermost object's member
};

LORMA_IO_FUNCTION JsonDocument read_json_object(const std::filesystem::path& file,
                                                std::size_t most) {
  const MemoryMap map(file);
  const std::span<const std::byte> bytes = map.bytes();
  if (bytes.size() > most) {
    json_error(file, "expected at most " + std::to_string(most) + " bytes, got " +
                         std::to_string(bytes.size()));
  }
  const std::string text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  int depth = 0;
  int deepest = 0;
  for (const char c : text) {  // brackets within strings only make the bound stricter
    depth += c == '[' || c == '{' ? 1 : c == ']' || c == '}' ? -1 : 0;
    deepest = std::max(deepest, depth);
  }
  if (deepest > 100) json_error(file, "expected at most 100 levels of JSON");
  JsonDocument document;
  KeyReader reader(file, document);
  nlohmann::json::sax_parse(text, &reader);
  document.value = nlohmann::json::parse(text, nullptr, false);
  if (!document.value.is_object()) json_error(file, "expected a JSON object");
  return document;
}
#endif

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

/// Refuses the file for all problems found, if there are any.
inline void throw_problems(const std::filesystem::path& file,
                           const std::vector<std::string>& problems) {
  if (!problems.empty()) json_error(file, listed(problems));
}

}  // namespace lorma::inline LORMA_ABI::detail

#endif
