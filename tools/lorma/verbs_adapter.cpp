// SPDX-License-Identifier: Apache-2.0
// The verbs that make adapters: convert, compose, resize, extract.

#include <CLI/CLI.hpp>
#include <iostream>
#include <lorma/model/compose.hpp>
#include <lorma/model/convert.hpp>
#include <lorma/model/extract.hpp>
#include <memory>

#include "reports.hpp"
#include "session.hpp"
#include "verbs.hpp"

namespace lorma_tool {
namespace {

using namespace lorma::model;

/// What is set on the command line: the verb's own options, and how to report.
template <typename Options>
struct State {
  Options options;
  bool json = false;
  bool quiet = false;
};

/// Adds a verb that runs `make` on its options; `add_own` adds those that no other verb has.
template <typename Options, typename AddOwn, typename Make>
void add_maker(CLI::App& app, Outcome& outcome, const char* name, const char* description,
               AddOwn&& add_own, Make make) {
  const auto state = std::make_shared<State<Options>>();
  CLI::App* verb = app.add_subcommand(name, description);
  add_own(*verb, state->options);
  verb->add_option("-o,--out", state->options.out, "a new directory")->required();
  verb->add_flag("--dry-run", state->options.dry_run, "compute and report, write nothing");
  verb->add_flag("--json", state->json, "report as JSON on stdout");
  verb->add_flag("--quiet", state->quiet, "no progress and no remarks on stderr");
  verb->footer(
      "Exit code: 0 when done, 3 for wrong arguments or an input that is refused, 130 when "
      "stopped\nby Ctrl-C. Unless it is 0, the output is absent.");
  verb->callback([state, make, &outcome] {
    Session session(state->quiet);
    const AdapterReport report = make(state->options, session.monitor());
    outcome.output_stands = !state->options.dry_run;
    if (!state->quiet) {
      for (const std::string& line : report.remarks) std::cerr << "lorma: " << line << '\n';
    }
    if (state->json) {
      std::cout << to_json(report);
    } else {
      print(std::cout, report);
    }
  });
}

const CLI::Validator& share() {
  static const CLI::Range range(0.0, 1.0);
  return range;
}
CLI::IsMember side() {
  return CLI::IsMember({"Pre", "Post"});
}

}  // namespace

void add_convert(CLI::App& app, Outcome& outcome) {
  add_maker<ConvertOptions>(
      app, outcome, "convert",
      "Makes a PEFT LoRA adapter of a LoRMA adapter, or the reverse.\n"
      "Example: lorma convert adapter --to lora --base model.safetensors -o lora",
      [](CLI::App& verb, ConvertOptions& o) {
        verb.add_option("adapter", o.adapter, "directory of the adapter")->required();
        verb.add_option("--to", o.to, "what to make")
            ->required()
            ->check(CLI::IsMember({"lora", "lorma"}));
        verb.add_option("--base", o.base, "the weights that the adapter was made for")->required();
        verb.add_option(
                "--side", o.side,
                "of the LoRMA adapter to be made, Pre or Post; for each weight the one that "
                "misses less, unless told")
            ->check(side());
        verb.add_option("-r,--rank", o.rank,
                        "of a LoRA adapter, at most; 0: the adapter's own, or any with --energy")
            ->check(CLI::NonNegativeNumber)
            ->capture_default_str();
        verb.add_option("--energy", o.energy, "share of the squared change that is enough")
            ->check(share())
            ->capture_default_str();
        verb.add_option("--prefix", o.prefix,
                        "put before the modules of a LoRA adapter, such as transformer.");
        add_fit(verb, o.fit);
        verb.add_flag("--any-base", o.any_base, "take a base with another fingerprint");
      },
      convert);
}

void add_compose(CLI::App& app, Outcome& outcome) {
  add_maker<ComposeOptions>(
      app, outcome, "compose",
      "One adapter in place of several, applied in their order: LoRA adapters add up, LoRMA+\n"
      "adapters compose.\n"
      "Example: lorma compose french legal -o french-legal",
      [](CLI::App& verb, ComposeOptions& o) {
        verb.add_option("adapters", o.adapters,
                        "directories of the adapters, in the order of merging")
            ->required()
            ->expected(2, -1);
      },
      compose);
}

void add_resize(CLI::App& app, Outcome& outcome) {
  add_maker<ResizeOptions>(
      app, outcome, "resize",
      "The nearest LoRMA+ or LoRA adapter of another rank or strength.\n"
      "Example: lorma resize adapter --energy 0.99 -o smaller",
      [](CLI::App& verb, ResizeOptions& o) {
        verb.add_option("adapter", o.adapter, "directory of the adapter")->required();
        verb.add_option("-r,--rank", o.rank, "of every layer; 0: what the energy asks for")
            ->check(CLI::NonNegativeNumber)
            ->capture_default_str();
        verb.add_option("--energy", o.energy, "share of the squared change that is enough")
            ->check(share())
            ->capture_default_str();
        verb.add_option("--strength", o.strength, "t of (1 - t) I + t P, or of t B A")
            ->capture_default_str();
      },
      resize);
}

void add_extract(CLI::App& app, Outcome& outcome) {
  add_maker<ExtractOptions>(
      app, outcome, "extract",
      "Factors of what tuning changed, and whether a multiplier can reach it.\n"
      "Example: lorma extract base.safetensors tuned.safetensors -r 16 -o adapter",
      [](CLI::App& verb, ExtractOptions& o) {
        verb.add_option("base", o.base, "the checkpoint before")->required();
        verb.add_option("tuned", o.tuned, "the checkpoint after")->required();
        verb.add_option("--to", o.to, "LoRMA+ factors, or those of an additive adapter")
            ->check(CLI::IsMember({"lora", "lorma"}))
            ->capture_default_str();
        verb.add_option("-r,--rank", o.rank, "at most; 0: 16, or any with --energy or --tolerance")
            ->check(CLI::NonNegativeNumber)
            ->capture_default_str();
        verb.add_option("--energy", o.energy, "share of the squared change that is enough")
            ->check(share())
            ->capture_default_str();
        verb.add_option("--tolerance", o.tolerance,
                        "relative error of the change that is small enough")
            ->check(share())
            ->capture_default_str();
        verb.add_option(
                "--side", o.side,
                "of the multiplier, Pre or Post; for each weight the one that reaches more, "
                "unless told")
            ->check(side());
        verb.add_option("--match", o.match, "only tensors whose name has this regular expression");
        verb.add_option("--prefix", o.prefix,
                        "put before the modules of a LoRA adapter, such as transformer.");
        verb.add_flag("--in-out", o.in_out, "weights are stored in x out (GPT-2's Conv1D)");
        verb.add_option("--fused", o.fused,
                        "split the outputs of weights whose name has this regular expression");
        verb.add_option("--slices", o.slices, "how many equal parts --fused makes")
            ->check(CLI::PositiveNumber)
            ->capture_default_str();
      },
      extract);
}

}  // namespace lorma_tool
