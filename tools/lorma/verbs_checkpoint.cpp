// SPDX-License-Identifier: Apache-2.0
// The verbs over checkpoints: inspect, diff, merge, unmerge.

#include <CLI/CLI.hpp>
#include <fstream>
#include <iostream>
#include <lorma/core/error.hpp>
#include <lorma/io/atomic_file.hpp>
#include <lorma/model/diff_adapters.hpp>
#include <memory>

#include "reports.hpp"
#include "session.hpp"
#include "stop.hpp"
#include "verbs.hpp"

namespace lorma_tool {
namespace {

using namespace lorma::model;

/// Whether a report goes to a file of its own: not to the standard output, a pipe or a device.
bool is_file(const std::string& path) {
  std::error_code ignored;  // a file that cannot be: writing it says why
  const auto status = std::filesystem::status(path, ignored);
  return !path.empty() && path != "-" &&
         (!std::filesystem::exists(status) || std::filesystem::is_regular_file(status));
}

/// Throws lorma::Error if a report cannot be written to the path; writes nothing.
void try_place(const std::string& path) {
  if (!is_file(path)) return;
  const DeferredStop deferred;
  const lorma::AtomicFile tried(path);
}

void write(const std::string& path, const std::string& text) {
  if (path == "-") {
    std::cout << text;
  } else if (is_file(path)) {
    const DeferredStop deferred;
    lorma::AtomicFile file(path);
    file.write(std::as_bytes(std::span(text)));
    file.commit();
  } else {
    std::ofstream file(path, std::ios::binary);
    file << text;
    file.close();
    if (!file) throw lorma::Error("cannot write " + lorma::in_quotes(path, 1024));
  }
}

/// Throws lorma::Error unless there is one strength for all adapters, or one for each.
void put_adapters(const std::vector<std::filesystem::path>& paths,
                  const std::vector<double>& strengths, std::vector<AdapterInUse>& adapters) {
  if (strengths.size() != 1 && strengths.size() != paths.size()) {
    throw lorma::Error("--strength: expected one number, or " + std::to_string(paths.size()) +
                       ", one for each adapter, got " + std::to_string(strengths.size()));
  }
  for (std::size_t i = 0; i < paths.size(); ++i) {
    adapters.push_back({paths[i], strengths[strengths.size() == 1 ? 0 : i]});
  }
}

void add_merge(CLI::App& app, Outcome& outcome, const char* name, const char* description,
               bool unmerge) {
  struct State {
    MergeOptions options;
    std::vector<std::filesystem::path> adapters;
    std::vector<double> strengths{1.0};
    bool json = false;
    bool quiet = false;
  };
  const auto state = std::make_shared<State>();
  MergeOptions& o = state->options;
  o.unmerge = unmerge;
  CLI::App* verb = app.add_subcommand(name, description);
  verb->add_option("base", o.base,
                   "a safetensors file, an index (.json), or a directory with either")
      ->required();
  verb->add_option(
          "adapter", state->adapters,
          "directory of a LoRMA adapter or one of PEFT, a file of LoRA, or several in their order")
      ->required();
  verb->add_option("-o,--out", o.out, "a file for a file, else a new directory")->required();
  verb->add_option("--strength", state->strengths,
                   "t of (1 - t) W0 + t W: one for all adapters, or one each, such as 1,0.5")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->default_str("1");
  verb->add_flag("--double", o.in_double, "compute in double, round once");
  verb->add_flag("--safe", o.check_first,
                 "look for NaN and infinity in every result before anything is written");
  verb->add_flag("--any-base", o.any_base,
                 unmerge ? "take weights that the adapter was made for, as if it were in them"
                         : "take a base with another fingerprint");
  if (!unmerge) {
    verb->add_flag("--dequantize", o.dequantize,
                   "write a base of FP8 or bitsandbytes 4-bit as the numbers it stands for");
  }
  add_fit(*verb, o.fit);
  verb->add_flag("--force", o.force,
                 unmerge ? "replace an output file; take out what the metadata does not allow"
                         : "replace an output file; merge what is merged already");
  verb->add_flag("--dry-run", o.dry_run, "check and report, write nothing");
  verb->add_flag("--json", state->json, "report as JSON on stdout");
  verb->add_flag("--quiet", state->quiet, "no progress and no remarks on stderr");
  verb->footer(
      "Exit code: 0 when done, 3 for wrong arguments or an input that is refused, 130 when "
      "stopped\nby Ctrl-C. Unless it is 0, the output is absent and the input whole.");
  verb->callback([state, &outcome] {
    put_adapters(state->adapters, state->strengths, state->options.adapters);
    Session session(state->quiet);
    state->options.ahead = session.workers();
    const MergeReport report = merge(state->options, session.monitor());
    outcome.output_stands = !state->options.dry_run;
    if (!state->quiet) {
      for (const std::string& line : report.remarks) std::cerr << "lorma: " << line << '\n';
    }
    if (state->json) {
      std::cout << to_json(report);
    } else {
      print(std::cout, report, state->options);
    }
  });
}

}  // namespace

void add_fit(CLI::App& verb, FitOptions& fit) {
  verb.add_option_function<std::string>(
          "--layout",
          [&fit](const std::string& name) {
            for (const auto& [known, layout] : lora_layouts()) {
              if (known == name) fit.layout = layout;
            }
          },
          "how the weights of a LoRA adapter are stored: by_shape, out_in (PyTorch's Linear) or "
          "in_out (Conv1D)")
      ->check(CLI::IsMember({"by_shape", "out_in", "in_out"}))
      ->default_str("by_shape");
  verb.add_option_function<std::vector<std::string>>(
          "--rename",
          [&fit](const std::vector<std::string>& all) {
            for (const std::string& text : all) {
              const std::size_t at = text.find('=');
              fit.renames.push_back({text.substr(0, at), text.substr(at + 1)});
            }
          },
          "FROM=TO: the adapter's names that begin with FROM begin with TO in the base")
      ->check([](const std::string& text) {
        return text.find('=') == text.npos ? "expected FROM=TO, got " + lorma::in_quotes(text)
                                           : std::string();
      })
      ->allow_extra_args(false)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
}

void add_merge(CLI::App& app, Outcome& outcome) {
  add_merge(app, outcome, "merge",
            "Writes the checkpoint with the adapter merged into its weights.\n"
            "Example: lorma merge model.safetensors adapter -o merged.safetensors",
            false);
  add_merge(app, outcome, "unmerge",
            "Takes a merged adapter out again; refuses when no digit would survive.\n"
            "Example: lorma unmerge merged.safetensors adapter -o model.safetensors",
            true);
}

void add_inspect(CLI::App& app, Outcome& outcome) {
  struct State {
    InspectOptions options;
    std::string json, csv, html;
    unsigned threads = 0;
    bool quiet = false;
  };
  const auto state = std::make_shared<State>();
  InspectOptions& o = state->options;
  CLI::App* verb = app.add_subcommand(
      "inspect",
      "Rank, condition, stable and effective rank of every 2-D tensor of a checkpoint.\n"
      "Example: lorma inspect model.safetensors --match 'attention' --html ranks.html");
  verb->add_option("files", o.files,
                   "safetensors files, model.safetensors.index.json, or directories")
      ->required();
  verb->add_option("--match", o.match, "only tensors whose name has this regular expression");
  verb->add_option("--threshold", o.threshold, "share of full rank that passes")
      ->check(CLI::Range(0.0, 1.0))
      ->capture_default_str();
  verb->add_option("--threads", state->threads, "0: one a core")->capture_default_str();
  verb->add_option("--json", state->json,
                   "write JSON with all singular values to this file, - for stdout");
  verb->add_option("--csv", state->csv, "write CSV to this file, - for stdout");
  verb->add_option("--html", state->html,
                   "write a page with sortable table and spectra to this file");
  verb->add_flag("--quiet", state->quiet, "no progress on stderr");
  verb->footer(
      "Exit code: 0 when every matrix passes, 1 when one does not, 2 when a file or matrix\n"
      "could not be read, 3 for wrong arguments, 130 when stopped by Ctrl-C.");
  verb->callback([state, &outcome] {
    // CSV has the effective rank, which needs all singular values.
    state->options.spectra = !(state->json + state->csv + state->html).empty();
    for (const std::string& path : {state->json, state->csv, state->html}) try_place(path);
    Session session(state->quiet, state->threads == 0 ? all_workers() : state->threads);
    state->options.threads = session.workers();
    const Inspection inspection = inspect(state->options, session.monitor());
    for (const std::string& line : inspection.broken) std::cerr << "lorma: " << line << '\n';
    if (state->json != "-" && state->csv != "-" && state->html != "-") {
      print(std::cout, inspection);
    }
    if (!state->json.empty()) write(state->json, to_json(inspection));
    if (!state->csv.empty()) write(state->csv, to_csv(inspection));
    if (!state->html.empty()) write(state->html, to_html(inspection));
    outcome.exit_code = inspection.exit_code();
  });
}

void add_diff(CLI::App& app, Outcome& outcome) {
  struct State {
    std::filesystem::path a, b;
    bool json = false;
    bool quiet = false;
  };
  const auto state = std::make_shared<State>();
  CLI::App* verb = app.add_subcommand(
      "diff",
      "Every tensor that differs: relative change, rank of the change, its spectrum.\n"
      "Example: lorma diff base.safetensors tuned.safetensors --json > changes.json");
  verb->add_option("a", state->a, "a checkpoint, or an adapter")->required();
  verb->add_option("b", state->b, "another")->required();
  verb->add_flag("--json", state->json, "JSON with spectra on stdout");
  verb->add_flag("--quiet", state->quiet, "no progress on stderr");
  verb->footer(
      "Exit code: 0 when nothing differs, 1 when something does, 3 for wrong arguments or\n"
      "an input that is refused, 130 when stopped by Ctrl-C.");
  verb->callback([state, &outcome] {
    Session session(state->quiet);
    const bool adapters = is_adapter_directory(state->a) && is_adapter_directory(state->b);
    const auto differences = adapters
                                 ? diff_adapters(state->a, state->b, state->json, session.monitor())
                                 : diff(state->a, state->b, state->json, session.monitor());
    if (state->json) {
      std::cout << to_json(differences);
    } else {
      print(std::cout, differences);
    }
    outcome.exit_code = differences.empty() ? 0 : 1;
  });
}

}  // namespace lorma_tool
