// SPDX-License-Identifier: Apache-2.0
// convert, compose, resize, extract and diff: what they make merges to what it should.

#include "../support/references.hpp"
#include "support.hpp"

using namespace lorma_tests;

namespace {

lorma::model::ConvertOptions conversion(const fs::path& adapter, const fs::path& base,
                                        const fs::path& out, const char* to) {
  lorma::model::ConvertOptions options;
  options.adapter = adapter;
  options.base = base;
  options.out = out;
  options.to = to;
  return options;
}

}  // namespace

TEST_CASE("LoRMA+ to LoRA and back; a merge of either is the same") {
  const ScratchDirectory directory;
  const Matrix<float> one = weight<float>(12, 8, 1);
  const Matrix<float> two = weight<float>(9, 9, 2);
  const fs::path base = directory.path() / "base.safetensors";
  lorma::write_safetensors(
      base, {TensorSource::copy("m.one.weight", one), TensorSource::copy("m.two.weight", two)});
  LormaAdapter adapter;
  adapter.layers = {layer("m.one.weight", 12, 2, "Identity", "Pre"),
                    layer("m.two.weight", 9, 3, "Identity", "Post")};
  write_lorma_adapter(directory.path() / "adapter", adapter);
  auto options = conversion(directory.path() / "adapter", base, directory.path() / "lora", "lora");
  for (const auto& l : lorma::model::convert(options).layers) CHECK(l.residual <= 0x1p-23);
  const auto lora = lorma::read_peft_lora(options.out);
  REQUIRE(lora.layers.size() == 2);
  CHECK(lora.layers[0].A.rows() == 3);  // one rank, alpha = r
  CHECK(lora.layers[0].scale == 1.0);
  const fs::path a = directory.path() / "a.safetensors";
  const fs::path b = directory.path() / "b.safetensors";
  const fs::path c = directory.path() / "c.safetensors";
  run(base, directory.path() / "adapter", a);
  run(base, directory.path() / "lora", b);
  options.adapter = directory.path() / "lora";
  options.out = directory.path() / "back";
  options.to = "lorma";
  for (const auto& l : lorma::model::convert(options).layers) CHECK(l.residual <= 1e-5);
  run(base, directory.path() / "back", c);
  for (const char* name : {"m.one.weight", "m.two.weight"}) {
    const auto matrix = [name](const fs::path& p) {
      return lorma::SafetensorsFile(p).matrix<double>(name);
    };
    CHECK(distance(matrix(a), matrix(b)) <= 1e-5 * norm(matrix(a)));
    CHECK(distance(matrix(a), matrix(c)) <= 1e-4 * norm(matrix(a)));
  }
}

TEST_CASE("LoRMA_pi to LoRA: the best approximation of its change, exact at full rank") {
  const ScratchDirectory directory;
  const Matrix<float> W = weight<float>(10, 7, 1);
  const fs::path base = directory.path() / "base.safetensors";
  lorma::write_safetensors(base, {TensorSource::copy("w.weight", W)});
  LormaAdapter adapter;
  adapter.layers = {layer("w.weight", 10, 2, "CyclicPermutation", "Pre")};
  write_lorma_adapter(directory.path() / "adapter", adapter);
  const Matrix<double> change = expected(adapter.layers[0], W.cast<double>()) - W.cast<double>();
  const Eigen::VectorXd sigma = lorma_tests::reference_singular_values(change);
  for (const Index rank : {1, 3, 7}) {
    auto options = conversion(directory.path() / "adapter", base,
                              directory.path() / ("lora" + std::to_string(rank)), "lora");
    options.rank = rank;
    const auto report = lorma::model::convert(options).layers;
    const double optimum = sigma.tail(7 - rank).norm() / sigma.norm();
    CHECK(report[0].residual == doctest::Approx(optimum).epsilon(1e-6));
    const auto lora = lorma::read_peft_lora(options.out).layers[0];
    CHECK(distance(lora.B.cast<double>() * lora.A.cast<double>(), change) <=
          (optimum + 1e-5) * change.norm());
  }
  for (const double energy : {0.5, 0.9}) {
    auto options = conversion(directory.path() / "adapter", base,
                              directory.path() / ("energy" + std::to_string(energy)), "lora");
    options.energy = energy;
    const auto line = lorma::model::convert(options).layers[0];
    CHECK(line.residual * line.residual <= 1.0 - energy + 1e-6);
    CHECK(sigma.head(line.rank - 1).squaredNorm() < energy * sigma.squaredNorm());
    CHECK(lorma::read_peft_lora(options.out).layers[0].A.rows() == line.rank);
  }
}

