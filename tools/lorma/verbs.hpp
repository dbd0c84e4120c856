// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_TOOLS_VERBS_HPP
#define LORMA_TOOLS_VERBS_HPP

/// The command line: each function adds one verb, whose callback sets the exit code.

namespace CLI {
class App;
}

namespace lorma_tool {

void add_inspect(CLI::App& app, int& exit_code);
void add_diff(CLI::App& app, int& exit_code);
/// merge and unmerge.
void add_merge(CLI::App& app);
void add_convert(CLI::App& app);
void add_compose(CLI::App& app);
void add_resize(CLI::App& app);
void add_extract(CLI::App& app);

}  // namespace lorma_tool

#endif
