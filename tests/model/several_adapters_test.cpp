// SPDX-License-Identifier: Apache-2.0
// Several adapters in one merge, what a merged file says of itself, and what follows from it.

#include <lorma/model/merge_record.hpp>

#include "support.hpp"

using namespace lorma_tests;
using lorma::model::merge_records;
using lorma::model::MergeOptions;

namespace {

const std::map<std::string, std::string>& metadata(const lorma::SafetensorsFile& file) {
  return file.metadata();
}

lorma::PeftLora lora(Index d, Index k, unsigned seed) {
  lorma::PeftLora made;
  made.layers = {{"w", 0.3F * random_matrix<float>(d, 2, seed),
                  0.3F * random_matrix<float>(2, k, seed + 1), 2.0, 1.0}};
  return made;
}

Matrix<double> change(const lorma::PeftLora& made) {
  return made.layers[0].B.cast<double>() * made.layers[0].A.cast<double>();
}

}  // namespace

TEST_CASE("LoRA adapters add up, each with its strength; LoRMA adapters compose in their order") {
  const ScratchDirectory directory;
  const fs::path p = directory.path();
  const Matrix<double> W = weight<double>(6, 5, 1);
  lorma::write_safetensors(p / "base.safetensors", {TensorSource::copy("w.weight", W)});
  const lorma::PeftLora one = lora(6, 5, 10);
  const lorma::PeftLora two = lora(6, 5, 20);
  lorma::write_peft_lora(p / "one", one);
  lorma::write_peft_lora(p / "two", two);
  LormaAdapter three, four;
  three.layers = {layer("w.weight", 6, 2, "Identity", "Pre")};
  four.layers = {layer("w.weight", 6, 3, "CyclicPermutation", "Pre")};
  lorma::write_lorma_adapter(p / "three", three);
  lorma::write_lorma_adapter(p / "four", four);
  MergeOptions options;
  options.base = p / "base.safetensors";
  options.out = p / "out.safetensors";
  options.force = true;
  options.adapters = {{p / "one", 1.0}, {p / "two", -0.5}};
  const auto report = lorma::model::merge(options);
  REQUIRE(report.tensors.size() == 1);
  CHECK(report.tensors[0].adapter == "LoRA, rank 2; then LoRA, rank 2");
  const Matrix<double> sum = W + change(one) - 0.5 * change(two);
  CHECK(distance(matrix(options.out, "w.weight"), sum) <= 1e-14 * norm(sum));

  options.adapters = {{p / "one", 1.0}, {p / "three", 1.0}, {p / "four", 1.0}};
  lorma::model::merge(options);
  const Matrix<double> first = W + change(one);
  const Matrix<double> all = expected(four.layers[0], expected(three.layers[0], first));
  CHECK(distance(matrix(options.out, "w.weight"), all) <= 1e-13 * norm(all));
  // The metadata names them, in their order.
  {
    const lorma::SafetensorsFile file(options.out);
    const auto records = merge_records(metadata(file));
    REQUIRE(records.size() == 3);
    CHECK(records[0].adapter == "one");
    CHECK(records[0].kind == "LORA");
    CHECK(records[2].adapter == "four");
    CHECK(records[2].kind == "LORMA");
  }
  // Out again in one go, in the opposite order, and the metadata with them.
  options.unmerge = true;
  options.base = options.out;
  options.out = p / "back.safetensors";
  lorma::model::merge(options);
  CHECK(distance(matrix(options.out, "w.weight"), W) <= 1e-11 * norm(W));
  CHECK(lorma::SafetensorsFile(options.out).metadata().empty());
}

TEST_CASE("the same again, another strength and another order are refused, unless forced") {
  const ScratchDirectory directory;
  const fs::path p = directory.path();
  const Matrix<double> W = weight<double>(6, 6, 1);
  lorma::write_safetensors(p / "base.safetensors", {TensorSource::copy("w.weight", W)});
  LormaAdapter one, two;
  one.layers = {layer("w.weight", 6, 2, "Identity", "Pre")};
  two.layers = {layer("w.weight", 6, 3, "Identity", "Pre")};
  lorma::write_lorma_adapter(p / "one", one);
  lorma::write_lorma_adapter(p / "two", two);
  MergeOptions options;
  options.base = p / "base.safetensors";
  options.out = p / "a.safetensors";
  options.adapters = {{p / "one", 0.5}, {p / "two"}};
  lorma::model::merge(options);
  options.base = p / "a.safetensors";
  options.out = p / "b.safetensors";
  const auto refused = [&](const char* words) {
    CHECK_THROWS_WITH_AS(lorma::model::merge(options), doctest::Contains(words), lorma::Error);
    CHECK_FALSE(fs::exists(p / "b.safetensors"));
  };
  options.adapters = {{p / "one"}};
  refused("not merged yet");
  options.unmerge = true;
  refused("the strength at which it was merged");
  options.adapters = {{p / "one", 0.5}};
  refused("'two' came after it");
  lorma::write_lorma_adapter(p / "three",
                             LormaAdapter{"", {layer("w.weight", 6, 1, "Identity", "Pre")}});
  options.adapters = {{p / "three"}};
  refused("names others");
  options.adapters = {{p / "two"}};
  lorma::model::merge(options);
  const lorma::SafetensorsFile file(p / "b.safetensors");
  REQUIRE(merge_records(metadata(file)).size() == 1);
  CHECK(merge_records(metadata(file))[0].strength == 0.5);
  options = {};
  options.base = p / "a.safetensors";
  options.out = p / "c.safetensors";
  options.adapters = {{p / "one"}};
  options.force = true;
  CHECK_NOTHROW(lorma::model::merge(options));
}

TEST_CASE("metadata of others is no obstacle, whatever it says") {
  const ScratchDirectory directory;
  const fs::path p = directory.path();
  const Matrix<float> W = weight<float>(4, 4, 1);
  LormaAdapter adapter;
  adapter.layers = {layer("w", 4, 1, "Identity", "Pre")};
  lorma::write_lorma_adapter(p / "adapter", adapter);
  for (const char* text : {"", "[", "{}", "[1]", "[{}]", R"([{"strength":"1"}])", "null"}) {
    CAPTURE(text);
    lorma::write_safetensors(p / "base.safetensors", {TensorSource::copy("w", W)},
                             {{"lorma.merged", text}, {"format", "pt"}});
    run(p / "base.safetensors", p / "adapter", p / "out.safetensors");
    const lorma::SafetensorsFile file(p / "out.safetensors");
    CHECK(merge_records(metadata(file)).size() == 1);
    CHECK(metadata(file).at("format") == "pt");
  }
}
