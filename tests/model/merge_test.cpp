// SPDX-License-Identifier: Apache-2.0
// merge and unmerge: against the library's own products, in every type and layout; refusals
// and stops that leave the output absent.

#include "support.hpp"

using namespace lorma_tests;

TEST_CASE("merge of every type, side, inflation and layout; other tensors bit for bit") {
  const ScratchDirectory directory;
  const Matrix<double> d = weight<double>(6, 9, 3);
  const Matrix<float> f = weight<float>(8, 8, 4);
  const Matrix<Eigen::half> h = weight<Eigen::half>(8, 5, 5);
  const Matrix<Eigen::bfloat16> b = weight<Eigen::bfloat16>(7, 4, 6);
  const Matrix<float> turned = weight<float>(5, 10, 7);  // in_out: a 10 x 5 matrix
  const Eigen::VectorXf bias = Eigen::VectorXf::LinSpaced(9, -1.0F, 1.0F);
  const std::vector<std::byte> codes(12, std::byte{0x5a});
  const fs::path base = directory.path() / "base.safetensors";
  lorma::write_safetensors(base,
                           {TensorSource::copy("d", d), TensorSource::copy("f", f),
                            TensorSource::copy("h", h), TensorSource::copy("b", b),
                            TensorSource::copy("turned", turned), TensorSource::copy("bias", bias),
                            TensorSource::bytes("codes", lorma::Dtype::F4, {4, 6}, codes)},
                           {{"origin", "test"}});
  LormaAdapter adapter;
  adapter.layers = {layer("d", 6, 2, "Identity", "Pre"),
                    layer("f", 8, 3, "CyclicPermutation", "Post"),
                    layer("h", 5, 2, "Identity", "Post"), layer("b", 7, 9, "None", "Pre"),
                    layer("turned", 10, 2, "CyclicPermutation", "Pre")};
  adapter.layers[4].layout = WeightLayout::in_out;
  write_lorma_adapter(directory.path() / "adapter", adapter);
  const fs::path out = directory.path() / "out.safetensors";
  const auto report = run(base, directory.path() / "adapter", out);
  CHECK(report.tensors.size() == 5);
  CHECK(report.copied == 2);

  const lorma::SafetensorsFile before(base), after(out);
  CHECK(before.metadata().at("origin") == after.metadata().at("origin"));
  REQUIRE(after.tensors().size() == before.tensors().size());
  for (const char* name : {"bias", "codes"}) {
    const auto bytes = [name](const auto& file) { return file.tensor(name).bytes; };
    CHECK(std::equal(bytes(before).begin(), bytes(before).end(), bytes(after).begin(),
                     bytes(after).end()));
  }
  const auto check = [&](std::size_t i, const Matrix<double>& W0, double eps) {
    const LormaLayer& l = adapter.layers[i];
    Matrix<double> got = after.matrix<double>(l.weight);
    if (l.layout == WeightLayout::in_out) got.transposeInPlace();
    const Matrix<double> want = expected(l, W0);
    // One rounding to the type over sums of at most 30 terms in the compute type.
    CHECK(distance(got, want) <=
          (0.5 * eps + 30.0 * (i == 0 ? 0x1p-52 : 0x1p-23)) * 4.0 * norm(W0));
  };
  check(0, d, 0x1p-52);
  check(1, f.cast<double>(), 0x1p-23);
  check(2, h.cast<double>(), 0x1p-10);
  check(3, b.cast<double>(), 0x1p-7);
  check(4, turned.transpose().cast<double>(), 0x1p-23);
}

TEST_CASE("in double, a weight of 16 bits is the nearest one to the exact result") {
  const ScratchDirectory directory;
  const Matrix<Eigen::bfloat16> W = weight<Eigen::bfloat16>(12, 12, 3);
  lorma::write_safetensors(directory.path() / "base.safetensors", {TensorSource::copy("w", W)});
  LormaAdapter adapter;
  adapter.layers = {layer("w", 12, 3, "Identity", "Pre")};
  write_lorma_adapter(directory.path() / "adapter", adapter);
  lorma::model::MergeOptions options;
  options.base = directory.path() / "base.safetensors";
  options.adapters = {{directory.path() / "adapter"}};
  options.out = directory.path() / "out.safetensors";
  options.in_double = true;
  options.check_first = true;
  lorma::model::merge(options);
  const Matrix<double> got = lorma::SafetensorsFile(options.out).matrix<double>("w");
  const Matrix<double> want = expected(adapter.layers[0], W.cast<double>());
  for (Index j = 0; j < 12; ++j) {
    for (Index i = 0; i < 12; ++i) {
      const double spacing = std::ldexp(0x1p-7, std::ilogb(want(i, j)));
      CHECK(std::abs(got(i, j) - want(i, j)) <= 0.5 * spacing * (1.0 + 1e-9));
    }
  }
}

