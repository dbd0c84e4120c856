// SPDX-License-Identifier: Apache-2.0
// lorma: adapters and checkpoints on disk, from the command line.

#include <CLI/CLI.hpp>
#include <iostream>
#include <lorma/model/monitor.hpp>
#include <lorma/version.hpp>

#include "stop.hpp"
#include "verbs.hpp"

int main(int argc, char** argv) {
  CLI::App app{"Multiplicative low-rank adapters and the rank of weights"};
  app.set_version_flag("--version", std::string(LORMA_VERSION_STRING));
  app.require_subcommand(1);
  app.get_formatter()->column_width(36);
  int exit_code = 0;
  lorma_tool::add_inspect(app, exit_code);
  lorma_tool::add_merge(app);
  lorma_tool::add_convert(app);
  lorma_tool::add_compose(app);
  lorma_tool::add_resize(app);
  lorma_tool::add_extract(app);
  lorma_tool::add_diff(app, exit_code);
  lorma_tool::handle_signals();
  constexpr int refused = 3;
  try {
    app.parse(argc, argv);
    std::cout.flush();
    if (std::cout) return exit_code;
    std::cerr << "lorma: cannot write to the standard output\n";
    return refused;
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
