// SPDX-License-Identifier: Apache-2.0
// What people reported: each case with its right value (tests/data/reports).

#include "support.hpp"

using namespace lorma_tests;

namespace {

fs::path reports(const char* name) {
  return fs::path(LORMA_TEST_DATA_DIR) / "reports" / name;
}

bool has(const std::vector<std::string>& remarks, const std::string& words) {
  return std::any_of(remarks.begin(), remarks.end(),
                     [&](const std::string& remark) { return remark.find(words) != remark.npos; });
}

}  // namespace

TEST_CASE("prefix-replaced: one prefix in place of another, where every name has one partner") {
  const ScratchDirectory directory;
  const fs::path here = reports("prefix-replaced");
  lorma::model::MergeOptions options;
  options.base = here / "base";
  options.adapters = {{here / "adapter"}};
  options.out = directory.path() / "out";
  options.in_double = true;  // as the expected ones were: then rounded once
  const auto report = lorma::model::merge(options);
  CHECK(has(report.remarks, "'model.language_model.' of the adapter's names is 'model.'"));
  const lorma::SafetensorsFile got(directory.path() / "out" / "model.safetensors");
  const lorma::SafetensorsFile want(here / "expected.safetensors");
  REQUIRE(got.tensors().size() == want.tensors().size());
  for (const auto& tensor : want.tensors()) {
    CAPTURE(tensor.name);
    CHECK(lorma::model::same_bytes(got.tensor(tensor.name), tensor));
  }
}

TEST_CASE("unmerge-never-merged: a weight that is the adapter's base has nothing to take out") {
  const ScratchDirectory directory;
  const fs::path here = reports("unmerge-never-merged");
  CHECK_THROWS_WITH_AS(run(here / "base", here / "adapter", directory.path() / "out", true),
                       doctest::Contains("nothing to take out"), lorma::FormatError);
  CHECK_FALSE(fs::exists(directory.path() / "out"));
}

TEST_CASE("base-with-adapter-config: the adapter's configuration is left out, and named") {
  const ScratchDirectory directory;
  const fs::path here = reports("base-with-adapter-config") / "both";
  const auto report = run(here, here, directory.path() / "out");
  CHECK(has(report.remarks, "left out: 'adapter_config.json'"));
  CHECK(has(report.remarks, "left out: 'adapter_model.safetensors'"));
  CHECK(is_empty_but(directory.path() / "out",
                     {"config.json", "model.safetensors", "tokenizer.json"}));
}

TEST_CASE("extract-drops-new-tensors: what only one of the two has is named") {
  const ScratchDirectory directory;
  const fs::path here = reports("extract-drops-new-tensors");
  lorma::model::ExtractOptions options;
  options.base = here / "base";
  options.tuned = here / "tuned";
  options.out = directory.path() / "x";
  const auto report = lorma::model::extract(options);
  CHECK(has(report.remarks, "left alone: 'score.weight': the base has no such tensor"));
  CHECK(has(report.remarks, "left alone: 'model.layers.0.self_attn.q_proj.bias'"));
}

TEST_CASE("extract-wide-verdict: a wide weight is reached by Post, which is taken unless told") {
  const ScratchDirectory directory;
  const fs::path here = reports("extract-wide-verdict");
  lorma::model::ExtractOptions options;
  options.base = here / "base.safetensors";
  options.tuned = here / "tuned.safetensors";
  options.out = directory.path() / "free";
  options.rank = 16;
  const auto free = lorma::model::extract(options);
  REQUIRE(free.layers.size() == 1);
  CHECK(free.layers[0].side == "Post");
  CHECK(free.layers[0].residual <= 1e-6);
  CHECK(free.layers[0].verdict() ==
        "W0 has full row rank 16 of 16: a Post multiplier reaches every weight (Theorem 1)");
  CHECK(free.remarks.empty());
  options.side = "Pre";
  options.out = directory.path() / "pre";
  const auto pre = lorma::model::extract(options);
  CHECK(pre.layers[0].residual == doctest::Approx(0.816).epsilon(1e-3));
  CHECK(pre.layers[0].verdict().find("beyond every Pre multiplier (Theorem 1); Post reaches it") !=
        std::string::npos);
  CHECK(has(pre.remarks, "warning: the adapter misses more than 1 % of the change of 1 of 1"));
}

TEST_CASE("inspect-stale-index: what no shard has is said; a directory is inspected") {
  const fs::path here = reports("inspect-stale-index") / "index";
  for (const fs::path& path : {here / "model.safetensors.index.json", here}) {
    const auto inspection = lorma::model::inspect({.files = {path}, .match = ""});
    CHECK(has(inspection.broken, "has no tensor 'mtp.fc.weight'"));
    CHECK(inspection.exit_code() == 2);
    CHECK(inspection.matrices.size() > 1);
  }
}

TEST_CASE("overflow-message: which of the three it is, and the row") {
  const ScratchDirectory directory;
  const fs::path p = directory.path();
  Matrix<Eigen::half> W = weight<Eigen::half>(2000, 16, 1);
  lorma::write_safetensors(p / "over.safetensors", {TensorSource::copy("q.weight", W)});
  W(1234, 3) = std::numeric_limits<Eigen::half>::quiet_NaN();
  lorma::write_safetensors(p / "nan.safetensors", {TensorSource::copy("q.weight", W)});
  lorma::PeftLora lora;
  lora.layers = {{"q", random_matrix<float>(2000, 2, 1), random_matrix<float>(2, 16, 2), 2.0, 1.0}};
  lorma::write_peft_lora(p / "adapter", lora);
  lora.layers[0].B.row(77) *= 1e6F;
  lorma::write_peft_lora(p / "big", lora);
  const auto message = [&](const char* base, const char* adapter) -> std::string {
    try {
      run(p / base, p / adapter, p / "out.safetensors");
    } catch (const lorma::NonFinite& error) {
      CHECK_FALSE(fs::exists(p / "out.safetensors"));
      return error.what();
    }
    return "";
  };
  CHECK(message("nan.safetensors", "adapter") ==
        "'q.weight': expected a finite weight, the base has NaN in row 1234");
  const std::string over = message("over.safetensors", "big");
  CHECK(over.find("in row 77, which F16 does not hold") != over.npos);
  // An infinity in the adapter's file.
  lora.layers[0].A(1, 5) = 1.0F;
  lorma::write_peft_lora(p / "inf", lora);
  std::string bytes = content(p / "inf" / "adapter_model.safetensors");
  const float one = 1.0F, infinity = std::numeric_limits<float>::infinity();
  const std::string from(reinterpret_cast<const char*>(&one), 4);
  const std::string to(reinterpret_cast<const char*>(&infinity), 4);
  REQUIRE(bytes.rfind(from) != bytes.npos);
  bytes.replace(bytes.rfind(from), 4, to);
  put(p / "inf" / "adapter_model.safetensors", bytes);
  CHECK(message("over.safetensors", "inf") ==
        "'q': expected finite factors, the adapter's A has an infinity in row 1");
}