TEST_CASE("merge and unmerge a hundred times stay within the bound of docs/tool.md") {
  LormaLayer near = layer("near", 24, 2, "Identity", "Pre");
  LormaLayer far = layer("far", 24, 2, "Identity", "Pre");  // condition about 30
  far.B.setConstant(0.2F);
  far.A.setConstant(-0.1F);
  LormaLayer cancelling =
      layer("cancelling", 24, 2, "Identity", "Pre");  // P is harmless, they are not
  cancelling.B.col(1) = cancelling.B.col(0);
  cancelling.B *= 50.0F;
  cancelling.A.row(1) = -0.99F * cancelling.A.row(0);

  // Each of them on a weight of each type, all in one file.
  const Matrix<float> f = weight<float>(24, 16, 3);
  const Matrix<Eigen::half> h = weight<Eigen::half>(24, 16, 3);
  const Matrix<Eigen::bfloat16> b = weight<Eigen::bfloat16>(24, 16, 3);
  std::vector<TensorSource> tensors;
  LormaAdapter adapter;
  for (LormaLayer l : {near, far, cancelling}) {
    const std::string name = l.weight;
    tensors.push_back(TensorSource::copy(name + ".F32", f));
    tensors.push_back(TensorSource::copy(name + ".F16", h));
    tensors.push_back(TensorSource::copy(name + ".BF16", b));
    for (const char* type : {".F32", ".F16", ".BF16"}) {
      l.weight = name + type;
      adapter.layers.push_back(l);
    }
  }
  const ScratchDirectory directory;
  const fs::path without = directory.path() / "without.safetensors";
  const fs::path with = directory.path() / "with.safetensors";
  lorma::write_safetensors(without, tensors);
  write_lorma_adapter(directory.path() / "adapter", adapter);
  for (int i = 0; i < 100; ++i) {
    run(without, directory.path() / "adapter", with);
    run(with, directory.path() / "adapter", without, true);
  }

  const auto check = [&](const LormaLayer& l, const auto& W, const std::string& type, double eps) {
    const Matrix<double> W0 = W.template cast<double>();
    const double drift = distance(matrix(without, l.weight + type), W0) / norm(W0);
    CAPTURE(l.weight + type);
    const Matrix<float> B = l.B.cast<float>(), A = l.A.cast<float>();
    const lorma::Inverse<lorma::Identity, float> inverse(
        {lorma::view_of(B), lorma::view_of(A), static_cast<float>(l.scale())});
    CHECK(drift <= std::pow(1.0 + inverse.round_trip().relative_error(eps), 100) - 1.0);
    // Near the identity roundings add like a random walk: four of half a unit a cycle, 10 in all.
    if (l.weight == "near") CHECK(drift <= 10.0 * eps);
  };
  for (const LormaLayer& l : {near, far, cancelling}) {
    check(l, f, ".F32", 0x1p-23);
    check(l, h, ".F16", 0x1p-10);
    check(l, b, ".BF16", 0x1p-7);
  }
}

TEST_CASE("a sharded model in a directory: index and companions are kept") {
  const ScratchDirectory directory;
  const fs::path model = directory.path() / "model";
  fs::create_directory(model);
  const Matrix<float> one = weight<float>(6, 6, 1);
  const Matrix<float> two = weight<float>(6, 6, 2);
  lorma::write_safetensors(model / "model-1.safetensors", {TensorSource::copy("one", one)});
  lorma::write_safetensors(model / "model-2.safetensors", {TensorSource::copy("two", two)});
  put(model / "config.json", "{\"hidden_size\": 6}");
  put(model / "model.safetensors.index.json",
      R"({"weight_map": {"one": "model-1.safetensors", "two": "model-2.safetensors"}})");
  LormaAdapter adapter;
  adapter.layers = {layer("two", 6, 2, "Identity", "Pre")};
  write_lorma_adapter(directory.path() / "adapter", adapter);
  const fs::path out = directory.path() / "out";
  run(model, directory.path() / "adapter", out);
  CHECK(content(out / "config.json") == content(model / "config.json"));
  CHECK(content(out / "model.safetensors.index.json") ==
        content(model / "model.safetensors.index.json"));
  CHECK(content(out / "model-1.safetensors") == content(model / "model-1.safetensors"));
  const lorma::SafetensorsFile shard(out / "model-2.safetensors");
  CHECK(distance(shard.matrix<double>("two"), expected(adapter.layers[0], two.cast<double>())) <=
        1e-5 * norm(two));
  CHECK_THROWS_AS(run(model, directory.path() / "adapter", out), lorma::Error);  // exists
}