TEST_CASE("slices of a fused weight become one LoRA layer, in both layouts") {
  const ScratchDirectory directory;
  const fs::path p = directory.path();
  const Matrix<float> W = weight<float>(12, 7, 1);
  for (const auto layout : {WeightLayout::out_in, WeightLayout::in_out}) {
    const bool turned = layout == WeightLayout::in_out;
    const Matrix<float> stored = turned ? Matrix<float>(W.transpose()) : W;
    const fs::path here = p / (turned ? "in_out" : "out_in");
    fs::create_directory(here);
    lorma::write_safetensors(here / "base.safetensors", {TensorSource::copy("qkv.weight", stored)});
    LormaAdapter adapter;
    adapter.layers = {layer("qkv.weight", 4, 2, "Identity", "Pre"),
                      layer("qkv.weight", 7, 3, "Identity", "Post")};
    adapter.layers[0].outputs = {8, 4};
    adapter.layers[1].outputs = {0, 4};
    for (LormaLayer& l : adapter.layers) l.layout = layout;
    write_lorma_adapter(here / "adapter", adapter);
    auto options = conversion(here / "adapter", here / "base.safetensors", here / "lora", "lora");
    options.prefix = "model.";
    const auto made = lorma::model::convert(options);
    REQUIRE(made.layers.size() == 2);
    const auto lora = lorma::read_peft_lora(here / "lora");
    REQUIRE(lora.layers.size() == 1);
    CHECK(lora.layers[0].module == "model.qkv");
    CHECK(lora.fan_in_fan_out == turned);
    CHECK(lora.layers[0].A.rows() == 5);
    run(here / "base.safetensors", here / "adapter", here / "a.safetensors");
    run(here / "base.safetensors", here / "lora", here / "b.safetensors");
    const Matrix<double> a = matrix(here / "a.safetensors", "qkv.weight");
    CHECK(distance(a, matrix(here / "b.safetensors", "qkv.weight")) <= 1e-5 * norm(a));
    // And as a LoRMA+ adapter of the whole, which has full column rank.
    auto back = conversion(here / "lora", here / "base.safetensors", here / "back", "lorma");
    CHECK(lorma::model::convert(back).layers[0].residual <= 1e-5);
    run(here / "base.safetensors", here / "back", here / "c.safetensors");
    CHECK(distance(a, matrix(here / "c.safetensors", "qkv.weight")) <= 1e-4 * norm(a));
  }
}

TEST_CASE("what is reported is what the files hold; what is not finite is not written") {
  const ScratchDirectory directory;
  const fs::path p = directory.path();
  // Condition 1e5: factors in float miss far more than factors in double would.
  Matrix<float> W = Matrix<float>::Identity(8, 8);
  for (Index i = 0; i < 8; ++i) W(i, i) = std::pow(10.0F, -5.0F * static_cast<float>(i) / 7.0F);
  W += 1e-6F * random_matrix<float>(8, 8, 1);
  const Matrix<float> tuned = W + 0.1F * random_matrix<float>(8, 8, 2);
  lorma::write_safetensors(p / "base.safetensors", {TensorSource::copy("m.weight", W)});
  lorma::write_safetensors(p / "tuned.safetensors", {TensorSource::copy("m.weight", tuned)});
  lorma::model::ExtractOptions options;
  options.base = p / "base.safetensors";
  options.tuned = p / "tuned.safetensors";
  options.out = p / "adapter";
  const double residual = lorma::model::extract(options).layers[0].residual;
  const LormaLayer l = lorma::read_lorma_adapter(p / "adapter").layers[0];
  const Matrix<double> change = tuned.cast<double>() - W.cast<double>();
  const Matrix<double> reached =
      l.scale() * l.B.cast<double>() * (l.A.cast<double>() * W.cast<double>());
  CHECK(residual == doctest::Approx((change - reached).norm() / change.norm()).epsilon(1e-6));

  // Factors too large for float.
  LormaAdapter large;
  large.layers = {layer("m.weight", 8, 1, "Identity", "Pre")};
  large.layers[0].B *= 1e30F;
  large.layers[0].A *= 1e30F;
  write_lorma_adapter(p / "large", large);
  CHECK_THROWS_AS(lorma::model::compose({{p / "large", p / "large"}, p / "no"}), lorma::NonFinite);
  LormaAdapter bad = large;
  bad.layers[0].A(0, 0) = std::nanf("");
  CHECK_THROWS_AS(write_lorma_adapter(p / "no", bad), lorma::NonFinite);
  lorma::PeftLora lora;
  lora.layers = {{"m", bad.layers[0].B, bad.layers[0].A, 1.0, 1.0}};
  CHECK_THROWS_AS(lorma::write_peft_lora(p / "no", lora), lorma::NonFinite);
  CHECK_FALSE(fs::exists(p / "no"));
}

