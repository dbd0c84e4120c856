// SPDX-License-Identifier: Apache-2.0
// Prefixes added, missing, replaced and swapped, for each group of names; what is ambiguous.

#include "support.hpp"

using namespace lorma_tests;

namespace {

using Names = std::vector<std::string>;

/// Where an adapter of the modules is merged into a base of the tensors, all of one shape; sorted.
struct Matching {
  Names tensors;
  Names remarks;
};
Matching match(const Names& tensors, const Names& modules,
               const std::vector<lorma::model::Rename>& renames = {}) {
  const ScratchDirectory directory;
  const fs::path p = directory.path();
  std::vector<TensorSource> sources;
  for (const std::string& name : tensors) {
    sources.push_back(TensorSource::copy(name, weight<float>(6, 4, 1)));
  }
  sources.push_back(TensorSource::copy("other.shape.q.weight", weight<float>(5, 4, 1)));
  lorma::write_safetensors(p / "base.safetensors", sources);
  lorma::PeftLora lora;
  for (const std::string& name : modules) {
    lora.layers.push_back(
        {name, random_matrix<float>(6, 2, 1), random_matrix<float>(2, 4, 2), 2.0, 1.0});
  }
  lorma::write_peft_lora(p / "lora", lora);
  lorma::model::MergeOptions options;
  options.base = p / "base.safetensors";
  options.adapters = {{p / "lora"}};
  options.out = p / "out.safetensors";
  options.fit.renames = renames;
  options.dry_run = true;
  const auto report = lorma::model::merge(options);
  Matching result{{}, report.remarks};
  for (const auto& tensor : report.tensors) result.tensors.push_back(tensor.name);
  std::sort(result.tensors.begin(), result.tensors.end());
  return result;
}

}  // namespace

TEST_CASE("a prefix added, missing, replaced, swapped") {
  const Names base = {"model.layers.0.q.weight", "model.layers.1.q.weight"};
  for (const char* prefix :
       {"layers.", "base.model.layers.", "model.language_model.layers.", "language.layers."}) {
    CAPTURE(prefix);
    const auto found = match(base, {prefix + std::string("0.q"), prefix + std::string("1.q")});
    CHECK(found.tensors == base);
    CHECK(found.remarks.size() == 1);
  }
  CHECK(match(base, {"model.layers.0.q", "model.layers.1.q"}).remarks.empty());
  const Names swapped = {"model.language_model.layers.0.q.weight"};
  CHECK(match(swapped, {"language_model.model.layers.0.q"}).tensors == swapped);
}

TEST_CASE("each group of names has a prefix of its own; one that all its names share counts") {
  const Names base = {"lm.layers.0.q.weight", "vision.blocks.0.q.weight"};
  const auto found = match(base, {"model.text.layers.0.q", "model.visual.blocks.0.q"});
  CHECK(found.tensors == base);
  CHECK(found.remarks.size() == 2);
  // layers.0.q alone might be either's; layers.1.q is the decoder's alone.
  const Names two = {"dec.layers.0.q.weight", "dec.layers.1.q.weight", "enc.layers.0.q.weight"};
  CHECK(match(two, {"layers.0.q", "layers.1.q"}).tensors ==
        Names{"dec.layers.0.q.weight", "dec.layers.1.q.weight"});
}

TEST_CASE("two candidates are named, and --rename decides; a layer's number is never another's") {
  const Names base = {"dec.layers.0.q.weight", "enc.layers.0.q.weight"};
  CHECK_THROWS_WITH_AS(match(base, {"layers.0.q"}),
                       doctest::Contains("may be 'dec.layers.0.q.weight' or "
                                         "'enc.layers.0.q.weight'"),
                       lorma::FormatError);
  CHECK(match(base, {"layers.0.q"}, {{"layers.", "enc.layers."}}).tensors ==
        Names{"enc.layers.0.q.weight"});
  CHECK_THROWS_WITH_AS(match({"model.layers.0.q.weight"}, {"model.layers.7.q"}),
                       doctest::Contains("the base has no tensor 'model.layers.7.q.weight'"),
                       lorma::FormatError);
  CHECK_THROWS_WITH_AS(match({"model.layers.0.q.weight"}, {"a.layers.0.q", "b.layers.0.q"}),
                       doctest::Contains("several weights of the adapter"), lorma::FormatError);
}

TEST_CASE("the shape decides where the name does not") {
  // other.shape.q has another shape.
  CHECK(match({"some.shape.q.weight"}, {"x.shape.q"}).tensors == Names{"some.shape.q.weight"});
}
