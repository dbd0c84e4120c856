// SPDX-License-Identifier: Apache-2.0
// compose, resize and diff of LoRA adapters, as of LoRMA adapters.

#include "../support/references.hpp"
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
  const Eigen::VectorXd sigma = lorma_tests::reference_singular_values(sum);
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
  // By the energy kept, whatever the size of the change: the smallest rank that leaves no more.
  for (const double strength : {1e-3, 1.0, 1e3}) {
    CAPTURE(strength);
    const auto kept = lorma::model::resize(
                          {p / "sum", p / ("energy" + std::to_string(strength)), 0, 0.9, strength})
                          .layers;
    for (const auto& line : kept) {
      if (line.name != "both") continue;
      const Index r = line.rank;
      CHECK(sigma.tail(sigma.size() - r).squaredNorm() <= 0.1 * sigma.squaredNorm());
      CHECK(sigma.tail(sigma.size() - r + 1).squaredNorm() > 0.1 * sigma.squaredNorm());
    }
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

TEST_CASE("the difference of two adapters: whatever tensor of whatever method differs") {
  const ScratchDirectory directory;
  const fs::path other = directory / "other";
  for (const auto& entry : fs::directory_iterator(fs::path(LORMA_TEST_DATA_DIR) / "peft")) {
    CAPTURE(entry.path().filename().string());
    const fs::path adapter = entry.path() / "adapter";
    CHECK(lorma::model::diff_adapters(adapter, adapter, true).empty());
    fs::remove_all(other);
    fs::copy(adapter, other);
    const lorma::SafetensorsFile file(adapter / "adapter_model.safetensors");
    for (const lorma::StoredTensor& changed : file.tensors()) {
      CAPTURE(changed.name);
      std::vector<std::byte> bytes(changed.bytes.begin(), changed.bytes.end());
      bytes[2] ^= std::byte{0x40};  // of the first number, by a quarter or a half
      std::vector<TensorSource> tensors;
      for (const lorma::StoredTensor& t : file.tensors()) {
        const auto all = t.name == changed.name ? std::span<const std::byte>(bytes) : t.bytes;
        tensors.push_back(TensorSource::bytes(t.name, t.dtype, t.shape, all));
      }
      lorma::write_safetensors(other / "adapter_model.safetensors", tensors, file.metadata());
      const auto found = lorma::model::diff_adapters(adapter, other, true);
      CHECK_FALSE(found.empty());  // DEFT's P is in two parts
      for (const auto& d : found) CHECK(d.only_in.empty());
    }
  }
}

TEST_CASE("the difference of two adapters: biases, experts, norms and whole tensors by name") {
  const ScratchDirectory directory;
  const fs::path cases = fs::path(LORMA_TEST_DATA_DIR) / "peft";
  // The second has every float of the first, doubled.
  const auto differences = [&](const char* name) {
    const fs::path adapter = cases / name / "adapter";
    fs::copy(adapter, directory / name);
    const lorma::SafetensorsFile file(adapter / "adapter_model.safetensors");
    std::vector<TensorSource> tensors;
    for (const lorma::StoredTensor& t : file.tensors()) {
      const lorma::MatrixStack size = lorma::flat(t.shape);
      const lorma::RowMajorMatrix<float> twice =
          2.0F * file.matrix<float>(t.name, size.rows, size.cols);
      tensors.push_back(TensorSource::copy(t.name, twice));
      tensors.back().shape = t.shape;
    }
    lorma::write_safetensors(directory / name / "adapter_model.safetensors", tensors);
    std::map<std::string, double> relative;
    for (const auto& d : lorma::model::diff_adapters(adapter, directory / name, true)) {
      relative[d.name] = d.relative;
    }
    return relative;
  };
  const auto biases = differences("lora_own_bias");
  REQUIRE(biases.size() == 4);
  CHECK(biases.at("q") == doctest::Approx(3.0));  // 2 * 2 - 1
  CHECK(biases.at("q.bias") == doctest::Approx(1.0));
  CHECK(biases.at("down.bias") == doctest::Approx(1.0));
  const auto experts = differences("lora_experts");
  REQUIRE(experts.size() == 2);
  CHECK(std::isnan(experts.at("experts")));
  CHECK(std::isnan(experts.at("experts.base_layer")));
  const auto dora = differences("dora");
  CHECK(dora.size() == 6);
  CHECK(dora.at("v.lora_magnitude_vector") == doctest::Approx(1.0));
  const auto whole = differences("lora_all_biases");
  CHECK(whole.size() == 4);
  CHECK(whole.at("up.bias") == doctest::Approx(1.0));
  const auto scaled = differences("ia3");
  CHECK(scaled.at("q.weight") == doctest::Approx(1.0));

  // Layout, where an adapter settles it, and a tensor that only one of them brings along.
  LormaAdapter plus;
  plus.layers = {layer("w", 6, 2, "Identity", "Pre")};
  lorma::write_lorma_adapter(directory / "plus", plus);
  plus.layers[0].layout = WeightLayout::in_out;
  lorma::write_lorma_adapter(directory / "turned", plus);
  const auto turned = lorma::model::diff_adapters(directory / "plus", directory / "turned", true);
  REQUIRE(turned.size() == 1);
  CHECK(turned[0].other == "Identity, Pre, in x out, rank 2 [6, 6]");
  const Matrix<float> head = weight<float>(2, 6, 4);
  fs::copy(directory / "plus", directory / "headed");
  lorma::write_safetensors(directory / "headed" / "adapter_model.safetensors",
                           {TensorSource::copy("w.lorma_B", plus.layers[0].B),
                            TensorSource::copy("w.lorma_A", plus.layers[0].A),
                            TensorSource::copy("score.weight", head)});
  const auto added = lorma::model::diff_adapters(directory / "plus", directory / "headed", true);
  REQUIRE(added.size() == 1);
  CHECK(added[0].name == "score.weight");
  CHECK(added[0].only_in == "the second");
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
