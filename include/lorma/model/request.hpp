// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_MODEL_REQUEST_HPP
#define LORMA_MODEL_REQUEST_HPP

/// What a verb is asked for, checked before it reads anything: where the output goes, and names
/// that stand for a choice.

#include <algorithm>
#include <array>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "lorma/adapter/by_name.hpp"
#include "lorma/io/atomic_directory.hpp"
#include "lorma/io/message.hpp"
#include "lorma/io/paths.hpp"
#include "lorma/model/compiled.hpp"
#include "lorma/model/monitor.hpp"

namespace lorma::inline LORMA_ABI::model {

/// The kinds of adapter that can be made.
inline constexpr std::array<std::string_view, 2> kinds_to_make = {"lora", "lorma"};

/// Throws Error unless `value` is one of those known; `option` is its name on the command line.
LORMA_MODEL_FUNCTION void require_known(std::string_view option, const std::string& value,
                                        NameList known);

/// Throws Error where something is at the path; `way_out` ends the message.
LORMA_MODEL_FUNCTION void require_new(const std::filesystem::path& out,
                                      const std::string& way_out = "");

/// Names in `remarks` what a killed run left in a folder.
LORMA_MODEL_FUNCTION void remark_leftovers(const std::filesystem::path& folder,
                                           std::vector<std::string>& remarks);

/// Throws Error where something is at the path, or no directory can be made there. What a killed
/// run left beside it is named in `remarks`.
LORMA_MODEL_FUNCTION void check_adapter_output(const std::filesystem::path& out,
                                               const Monitor& monitor,
                                               std::vector<std::string>& remarks);

#ifdef LORMA_MODEL_BODIES
LORMA_MODEL_FUNCTION void require_known(std::string_view option, const std::string& value,
                                        NameList known) {
  if (std::find(known.begin(), known.end(), value) != known.end()) return;
  throw Error(std::string(option) + ": expected one of " + lorma::detail::joined(known) + ", got " +
              lorma::detail::in_quotes(value));
}

LORMA_MODEL_FUNCTION void require_new(const std::filesystem::path& out,
                                      const std::string& way_out) {
  if (!lorma::detail::path_is_taken(out)) return;
  throw Error(lorma::detail::in_quotes(out.string(), 1024) +
              ": expected an output that does not exist" + way_out);
}

LORMA_MODEL_FUNCTION void remark_leftovers(const std::filesystem::path& folder,
                                           std::vector<std::string>& remarks) {
  for (const std::string& left : lorma::detail::leftovers_in(folder)) {
    remarks.push_back("left behind by a run that was killed, and of no use: " +
                      lorma::detail::in_quotes((folder / left).string(), 1024));
  }
}

LORMA_MODEL_FUNCTION void check_adapter_output(const std::filesystem::path& out,
                                               const Monitor& monitor,
                                               std::vector<std::string>& remarks) {
  require_new(out);
  // Missing folders will be made: the first that exists must take them.
  std::filesystem::path folder = lorma::detail::directory_path(out).parent_path();
  while (!lorma::detail::path_exists(folder) && folder.has_parent_path() &&
         folder != folder.parent_path()) {
    folder = folder.parent_path();
  }
  const detail::Writing writing(monitor);
  const AtomicDirectory tried(folder / ".lorma-tried");
  remark_leftovers(folder, remarks);
}
#endif

}  // namespace lorma::inline LORMA_ABI::model

#endif