TEST_CASE("what does not fit is refused in one message, and the output is absent") {
  const ScratchDirectory directory;
  const Matrix<float> W = weight<float>(6, 4, 1);
  const Eigen::Matrix<std::int32_t, -1, -1> codes = Eigen::Matrix<std::int32_t, -1, -1>::Ones(4, 4);
  const fs::path base = directory.path() / "base.safetensors";
  lorma::write_safetensors(base, {TensorSource::copy("w", W), TensorSource::copy("codes", codes)});
  const fs::path adapter_path = directory.path() / "adapter";
  const fs::path out = directory.path() / "out.safetensors";
  LormaAdapter adapter;
  adapter.layers = {layer("w", 5, 2, "Identity", "Pre"), layer("absent", 6, 2, "Identity", "Pre"),
                    layer("codes", 4, 2, "Identity", "Pre")};
  write_lorma_adapter(adapter_path, adapter);
  try {
    run(base, adapter_path, out);
    FAIL("nothing was refused");
  } catch (const lorma::FormatError& error) {
    const std::string text = error.what();
    for (const char* part : {"'w'", "'absent'", "'codes'", "I32"}) {
      CHECK_MESSAGE(text.find(part) != text.npos, text);
    }
  }
  // Another base than the adapter was made for.
  adapter.layers = {layer("w", 6, 2, "Identity", "Pre")};
  adapter.layers[0].fingerprint = "F32 [6, 4] 0000000000000000";
  write_lorma_adapter(adapter_path, adapter);
  CHECK_THROWS_AS(run(base, adapter_path, out), lorma::FormatError);
  // A multiplier that cannot be undone.
  adapter.layers = {layer("w", 6, 2, "None", "Pre")};
  write_lorma_adapter(adapter_path, adapter);
  CHECK_THROWS_AS(run(base, adapter_path, out, true), lorma::RankDeficient);
  // A result that is not finite.
  adapter.layers = {layer("w", 6, 2, "Identity", "Pre")};
  adapter.layers[0].B *= 1e30F;
  adapter.layers[0].A *= 1e30F;
  write_lorma_adapter(adapter_path, adapter);
  CHECK_THROWS_AS(run(base, adapter_path, out), lorma::NonFinite);
  CHECK(is_empty_but(directory.path(), {"base.safetensors", "adapter"}));
}

TEST_CASE("slices of a fused weight, in both layouts, beside outputs that stay") {
  const ScratchDirectory directory;
  const fs::path p = directory.path();
  const Matrix<double> qkv = weight<double>(12, 7, 1);
  const Matrix<double> turned = qkv.transpose();
  lorma::write_safetensors(p / "base.safetensors",
                           {TensorSource::copy("qkv", qkv), TensorSource::copy("turned", turned)});
  LormaAdapter adapter;
  for (const char* name : {"qkv", "turned"}) {
    adapter.layers.push_back(layer(name, 4, 2, "CyclicPermutation", "Pre"));
    adapter.layers.back().outputs = {0, 4};
    adapter.layers.push_back(layer(name, 7, 2, "Identity", "Post"));
    adapter.layers.back().outputs = {8, 4};
  }
  adapter.layers[2].layout = adapter.layers[3].layout = WeightLayout::in_out;
  write_lorma_adapter(p / "adapter", adapter);
  run(p / "base.safetensors", p / "adapter", p / "out.safetensors");
  Matrix<double> want = qkv;
  want.topRows(4) = expected(adapter.layers[0], qkv.topRows(4));
  want.bottomRows(4) = expected(adapter.layers[1], qkv.bottomRows(4));
  const Matrix<double> got = matrix(p / "out.safetensors", "qkv");
  CHECK(distance(got, want) <= 1e-14 * norm(want));
  CHECK(got.middleRows(4, 4) == qkv.middleRows(4, 4));
  CHECK(distance(matrix(p / "out.safetensors", "turned").transpose(), want) <= 1e-14 * norm(want));
  run(p / "out.safetensors", p / "adapter", p / "back.safetensors", true);
  CHECK(distance(matrix(p / "back.safetensors", "qkv"), qkv) <= 1e-12 * norm(want));
  // A slice beyond the outputs.
  adapter.layers[1].outputs = {9, 4};
  write_lorma_adapter(p / "adapter", adapter);
  CHECK_THROWS_AS(run(p / "base.safetensors", p / "adapter", p / "x"), lorma::FormatError);
}

