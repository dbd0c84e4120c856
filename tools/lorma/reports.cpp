// SPDX-License-Identifier: Apache-2.0
#include "reports.hpp"

#include <cmath>
#include <iomanip>
#include <lorma/io/message.hpp>
#include <nlohmann/json.hpp>
#include <sstream>

namespace lorma_tool {
namespace {

using namespace lorma::model;
using Json = nlohmann::ordered_json;

std::string text_of(const Json& json) {
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + '\n';
}

}  // namespace

void print(std::ostream& out, const AdapterReport& report) {
  std::ostringstream text;
  text << std::scientific << std::setprecision(2);
  for (const LayerReport& layer : report.layers) {
    text << lorma::escaped(layer.name) << ": rank " << layer.rank << ", relative residual "
         << layer.residual;
    if (!layer.side.empty()) text << ", " << layer.side;
    if (layer.base_rank >= 0) text << "; " << layer.verdict();
    text << '\n';
  }
  out << text.str();
}

std::string to_json(const AdapterReport& report) {
  Json json;
  json["layers"] = Json::array();
  for (const LayerReport& layer : report.layers) {
    Json entry{{"name", layer.name}, {"rank", layer.rank}, {"residual", layer.residual}};
    if (!layer.side.empty()) entry["side"] = layer.side;
    if (layer.base_rank >= 0) {
      entry["base_rank"] = layer.base_rank;
      entry["needed_rank"] = layer.needed_rank;
      entry["unreachable"] = layer.unreachable;
      if (layer.unreachable_from_other_side >= 0.0) {
        entry["unreachable_from_other_side"] = layer.unreachable_from_other_side;
      }
      entry["verdict"] = layer.verdict();
    }
    json["layers"].push_back(std::move(entry));
  }
  json["remarks"] = report.remarks;
  return text_of(json);
}

void print(std::ostream& out, const std::vector<TensorDifference>& differences) {
  std::ostringstream text;
  for (const TensorDifference& d : differences) {
    text << lorma::escaped(d.name) << ' ' << d.dtype << ' ' << d.shape << ": ";
    if (!d.only_in.empty()) {
      text << "only in " << d.only_in << '\n';
      continue;
    }
    if (!d.other.empty()) text << d.other << " in the second; ";
    if (std::isnan(d.relative)) {
      text << "differs\n";
      continue;
    }
    text << "relative change " << std::scientific << std::setprecision(3) << d.relative;
    if (d.rank >= 0) {
      text << ", rank " << d.rank << ", stable rank " << std::fixed << std::setprecision(1)
           << d.stable_rank;
    }
    text << '\n';
  }
  if (differences.empty()) text << "no difference\n";
  out << text.str();
}

std::string to_json(const std::vector<TensorDifference>& differences) {
  auto json = Json::array();
  for (const TensorDifference& d : differences) {
    Json entry{{"name", d.name}, {"dtype", d.dtype}, {"shape", d.shape}};
    if (!d.only_in.empty()) {
      entry["only_in"] = d.only_in;
    } else {
      if (!d.other.empty()) entry["other"] = d.other;
      entry["relative"] = std::isnan(d.relative) ? Json(nullptr) : Json(d.relative);
      if (d.rank >= 0) {
        entry["rank"] = d.rank;
        entry["stable_rank"] = d.stable_rank;
      }
      if (!d.spectrum.empty()) entry["spectrum"] = d.spectrum;
    }
    json.push_back(std::move(entry));
  }
  return text_of(json);
}

void print(std::ostream& out, const MergeReport& report, const MergeOptions& options) {
  const char* verb = options.unmerge ? "unmerged" : "merged";
  const double megabytes = static_cast<double>(report.bytes) / 1e6;
  std::ostringstream text;
  text << (options.dry_run ? "would have " : "") << verb << ' ' << report.tensors.size()
       << " weights, " << report.copied << " tensors copied, " << std::fixed << std::setprecision(1)
       << megabytes << " MB";
  if (!options.dry_run) {
    text << " in " << report.seconds << " s (" << std::setprecision(0) << megabytes / report.seconds
         << " MB/s)";
  }
  out << text.str() << '\n';
}

std::string to_json(const MergeReport& report) {
  Json json;
  json["tensors"] = Json::array();
  for (const MergedTensor& t : report.tensors) {
    json["tensors"].push_back({{"name", t.name},
                               {"file", t.file},
                               {"dtype", t.dtype},
                               {"shape", t.shape},
                               {"adapter", t.adapter}});
  }
  json["copied"] = report.copied;
  json["bytes"] = report.bytes;
  json["remarks"] = report.remarks;
  json["seconds"] = report.seconds;
  return text_of(json);
}

}  // namespace lorma_tool
