// SPDX-License-Identifier: Apache-2.0
// Adapters of PEFT's methods are merged as peft merges them; those that multiply are LoRMA
// adapters.

#include <algorithm>

#include "support.hpp"

using namespace lorma_tests;

namespace {

const fs::path cases = fs::path(LORMA_TEST_DATA_DIR) / "peft";
const fs::path reports = fs::path(LORMA_TEST_DATA_DIR) / "reports";

/// The names and types are the same; each tensor differs from the wanted one by less than `bound`
/// of its norm.
void check_same(const fs::path& got_path, const fs::path& want_path, double bound) {
  const lorma::SafetensorsFile got(got_path), want(want_path);
  CHECK(got.tensors().size() == want.tensors().size());
  for (const lorma::StoredTensor& wanted : want.tensors()) {
    CAPTURE(wanted.name);
    REQUIRE(got.contains(wanted.name));
    const lorma::StoredTensor& tensor = got.tensor(wanted.name);
    CHECK(tensor.dtype == wanted.dtype);
    CHECK(tensor.shape == wanted.shape);
    const lorma::MatrixStack size = lorma::flat(wanted.shape);
    const Matrix<double> a = got.matrix<double>(tensor.name, size.rows, size.cols);
    const Matrix<double> b = want.matrix<double>(tensor.name, size.rows, size.cols);
    CHECK(distance(a, b) <= bound * norm(b));
  }
}

std::string refusal(const fs::path& base, const fs::path& adapter, const fs::path& out) {
  try {
    run(base, adapter, out);
  } catch (const lorma::Error& error) {
    return error.what();
  }
  return "nothing was refused";
}

bool says(const std::string& text, std::string_view part) {
  return text.find(part) != std::string::npos;
}

bool remarks(const lorma::model::MergeReport& report, std::string_view part) {
  return std::any_of(report.remarks.begin(), report.remarks.end(),
                     [&](const std::string& remark) { return says(remark, part); });
}

}  // namespace

TEST_CASE("every adapter of the collection is merged as peft merges it") {
  const ScratchDirectory directory;
  int count = 0;
  for (const auto& entry : fs::directory_iterator(cases)) {
    CAPTURE(entry.path().filename().string());
    const fs::path out = directory / "out.safetensors";
    run(entry.path() / "base.safetensors", entry.path() / "adapter", out);
    // Both in float, sums of 27 terms at most, factors of norms up to 4.
    check_same(out, entry.path() / "expected.safetensors", 27.0 * 4.0 * 0x1p-24);
    ++count;
  }
  CHECK(count == 23);
}

TEST_CASE("methods that multiply become LoRMA adapters, with a residual of roundings alone") {
  const ScratchDirectory directory;
  for (const char* name :
       {"ia3", "ia3_turned", "hra", "hra_orthogonal", "road_1", "road_2", "road_4", "deft_para"}) {
    CAPTURE(name);
    const fs::path from = cases / name;
    lorma::model::ConvertOptions options;
    options.base = from / "base.safetensors";
    options.adapter = from / "adapter";
    options.out = directory / (std::string("lorma-") + name);
    options.to = "lorma";
    const auto report = lorma::model::convert(options);
    CHECK(report.layers.size() ==
          (std::string(name) == "road_4" || std::string(name) == "ia3_turned" ? 2 : 3));
    for (const auto& line : report.layers) CHECK(line.residual <= 16.0 * 0x1p-24);
    const LormaAdapter adapter = lorma::read_lorma_adapter(options.out);
    const lorma::SafetensorsFile base(options.base), want(from / "expected.safetensors");
    const fs::path out = directory / "out.safetensors";
    run(options.base, options.out, out);
    const lorma::SafetensorsFile got(out);
    for (const LormaLayer& layer : adapter.layers) {
      const bool turns = name[0] == 'i' || name[0] == 'r';  // (IA)^3, RoAd
      CHECK(layer.inflation == (turns ? "CyclicPermutation" : "Identity"));
      const Matrix<double> a = got.matrix<double>(layer.weight);
      const Matrix<double> b = want.matrix<double>(layer.weight);
      CHECK(distance(a, b) <= 27.0 * 4.0 * 0x1p-24 * norm(b));
    }
    const bool biases =
        std::any_of(report.remarks.begin(), report.remarks.end(), [](const std::string& remark) {
          return says(remark, "'q.bias'") || says(remark, "c_attn.bias");
        });
    CHECK(biases == (std::string_view(name).starts_with("ia3") || std::string(name) == "road_1" ||
                     std::string(name) == "road_2"));
  }
}

