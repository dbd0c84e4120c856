// SPDX-License-Identifier: Apache-2.0
#include "adapter_report.hpp"

#include <iomanip>
#include <lorma/core/error.hpp>
#include <lorma/io/message.hpp>
#include <nlohmann/json.hpp>
#include <sstream>

namespace lorma_tool {

std::string LayerReport::verdict() const {
  if (base_rank < 0) return "";
  std::ostringstream text;
  const std::string ranks = std::to_string(base_rank) + " of " + std::to_string(needed_rank);
  if (base_rank == needed_rank) {
    text << "W0 has full rank " << ranks << ": a multiplier reaches every weight (Theorem 1)";
  } else {
    text << "W0 has rank " << ranks << ": " << std::setprecision(3) << 100.0 * unreachable
         << " % of the change is beyond every multiplier (Theorem 1)";
  }
  return text.str();
}

void print(std::ostream& out, const AdapterReport& report) {
  std::ostringstream text;
  text << std::scientific << std::setprecision(2);
  for (const LayerReport& layer : report.layers) {
    text << lorma::detail::escaped(layer.name) << ": rank " << layer.rank << ", relative residual "
         << layer.residual;
    if (layer.base_rank >= 0) text << "; " << layer.verdict();
    text << '\n';
  }
  out << text.str();
}

std::string to_json(const AdapterReport& report) {
  nlohmann::ordered_json json;
  json["layers"] = nlohmann::ordered_json::array();
  for (const LayerReport& layer : report.layers) {
    nlohmann::ordered_json entry{
        {"name", layer.name}, {"rank", layer.rank}, {"residual", layer.residual}};
    if (layer.base_rank >= 0) {
      entry["base_rank"] = layer.base_rank;
      entry["needed_rank"] = layer.needed_rank;
      entry["unreachable"] = layer.unreachable;
      entry["verdict"] = layer.verdict();
    }
    json["layers"].push_back(std::move(entry));
  }
  json["remarks"] = report.remarks;
  return json.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + '\n';
}

void require_absent(const std::filesystem::path& out) {
  if (!std::filesystem::exists(std::filesystem::symlink_status(out))) return;
  throw lorma::Error(lorma::detail::in_quotes(out.string(), 1024) +
                     ": expected an output that does not exist");
}

}  // namespace lorma_tool
