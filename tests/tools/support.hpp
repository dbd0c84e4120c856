// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_TESTS_TOOLS_SUPPORT_HPP
#define LORMA_TESTS_TOOLS_SUPPORT_HPP

/// The tool run as a program.

#include <sys/wait.h>

#include <cstdlib>

#include "../model/support.hpp"

namespace lorma_tests {

/// The tool's exit code; -1 if a signal ended it. Its outputs are left in the directory.
inline int shell(const fs::path& directory, const std::string& arguments,
                 const std::string& before = "") {
  const std::string p = directory.string();
  const int status = std::system(
      (before + ' ' + LORMA_TOOL + ' ' + arguments + " > " + p + "/stdout 2> " + p + "/stderr")
          .c_str());
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

}  // namespace lorma_tests

#endif