TEST_CASE("(IA)^3 rounds each element once") {
  const ScratchDirectory directory;
  run(cases / "ia3" / "base.safetensors", cases / "ia3" / "adapter", directory / "out.safetensors");
  const lorma::SafetensorsFile got(directory / "out.safetensors");
  const lorma::SafetensorsFile want(cases / "ia3" / "expected.safetensors");
  for (const lorma::StoredTensor& tensor : want.tensors()) {
    CHECK(lorma::model::same_bytes(tensor, got.tensor(tensor.name)));
  }
}

TEST_CASE("strength, and what cannot be taken out") {
  const ScratchDirectory directory;
  const auto merged = [&](const char* name, double strength) {
    lorma::model::MergeOptions options;
    options.base = cases / name / "base.safetensors";
    options.adapters = {{cases / name / "adapter", strength}};
    options.out = directory / "out.safetensors";
    options.force = true;
    lorma::model::merge(options);
    return matrix(options.out, "q.weight");
  };
  for (const char* name : {"dora", "deft", "ia3", "road_1", "hra", "lora_biases"}) {
    CAPTURE(name);
    const Matrix<double> none = matrix(cases / name / "base.safetensors", "q.weight");
    const Matrix<double> all = matrix(cases / name / "expected.safetensors", "q.weight");
    CHECK(merged(name, 0.0) == none);
    const Matrix<double> half = 0.5 * (none + all);
    CHECK(distance(merged(name, 0.5), half) <= 27.0 * 4.0 * 0x1p-24 * norm(half));
  }
  CHECK_THROWS_WITH_AS(run(cases / "dora" / "expected.safetensors", cases / "dora" / "adapter",
                           directory / "x", true),
                       doctest::Contains("DoRA"), lorma::Error);
  CHECK_THROWS_AS(run(cases / "deft_qr" / "expected.safetensors", cases / "deft_qr" / "adapter",
                      directory / "x", true),
                  lorma::RankDeficient);
  for (const char* name : {"ia3", "road_2", "hra"}) {
    CAPTURE(name);
    run(cases / name / "expected.safetensors", cases / name / "adapter",
        directory / "back.safetensors", true);
    check_same(directory / "back.safetensors", cases / name / "base.safetensors", 1e-4);
  }
}

TEST_CASE("kohya's names find the modules whose dots they flatten") {
  const ScratchDirectory directory;
  const Matrix<float> W = weight<float>(6, 4, 1);
  const auto kernel = [](const std::string& name, const Matrix<float>& m, std::uint64_t side) {
    const lorma::RowMajorMatrix<float> rows = m;
    TensorSource source = TensorSource::copy(name, rows);
    source.shape = {static_cast<std::uint64_t>(m.rows()),
                    static_cast<std::uint64_t>(m.cols()) / (side * side), side, side};
    return source;
  };
  const Matrix<float> K = weight<float>(5, 18, 2);
  lorma::write_safetensors(
      directory / "unet.safetensors",
      {TensorSource::copy("mid_block.attn.0.to_q.weight", W),
       TensorSource::copy("mid_block.attn.0.to_k.weight", W), kernel("down.conv_in.weight", K, 3)});
  const Matrix<float> A = random_matrix<float>(2, 4, 3), B = random_matrix<float>(6, 2, 4);
  const Matrix<float> C = random_matrix<float>(3, 18, 5), D = random_matrix<float>(5, 3, 6);
  const Eigen::Matrix<float, 1, 1> alpha(1.0F);
  const std::string q = "lora_unet_mid_block_attn_0_to_q.", c = "lora_unet_down_conv_in.";
  const std::string t = "lora_te_text_model_0_q.";
  std::vector<TensorSource> tensors = {TensorSource::copy(q + "lora_down.weight", A),
                                       TensorSource::copy(q + "lora_up.weight", B),
                                       TensorSource::copy(q + "alpha", alpha),
                                       kernel(c + "lora_down.weight", C, 3),
                                       kernel(c + "lora_up.weight", D, 1),
                                       TensorSource::copy(t + "lora_down.weight", A),
                                       TensorSource::copy(t + "lora_up.weight", B)};
  lorma::write_safetensors(directory / "lora.safetensors", tensors);
  const auto report = run(directory / "unet.safetensors", directory / "lora.safetensors",
                          directory / "out.safetensors");
  CHECK(report.tensors.size() == 2);
  CHECK(remarks(report, "'lora_te_'"));
  const lorma::SafetensorsFile out(directory / "out.safetensors");
  const Matrix<double> want = W.cast<double>() + 0.5 * B.cast<double>() * A.cast<double>();
  CHECK(distance(out.matrix<double>("mid_block.attn.0.to_q.weight"), want) <= 1e-6 * norm(want));
  const Matrix<double> want_kernel = K.cast<double>() + D.cast<double>() * C.cast<double>();
  CHECK(distance(out.matrix<double>("down.conv_in.weight", 5, 18), want_kernel) <=
        1e-6 * norm(want_kernel));
  CHECK(out.matrix<float>("mid_block.attn.0.to_k.weight") == W);
  // A module of a group that the base does have must be there.
  tensors.push_back(TensorSource::copy("lora_unet_nowhere.lora_down.weight", A));
  tensors.push_back(TensorSource::copy("lora_unet_nowhere.lora_up.weight", B));
  lorma::write_safetensors(directory / "lora.safetensors", tensors);
  CHECK(
      says(refusal(directory / "unet.safetensors", directory / "lora.safetensors", directory / "x"),
           "'lora_unet_nowhere'"));
}

