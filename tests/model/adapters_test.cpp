// SPDX-License-Identifier: Apache-2.0
// compose, resize and diff of LoRA adapters, as of LoRMA adapters.

#include "support.hpp"

using namespace lorma_tests;

namespace {

lorma::PeftLora lora(std::initializer_list<const char*> modules, unsigned seed) {
  lorma::PeftLora made;
  for (const char* module : modules) {
    made.layers.push_back(
        {module, random_matrix<float>(7, 2, seed), random_matrix<float>(2, 5, seed + 1), 4.0, 2.0});
  }
  return made;
}

Matrix<double> product(const lorma::LoraLayer& layer) {
  return layer.scale * (layer.B.cast<double>() * layer.A.cast<double>());
}

}  // namespace

TEST_CASE("LoRA adapters composed are their sum, resized the nearest of a rank") {
  const ScratchDirectory directory;
  const fs::path p = directory.path();
  const auto one = lora({"both", "one"}, 1);
  const auto two = lora({"both", "two"}, 3);
  lorma::write_peft_lora(p / "one", one);
  lorma::write_peft_lora(p / "two", two);
  const auto report = lorma::model::compose({{p / "one", p / "two"}, p / "sum"});
  CHECK(report.layers.size() == 3);
  const Matrix<double> sum = product(one.layers[0]) + product(two.layers[0]);
  for (const auto& layer : lorma::read_peft_lora(p / "sum").layers) {
    const Matrix<double> want = layer.module == "both"  ? sum
                                : layer.module == "one" ? product(one.layers[1])
                                                        : product(two.layers[1]);
    CHECK(distance(product(layer), want) <= 4.0 * 0x1p-23 * norm(want));
  }
  const Eigen::VectorXd sigma = Eigen::JacobiSVD<Matrix<double>>(sum).singularValues();
  for (const auto& line : lorma::model::resize({p / "sum", p / "small", 3}).layers) {
    CHECK(line.rank == 3);
    if (line.name == "both") {
      CHECK(line.residual == doctest::Approx(sigma(3) / sigma.norm()).epsilon(1e-4));
    } else {
      CHECK(line.residual <= 1e-6);
    }
  }
  lorma::model::resize({p / "sum", p / "half", 0, 1.0 - 1e-10, 0.5});
  for (const auto& layer : lorma::read_peft_lora(p / "half").layers) {
    if (layer.module != "both") continue;
    CHECK(distance(product(layer), 0.5 * sum) <= 8.0 * 0x1p-23 * norm(sum));
  }
  LormaAdapter other;
  other.layers = {layer("w.weight", 6, 2, "Identity", "Pre")};
  lorma::write_lorma_adapter(p / "other", other);
  CHECK_THROWS_WITH_AS(lorma::model::compose({{p / "one", p / "other"}, p / "no"}),
                       doctest::Contains("of one kind"), lorma::FormatError);
  CHECK_FALSE(fs::exists(p / "no"));
}

TEST_CASE("the difference of two adapters, by their factors") {
  const ScratchDirectory directory;
  const fs::path p = directory.path();
  const auto one = lora({"both", "one"}, 1);
  auto two = one;
  two.layers[1].module = "two";
  two.layers[0].B.col(1) *= 3.0F;
  lorma::write_peft_lora(p / "one", one);
  lorma::write_peft_lora(p / "two", two);
  const auto found = lorma::model::diff_adapters(p / "one", p / "two", true);
  REQUIRE(found.size() == 3);
  for (const auto& d : found) {
    if (d.name == "one") CHECK(d.only_in == "the first");
    if (d.name == "two") CHECK(d.only_in == "the second");
    if (d.name != "both") continue;
    const Matrix<double> change = product(two.layers[0]) - product(one.layers[0]);
    CHECK(d.relative == doctest::Approx(change.norm() / product(one.layers[0]).norm()));
    CHECK(d.rank == 1);
  }
  CHECK(lorma::model::diff_adapters(p / "one", p / "one", true).empty());

  LormaAdapter plus, turned;
  plus.layers = {layer("w", 6, 2, "Identity", "Pre")};
  turned.layers = {layer("w", 6, 2, "CyclicPermutation", "Pre")};
  lorma::write_lorma_adapter(p / "plus", plus);
  lorma::write_lorma_adapter(p / "turned", turned);
  const auto kinds = lorma::model::diff_adapters(p / "plus", p / "turned", true);
  REQUIRE(kinds.size() == 1);
  CHECK(std::isnan(kinds[0].relative));
  CHECK(kinds[0].other == "CyclicPermutation, Pre, rank 2 [6, 6]");
}

TEST_CASE("a path that the system refuses to look up is an Error for every verb") {
  const ScratchDirectory directory;
  const fs::path p = directory.path();
  const fs::path wrong = p / std::string(300, 'x');
  lorma::write_safetensors(p / "base.safetensors",
                           {TensorSource::copy("w.weight", weight<float>(6, 6, 1))});
  LormaAdapter plus;
  plus.layers = {layer("w.weight", 6, 2, "Identity", "Pre")};
  lorma::write_lorma_adapter(p / "plus", plus);
  const auto refuses = [](auto&& verb) {
    CHECK_THROWS_WITH_AS(verb(), doctest::Contains("xxx"), lorma::Error);
  };
  refuses([&] { run(wrong, p / "plus", p / "out.safetensors"); });
  refuses([&] { run(p / "base.safetensors", wrong, p / "out.safetensors"); });
  refuses([&] { run(p / "base.safetensors", p / "plus", wrong); });
  refuses([&] { to_lora(p / "base.safetensors", p / "plus", wrong); });
  refuses([&] { to_lora(p / "base.safetensors", wrong, p / "lora"); });
  refuses([&] { lorma::model::compose({{p / "plus", wrong}, p / "sum"}); });
  refuses([&] { lorma::model::resize({wrong, p / "small", 1}); });
  refuses([&] {
    lorma::model::ExtractOptions options;
    options.base = wrong;
    options.tuned = p / "base.safetensors";
    options.out = p / "adapter";
    lorma::model::extract(options);
  });
  refuses([&] { lorma::model::diff(p / "base.safetensors", wrong, false); });
  refuses([&] { lorma::model::diff_adapters(p / "plus", wrong, false); });
  refuses([&] { lorma::model::is_adapter_directory(wrong); });
  refuses([&] { lorma::write_lorma_adapter(wrong, plus); });
  refuses([&] { lorma::read_peft_lora(wrong); });
  CHECK_THROWS_AS(run(p / "base.safetensors", p / "plus", ""), lorma::Error);
  CHECK_THROWS_AS(to_lora(p / "base.safetensors", p / "plus", ""), lorma::Error);
  CHECK(is_empty_but(p, {"base.safetensors", "plus"}));
}
