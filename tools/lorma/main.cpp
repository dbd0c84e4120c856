// SPDX-License-Identifier: Apache-2.0
// lorma: adapters and checkpoints on disk, from the command line.

#include <CLI/CLI.hpp>
#include <fstream>
#include <iostream>
#include <lorma/core/error.hpp>
#include <lorma/version.hpp>

#include "inspect.hpp"

namespace {

void write(const std::string& path, const std::string& text) {
  if (path == "-") {
    std::cout << text;
    return;
  }
  std::ofstream file(path, std::ios::binary);
  file << text;
  file.close();
  if (!file) throw lorma::Error("cannot write '" + path + "'");
}

int run_inspect(const lorma_tool::InspectOptions& options, const std::string& json,
                const std::string& csv, const std::string& html) {
  const lorma_tool::Inspection inspection = lorma_tool::inspect(options);
  for (const std::string& line : inspection.broken) std::cerr << "lorma: " << line << '\n';
  if (json != "-" && csv != "-" && html != "-") lorma_tool::print_table(std::cout, inspection);
  if (!json.empty()) write(json, lorma_tool::to_json(inspection));
  if (!csv.empty()) write(csv, lorma_tool::to_csv(inspection));
  if (!html.empty()) write(html, lorma_tool::to_html(inspection));
  return inspection.exit_code();
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"Multiplicative low-rank adapters and the rank of weights"};
  app.set_version_flag("--version", std::string(LORMA_VERSION_STRING));
  app.require_subcommand(1);

  lorma_tool::InspectOptions options;
  std::string json;
  std::string csv;
  std::string html;
  bool quiet = false;
  CLI::App* inspect = app.add_subcommand(
      "inspect",
      "Rank, condition, stable and effective rank of every 2-D tensor of a checkpoint.\n"
      "Example: lorma inspect model.safetensors --match 'attention' --html ranks.html");
  inspect->add_option("files", options.files, "safetensors files, or model.safetensors.index.json")
      ->required();
  inspect->add_option("--match", options.match,
                      "only tensors whose name has this regular expression");
  inspect->add_option("--threshold", options.threshold, "share of full rank that passes")
      ->check(CLI::Range(0.0, 1.0))
      ->capture_default_str();
  inspect->add_option("--threads", options.threads, "0: one a core")->capture_default_str();
  inspect->add_option("--json", json,
                      "write JSON with all singular values to this file, - for stdout");
  inspect->add_option("--csv", csv, "write CSV to this file, - for stdout");
  inspect->add_option("--html", html, "write a page with sortable table and spectra to this file");
  inspect->add_flag("--quiet", quiet, "no progress on stderr");
  inspect->footer(
      "Exit code: 0 when every matrix passes, 1 when one does not, 2 when a file or matrix\n"
      "could not be read, 3 for wrong arguments.");
  try {
    app.parse(argc, argv);
    options.progress = !quiet;
    return run_inspect(options, json, csv, html);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 3;
  } catch (const std::exception& error) {
    std::cerr << "lorma: " << error.what() << '\n';
    return 3;
  }
}