TEST_CASE("an adapter's directory without its files names what is there") {
  const ScratchDirectory directory;
  fs::create_directory(directory / "adapter");
  const auto message = [&] {
    return refusal(cases / "ia3" / "base.safetensors", directory / "adapter", directory / "x");
  };
  CHECK(says(message(), "expected adapter_config.json in it, got no such file"));
  put(directory / "adapter" / "pytorch_lora_weights.safetensors", "");
  CHECK(says(message(),
             "'pytorch_lora_weights.safetensors' (LoRA's tensors may be given as a file)"));
  put(directory / "adapter" / "adapter_config.json", "{}");
  put(directory / "adapter" / "adapter_model.bin", "");
  CHECK(says(message(), "'adapter_model.bin' (of PyTorch"));
}

TEST_CASE("reports: an expression of unsloth's, a classifier, saved embeddings") {
  const ScratchDirectory directory;
  for (const char* name : {"regex-unsloth", "modules-to-save-seqcls", "embed-tokens-saved"}) {
    CAPTURE(name);
    fs::remove_all(directory / "out");
    const auto report = run(reports / name / "base", reports / name / "adapter", directory / "out");
    const lorma::SafetensorsFile got(directory / "out" / "model.safetensors");
    const lorma::SafetensorsFile want(reports / name / "expected.safetensors");
    REQUIRE(got.tensors().size() == want.tensors().size());
    for (const lorma::StoredTensor& tensor : want.tensors()) {
      CAPTURE(tensor.name);
      CHECK(lorma::model::same_bytes(tensor, got.tensor(tensor.name)));
    }
    const bool classifier = name[0] == 'm';
    CHECK(report.tensors.size() == (classifier ? 5 : 4));
    // The unsloth expression means every module; saved embeddings that are the base's are no news.
    CHECK_FALSE(remarks(report, "target_modules"));
    CHECK(std::any_of(report.tensors.begin(), report.tensors.end(), [](const auto& line) {
            return line.name == "score.weight" && line.adapter == "saved whole";
          }) == classifier);
  }
}

