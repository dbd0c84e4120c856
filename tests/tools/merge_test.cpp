// SPDX-License-Identifier: Apache-2.0
// lorma merge, unmerge and convert: against the library's own products, in every type and layout;
// refusals that leave the output absent.

#include "merge.hpp"

#include <doctest/doctest.h>
#include <sys/wait.h>

#include <bit>
#include <cstdlib>
#include <lorma/adapter/by_name.hpp>
#include <lorma/io/lorma_directory.hpp>
#include <nlohmann/json.hpp>

#include "../io/safetensors_support.hpp"
#include "../support/random_matrices.hpp"
#include "adapters.hpp"
#include "compare.hpp"
#include "convert.hpp"

using namespace lorma_tests;
using lorma::LormaAdapter;
using lorma::LormaLayer;
using lorma::Matrix;
using lorma::TensorSource;
using lorma::WeightLayout;
namespace fs = std::filesystem;

namespace {

LormaLayer layer(const std::string& weight, Index n, Index r, const std::string& inflation,
                 const std::string& side) {
  LormaLayer result;
  result.weight = weight;
  result.inflation = inflation;
  result.side = side;
  result.B = 0.3F * random_matrix<float>(n, r, 1);
  result.A = 0.3F * random_matrix<float>(r, n, 2);
  result.alpha = static_cast<double>(r);
  return result;
}

template <typename T>
Matrix<T> weight(Index rows, Index cols, unsigned seed) {
  return random_matrix<float>(rows, cols, seed).template cast<T>();
}

/// The merged weight in double, out x in.
Matrix<double> expected(const LormaLayer& l, const Matrix<double>& W0) {
  Matrix<double> W;
  lorma::visit_adapter<double>({.inflation = l.inflation, .side = l.side}, [&](auto type) {
    typename decltype(type)::type adapter(l.B.rows(), l.B.cols(), l.alpha);
    adapter.set_factors(l.B.cast<double>(), l.A.cast<double>());
    W = adapter.merge(W0);
  });
  return W;
}

lorma_tool::MergeReport run(const fs::path& base, const fs::path& adapter, const fs::path& out,
                            bool unmerge = false) {
  lorma_tool::MergeOptions options;
  options.base = base;
  options.adapter = adapter;
  options.out = out;
  options.unmerge = unmerge;
  options.progress = false;
  return lorma_tool::merge(options);
}

bool is_empty_but(const fs::path& directory, std::initializer_list<const char*> names) {
  std::size_t count = 0;
  for ([[maybe_unused]] const auto& entry : fs::directory_iterator(directory)) ++count;
  return count == names.size() && std::all_of(names.begin(), names.end(), [&](const char* name) {
           return fs::exists(directory / name);
         });
}

}  // namespace

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
  CHECK(after.metadata() == before.metadata());
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
  lorma_tool::MergeOptions options;
  options.base = directory.path() / "base.safetensors";
  options.adapter = directory.path() / "adapter";
  options.out = directory.path() / "out.safetensors";
  options.in_double = true;
  options.check_first = true;
  options.progress = false;
  lorma_tool::merge(options);
  const Matrix<double> got = lorma::SafetensorsFile(options.out).matrix<double>("w");
  const Matrix<double> want = expected(adapter.layers[0], W.cast<double>());
  for (Index j = 0; j < 12; ++j) {
    for (Index i = 0; i < 12; ++i) {
      const double spacing = std::ldexp(0x1p-7, std::ilogb(want(i, j)));
      CHECK(std::abs(got(i, j) - want(i, j)) <= 0.5 * spacing * (1.0 + 1e-9));
    }
  }
}