TEST_CASE("convert refuses another base, another kind, and an output that exists") {
  const ScratchDirectory directory;
  const fs::path p = directory.path();
  const Matrix<float> W = weight<float>(6, 6, 1);
  lorma::write_safetensors(p / "base.safetensors", {TensorSource::copy("m.weight", W)});
  LormaAdapter adapter;
  adapter.layers = {layer("m.weight", 6, 2, "Identity", "Pre")};
  adapter.layers[0].fingerprint = "F32 [6, 6] 0000000000000000";
  write_lorma_adapter(p / "adapter", adapter);
  auto options = conversion(p / "adapter", p / "base.safetensors", p / "lora", "lora");
  CHECK_THROWS_AS(lorma::model::convert(options), lorma::FormatError);
  options.any_base = true;
  lorma::model::convert(options);
  CHECK_THROWS_AS(lorma::model::convert(options), lorma::Error);  // exists
  options = conversion(p / "lora", p / "base.safetensors", p / "other", "lora");
  CHECK_THROWS_AS(lorma::model::convert(options), lorma::FormatError);  // is LoRA already
  options = conversion(p / "adapter", p / "base.safetensors", p / "other", "lorma");
  CHECK_THROWS_AS(lorma::model::convert(options), lorma::FormatError);  // is LoRMA already
  options = conversion(p / "adapter", p / "base.safetensors", p / "other", "LoRA");
  CHECK_THROWS_WITH_AS(lorma::model::convert(options),
                       "--to: expected one of lora, lorma, got 'LoRA'", lorma::Error);
  options.to = "";
  CHECK_THROWS_WITH_AS(lorma::model::convert(options), doctest::Contains("got ''"), lorma::Error);
  options = conversion(p / "lora", p / "base.safetensors", p / "other", "lorma");
  options.side = "pre";
  CHECK_THROWS_WITH_AS(lorma::model::convert(options),
                       "--side: expected one of Pre, Post, got 'pre'", lorma::Error);
  CHECK_FALSE(fs::exists(p / "other"));
}

TEST_CASE("merged in sequence equals merged composition; resized and weakened adapters") {
  const ScratchDirectory directory;
  const fs::path base = directory.path() / "base.safetensors";
  const Matrix<float> W = weight<float>(8, 8, 1);
  lorma::write_safetensors(base, {TensorSource::copy("p", W), TensorSource::copy("q", W),
                                  TensorSource::copy("only", W)});
  LormaAdapter one;
  one.layers = {layer("p", 8, 2, "Identity", "Pre"), layer("q", 8, 2, "Identity", "Post"),
                layer("only", 8, 2, "CyclicPermutation", "Pre")};
  LormaAdapter two = one;
  two.layers.pop_back();
  for (LormaLayer& l : two.layers) l.B.reverseInPlace();
  const fs::path p = directory.path();
  write_lorma_adapter(p / "one", one);
  write_lorma_adapter(p / "two", two);
  const auto compose = [&](const char* a, const char* b, const char* out) {
    return lorma::model::compose({{p / a, p / b}, p / out}).layers;
  };
  CHECK(compose("one", "two", "both").size() == 3);
  run(base, p / "one", p / "a.safetensors");
  run(p / "a.safetensors", p / "two", p / "b.safetensors");
  run(base, p / "both", p / "c.safetensors");
  for (const char* name : {"p", "q", "only"}) {
    CHECK(distance(matrix(p / "b.safetensors", name), matrix(p / "c.safetensors", name)) <=
          1e-5 * norm(W));
  }
  CHECK_THROWS_AS(compose("one", "one", "no"), lorma::Error);    // of "only"
  CHECK_THROWS_AS(compose("one", "two", "both"), lorma::Error);  // exists
  CHECK_FALSE(fs::exists(p / "no"));

  // Two and two make four, and one of the same twice is no more than two.
  CHECK(compose("two", "two", "twice")[0].rank == 4);
  for (const auto& l : lorma::model::resize({p / "twice", p / "small", 0, 1.0 - 1e-10}).layers) {
    CHECK(l.rank == 2);
    CHECK(l.residual <= 1e-5);
  }
  lorma::model::resize({p / "two", p / "weak", 2, 1.0, 0.0});
  run(base, p / "weak", p / "d.safetensors");
  CHECK(matrix(p / "d.safetensors", "p") == W.cast<double>());
}

