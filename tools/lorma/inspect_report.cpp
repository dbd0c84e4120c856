// SPDX-License-Identifier: Apache-2.0
// What an inspection looks like: table, JSON, CSV, HTML. Names come from files: they are escaped
// for each of these.

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <lorma/io/message.hpp>
#include <nlohmann/json.hpp>

#include "reports.hpp"

namespace lorma_tool {
namespace {

using lorma::model::Inspection;
using lorma::model::MatrixLine;

std::string format(const char* pattern, double value) {
  if (!std::isfinite(value)) return "inf";
  char text[64];
  std::snprintf(text, sizeof text, pattern, value);
  return text;
}

std::string shape(const MatrixLine& m) {
  return std::to_string(m.rows) + " x " + std::to_string(m.cols);
}

const char* verdict(const MatrixLine& m) {
  return m.near_full_rank ? "near full" : "deficient";
}

/// Whether a part of the rank may come from rounding to the type of the storage.
bool rounded(const MatrixLine& m) {
  return m.rank_beyond_storage < m.rank;
}

/// With `spectra`, the effective rank too.
std::vector<std::string> cells(const MatrixLine& m, bool spectra) {
  std::vector<std::string> row{m.name, shape(m), m.dtype};
  if (m.error.empty()) {
    row.push_back(std::to_string(m.rank) +
                  (rounded(m) ? " (" + std::to_string(m.rank_beyond_storage) + ")" : ""));
    row.push_back(format("%.1f", 100.0 * m.fraction));
    row.push_back(format("%.2e", m.condition));
    row.push_back(format("%.1f", m.stable_rank));
    if (spectra) row.push_back(format("%.1f", m.effective_rank));
    row.push_back(verdict(m));
  } else {
    row.insert(row.end(), spectra ? 5 : 4, "-");
    row.push_back("unreadable");
  }
  return row;
}

std::vector<std::string> heads_of(bool spectra) {
  std::vector<std::string> heads{"name",      "shape",     "type",        "rank",
                                 "% of full", "condition", "stable rank", "verdict"};
  if (spectra) heads.insert(heads.end() - 1, "effective rank");
  return heads;
}

std::string totals(const Inspection& inspection) {
  const std::size_t count = inspection.matrices.size();
  std::string text =
      std::to_string(inspection.near_full()) + " of " + std::to_string(count) + " matrices";
  if (count > 0) {
    text += " (" +
            format("%.1f", 100.0 * static_cast<double>(inspection.near_full()) /
                               static_cast<double>(count)) +
            " %)";
  }
  text += " at or above " + format("%g", 100.0 * inspection.threshold) + " % of full rank";
  if (inspection.skipped > 0) {
    text += "; " + std::to_string(inspection.skipped) + " of a type without arithmetic left out";
  }
  if (inspection.deeper > 0) {
    text += "; " + std::to_string(inspection.deeper) + " of three dimensions or more left out";
  }
  if (std::any_of(inspection.matrices.begin(), inspection.matrices.end(), rounded)) {
    text += "; (n): the rank beyond what rounding to the type may have added";
  }
  if (!inspection.broken.empty()) {
    text += "; " + std::to_string(inspection.broken.size()) + " files not read or not whole";
  }
  return text;
}

std::string html(const std::string& text) {
  std::string out;
  for (const char c : lorma::escaped(text, 400)) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

/// Decades from the first singular value down to the i-th.
double fall(const std::vector<double>& sigma, std::size_t i) {
  constexpr double most = 16;  // what a double resolves
  return sigma[i] > 0.0 ? std::min(most, std::log10(sigma[0] / sigma[i])) : most;
}

/// The least whole number of decades that holds all spectra.
int decades_of(const Inspection& inspection) {
  double deepest = 1.0;
  for (const MatrixLine& m : inspection.matrices) {
    if (m.spectrum.empty() || m.spectrum[0] <= 0.0) continue;
    deepest = std::max(deepest, fall(m.spectrum, m.spectrum.size() - 1));
  }
  return static_cast<int>(std::ceil(deepest));
}

/// Singular values over their index on a logarithmic scale of so many decades below the first.
std::string spectrum_picture(const std::vector<double>& sigma, int decades) {
  if (sigma.size() < 2 || sigma[0] <= 0.0) return "";
  constexpr double width = 160;
  constexpr double height = 40;
  std::string points;
  const std::size_t step = std::max<std::size_t>(1, sigma.size() / 200);
  for (std::size_t i = 0; i < sigma.size(); i += step) {
    points +=
        format("%.1f", width * static_cast<double>(i) / static_cast<double>(sigma.size() - 1)) +
        "," + format("%.1f", height * fall(sigma, i) / decades) + " ";
  }
  return "<svg viewBox=\"-1 -1 162 42\" width=\"162\" height=\"42\"><polyline points=\"" + points +
         "\" fill=\"none\" stroke=\"#1b6ca8\" stroke-width=\"1.5\"/></svg>";
}

}  // namespace

void print(std::ostream& out, const Inspection& inspection) {
  std::vector<std::vector<std::string>> rows{heads_of(inspection.spectra)};
  for (const MatrixLine& m : inspection.matrices) {
    rows.push_back(cells(m, inspection.spectra));
    rows.back()[0] = lorma::escaped(m.name, 100);
  }
  std::vector<std::size_t> widths(rows.front().size(), 0);
  for (const auto& row : rows) {
    for (std::size_t c = 0; c < row.size(); ++c) widths[c] = std::max(widths[c], row[c].size());
  }
  for (const auto& row : rows) {
    for (std::size_t c = 0; c < row.size(); ++c) {
      const std::string space(widths[c] - row[c].size(), ' ');
      const bool left = c == 0 || c == 2 || c + 1 == row.size();
      out << (left ? row[c] : space + row[c]);
      if (c + 1 < row.size()) out << (left ? space : "") << "  ";
    }
    out << '\n';
  }
  for (const MatrixLine& m : inspection.matrices) {
    if (!m.error.empty()) out << lorma::escaped(m.name, 100) << ": " << m.error << '\n';
  }
  out << totals(inspection) << '\n';
}

std::string to_json(const Inspection& inspection) {
  using Json = nlohmann::ordered_json;
  const auto number = [](double value) {
    return std::isfinite(value) ? Json(value) : Json(nullptr);
  };
  Json json{{"threshold", inspection.threshold}, {"near_full", inspection.near_full()},
            {"matrices", Json::array()},         {"broken", inspection.broken},
            {"skipped", inspection.skipped},     {"deeper", inspection.deeper}};
  for (const MatrixLine& m : inspection.matrices) {
    Json line{{"file", m.file}, {"name", m.name}, {"dtype", m.dtype}, {"shape", {m.rows, m.cols}}};
    if (m.error.empty()) {
      line["rank"] = m.rank;
      line["rank_beyond_storage"] = m.rank_beyond_storage;
      line["fraction"] = m.fraction;
      line["condition"] = number(m.condition);
      line["stable_rank"] = m.stable_rank;
      line["effective_rank"] = m.effective_rank;
      line["largest_singular_value"] = m.largest;
      line["smallest_singular_value"] = m.smallest;
      line["near_full_rank"] = m.near_full_rank;
      line["singular_values"] = m.spectrum;
    } else {
      line["error"] = m.error;
    }
    json["matrices"].push_back(std::move(line));
  }
  return json.dump(1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

std::string to_csv(const Inspection& inspection) {
  const auto quoted = [](const std::string& text) {
    std::string out = "\"";
    for (const char c : text) out += c == '"' ? std::string("\"\"") : std::string(1, c);
    return out + "\"";
  };
  std::string text =
      "file,name,dtype,rows,cols,rank,fraction,condition,stable_rank,effective_rank,largest,"
      "smallest,near_full_rank,rank_beyond_storage,error\n";
  for (const MatrixLine& m : inspection.matrices) {
    text += quoted(m.file) + "," + quoted(m.name) + "," + m.dtype + "," + std::to_string(m.rows) +
            "," + std::to_string(m.cols) + ",";
    if (m.error.empty()) {
      text += std::to_string(m.rank) + "," + format("%.9g", m.fraction) + "," +
              format("%.9g", m.condition) + "," + format("%.9g", m.stable_rank) + "," +
              format("%.9g", m.effective_rank) + "," + format("%.9g", m.largest) + "," +
              format("%.9g", m.smallest) + "," + (m.near_full_rank ? "true" : "false") + "," +
              std::to_string(m.rank_beyond_storage) + ",";
    } else {
      text += ",,,,,,,,," + quoted(m.error);
    }
    text += "\n";
  }
  return text;
}

std::string to_html(const Inspection& inspection) {
  std::string text = R"(<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>lorma inspect</title><style>
body{font:14px sans-serif;margin:2em;color:#222}table{border-collapse:collapse}
th,td{padding:4px 10px;border-bottom:1px solid #ddd;text-align:right}
th{cursor:pointer;position:sticky;top:0;background:#f4f4f4}th:hover{background:#e6eef5}
td:first-child,th:first-child{text-align:left;font-family:monospace}.deficient{color:#b3261e}
</style></head><body><h1>Ranks</h1><p>)";
  text += html(totals(inspection)) + "</p>\n";
  for (const std::string& line : inspection.broken) {
    text += "<p class=\"deficient\">" + html(line) + "</p>\n";
  }
  text += "<table><thead><tr>";
  for (const std::string& head : heads_of(inspection.spectra))
    text += "<th>" + html(head) + "</th>";
  const int decades = decades_of(inspection);
  text += "<th>spectrum, " + std::to_string(decades) + " decades</th></tr></thead><tbody>\n";
  for (const MatrixLine& m : inspection.matrices) {
    text += m.error.empty() && m.near_full_rank ? "<tr>" : "<tr class=\"deficient\">";
    for (const std::string& cell : cells(m, inspection.spectra))
      text += "<td>" + html(cell) + "</td>";
    text += "<td>" + spectrum_picture(m.spectrum, decades) + "</td></tr>\n";
  }
  text += R"(</tbody></table><script>
document.querySelectorAll("th").forEach((th, column) => th.addEventListener("click", () => {
  const body = document.querySelector("tbody");
  const up = th.dataset.up = th.dataset.up === "1" ? "0" : "1";
  const key = row => row.children[column].textContent;
  const number = text => text === "inf" ? Infinity : parseFloat(text);
  [...body.rows].sort((a, b) => {
    const x = number(key(a)), y = number(key(b));
    const order = isNaN(x) || isNaN(y) ? key(a).localeCompare(key(b)) : x - y;
    return up === "1" ? order : -order;
  }).forEach(row => body.appendChild(row));
}));
</script></body></html>
)";
  return text;
}

}  // namespace lorma_tool
