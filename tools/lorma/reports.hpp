// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_TOOLS_REPORTS_HPP
#define LORMA_TOOLS_REPORTS_HPP

/// What the verbs report: for people as text, for programs as JSON. Names come from files, so they
/// are escaped.

#include <lorma/model/adapter_report.hpp>
#include <lorma/model/diff.hpp>
#include <lorma/model/inspect.hpp>
#include <lorma/model/merge.hpp>
#include <ostream>
#include <string>
#include <vector>

namespace lorma_tool {

/// One line for each layer.
void print(std::ostream& out, const lorma::model::AdapterReport& report);
std::string to_json(const lorma::model::AdapterReport& report);

/// One line for each tensor.
void print(std::ostream& out, const std::vector<lorma::model::TensorDifference>& differences);
std::string to_json(const std::vector<lorma::model::TensorDifference>& differences);

/// One line.
void print(std::ostream& out, const lorma::model::MergeReport& report,
           const lorma::model::MergeOptions& options);
std::string to_json(const lorma::model::MergeReport& report);

/// A table.
void print(std::ostream& out, const lorma::model::Inspection& inspection);
std::string to_json(const lorma::model::Inspection& inspection);
std::string to_csv(const lorma::model::Inspection& inspection);
/// One self-contained page: a table sorted by clicking its headings, a picture of every spectrum.
std::string to_html(const lorma::model::Inspection& inspection);

}  // namespace lorma_tool

#endif