TEST_CASE("what extract finds merges to the tuned checkpoint; diff sees what changed") {
  const ScratchDirectory directory;
  const fs::path p = directory.path();
  const Matrix<float> square = weight<float>(9, 9, 1);
  const Matrix<float> wide = weight<float>(5, 9, 2);
  const Matrix<float> words = weight<float>(20, 9, 3);
  const Eigen::VectorXf bias = Eigen::VectorXf::Ones(9);
  const Matrix<float> change = weight<float>(9, 2, 4) * weight<float>(2, 9, 5);
  const Matrix<float> tuned = square + change;
  const Matrix<float> tuned_wide = wide + weight<float>(5, 9, 6);
  const Matrix<float> tuned_words = words + words;
  const Eigen::VectorXf tuned_bias = 2.0F * bias;
  lorma::write_safetensors(
      p / "base.safetensors",
      {TensorSource::copy("square", square), TensorSource::copy("wide", wide),
       TensorSource::copy("same", wide), TensorSource::copy("word_embeddings", words),
       TensorSource::copy("bias", bias)});
  lorma::write_safetensors(
      p / "tuned.safetensors",
      {TensorSource::copy("square", tuned), TensorSource::copy("wide", tuned_wide),
       TensorSource::copy("same", wide), TensorSource::copy("word_embeddings", tuned_words),
       TensorSource::copy("bias", tuned_bias), TensorSource::copy("new", wide)});
  lorma::model::ExtractOptions options;
  options.base = p / "base.safetensors";
  options.tuned = p / "tuned.safetensors";
  options.out = p / "adapter";
  options.rank = 6;
  options.tolerance = 1e-5;
  options.side = "Pre";
  const auto found = lorma::model::extract(options);
  REQUIRE(found.layers.size() == 2);
  CHECK(found.remarks.size() == 4);  // the embedding, the bias, what is new, and a residual
  const bool first = found.layers[0].name == "square";
  const auto& of_square = found.layers[first ? 0 : 1];
  const auto& of_wide = found.layers[first ? 1 : 0];
  CHECK(of_square.rank == 2);
  CHECK(of_square.unreachable <= 1e-6);
  CHECK(of_square.residual <= 1e-5);
  CHECK(of_wide.unreachable > 0.1);  // 5 rows do not span 9 columns
  CHECK(of_square.base_rank == 9);
  CHECK(of_wide.base_rank == 5);
  CHECK(of_wide.needed_rank == 9);
  CHECK(of_wide.verdict().find("5 of 9") != std::string::npos);
  run(p / "base.safetensors", p / "adapter", p / "merged.safetensors");
  const lorma::SafetensorsFile merged(p / "merged.safetensors");
  CHECK(distance(merged.matrix<double>("square"), tuned) <= 1e-4 * norm(tuned));
  CHECK(distance(merged.matrix<double>("wide"), tuned_wide) ==
        doctest::Approx(of_wide.residual * (tuned_wide - wide).norm()).epsilon(1e-3));

  // The additive adapter of the same change reaches all of it, and needs a name that PEFT knows.
  options.to = "lora";
  options.out = p / "lora";
  CHECK_THROWS_AS(lorma::model::extract(options), lorma::FormatError);

  const auto differences =
      lorma::model::diff(p / "base.safetensors", p / "tuned.safetensors", true);
  CHECK(differences.size() == 5);
  for (const auto& d : differences) {
    if (d.name == "new") CHECK(d.only_in == "the second");
    if (d.name == "square") {
      CHECK(d.relative == doctest::Approx(change.norm() / square.norm()).epsilon(1e-5));
      CHECK(d.spectrum.size() == 9);
    }
    if (d.name == "bias") CHECK(d.relative == doctest::Approx(1.0));
    if (d.name == "wide") CHECK(d.rank == 5);
  }
  CHECK(lorma::model::diff(p / "base.safetensors", p / "base.safetensors", true).empty());
}

