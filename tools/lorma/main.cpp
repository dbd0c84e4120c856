// SPDX-License-Identifier: Apache-2.0
// lorma: adapters and checkpoints on disk, from the command line.

#include <fcntl.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <iostream>
#include <lorma/io/message.hpp>
#include <lorma/model/monitor.hpp>
#include <lorma/version.hpp>
#include <numeric>
#include <string>
#include <vector>

#include "stop.hpp"
#include "verbs.hpp"

namespace {

constexpr int refused = 3;

/// A file opened later must not get the descriptor of a closed output: what is printed would go
/// into it. What is put there instead cannot be written to, so that printing still fails.
void fill_closed_outputs() {
  for (const int descriptor : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (::fcntl(descriptor, F_GETFD) == -1) static_cast<void>(::open("/dev/null", O_RDONLY));
  }
}

/// The least number of insertions, removals and replacements that turn one word into another.
std::size_t distance(const std::string& a, const std::string& b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 0; i < a.size(); ++i) {
    std::size_t corner = row[0];
    row[0] = i + 1;
    for (std::size_t j = 0; j < b.size(); ++j) {
      const std::size_t replaced = corner + (a[i] == b[j] ? 0 : 1);
      corner = row[j + 1];
      row[j + 1] = std::min({replaced, row[j] + 1, row[j + 1] + 1});
    }
  }
  return row.back();
}

/// What to say of a word where a verb must stand; empty where it is one.
std::string unknown_verb(const CLI::App& app, const std::string& word) {
  std::string nearest;
  for (const CLI::App* verb : app.get_subcommands({})) {
    const std::string name = verb->get_name();
    if (name == word) return "";
    if (nearest.empty() || distance(word, name) < distance(word, nearest)) nearest = name;
  }
  return "expected a verb, got " + lorma::in_quotes(word) + ": did you mean " + nearest +
         "? (lorma --help lists all)";
}

}  // namespace

int main(int argc, char** argv) {
  fill_closed_outputs();
  CLI::App app{"Multiplicative low-rank adapters and the rank of weights"};
  app.set_version_flag("--version", std::string(LORMA_VERSION_STRING));
  app.require_subcommand(1);
  app.get_formatter()->column_width(36);
  lorma_tool::Outcome outcome;
  lorma_tool::add_inspect(app, outcome);
  lorma_tool::add_merge(app, outcome);
  lorma_tool::add_convert(app, outcome);
  lorma_tool::add_compose(app, outcome);
  lorma_tool::add_resize(app, outcome);
  lorma_tool::add_extract(app, outcome);
  lorma_tool::add_diff(app, outcome);
  lorma_tool::handle_signals();
  try {
    if (argc > 1 && argv[1][0] != '-') {
      const std::string problem = unknown_verb(app, argv[1]);
      if (!problem.empty()) throw lorma::Error(problem);
    }
    app.parse(argc, argv);
    std::cout.flush();
    if (std::cout) return outcome.exit_code;
    std::cerr << "lorma: cannot write to the standard output"
              << (outcome.output_stands ? "; the output is in its place\n" : "\n");
    return outcome.output_stands ? outcome.exit_code : refused;
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : refused;
  } catch (const lorma::model::Stopped& stopped) {
    std::cerr << "lorma: " << stopped.what() << '\n';
    return lorma_tool::stopped_code;
  } catch (const std::exception& error) {
    std::cerr << "lorma: " << error.what() << '\n';
    return refused;
  }
}
