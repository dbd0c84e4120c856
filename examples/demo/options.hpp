// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_EXAMPLES_DEMO_OPTIONS_HPP
#define LORMA_EXAMPLES_DEMO_OPTIONS_HPP

/// The command line of the demo.

#include <charconv>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

#include "job.hpp"
#include "lorma/core/error.hpp"

namespace demo {

struct Options {
  std::filesystem::path data = LORMA_DEMO_DATA;
  std::filesystem::path model;  ///< empty: none given
  std::filesystem::path out = "out/demo";
  JobKind job = JobKind::layer;
  long rank = 8;
  long steps = 300;
  std::uint64_t seed = 1;
  bool help = false;
};

inline constexpr std::string_view usage =
    R"(usage: lorma_demo [--job NAME] [--model FILE] [--rank R] [--steps N] [--seed S] [--out DIR]

Adapts one real attention matrix to another with LoRA, None, LoRMA+ and LoRMA_pi at equal parameter
count and prints what came of it.

  --job NAME    layer: layer 2's query matrix is to do what layer 3's does (this is the default);
                quantized: layer 3's, rounded to 4 bits, is to do what it did before
  --model FILE  a whole safetensors model: the ranks of its attention matrices are printed too
  --rank R      rank of the factors, 1 to the layer's width (8)
  --steps N     steps of Adam in each run, 1 to 100000 (300)
  --seed S      seed of starts and mini-batches (1)
  --out DIR     where loss.svg and demo.json are written (out/demo)
  --data FILE   the weights and inputs (examples/data/minilm-attention.safetensors)
)";

template <typename T>
T parse_number(std::string_view option, std::string_view text, T least, T most) {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || value < least || value > most) {
    throw lorma::Error(std::string(option) + ": expected a whole number from " +
                       std::to_string(least) + " to " + std::to_string(most) + ", got '" +
                       std::string(text) + "'");
  }
  return value;
}

/// Throws lorma::Error for what it does not know.
inline Options parse_options(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string_view option = argv[i];
    if (option == "--help" || option == "-h") {
      options.help = true;
      return options;
    }
    const auto value = [&]() -> std::string_view {
      if (i + 1 == argc) throw lorma::Error(std::string(option) + ": expected a value after it");
      return argv[++i];
    };
    if (option == "--model") {
      options.model = value();
    } else if (option == "--job") {
      const std::string_view name = value();
      if (name != "layer" && name != "quantized") {
        throw lorma::Error("--job: expected layer or quantized, got '" + std::string(name) + "'");
      }
      options.job = name == "layer" ? JobKind::layer : JobKind::quantized;
    } else if (option == "--data") {
      options.data = value();
    } else if (option == "--out") {
      options.out = value();
    } else if (option == "--rank") {
      options.rank = parse_number<long>(option, value(), 1, 65536);
    } else if (option == "--steps") {
      options.steps = parse_number<long>(option, value(), 1, 100000);
    } else if (option == "--seed") {
      options.seed = parse_number<std::uint64_t>(option, value(), 0, UINT64_MAX);
    } else {
      throw lorma::Error("expected one of the options below, got '" + std::string(option) +
                         "'\n\n" + std::string(usage));
    }
  }
  return options;
}

}  // namespace demo

#endif
