// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_MODEL_MERGE_RECORD_HPP
#define LORMA_MODEL_MERGE_RECORD_HPP

/// What a merged checkpoint says of itself, in the metadata of each file with merged weights: which
/// adapters are in it, in the order of merging (docs/adapter-format.md).

#include <algorithm>
#include <filesystem>
#include <iterator>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "lorma/io/fingerprint.hpp"
#include "lorma/io/memory_map.hpp"
#include "lorma/io/message.hpp"
#include "lorma/io/paths.hpp"
#include "lorma/model/adapter_files.hpp"
#include "lorma/model/compiled.hpp"

namespace lorma::inline LORMA_ABI::model {

/// The key in a file's metadata.
inline constexpr const char* merge_record_key = "lorma.merged";

/// One adapter that was merged.
struct MergeRecord {
  std::string adapter;      ///< the name of its directory; for people
  std::string fingerprint;  ///< of its files
  std::string kind;         ///< its peft_type, but DORA for LoRA with norms
  double strength = 1.0;

  bool operator==(const MergeRecord&) const = default;
  bool is_of_same_adapter(const MergeRecord& other) const {
    return other.fingerprint == fingerprint;
  }
};

/// The record of an adapter about to be merged. Throws Error if its files cannot be read.
LORMA_MODEL_FUNCTION MergeRecord record_of(const std::filesystem::path& adapter,
                                           const std::string& kind, double strength);

/// The adapters in a file, by its metadata; none where it names none, or not in this form.
LORMA_MODEL_FUNCTION std::vector<MergeRecord> merge_records(
    const std::map<std::string, std::string>& metadata);

/// The metadata with these adapters in place of those that it names.
LORMA_MODEL_FUNCTION std::map<std::string, std::string> with_merge_records(
    std::map<std::string, std::string> metadata, const std::vector<MergeRecord>& records);

/// Removes the last record of the same adapter from `records`; does nothing where there is none.
LORMA_MODEL_FUNCTION void take_out(const MergeRecord& record, std::vector<MergeRecord>& records);

/// Throws Error if one of the adapters about to be merged is among those that are merged already.
LORMA_MODEL_FUNCTION void check_merged(const std::vector<MergeRecord>& adapters,
                                       const std::vector<MergeRecord>& merged);

/// Throws Error unless the adapters, the last one first, can be taken out of what has `merged` in
/// it: each is there, at its strength, and was merged last, unless it and all that came after it
/// are LoRA, whose sums have no order. Where `merged` is empty nothing is known, and nothing
/// refused.
LORMA_MODEL_FUNCTION void check_taken_out(const std::vector<MergeRecord>& adapters,
                                          std::vector<MergeRecord> merged);

#ifdef LORMA_MODEL_BODIES
LORMA_MODEL_FUNCTION MergeRecord record_of(const std::filesystem::path& adapter,
                                           const std::string& kind, double strength) {
  std::string sum;
  if (lorma::detail::path_is_file(adapter)) {
    sum = hash_text(MemoryMap(adapter).bytes());
  } else {
    for (const std::string_view name : {adapter_model_name, adapter_config_name}) {
      sum += hash_text(MemoryMap(adapter / name).bytes());
    }
  }
  const std::filesystem::path last = lorma::detail::directory_path(adapter).filename();
  // Metadata is JSON, hence UTF-8: other bytes of a name are replaced.
  const std::string name =
      nlohmann::json(last.string()).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  return {nlohmann::json::parse(name).get<std::string>(), sum, kind, strength};
}

LORMA_MODEL_FUNCTION std::vector<MergeRecord> merge_records(
    const std::map<std::string, std::string>& metadata) {
  const auto found = metadata.find(merge_record_key);
  if (found == metadata.end()) return {};
  const auto json = nlohmann::json::parse(found->second, nullptr, false);
  if (!json.is_array()) return {};
  std::vector<MergeRecord> records;
  for (const nlohmann::json& entry : json) {
    if (!entry.is_object()) return {};
    const auto text = [&](const char* key) {
      const auto field = entry.find(key);
      return field != entry.end() && field->is_string() ? field->get<std::string>() : "";
    };
    const auto strength = entry.find("strength");
    if (strength == entry.end() || !strength->is_number()) return {};
    records.push_back(
        {text("adapter"), text("fingerprint"), text("kind"), strength->get<double>()});
  }
  return records;
}

LORMA_MODEL_FUNCTION std::map<std::string, std::string> with_merge_records(
    std::map<std::string, std::string> metadata, const std::vector<MergeRecord>& records) {
  metadata.erase(merge_record_key);
  if (records.empty()) return metadata;
  auto json = nlohmann::ordered_json::array();
  for (const MergeRecord& record : records) {
    json.push_back({{"adapter", record.adapter},
                    {"fingerprint", record.fingerprint},
                    {"kind", record.kind},
                    {"strength", record.strength}});
  }
  metadata[merge_record_key] =
      json.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
  return metadata;
}

namespace detail {

[[noreturn]] inline void refuse(const MergeRecord& record, const std::string& what) {
  throw Error(lorma::detail::in_quotes(record.adapter) + ": " + what +
              " (--force does it all the same)");
}

inline auto last_of(const MergeRecord& record, std::vector<MergeRecord>& records) {
  return std::find_if(records.rbegin(), records.rend(),
                      [&](const MergeRecord& other) { return other.is_of_same_adapter(record); });
}

}  // namespace detail

LORMA_MODEL_FUNCTION void take_out(const MergeRecord& record, std::vector<MergeRecord>& records) {
  const auto last = detail::last_of(record, records);
  if (last != records.rend()) records.erase(std::next(last).base());
}

LORMA_MODEL_FUNCTION void check_merged(const std::vector<MergeRecord>& adapters,
                                       const std::vector<MergeRecord>& merged) {
  for (const MergeRecord& record : adapters) {
    const auto is_same = [&](const MergeRecord& old) { return old.is_of_same_adapter(record); };
    if (std::none_of(merged.begin(), merged.end(), is_same)) continue;
    detail::refuse(record,
                   "expected an adapter that is not merged yet, the base's metadata names it");
  }
}

LORMA_MODEL_FUNCTION void check_taken_out(const std::vector<MergeRecord>& adapters,
                                          std::vector<MergeRecord> merged) {
  if (merged.empty()) return;
  for (auto record = adapters.rbegin(); record != adapters.rend(); ++record) {
    const auto last = detail::last_of(*record, merged);
    if (last == merged.rend()) {
      detail::refuse(*record, "expected a merged adapter, the metadata names others");
    }
    if (last->strength != record->strength) {
      detail::refuse(*record, "expected the strength at which it was merged, " +
                                  std::to_string(last->strength) + ", got " +
                                  std::to_string(record->strength));
    }
    for (auto later = merged.rbegin(); later != last; ++later) {
      if (later->kind == "LORA" && record->kind == "LORA") continue;
      detail::refuse(*record, "expected the adapter that was merged last, " +
                                  lorma::detail::in_quotes(later->adapter) + " came after it");
    }
    take_out(*record, merged);
  }
}
#endif

}  // namespace lorma::inline LORMA_ABI::model

#endif