TEST_CASE("extract: LoRA, slices of fused weights, Conv1D, every rank and none") {
  const ScratchDirectory directory;
  const fs::path p = directory.path();
  const Matrix<float> W0 = weight<float>(7, 12, 1);  // in x out
  const Matrix<float> W = W0 + weight<float>(7, 12, 2);
  lorma::write_safetensors(p / "base.safetensors", {TensorSource::copy("attn.weight", W0)});
  lorma::write_safetensors(p / "tuned.safetensors", {TensorSource::copy("attn.weight", W)});
  lorma::model::ExtractOptions options;
  options.base = p / "base.safetensors";
  options.tuned = p / "tuned.safetensors";
  options.in_out = true;
  const auto check = [&](const char* out, const char* to, const char* fused, std::size_t layers) {
    options.out = p / out;
    options.to = to;
    options.fused = fused;
    const auto made = lorma::model::extract(options);
    CHECK(made.layers.size() == layers);
    double missed = 0.0;
    for (const auto& line : made.layers) missed = std::max(missed, line.residual);
    const fs::path merged = p / (std::string(out) + ".safetensors");
    run(p / "base.safetensors", options.out, merged);
    CHECK(distance(matrix(merged, "attn.weight"), W) <= (missed + 1e-4) * norm(W - W0));
    return missed;
  };
  CHECK(check("lora", "lora", "", 1) <= 1e-6);        // rank 16: all of it
  CHECK(check("lorma", "lorma", "", 1) <= 1e-5);      // 12 outputs from 7 inputs: full column rank
  CHECK(check("fused", "lorma", "attn", 3) <= 1e-5);  // 4 outputs from 7 inputs: by Post
  options.side = "Pre";
  CHECK(check("pre", "lorma", "attn", 3) > 1e-2);  // they do not span
  options.side = "";
  options.tolerance = 0.5;
  CHECK(check("half", "lora", "", 1) <= 0.5);
  options.slices = 5;
  options.fused = "attn";
  options.out = p / "no";
  options.to = "lorma";
  CHECK_THROWS_AS(lorma::model::extract(options), lorma::Error);
  options.fused = "(";
  CHECK_THROWS_AS(lorma::model::extract(options), lorma::Error);
  const auto refused = [&](const char* words) {
    CHECK_THROWS_WITH_AS(lorma::model::extract(options), doctest::Contains(words), lorma::Error);
    CHECK_FALSE(fs::exists(options.out));
  };
  options.fused = "attn";
  options.slices = 0;
  refused("--slices: expected 1 or more, got 0");
  options.slices = 3;
  options.to = "lora";
  refused("--fused: expected --to lorma");
  options.to = "dora";
  refused("--to: expected one of lora, lorma, got 'dora'");
  options.to = "lorma";
  options.side = "Both";
  refused("--side: expected one of Pre, Post, got 'Both'");
  options.side = "";
  // Nothing changed: there is no adapter to write.
  options.fused = "";
  options.tuned = options.base;
  options.out = p / "nothing";
  CHECK_THROWS_WITH_AS(lorma::model::extract(options), doctest::Contains("got none"), lorma::Error);
  CHECK_FALSE(fs::exists(options.out));
}

