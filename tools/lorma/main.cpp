// SPDX-License-Identifier: Apache-2.0
// lorma: adapters and checkpoints on disk, from the command line.

#include <CLI/CLI.hpp>
#include <csignal>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <lorma/core/error.hpp>
#include <lorma/io/message.hpp>
#include <lorma/version.hpp>

#include "convert.hpp"
#include "inspect.hpp"
#include "merge.hpp"

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

void print(const lorma_tool::MergeReport& report, const lorma_tool::MergeOptions& options) {
  const char* verb = options.unmerge ? "unmerged" : "merged";
  std::cout << (options.dry_run ? "would have " : "") << verb << ' ' << report.tensors.size()
            << " weights, " << report.copied << " tensors copied, ";
  const double megabytes = static_cast<double>(report.bytes) / 1e6;
  std::printf("%.1f MB", megabytes);
  if (!options.dry_run) {
    std::printf(" in %.1f s (%.0f MB/s)", report.seconds, megabytes / report.seconds);
  }
  std::printf("\n");
}

/// The options that merge and unmerge share.
struct MergeVerb {
  lorma_tool::MergeOptions options;
  bool quiet = false;
  bool json = false;

  CLI::App* add_to(CLI::App& app, const char* name, const char* description) {
    CLI::App* verb = app.add_subcommand(name, description);
    verb->add_option("base", options.base,
                     "a safetensors file, an index (.json), or a directory with either")
        ->required();
    verb->add_option("adapter", options.adapter, "directory of a LoRMA or a PEFT LoRA adapter")
        ->required();
    verb->add_option("-o,--out", options.out, "a file for a file, else a new directory")
        ->required();
    verb->add_flag("--double", options.in_double, "compute in double, round once");
    verb->add_flag("--safe", options.check_first,
                   "look for NaN and infinity in every result before anything is written");
    verb->add_flag("--any-base", options.any_base, "also take a base with another fingerprint");
    verb->add_flag("--dry-run", options.dry_run, "check and report, write nothing");
    verb->add_flag("--json", json, "report as JSON on stdout");
    verb->add_flag("--quiet", quiet, "no progress on stderr");
    return verb;
  }

  int run() {
    options.progress = !quiet;
    const lorma_tool::MergeReport report = lorma_tool::merge(options);
    if (json) {
      std::cout << to_json(report);
    } else {
      print(report, options);
    }
    return 0;
  }
};

extern "C" void on_signal(int) {
  lorma_tool::request_stop();
}

constexpr const char* exit_codes =
    "Exit code: 0 when done, 3 for wrong arguments or an input that is refused, 130 when stopped\n"
    "by Ctrl-C. Unless it is 0, the output is absent and the input whole.";

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
  MergeVerb merge;
  CLI::App* merge_verb =
      merge.add_to(app, "merge",
                   "Writes the checkpoint with the adapter merged into its weights.\n"
                   "Example: lorma merge model.safetensors adapter -o merged.safetensors");
  merge_verb->footer(exit_codes);
  MergeVerb unmerge;
  unmerge.options.unmerge = true;
  CLI::App* unmerge_verb =
      unmerge.add_to(app, "unmerge",
                     "Takes a merged adapter out again; refuses when no digit would survive.\n"
                     "Example: lorma unmerge merged.safetensors adapter -o model.safetensors");
  unmerge_verb->footer(exit_codes);

  lorma_tool::ConvertOptions conversion;
  CLI::App* convert = app.add_subcommand(
      "convert",
      "Makes a PEFT LoRA adapter of a LoRMA adapter, or the reverse.\n"
      "Example: lorma convert adapter --to lora --base model.safetensors -o lora");
  convert->add_option("adapter", conversion.adapter, "directory of the adapter")->required();
  convert->add_option("--to", conversion.to, "what to make")
      ->required()
      ->check(CLI::IsMember({"lora", "lorma"}));
  convert->add_option("--base", conversion.base, "the weights that the adapter was made for")
      ->required();
  convert->add_option("-o,--out", conversion.out, "a new directory")->required();
  convert->add_option("--side", conversion.side, "of the LoRMA adapter to be made")
      ->check(CLI::IsMember({"Pre", "Post"}))
      ->capture_default_str();
  convert->add_option("--rank", conversion.rank, "of an approximated change; 0: the adapter's own")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  convert->footer(exit_codes);
  std::signal(SIGINT, on_signal);
  std::signal(SIGTERM, on_signal);
  try {
    app.parse(argc, argv);
    if (*merge_verb) return merge.run();
    if (*unmerge_verb) return unmerge.run();
    if (*convert) {
      for (const auto& layer : lorma_tool::convert(conversion)) {
        std::printf("%s: rank %lld, relative residual %.2e\n",
                    lorma::detail::escaped(layer.weight).c_str(),
                    static_cast<long long>(layer.rank), layer.residual);
      }
      return 0;
    }
    std::signal(SIGINT, SIG_DFL);
    std::signal(SIGTERM, SIG_DFL);
    options.progress = !quiet;
    return run_inspect(options, json, csv, html);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 3;
  } catch (const lorma_tool::Interrupted& stopped) {
    std::cerr << "lorma: " << stopped.what() << '\n';
    return 130;
  } catch (const std::exception& error) {
    std::cerr << "lorma: " << error.what() << '\n';
    return 3;
  }
}