TEST_CASE("whole tensors: of another size, in a sharded model, and unexpected ones") {
  const ScratchDirectory directory;
  const fs::path model = directory / "model";
  fs::create_directory(model);
  const Matrix<float> W = weight<float>(4, 4, 1), words = weight<float>(5, 4, 2);
  const Matrix<float> more = weight<float>(7, 4, 3), head = weight<float>(2, 4, 4);
  lorma::write_safetensors(model / "model-1.safetensors",
                           {TensorSource::copy("words.weight", words)});
  lorma::write_safetensors(model / "model-2.safetensors", {TensorSource::copy("q.weight", W)});
  put(model / "model.safetensors.index.json",
      R"({"metadata": {"total_size": 144}, "weight_map": {"words.weight": "model-1.safetensors",)"
      R"("q.weight": "model-2.safetensors"}})");
  const auto adapter = [&](const char* to_save) {
    lorma::PeftLora lora;
    lora.layers = {{"q", random_matrix<float>(4, 2, 1), random_matrix<float>(2, 4, 2), 2.0, 1.0}};
    fs::remove_all(directory / "lora");
    lorma::write_peft_lora(directory / "lora", lora);
    lorma::write_safetensors(
        directory / "lora" / "adapter_model.safetensors",
        {TensorSource::copy("base_model.model.q.lora_A.weight", lora.layers[0].A),
         TensorSource::copy("base_model.model.q.lora_B.weight", lora.layers[0].B),
         TensorSource::copy("base_model.model.words.weight", more),
         TensorSource::copy("base_model.model.score.weight", head)});
    auto config = nlohmann::json::parse(content(directory / "lora" / "adapter_config.json"));
    config["modules_to_save"] = {to_save};
    put(directory / "lora" / "adapter_config.json", config.dump());
  };
  adapter("score");
  run(model, directory / "lora", directory / "out");
  const lorma::SafetensorsFile one(directory / "out" / "model-1.safetensors");
  CHECK(one.matrix<float>("words.weight") == more);
  const lorma::SafetensorsFile two(directory / "out" / "model-2.safetensors");
  CHECK(two.matrix<float>("score.weight") == head);
  const auto index =
      nlohmann::json::parse(content(directory / "out" / "model.safetensors.index.json"));
  CHECK(index["weight_map"]["score.weight"] == "model-2.safetensors");
  CHECK(index["weight_map"].size() == 3);
  CHECK(index["metadata"]["total_size"] == (7 * 4 + 4 * 4 + 2 * 4) * 4);
  CHECK_NOTHROW(lorma::model::Checkpoint(directory / "out"));
  adapter("classifier");
  CHECK(says(refusal(model, directory / "lora", directory / "x"), "score.weight"));
}

TEST_CASE("whole tensors beside LoRMA's factors are merged too, and no verb loses them") {
  const ScratchDirectory directory;
  const Matrix<float> W = weight<float>(4, 4, 1), head = weight<float>(2, 4, 4);
  lorma::write_safetensors(directory / "model.safetensors", {TensorSource::copy("q.weight", W)});
  const LormaLayer q = layer("q.weight", 4, 2, "CyclicPermutation", "Pre");
  const fs::path adapter = directory / "adapter";
  lorma::write_lorma_adapter(adapter, {"", {q}});
  lorma::write_safetensors(
      adapter / "adapter_model.safetensors",
      {TensorSource::copy("q.weight.lorma_B", q.B), TensorSource::copy("q.weight.lorma_A", q.A),
       TensorSource::copy("base_model.model.score.weight", head)});
  CHECK(says(refusal(directory / "model.safetensors", adapter, directory / "x"), "score.weight"));
  auto config = nlohmann::json::parse(content(adapter / "adapter_config.json"));
  config["modules_to_save"] = {"score"};
  put(adapter / "adapter_config.json", config.dump());
  run(directory / "model.safetensors", adapter, directory / "out.safetensors");
  const lorma::SafetensorsFile merged(directory / "out.safetensors");
  CHECK(merged.matrix<float>("score.weight") == head);
  CHECK(merged.tensors().size() == 2);
  lorma::model::ConvertOptions convert;
  convert.base = directory / "model.safetensors";
  convert.adapter = adapter;
  convert.out = directory / "lora";
  convert.to = "lora";
  convert.dry_run = true;
  const auto report = lorma::model::convert(convert);
  CHECK(std::any_of(report.remarks.begin(), report.remarks.end(),
                    [](const auto& remark) { return says(remark, "'score.weight'"); }));
  lorma::model::ResizeOptions resize;
  resize.adapter = adapter;
  resize.out = directory / "resized";
  CHECK_THROWS_AS(lorma::model::resize(resize), lorma::Error);
  lorma::model::ComposeOptions compose;
  compose.adapters = {adapter, adapter};
  compose.out = directory / "composed";
  CHECK_THROWS_AS(lorma::model::compose(compose), lorma::Error);
}