TEST_CASE("strength goes from the base, exactly, to the merged weight") {
  const ScratchDirectory directory;
  const fs::path p = directory.path();
  const Matrix<double> W = weight<double>(6, 6, 1);
  lorma::write_safetensors(
      p / "base.safetensors",
      {TensorSource::copy("i", W), TensorSource::copy("c", W), TensorSource::copy("n", W)});
  LormaAdapter adapter;
  adapter.layers = {layer("i", 6, 2, "Identity", "Pre"),
                    layer("c", 6, 2, "CyclicPermutation", "Post"), layer("n", 6, 6, "None", "Pre")};
  write_lorma_adapter(p / "adapter", adapter);
  lorma::model::MergeOptions options;
  options.base = p / "base.safetensors";
  options.adapters = {{p / "adapter"}};
  options.force = true;
  for (const double t : {0.0, 0.25, 1.0, -0.5}) {
    CAPTURE(t);
    options.adapters[0].strength = t;
    options.out = p / "out.safetensors";
    lorma::model::merge(options);
    for (const LormaLayer& l : adapter.layers) {
      const Matrix<double> want = (1.0 - t) * W + t * expected(l, W);
      const Matrix<double> got = matrix(options.out, l.weight);
      CHECK(distance(got, want) <= 1e-14 * norm(expected(l, W)));
      if (t == 0.0) CHECK(got == W);
    }
  }
  // Undone at the same strength where the structure allows.
  options.adapters[0].strength = 0.25;
  lorma::model::merge(options);
  options.unmerge = true;
  options.base = p / "out.safetensors";
  options.out = p / "back.safetensors";
  CHECK_THROWS_AS(lorma::model::merge(options), lorma::Error);
  adapter.layers.resize(1);
  write_lorma_adapter(p / "adapter", adapter);
  lorma::model::merge(options);
  CHECK(distance(matrix(options.out, "i"), W) <= 1e-13 * norm(W));
}

TEST_CASE("unmerge by a saved A W0: the LoRA form of the adapter needs no inverse") {
  const ScratchDirectory directory;
  const fs::path p = directory.path();
  const Matrix<float> W = weight<float>(10, 6, 1);
  lorma::write_safetensors(p / "base.safetensors", {TensorSource::copy("m.weight", W)});
  // I + B A is singular: B A has the eigenvalue -1.
  LormaAdapter adapter;
  adapter.layers = {layer("m.weight", 10, 1, "Identity", "Pre")};
  adapter.layers[0].B.setZero();
  adapter.layers[0].A.setZero();
  adapter.layers[0].B(0, 0) = 1.0F;
  adapter.layers[0].A(0, 0) = -1.0F;
  write_lorma_adapter(p / "adapter", adapter);
  to_lora(p / "base.safetensors", p / "adapter", p / "saved");
  run(p / "base.safetensors", p / "adapter", p / "merged.safetensors");
  CHECK_THROWS_WITH_AS(run(p / "merged.safetensors", p / "adapter", p / "no.safetensors", true),
                       doctest::Contains("condition number"), lorma::RankDeficient);
  CHECK_FALSE(fs::exists(p / "no.safetensors"));
  run(p / "merged.safetensors", p / "saved", p / "back.safetensors", true);
  CHECK(distance(matrix(p / "back.safetensors", "m.weight"), W) <= 4.0 * 0x1p-23 * norm(W));
}