TEST_CASE("merge and unmerge a hundred times stay near the base") {
  const ScratchDirectory directory;
  const auto check = [&](auto zero, double eps) {
    using T = decltype(zero);
    const Matrix<T> W = weight<T>(24, 16, 3);
    const fs::path a = directory.path() / "a.safetensors";
    const fs::path b = directory.path() / "b.safetensors";
    lorma::write_safetensors(a, {TensorSource::copy("w", W)});
    LormaAdapter adapter;
    adapter.layers = {layer("w", 24, 2, "Identity", "Pre")};
    write_lorma_adapter(directory.path() / "adapter", adapter);
    for (int i = 0; i < 100; ++i) {
      run(a, directory.path() / "adapter", b);
      run(b, directory.path() / "adapter", a, true);
    }
    // Four roundings a cycle (the update and the weight, there and back), each of at most half a
    // unit, adding like a random walk: sqrt(400) / 2 = 10 units. P is near the identity here.
    const Matrix<double> back = lorma::SafetensorsFile(a).matrix<double>("w");
    CHECK(distance(back, W.template cast<double>()) <= 10.0 * eps * norm(W));
  };
  check(float{}, 0x1p-23);
  check(Eigen::half{}, 0x1p-10);
  check(Eigen::bfloat16{}, 0x1p-7);
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
  adapter.layers[0].B(0, 0) = std::numeric_limits<float>::infinity();
  write_lorma_adapter(adapter_path, adapter);
  CHECK_THROWS_AS(run(base, adapter_path, out), lorma::NonFinite);
  CHECK(is_empty_but(directory.path(), {"base.safetensors", "adapter"}));
}

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
  lorma_tool::ConvertOptions options;
  options.adapter = directory.path() / "adapter";
  options.base = base;
  options.out = directory.path() / "lora";
  options.to = "lora";
  for (const auto& l : lorma_tool::convert(options)) CHECK(l.residual == 0.0);
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
  for (const auto& l : lorma_tool::convert(options)) CHECK(l.residual <= 1e-5);
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
  const Eigen::VectorXd sigma = Eigen::JacobiSVD<Matrix<double>>(change).singularValues();
  for (const Index rank : {1, 3, 7}) {
    lorma_tool::ConvertOptions options;
    options.adapter = directory.path() / "adapter";
    options.base = base;
    options.out = directory.path() / ("lora" + std::to_string(rank));
    options.to = "lora";
    options.rank = rank;
    const auto report = lorma_tool::convert(options);
    const double optimum = sigma.tail(7 - rank).norm() / sigma.norm();
    CHECK(report[0].residual == doctest::Approx(optimum).epsilon(1e-6));
    const auto lora = lorma::read_peft_lora(options.out).layers[0];
    CHECK(distance(lora.B.cast<double>() * lora.A.cast<double>(), change) <=
          (optimum + 1e-5) * change.norm());
  }
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
  CHECK(lorma_tool::compose(p / "one", p / "two", p / "both").size() == 3);
  run(base, p / "one", p / "a.safetensors");
  run(p / "a.safetensors", p / "two", p / "b.safetensors");
  run(base, p / "both", p / "c.safetensors");
  const auto matrix = [](const fs::path& path, const char* name) {
    return lorma::SafetensorsFile(path).matrix<double>(name);
  };
  for (const char* name : {"p", "q", "only"}) {
    CHECK(distance(matrix(p / "b.safetensors", name), matrix(p / "c.safetensors", name)) <=
          1e-5 * norm(W));
  }
  CHECK_THROWS_AS(lorma_tool::compose(p / "one", p / "one", p / "no"), lorma::Error);  // of "only"
  CHECK_THROWS_AS(lorma_tool::compose(p / "one", p / "two", p / "both"), lorma::Error);  // exists
  CHECK_FALSE(fs::exists(p / "no"));

  // Two and two make four, and one of the same twice is no more than two.
  CHECK(lorma_tool::compose(p / "two", p / "two", p / "twice")[0].rank == 4);
  for (const auto& l : lorma_tool::resize({p / "twice", p / "small", 0, 1.0 - 1e-10, 1.0})) {
    CHECK(l.rank == 2);
    CHECK(l.dropped <= 1e-5);
  }
  lorma_tool::resize({p / "two", p / "weak", 2, 1.0, 0.0});
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
  lorma_tool::ExtractOptions options;
  options.base = p / "base.safetensors";
  options.tuned = p / "tuned.safetensors";
  options.out = p / "adapter";
  options.rank = 6;
  options.energy = 1.0 - 1e-9;
  options.progress = false;
  const auto found = lorma_tool::extract(options);
  REQUIRE(found.layers.size() == 2);
  CHECK(found.left_alone.size() == 2);  // the embedding and the bias
  const bool first = found.layers[0].weight == "square";
  const auto& of_square = found.layers[first ? 0 : 1];
  const auto& of_wide = found.layers[first ? 1 : 0];
  CHECK(of_square.rank == 2);
  CHECK(of_square.unreachable <= 1e-6);
  CHECK(of_square.residual <= 1e-5);
  CHECK(of_wide.unreachable > 0.1);  // 5 rows do not span 9 columns
  run(p / "base.safetensors", p / "adapter", p / "merged.safetensors");
  const lorma::SafetensorsFile merged(p / "merged.safetensors");
  CHECK(distance(merged.matrix<double>("square"), tuned) <= 1e-4 * norm(tuned));
  CHECK(distance(merged.matrix<double>("wide"), tuned_wide) ==
        doctest::Approx(of_wide.residual * (tuned_wide - wide).norm()).epsilon(1e-3));

  const auto differences =
      lorma_tool::diff(p / "base.safetensors", p / "tuned.safetensors", true, false);
  CHECK(differences.size() == 5);
  for (const auto& d : differences) {
    if (d.name == "new") CHECK(d.only_in_one);
    if (d.name == "square") {
      CHECK(d.relative == doctest::Approx(change.norm() / square.norm()).epsilon(1e-5));
      CHECK(d.spectrum.size() == 9);
    }
    if (d.name == "bias") CHECK(d.relative == doctest::Approx(1.0));
    if (d.name == "wide") CHECK(d.rank == 5);
  }
  CHECK(lorma_tool::diff(p / "base.safetensors", p / "base.safetensors", true, false).empty());
}