TEST_CASE("extract and diff of a tall and a wide matrix, by panels, are what they are in memory") {
  const ScratchDirectory directory;
  const fs::path p = directory.path();
  const Matrix<Eigen::bfloat16> tall = weight<Eigen::bfloat16>(300, 20, 1);
  const Matrix<Eigen::bfloat16> wide = weight<Eigen::bfloat16>(20, 300, 2);
  const auto tuned = [](const Matrix<Eigen::bfloat16>& W, unsigned seed) {
    const Matrix<float> change =
        random_matrix<float>(W.rows(), 3, seed) * random_matrix<float>(3, W.cols(), seed + 1);
    return Matrix<Eigen::bfloat16>((W.cast<float>() + 0.1F * change).cast<Eigen::bfloat16>());
  };
  const Matrix<Eigen::bfloat16> tall_after = tuned(tall, 3), wide_after = tuned(wide, 5);
  lorma::write_safetensors(p / "base.safetensors", {TensorSource::copy("tall.weight", tall),
                                                    TensorSource::copy("wide.weight", wide)});
  lorma::write_safetensors(p / "tuned.safetensors",
                           {TensorSource::copy("tall.weight", tall_after),
                            TensorSource::copy("wide.weight", wide_after)});
  for (const char* to : {"lorma", "lora"}) {
    for (const bool in_out : {false, true}) {
      CAPTURE(to);
      CAPTURE(in_out);
      lorma::model::ExtractOptions options;
      options.base = p / "base.safetensors";
      options.tuned = p / "tuned.safetensors";
      options.out = p / (std::string(to) + (in_out ? "-turned" : ""));
      options.to = to;
      options.in_out = in_out;
      options.rank = 20;
      const auto found = lorma::model::extract(options);
      REQUIRE(found.layers.size() == 2);
      CHECK(found.remarks.empty());
      for (const auto& line : found.layers) {
        CHECK(line.residual <= 1e-5);
        CHECK(line.unreachable <= 1e-5);
        const bool outputs_are_more = (line.name == "tall.weight") != in_out;
        CHECK(line.side == (outputs_are_more ? "Pre" : "Post"));
      }
      // What they merge to is the tuned one, to the rounding of its type.
      run(p / "base.safetensors", options.out, p / "merged.safetensors");
      for (const char* name : {"tall.weight", "wide.weight"}) {
        const Matrix<double> want = matrix(p / "tuned.safetensors", name);
        CHECK(distance(matrix(p / "merged.safetensors", name), want) <= 0x1p-8 * norm(want));
      }
    }
  }
  for (const auto& d : lorma::model::diff(p / "base.safetensors", p / "tuned.safetensors", true)) {
    const Matrix<double> before = matrix(p / "base.safetensors", d.name);
    const Matrix<double> change = matrix(p / "tuned.safetensors", d.name) - before;
    CHECK(d.relative == doctest::Approx(change.norm() / before.norm()).epsilon(1e-12));
    CHECK(d.rank == 20);  // by rounding
    const Eigen::VectorXd sigma = lorma_tests::reference_singular_values(change);
    REQUIRE(d.spectrum.size() == 20);
    for (Index i = 0; i < 20; ++i) {
      CHECK(std::abs(d.spectrum[static_cast<std::size_t>(i)] - sigma(i)) <= 1e-13 * sigma(0));
    }
  }
}

TEST_CASE("diff says what differs where nothing can be measured, and measures three dimensions") {
  const ScratchDirectory directory;
  const fs::path p = directory.path();
  const Matrix<float> W = weight<float>(6, 4, 1);
  const Matrix<Eigen::half> narrow = W.cast<Eigen::half>();
  Matrix<float> other = W;
  other(2, 1) += 1.0F;
  const auto bytes = [](const Matrix<float>& M) {
    return std::as_bytes(std::span(M.data(), static_cast<std::size_t>(M.size())));
  };
  lorma::write_safetensors(p / "a.safetensors",
                           {TensorSource::copy("type", W), TensorSource::copy("shape", W),
                            TensorSource::bytes("deep", lorma::Dtype::F32, {2, 3, 4}, bytes(W))});
  lorma::write_safetensors(
      p / "b.safetensors",
      {TensorSource::copy("type", narrow), TensorSource::copy("shape", W.transpose()),
       TensorSource::bytes("deep", lorma::Dtype::F32, {2, 3, 4}, bytes(other))});
  for (const auto& d : lorma::model::diff(p / "a.safetensors", p / "b.safetensors", false)) {
    CAPTURE(d.name);
    if (d.name == "type") CHECK(d.other == "F16 [6, 4]");
    if (d.name == "type") CHECK(d.relative <= 0x1p-11);
    if (d.name == "shape") CHECK(d.other == "F32 [4, 6]");
    if (d.name == "shape") CHECK(std::isnan(d.relative));
    if (d.name == "deep") CHECK(d.relative == doctest::Approx(1.0 / norm(W)));
    if (d.name == "deep") CHECK(d.rank == -1);
  }
}