TEST_CASE("unmerge asks for digits in the type that the weight is stored in") {
  const ScratchDirectory directory;
  const fs::path p = directory.path();
  const Matrix<Eigen::bfloat16> W = weight<Eigen::bfloat16>(16, 16, 1);
  lorma::write_safetensors(p / "base.safetensors", {TensorSource::copy("m.weight", W)});
  LormaAdapter adapter;
  adapter.layers = {layer("m.weight", 16, 1, "Identity", "Pre")};
  const auto unmerge = [&](const fs::path& with) {
    run(p / "merged.safetensors", with, p / "back.safetensors", true);
  };
  // P = I - (1 - 1/c) u u^T has condition c: digits of 8 bits survive c = 10, not c = 1000.
  for (const double c : {10.0, 1000.0}) {
    adapter.layers[0].B.setConstant(0.25F);
    adapter.layers[0].A.setConstant(static_cast<float>(-0.25 * (1.0 - 1.0 / c)));
    write_lorma_adapter(p / "adapter", adapter);
    run(p / "base.safetensors", p / "adapter", p / "merged.safetensors");
    if (c < 100.0) {
      CHECK_NOTHROW(unmerge(p / "adapter"));
      const Matrix<double> back = matrix(p / "back.safetensors", "m.weight");
      CHECK(distance(back, W.cast<double>()) <= c * 0x1p-7 * norm(W.cast<double>()));
    } else {
      CHECK_THROWS_AS(unmerge(p / "adapter"), lorma::RankDeficient);
    }
  }
  // The same by subtraction: a change that drowns the weight took its digits.
  adapter.layers[0].A.setConstant(1e4F);
  write_lorma_adapter(p / "adapter", adapter);
  fs::remove_all(p / "lora");
  to_lora(p / "base.safetensors", p / "adapter", p / "lora");
  run(p / "base.safetensors", p / "lora", p / "merged.safetensors");
  CHECK_THROWS_AS(unmerge(p / "lora"), lorma::RankDeficient);
}

TEST_CASE("LoRA modules with a prefix more or less than the base's tensors") {
  const ScratchDirectory directory;
  const fs::path p = directory.path();
  const Matrix<float> W = weight<float>(6, 4, 1);
  lorma::write_safetensors(p / "base.safetensors", {TensorSource::copy("h.0.q.weight", W),
                                                    TensorSource::copy("h.1.q.weight", W)});
  const auto write = [&](const std::string& prefix, const std::string& other) {
    lorma::PeftLora lora;
    for (const std::string& name : {prefix + "h.0.q", other + "h.1.q"}) {
      lora.layers.push_back(
          {name, random_matrix<float>(6, 2, 1), random_matrix<float>(2, 4, 2), 2.0, 1.0});
    }
    fs::remove_all(p / "lora");
    lorma::write_peft_lora(p / "lora", lora);
  };
  write("", "");
  CHECK(run(p / "base.safetensors", p / "lora", p / "plain.safetensors").remarks.empty());
  write("transformer.", "transformer.");
  CHECK(run(p / "base.safetensors", p / "lora", p / "out.safetensors").remarks.size() == 1);
  const auto same_weights = [&] {
    for (const char* name : {"h.0.q.weight", "h.1.q.weight"}) {
      CHECK(matrix(p / "out.safetensors", name) == matrix(p / "plain.safetensors", name));
    }
  };
  same_weights();
  write("transformer.", "model.");  // each group has one of its own
  CHECK(run(p / "base.safetensors", p / "lora", p / "out.safetensors").remarks.size() == 2);
  same_weights();
  // And the other way round.
  lorma::write_safetensors(p / "long.safetensors", {TensorSource::copy("bert.h.0.q.weight", W),
                                                    TensorSource::copy("bert.h.1.q.weight", W)});
  write("", "");
  run(p / "long.safetensors", p / "lora", p / "out.safetensors");
  CHECK(matrix(p / "out.safetensors", "bert.h.0.q.weight") ==
        matrix(p / "plain.safetensors", "h.0.q.weight"));
}