TEST_CASE("the command line: exit codes, dry run, JSON") {
  const ScratchDirectory directory;
  lorma::write_safetensors(directory.path() / "base.safetensors",
                           {TensorSource::copy("w", weight<float>(4, 4, 1))});
  LormaAdapter adapter;
  adapter.layers = {layer("w", 4, 1, "Identity", "Pre")};
  write_lorma_adapter(directory.path() / "adapter", adapter);
  const std::string p = directory.path().string();
  const auto shell = [&](const std::string& arguments) {
    const int status = std::system(
        (std::string(LORMA_TOOL) + ' ' + arguments + " > " + p + "/stdout 2> " + p + "/stderr")
            .c_str());
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  };
  const std::string both = p + "/base.safetensors " + p + "/adapter -o " + p + "/out.safetensors";
  CHECK(shell("merge " + both + " --dry-run --json") == 0);
  CHECK(nlohmann::json::parse(content(directory.path() / "stdout"))["tensors"].size() == 1);
  CHECK_FALSE(fs::exists(directory.path() / "out.safetensors"));
  CHECK(shell("merge " + both) == 0);
  CHECK(fs::exists(directory.path() / "out.safetensors"));
  CHECK(shell("merge " + p + "/absent.safetensors " + p + "/adapter -o " + p + "/x") == 3);
  CHECK(shell("merge") == 3);
  CHECK(shell("convert " + p + "/adapter --to nonsense --base x -o y") == 3);
  CHECK(shell("unmerge --help") == 0);
  // A full disk: the device that always is. Its directory takes no temporary file either.
  CHECK(shell("merge " + p + "/base.safetensors " + p + "/adapter -o /dev/full") == 3);
}
