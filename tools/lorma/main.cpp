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

#include "adapters.hpp"
#include "compare.hpp"
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

void print(const std::vector<lorma_tool::MadeLayer>& layers) {
  for (const auto& layer : layers) {
    std::printf("%s: rank %lld, %.2e of the change dropped\n",
                lorma::detail::escaped(layer.weight).c_str(), static_cast<long long>(layer.rank),
                layer.dropped);
  }
}

void print(const lorma_tool::Extraction& extraction) {
  for (const auto& layer : extraction.layers) {
    std::printf(
        "%s: rank %lld, residual %.2e; %s\n", lorma::detail::escaped(layer.weight).c_str(),
        static_cast<long long>(layer.rank), layer.residual,
        layer.unreachable < 1e-6
            ? "a multiplier reaches it exactly (Theorem 1)"
            : ("no multiplier comes nearer than " + std::to_string(layer.unreachable)).c_str());
  }
  for (const std::string& line : extraction.left_alone) {
    std::fprintf(stderr, "lorma: left alone: %s\n", line.c_str());
  }
}

void print(const std::vector<lorma_tool::TensorDifference>& differences) {
  for (const auto& d : differences) {
    const std::string name = lorma::detail::escaped(d.name);
    if (d.only_in_one) {
      std::printf("%s %s %s: only in one, or of another shape\n", name.c_str(), d.dtype.c_str(),
                  d.shape.c_str());
    } else {
      std::printf("%s %s %s: relative change %.3e, rank %lld, stable rank %.1f\n", name.c_str(),
                  d.dtype.c_str(), d.shape.c_str(), d.relative, static_cast<long long>(d.rank),
                  d.stable_rank);
    }
  }
  if (differences.empty()) std::printf("no difference\n");
}

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

  std::filesystem::path first;
  std::filesystem::path second;
  std::filesystem::path out;
  CLI::App* compose =
      app.add_subcommand("compose",
                         "One LoRMA+ adapter in place of two: the first, then the second.\n"
                         "Example: lorma compose french legal -o french-legal");
  compose->add_option("first", first, "directory of the adapter that is applied first")->required();
  compose->add_option("second", second, "directory of the adapter that is applied to the result")
      ->required();
  compose->add_option("-o,--out", out, "a new directory")->required();
  compose->footer(exit_codes);

  lorma_tool::ResizeOptions sizes;
  CLI::App* resize = app.add_subcommand("resize",
                                        "The nearest LoRMA+ adapter of another rank or strength.\n"
                                        "Example: lorma resize adapter --energy 0.99 -o smaller");
  resize->add_option("adapter", sizes.adapter, "directory of the adapter")->required();
  resize->add_option("-o,--out", sizes.out, "a new directory")->required();
  resize->add_option("-r,--rank", sizes.rank, "of every layer; 0: what the energy asks for")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  resize->add_option("--energy", sizes.energy, "share of the squared change to keep")
      ->check(CLI::Range(0.0, 1.0))
      ->capture_default_str();
  resize->add_option("--strength", sizes.strength, "t of (1 - t) I + t P")->capture_default_str();
  resize->footer(exit_codes);

  lorma_tool::ExtractOptions extraction;
  CLI::App* extract = app.add_subcommand(
      "extract",
      "LoRMA+ factors of what tuning changed, and whether a multiplier can reach it.\n"
      "Example: lorma extract base.safetensors tuned.safetensors -r 16 -o adapter");
  extract->add_option("base", extraction.base, "the checkpoint before")->required();
  extract->add_option("tuned", extraction.tuned, "the checkpoint after")->required();
  extract->add_option("-o,--out", extraction.out, "a new directory")->required();
  extract->add_option("-r,--rank", extraction.rank, "at most")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  extract->add_option("--energy", extraction.energy, "share of the reachable change to keep")
      ->check(CLI::Range(0.0, 1.0))
      ->capture_default_str();
  extract->add_option("--side", extraction.side, "of the multiplier")
      ->check(CLI::IsMember({"Pre", "Post"}))
      ->capture_default_str();
  extract->add_option("--match", extraction.match,
                      "only tensors whose name has this regular expression");
  extract->footer(exit_codes);

  bool as_json = false;
  CLI::App* diff = app.add_subcommand(
      "diff",
      "Every tensor that differs: relative change, rank of the change, its spectrum.\n"
      "Example: lorma diff base.safetensors tuned.safetensors --json > changes.json");
  diff->add_option("a", first, "a checkpoint")->required();
  diff->add_option("b", second, "another")->required();
  diff->add_flag("--json", as_json, "JSON with spectra on stdout");
  diff->footer(
      "Exit code: 0 when nothing differs, 1 when something does, 3 for wrong arguments or\n"
      "an input that is refused.");
  for (CLI::App* verb : {extract, diff}) verb->add_flag("--quiet", quiet, "no progress on stderr");
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
    if (*compose) {
      print(lorma_tool::compose(first, second, out));
      return 0;
    }
    std::signal(SIGINT, SIG_DFL);
    std::signal(SIGTERM, SIG_DFL);
    if (*resize) {
      print(lorma_tool::resize(sizes));
      return 0;
    }
    if (*extract) {
      extraction.progress = !quiet;
      print(lorma_tool::extract(extraction));
      return 0;
    }
    if (*diff) {
      const auto differences = lorma_tool::diff(first, second, as_json, !quiet);
      if (as_json) {
        std::cout << to_json(differences);
      } else {
        print(differences);
      }
      return differences.empty() ? 0 : 1;
    }
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