TEST_CASE("the layout of LoRA weights: by shape, and square ones only where all agrees") {
  const ScratchDirectory directory;
  const fs::path p = directory.path();
  fs::create_directory(p / "model");
  const Matrix<float> square = weight<float>(6, 6, 1);
  const Matrix<float> turned = weight<float>(4, 6, 2);  // in x out
  lorma::write_safetensors(
      p / "model" / "model.safetensors",
      {TensorSource::copy("a.weight", square), TensorSource::copy("b.weight", turned)});
  lorma::PeftLora lora;
  lora.layers = {{"a", random_matrix<float>(6, 2, 1), random_matrix<float>(2, 6, 2), 2.0, 1.0},
                 {"b", random_matrix<float>(6, 2, 3), random_matrix<float>(2, 4, 4), 2.0, 1.0}};
  const auto merged = [&](bool flag, lorma::model::LoraLayout layout) {
    lora.fan_in_fan_out = flag;
    lorma::write_peft_lora(p / "lora", lora);
    lorma::model::MergeOptions options;
    options.base = p / "model";
    options.adapters = {{p / "lora"}};
    options.out = p / "out";
    options.fit.layout = layout;
    fs::remove_all(p / "out");
    lorma::model::merge(options);
    return matrix(p / "out" / "model.safetensors", "a.weight");
  };
  using Layout = lorma::model::LoraLayout;
  const Matrix<float> change = lora.layers[0].B * lora.layers[0].A;
  const Matrix<float> straight = square + change;
  const Matrix<float> across = square + change.transpose();
  CHECK(distance(merged(true, Layout::by_shape), across) <= 1e-6 * norm(square));
  // b is stored in x out, whatever the flag says of the last module: a is open.
  CHECK_THROWS_AS(merged(false, Layout::by_shape), lorma::FormatError);
  CHECK(distance(merged(false, Layout::in_out), across) <= 1e-6 * norm(square));
  CHECK_THROWS_AS(merged(false, Layout::out_in), lorma::FormatError);  // b does not fit so
  lora.layers.pop_back();
  CHECK(distance(merged(false, Layout::by_shape), straight) <= 1e-6 * norm(square));
  put(p / "model" / "config.json", R"({"model_type": "gpt2"})");
  CHECK_THROWS_AS(merged(false, Layout::by_shape), lorma::FormatError);
  CHECK(distance(merged(false, Layout::out_in), straight) <= 1e-6 * norm(square));
  CHECK(distance(merged(true, Layout::by_shape), across) <= 1e-6 * norm(square));
}

TEST_CASE("sixteen bits are the nearest to a double: ties, subnormal numbers, the largest") {
  const auto check = [](auto zero, lorma::Dtype type, int digits, int lowest) {
    using T = decltype(zero);
    std::vector<double> numbers;
    for (int e = lowest - 3; e < 15; ++e) {
      for (const double m : {1.0, 1.5, 1.0 + std::ldexp(1.0, -digits), 1.9990234375, 1.337}) {
        for (const double nudge : {0.0, 0x1p-40, -0x1p-40, 0x1p-20, -0x1p-20}) {
          numbers.push_back(std::ldexp(m * (1.0 + nudge), e));
          numbers.push_back(-numbers.back());
        }
      }
    }
    const auto n = static_cast<Index>(numbers.size());
    const lorma::RowMajorMatrix<double> W =
        Eigen::Map<const lorma::RowMajorMatrix<double>>(numbers.data(), 1, n);
    std::vector<std::byte> bytes;
    lorma::model::round<double>("w", W, type, bytes);
    REQUIRE(bytes.size() == numbers.size() * sizeof(T));
    Index wrong = 0;
    for (Index i = 0; i < n; ++i) {
      T stored;
      std::memcpy(static_cast<void*>(&stored),
                  bytes.data() + static_cast<std::size_t>(i) * sizeof(T), sizeof(T));
      const double x = numbers[static_cast<std::size_t>(i)];
      // Units of the last place of x, at least those of subnormal numbers; to nearest, ties to
      // even.
      const double unit =
          std::ldexp(1.0, std::max(std::ilogb(x), lowest + digits - 1) - (digits - 1));
      const double want = std::nearbyint(x / unit) * unit;
      wrong += static_cast<double>(static_cast<float>(stored)) == want ? 0 : 1;
    }
    CHECK(wrong == 0);
  };
  check(Eigen::half{}, lorma::Dtype::F16, 11, -24);
  check(Eigen::bfloat16{}, lorma::Dtype::BF16, 8, -133);
  lorma::RowMajorMatrix<double> large(1, 1);
  large(0, 0) = 65519.999999;  // below the middle of the largest half and what would follow
  std::vector<std::byte> bytes;
  CHECK_NOTHROW(lorma::model::round<double>("w", large, lorma::Dtype::F16, bytes));
  large(0, 0) = 65520.0;
  CHECK_THROWS_AS(lorma::model::round<double>("w", large, lorma::Dtype::F16, bytes),
                  lorma::NonFinite);
}

