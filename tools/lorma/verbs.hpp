// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_TOOLS_VERBS_HPP
#define LORMA_TOOLS_VERBS_HPP

/// The command line: each function adds one verb, whose callback says what came of it.

#include <lorma/model/fit.hpp>

namespace CLI {
class App;
}

namespace lorma_tool {

/// What came of a verb.
struct Outcome {
  int exit_code = 0;
  /// What was asked for is on the disk: that its report cannot be printed is no failure.
  bool output_stands = false;
};

void add_inspect(CLI::App& app, Outcome& outcome);
void add_diff(CLI::App& app, Outcome& outcome);
/// merge and unmerge.
void add_merge(CLI::App& app, Outcome& outcome);
void add_convert(CLI::App& app, Outcome& outcome);
void add_compose(CLI::App& app, Outcome& outcome);
void add_resize(CLI::App& app, Outcome& outcome);
void add_extract(CLI::App& app, Outcome& outcome);

/// --layout and --rename.
void add_fit(CLI::App& verb, lorma::model::FitOptions& fit);

}  // namespace lorma_tool

#endif
