// SPDX-License-Identifier: Apache-2.0
// What lorma inspect prints and writes: numbers, hostile names, exit codes.

#include <algorithm>
#include <nlohmann/json.hpp>
#include <sstream>

#include "../model/inspect_support.hpp"
#include "reports.hpp"
#include "support.hpp"

using namespace lorma_tests;
using Json = nlohmann::json;

namespace {

int exit_code(const std::string& arguments) {
  const std::string command = std::string(LORMA_TOOL) + " " + arguments + " >/dev/null 2>&1";
  const int status = std::system(command.c_str());
  REQUIRE(WIFEXITED(status));
  return WEXITSTATUS(status);
}

}  // namespace

TEST_CASE("what may be rounding, and what is not finite, is told apart") {
  const ScratchDirectory dir;
  const Eigen::Matrix<Eigen::bfloat16, -1, -1> rounded =
      of_rank(31, 40, 4, 7).cast<Eigen::bfloat16>();
  Eigen::MatrixXf bad = random_matrix<float>(5, 5, 1);
  bad(2, 3) = std::numeric_limits<float>::quiet_NaN();
  lorma::write_safetensors(dir / "m.safetensors", {TensorSource::copy("a.rounded", rounded),
                                                   TensorSource::copy("b.bad", bad)});
  const auto result = inspect({dir / "m.safetensors"});
  std::ostringstream table;
  lorma_tool::print(table, result);
  CHECK(table.str().find(" (4)") != std::string::npos);
  const Json report = Json::parse(lorma_tool::to_json(result));
  for (const auto& entry : report["matrices"]) {
    if (entry["name"] == "a.rounded") {
      CHECK(entry["rank_beyond_storage"] == 4);
    } else {
      CHECK(entry.contains("error"));
      CHECK_FALSE(entry.contains("rank"));
    }
  }
}

TEST_CASE("reports carry the numbers, and names cannot escape from them") {
  const ScratchDirectory dir;
  const std::string name = "<script>\"&,\x1b[31m";
  lorma::write_safetensors(dir / "m.safetensors",
                           {TensorSource::copy(name, Eigen::MatrixXf::Identity(4, 4)),
                            TensorSource::copy("zero", Eigen::MatrixXf::Zero(4, 6))});
  const auto result = inspect({dir / "m.safetensors"});

  std::ostringstream table;
  lorma_tool::print(table, result);
  CHECK(table.str().find('\x1b') == std::string::npos);
  CHECK(table.str().find("1 of 2 matrices (50.0 %) at or above 99 % of full rank") !=
        std::string::npos);

  const Json json = Json::parse(lorma_tool::to_json(result));
  CHECK(json["near_full"] == 1);
  CHECK(json["matrices"][0]["name"] == name);
  CHECK(json["matrices"][0]["rank"] == 4);
  CHECK(json["matrices"][0]["singular_values"].size() == 4);
  CHECK(json["matrices"][1]["rank"] == 0);
  CHECK(json["matrices"][1]["condition"].is_null());

  const std::string csv = lorma_tool::to_csv(result);
  CHECK(csv.find("\"<script>\"\"&,") != std::string::npos);
  CHECK(std::count(csv.begin(), csv.end(), '\n') == 3);

  const std::string html = lorma_tool::to_html(result);
  CHECK(html.find("<script>\"&") == std::string::npos);
  CHECK(html.find("&lt;script&gt;&quot;&amp;") != std::string::npos);
  CHECK(html.find("polyline") != std::string::npos);
}

TEST_CASE("the program's exit code is its verdict") {
  const ScratchDirectory dir;
  write_model(dir / "model.safetensors");
  put(dir / "broken.safetensors", "no header");
  const std::string model = (dir / "model.safetensors").string();
  CHECK(exit_code("inspect " + model + " --match full") == 0);
  CHECK(exit_code("inspect " + model) == 1);
  CHECK(exit_code("inspect " + model + " --threshold 0.3") == 0);
  CHECK(exit_code("inspect " + model + " " + (dir / "broken.safetensors").string()) == 2);
  CHECK(exit_code("inspect") == 3);
  CHECK(exit_code("inspect " + model + " --threshold 2") == 3);
  CHECK(exit_code("inspect " + model + " --match '('") == 3);
  CHECK(exit_code("inspect " + model + " --csv /absent/x.csv") == 3);
  CHECK(exit_code("--version") == 0);
  CHECK(exit_code("inspect --help") == 0);

  const std::string json = (dir / "r.json").string();
  CHECK(exit_code("inspect " + model + " --json " + json + " --html " +
                  (dir / "r.html").string()) == 1);
  CHECK(Json::parse(content(json))["matrices"].size() == 4);
}