TEST_CASE("a model's folders come along; weights in other forms and hidden files do not") {
  const ScratchDirectory directory;
  const fs::path model = directory.path() / "model";
  fs::create_directories(model / "1_Pooling");
  fs::create_directories(model / ".git");
  const Matrix<float> one = weight<float>(6, 6, 1);
  lorma::write_safetensors(model / "model.safetensors", {TensorSource::copy("one", one)});
  put(model / "1_Pooling" / "config.json", "{}");
  put(model / ".git" / "HEAD", "x");
  fs::create_directories(model / "2_Dense");
  put(model / "2_Dense" / "model.safetensors", "part of it");
  put(model / "pytorch_model.bin", "unmerged");
  LormaAdapter adapter;
  adapter.layers = {layer("one", 6, 2, "Identity", "Pre")};
  write_lorma_adapter(directory.path() / "adapter", adapter);
  const auto report = run(model, directory.path() / "adapter", directory.path() / "out");
  REQUIRE(report.remarks.size() == 1);
  CHECK(report.remarks[0].find("pytorch_model.bin") != std::string::npos);
  CHECK(content(directory.path() / "out" / "2_Dense" / "model.safetensors") == "part of it");
  CHECK(content(directory.path() / "out" / "1_Pooling" / "config.json") == "{}");
  CHECK(is_empty_but(directory.path() / "out", {"model.safetensors", "1_Pooling", "2_Dense"}));
}

TEST_CASE("an index must tell the truth about its shards") {
  const ScratchDirectory directory;
  const fs::path p = directory.path();
  const Matrix<float> one = weight<float>(6, 6, 1);
  lorma::write_safetensors(p / "a.safetensors", {TensorSource::copy("one", one)});
  lorma::write_safetensors(p / "b.safetensors", {TensorSource::copy("two", one)});
  LormaAdapter adapter;
  adapter.layers = {layer("one", 6, 2, "Identity", "Pre")};
  write_lorma_adapter(p / "adapter", adapter);
  const auto refused = [&](const char* index, const char* words) {
    put(p / "index.json", index);
    CHECK_THROWS_WITH_AS(run(p / "index.json", p / "adapter", p / "out"), doctest::Contains(words),
                         lorma::Error);
  };
  refused(R"({"weight_map": {"one": "b.safetensors", "three": "b.safetensors"}})", "'three'");
  refused(R"({"weight_map": {"one": "../a.safetensors"}})", "without a folder");
  refused(R"({"weight_map": {"one": "/etc/passwd"}})", "without a folder");
  refused(R"({"weight_map": {"one": 1}})", "weight_map");
  refused(R"({"weight_map": 1})", "weight_map");
  refused("[", "JSON");
  CHECK_FALSE(fs::exists(p / "out"));
}

TEST_CASE("the output is never the input") {
  const ScratchDirectory directory;
  const fs::path p = directory.path();
  lorma::write_safetensors(p / "base.safetensors",
                           {TensorSource::copy("w", weight<float>(4, 4, 1))});
  fs::create_symlink(p / "base.safetensors", p / "link.safetensors");
  LormaAdapter adapter;
  adapter.layers = {layer("w", 4, 1, "Identity", "Pre")};
  write_lorma_adapter(p / "adapter", adapter);
  const std::string before = content(p / "base.safetensors");
  for (const char* out : {"base.safetensors", "link.safetensors",
                          "adapter/adapter_model.safetensors", "adapter/adapter_config.json"}) {
    CHECK_THROWS_AS(run(p / "base.safetensors", p / "adapter", p / out), lorma::Error);
  }
  CHECK(content(p / "base.safetensors") == before);
  CHECK(lorma::read_lorma_adapter(p / "adapter").layers.size() == 1);
  // Another file is replaced only when that is asked for.
  put(p / "old", "old");
  lorma::model::MergeOptions options;
  options.base = p / "base.safetensors";
  options.adapters = {{p / "adapter"}};
  options.out = p / "old";
  CHECK_THROWS_AS(lorma::model::merge(options), lorma::Error);
  CHECK(content(p / "old") == "old");
  options.force = true;
  lorma::model::merge(options);
  CHECK(lorma::SafetensorsFile(p / "old").contains("w"));
}
