// SPDX-License-Identifier: Apache-2.0
// Adapters on disk: what is written is read back; what is not understood, missing or hostile is
// refused by name, all of it in one message.

#include <doctest/doctest.h>

#include <fstream>
#include <lorma/model/lorma_directory.hpp>
#include <lorma/model/module_patterns.hpp>
#include <lorma/model/peft_lora.hpp>

#include "../io/safetensors_support.hpp"
#include "../support/random_matrices.hpp"

using namespace lorma;
using lorma_tests::random_matrix;
namespace fs = std::filesystem;

namespace {

LoraLayer lora_layer(const std::string& module, Index d, Index k, Index r, double alpha) {
  return {module, random_matrix<float>(d, r, 1), random_matrix<float>(r, k, 2), alpha,
          alpha / static_cast<double>(r)};
}

LormaLayer lorma_layer(const std::string& weight, Index n, Index r) {
  LormaLayer layer;
  layer.weight = weight;
  layer.B = random_matrix<float>(n, r, 3);
  layer.A = random_matrix<float>(r, n, 4);
  layer.alpha = 2.5;
  layer.fingerprint = "F32 [3, 3] 0123456789abcdef";
  return layer;
}

nlohmann::json read_config(const fs::path& directory) {
  std::ifstream in(directory / adapter_config_name);
  return nlohmann::json::parse(in);
}
void write_config(const fs::path& directory, const nlohmann::json& json) {
  std::ofstream(directory / adapter_config_name) << json.dump();
}

/// The message of the FormatError that reading throws.
template <typename F>
std::string refusal(F&& read) {
  try {
    read();
  } catch (const FormatError& error) {
    return error.what();
  }
  return "nothing was refused";
}
bool says(const std::string& text, std::string_view part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("a PEFT LoRA adapter comes back as it was written") {
  const lorma_tests::ScratchDirectory directory;
  PeftLora lora;
  lora.base_model = "some/model";
  lora.layers = {lora_layer("a.query", 5, 7, 2, 4.0), lora_layer("a.value", 5, 7, 2, 4.0),
                 lora_layer("b.dense", 6, 5, 3, 1.5)};
  write_peft_lora(directory.path() / "lora", lora);
  const PeftLora back = read_peft_lora(directory.path() / "lora");
  REQUIRE(back.layers.size() == 3);
  CHECK(back.base_model == lora.base_model);
  for (std::size_t i = 0; i < 3; ++i) {
    CHECK(back.layers[i].module == lora.layers[i].module);
    CHECK(back.layers[i].A == lora.layers[i].A);
    CHECK(back.layers[i].B == lora.layers[i].B);
    CHECK(back.layers[i].alpha == lora.layers[i].alpha);
    CHECK(back.layers[i].scale == lora.layers[i].scale);
  }
  const auto config = read_config(directory.path() / "lora");
  CHECK(config["r"] == 2);
  CHECK(config["rank_pattern"] == nlohmann::json{{"^b\\.dense", 3}});
}

TEST_CASE("the scale of a layer: rslora, patterns that are names, ends of names, expressions") {
  const lorma_tests::ScratchDirectory directory;
  PeftLora lora;
  lora.layers = {lora_layer("m.layers.0.q", 4, 4, 4, 8.0), lora_layer("m.layers.1.q", 4, 4, 4, 8.0),
                 lora_layer("m.layers.1.qq", 4, 4, 4, 8.0)};
  write_peft_lora(directory.path(), lora);
  auto config = read_config(directory.path());
  config["use_rslora"] = true;
  config["alpha_pattern"] = {{"layers\\.1\\..*", 2.0}, {"q", 6.0}};
  write_config(directory.path(), config);
  const PeftLora back = read_peft_lora(directory.path());
  REQUIRE(back.layers.size() == 3);
  CHECK(back.layers[0].scale == 3.0);  // the end of the name: 6 / sqrt(4)
  CHECK(back.layers[1].scale == 1.0);
  CHECK(back.layers[2].scale == 1.0);
}

TEST_CASE("what changes the mathematics and is not supported is refused by name") {
  const lorma_tests::ScratchDirectory directory;
  PeftLora lora;
  lora.layers = {lora_layer("q", 4, 4, 2, 2.0)};
  write_peft_lora(directory.path(), lora);
  const auto good = read_config(directory.path());
  const auto check = [&](const char* key, const nlohmann::json& value) {
    auto config = good;
    config[key] = value;
    write_config(directory.path(), config);
    const std::string message = refusal([&] { read_peft_lora(directory.path()); });
    CHECK_MESSAGE(says(message, key), message);
  };
  check("peft_type", "IA3");
  check("peft_type", "LORMA");
  check("peft_type", nullptr);
  check("modules_to_save", 7);
  check("target_parameters", "experts");
  check("trainable_token_indices", {1, 2});
  check("layer_replication", {{0, 1}});
  check("r", 0);
  check("r", "8");
  check("r", 1e300);
  check("lora_alpha", -1);
  check("lora_alpha", nullptr);
  check("rank_pattern", {{"q", -3}});
  check("alpha_pattern", 7);
  for (const char* start : {"pissa", "pissa_niter_16", "corda", "olora", "OLoRA", "loftq"}) {
    check("init_lora_weights", start);
  }
  // What no version known here has may mean anything.
  check("kasa_config", {{"beta", 0.1}});
  check("use_some_new_thing", true);
  auto config = good;
  config["use_qalora"] = true;
  config["layer_replication"] = {{0, 1}};
  write_config(directory.path(), config);
  const std::string both = refusal([&] { read_peft_lora(directory.path()); });
  CHECK(says(both, "use_qalora"));
  CHECK(says(both, "layer_replication"));
  // DoRA without its norms.
  config = good;
  config["use_dora"] = true;
  write_config(directory.path(), config);
  CHECK(says(refusal([&] { read_peft_lora(directory.path()); }), "'q.lora_magnitude_vector'"));
}

TEST_CASE("fields that leave the mathematics alone are no obstacle") {
  const lorma_tests::ScratchDirectory directory;
  PeftLora lora;
  lora.layers = {lora_layer("q", 4, 4, 2, 2.0)};
  write_peft_lora(directory.path(), lora);
  auto config = read_config(directory.path());
  // As PEFT 0.21 writes them.
  config.update({{"auto_mapping", nullptr},
                 {"exclude_modules", {"k"}},
                 {"lora_dropout", 0.1},
                 {"layers_to_transform", nullptr},
                 {"qalora_group_size", 16},
                 {"loftq_config", nlohmann::json::object()},
                 {"megatron_core", "megatron.core"},
                 {"peft_version", "0.21.2"},
                 {"use_dora", false},
                 {"kasa_config", nullptr},
                 {"ensure_weight_tying", false},
                 {"init_lora_weights", "gaussian"},
                 {"trainable_token_indices", nullptr},
                 {"modules_to_save", nullptr}});
  write_config(directory.path(), config);
  CHECK(read_peft_lora(directory.path()).layers.size() == 1);
}

TEST_CASE("the tensors say what is adapted; what target_modules says beside is a remark") {
  const lorma_tests::ScratchDirectory directory;
  PeftLora lora;
  lora.layers = {lora_layer("m.0.q", 4, 4, 2, 2.0), lora_layer("m.0.v", 4, 4, 2, 2.0)};
  write_peft_lora(directory.path(), lora);
  const auto good = read_config(directory.path());
  const auto remarks = [&](const nlohmann::json& targets) {
    auto config = good;
    config["target_modules"] = targets;
    write_config(directory.path(), config);
    const PeftLora back = read_peft_lora(directory.path());
    CHECK(back.layers.size() == 2);
    std::string all;
    for (const std::string& remark : back.remarks) all += remark + '\n';
    return all;
  };
  for (const nlohmann::json& targets :
       {nlohmann::json{"q", "v"}, nlohmann::json{"m.0.q", "0.v"}, nlohmann::json("all-linear"),
        nlohmann::json("ALL-Linear"), nlohmann::json(".*\\.(q|v)"), nlohmann::json(nullptr),
        nlohmann::json("(?!.*k).*\\.\\d{1,}\\.[qv]")}) {
    CHECK(remarks(targets).empty());
  }
  CHECK(says(remarks({"q", "v", "gate"}), "'gate'"));
  CHECK(says(remarks({"q", "v", "m.1.q"}), "'m.1.q'"));
  CHECK(says(remarks({"q"}), "'m.0.v'"));
  CHECK(says(remarks(".*q"), "'m.0.v'"));
  CHECK(says(remarks({"q", "v", ".q"}), "'.q'"));  // an end of a name begins behind a dot
  CHECK(says(remarks("(a"), "was not read"));
  CHECK(says(remarks(7), "was not read"));
  CHECK(says(remarks({1, 2}), "was not read"));
}

TEST_CASE("an adapter without tensors is refused whatever its targets") {
  const lorma_tests::ScratchDirectory directory;
  PeftLora lora;
  lora.layers = {lora_layer("q", 4, 4, 2, 2.0)};
  write_peft_lora(directory.path(), lora);
  write_safetensors(directory.path() / adapter_model_name, {});
  auto config = read_config(directory.path());
  for (const nlohmann::json& targets : {nlohmann::json{"q"}, nlohmann::json(".*q"),
                                        nlohmann::json(nullptr), nlohmann::json::array()}) {
    config["target_modules"] = targets;
    write_config(directory.path(), config);
    CHECK(says(refusal([&] { read_peft_lora(directory.path()); }), "got none"));
  }
}

TEST_CASE("an adapter's name in the keys is no part of a module's; two adapters are refused") {
  const lorma_tests::ScratchDirectory directory;
  PeftLora lora;
  lora.layers = {lora_layer("q", 4, 4, 2, 2.0)};
  write_peft_lora(directory.path(), lora);
  const Matrix<float> A = Matrix<float>::Ones(2, 4), B = Matrix<float>::Ones(4, 2);
  const std::string q = "base_model.model.q.";
  write_safetensors(directory.path() / adapter_model_name,
                    {TensorSource::copy(q + "lora_A.default.weight", A),
                     TensorSource::copy(q + "lora_B.default.weight", B),
                     TensorSource::copy("base_model.model.k.modules_to_save.default.weight", B)});
  const PeftLora back = read_peft_lora(directory.path());
  REQUIRE(back.layers.size() == 1);
  CHECK(back.layers[0].module == "q");
  REQUIRE(back.saved.size() == 1);
  CHECK(back.saved[0].name == "k.weight");
  CHECK_THROWS_WITH_AS(write_peft_lora(directory.path() / "again", back),
                       doctest::Contains("whole tensors, such as 'k.weight'"), Error);
  CHECK_FALSE(fs::exists(directory.path() / "again"));
  write_safetensors(directory.path() / adapter_model_name,
                    {TensorSource::copy(q + "lora_A.default.weight", A),
                     TensorSource::copy(q + "lora_B.other.weight", B)});
  CHECK(says(refusal([&] { read_peft_lora(directory.path()); }), "'other'"));
}

TEST_CASE("a file of LoRA alone: kohya's names and alphas, or PEFT's") {
  const lorma_tests::ScratchDirectory directory;
  const fs::path path = directory.path() / "lora.safetensors";
  const Matrix<float> A = random_matrix<float>(2, 6, 1), B = random_matrix<float>(4, 2, 2);
  const Eigen::Matrix<float, 1, 1> alpha(3.0F);
  write_safetensors(
      path, {TensorSource::copy("lora_unet_mid_block_q.lora_down.weight", A),
             TensorSource::copy("lora_unet_mid_block_q.lora_up.weight", B),
             {"lora_unet_mid_block_q.alpha",
              Dtype::F32,
              {},
              [&](const ByteSink& sink) { sink(std::as_bytes(std::span(alpha.data(), 1))); }},
             TensorSource::copy("h.0.q.lora_A.weight", A),
             TensorSource::copy("h.0.q.lora_B.weight", B)});
  const PeftLora lora = read_peft_lora(path);
  REQUIRE(lora.layers.size() == 2);
  CHECK(lora.layers[0].module == "h.0.q");
  CHECK(lora.layers[0].scale == 1.0);
  CHECK_FALSE(lora.layers[0].is_flattened);
  CHECK(lora.layers[1].is_flattened);
  CHECK(lora.layers[1].scale == 1.5);
  CHECK(lora.layers[1].A == A);
  CHECK(lora.layers[1].B == B);
  write_safetensors(path, {TensorSource::copy("x.hada_w1_a", A)});
  CHECK(says(refusal([&] { read_peft_lora(path); }), "hada_w1_a"));
}

TEST_CASE("patterns of every module cost no more than the modules") {
  const lorma_tests::ScratchDirectory directory;
  std::vector<TensorSource> tensors;
  const Matrix<float> one = Matrix<float>::Ones(1, 1);
  auto config = nlohmann::json{{"peft_type", "LORA"}, {"r", 1}, {"lora_alpha", 1}};
  const int count = 20000;
  for (int i = 0; i < count; ++i) {
    const std::string module = "model.layers." + std::to_string(i) + ".q_proj";
    tensors.push_back(TensorSource::copy(module + ".lora_A.weight", one));
    tensors.push_back(TensorSource::copy(module + ".lora_B.weight", one));
    const std::string key = i % 2 == 0 ? lorma::detail::ModulePatterns::exact_key(module) : module;
    config["alpha_pattern"][key] = i + 1;
    config["target_modules"].push_back(module);
  }
  write_safetensors(directory.path() / adapter_model_name, tensors);
  write_config(directory.path(), config);
  const PeftLora lora = read_peft_lora(directory.path());
  REQUIRE(lora.layers.size() == count);
  for (const LoraLayer& layer : lora.layers) {
    CHECK(layer.alpha == std::stoi(layer.module.substr(13)) + 1);
  }
}

TEST_CASE("the first pattern in the order of the file counts; a dot is any character") {
  const lorma_tests::ScratchDirectory directory;
  PeftLora lora;
  lora.layers = {lora_layer("m.layer-1.q", 4, 4, 2, 2.0)};
  write_peft_lora(directory.path(), lora);
  const auto scale = [&](const std::string& patterns) {
    auto config = read_config(directory.path());
    config.erase("alpha_pattern");
    std::string text = config.dump();
    text.pop_back();
    std::ofstream(directory.path() / adapter_config_name)
        << text << ", \"alpha_pattern\": {" << patterns << "}}";
    return read_peft_lora(directory.path()).layers[0].scale;
  };
  CHECK(scale(R"("q": 4, ".*q": 6)") == 2.0);
  CHECK(scale(R"(".*q": 6, "q": 4)") == 3.0);
  CHECK(scale(R"("layer.1.q": 8)") == 4.0);
  CHECK(scale(R"("ayer.1.q": 8)") == 1.0);
  CHECK(scale(R"("m": 8, "layer.1": 8)") == 1.0);
}

TEST_CASE("patterns that are written mean one module alone") {
  const lorma_tests::ScratchDirectory directory;
  PeftLora lora;
  lora.layers = {lora_layer("a.fc", 4, 4, 1, 1.0), lora_layer("b.fc", 4, 4, 1, 1.0),
                 lora_layer("fc", 4, 4, 2, 4.0), lora_layer("l-1.(q", 4, 4, 1, 1.0),
                 lora_layer("l.1.(q", 4, 4, 3, 9.0)};
  write_peft_lora(directory.path(), lora);
  const PeftLora back = read_peft_lora(directory.path());
  REQUIRE(back.layers.size() == 5);
  for (std::size_t i = 0; i < 5; ++i) {
    CHECK(back.layers[i].scale == lora.layers[i].scale);
    CHECK(back.layers[i].A == lora.layers[i].A);
  }
  // One truth: a scale that alpha does not give is refused.
  lora.layers[0].scale = 0.5;
  CHECK_THROWS_AS(write_peft_lora(directory.path(), lora), FormatError);
}

TEST_CASE("expressions of alpha_pattern are Python's, and refused by name where they cannot be") {
  const lorma_tests::ScratchDirectory directory;
  PeftLora lora;
  lora.layers = {lora_layer("m.l.1.q", 4, 4, 2, 2.0)};
  write_peft_lora(directory.path(), lora);
  auto config = read_config(directory.path());
  for (const char* key :
       {"l.[[:digit:]].q", "(l", "(?R)", "(((((a{99}){99}){99}){99}){99})", R"(\p{L}.1.q)"}) {
    CAPTURE(key);
    config["alpha_pattern"] = {{key, 4}};
    write_config(directory.path(), config);
    CHECK(says(refusal([&] { read_peft_lora(directory.path()); }), "alpha_pattern"));
  }
  for (const char* key : {R"(l\.(?:\d+)\.[qv])", R"(l.1.q\Z)", "(?P<n>l).1.q", "l.1{1,}.q",
                          R"((l).1.q)", "(?=l).*q", "^m.l.1.q$"}) {
    CAPTURE(key);
    config["alpha_pattern"] = {{key, 4}};
    write_config(directory.path(), config);
    CHECK(read_peft_lora(directory.path()).layers[0].scale == 2.0);
  }
}

TEST_CASE("one factor under two names is refused") {
  const lorma_tests::ScratchDirectory directory;
  PeftLora lora;
  lora.layers = {lora_layer("q", 4, 4, 2, 2.0)};
  write_peft_lora(directory.path(), lora);
  const Matrix<float> A = Matrix<float>::Ones(2, 4), B = Matrix<float>::Ones(4, 2);
  write_safetensors(
      directory.path() / adapter_model_name,
      {TensorSource::copy("base_model.model.q.lora_A.weight", A),
       TensorSource::copy("q.lora_A.weight", A), TensorSource::copy("q.lora_B.weight", B)});
  CHECK(says(refusal([&] { read_peft_lora(directory.path()); }), "same factor"));
}

TEST_CASE("a hostile pattern ends in time") {
  const lorma_tests::ScratchDirectory directory;
  PeftLora lora;
  lora.layers = {lora_layer(std::string(60, 'a'), 4, 4, 2, 2.0)};
  write_peft_lora(directory.path(), lora);
  auto config = read_config(directory.path());
  config["rank_pattern"] = {{"(a+)+b", 1}};
  write_config(directory.path(), config);
  CHECK(read_peft_lora(directory.path()).layers.size() == 1);
  config["rank_pattern"] = {{"(a", 1}};
  write_config(directory.path(), config);
  CHECK(says(refusal([&] { read_peft_lora(directory.path()); }), "(a"));
}

TEST_CASE("missing, unexpected and misshaped tensors are all reported") {
  const lorma_tests::ScratchDirectory directory;
  PeftLora lora;
  lora.layers = {lora_layer("q", 4, 4, 2, 2.0)};
  write_peft_lora(directory.path(), lora);
  const Matrix<float> m = Matrix<float>::Ones(2, 4);
  const auto source = [&](const std::string& name) { return TensorSource::copy(name, m); };
  write_safetensors(
      directory.path() / adapter_model_name,
      {source("base_model.model.one.lora_A.weight"), source("base_model.model.two.lora_B.weight"),
       source("base_model.model.three.lora_A.weight"),
       source("base_model.model.three.lora_B.weight"), source("lora_unet_x.lora_down.weight"),
       source("base_model.model.four.lora_magnitude_vector")});
  const std::string message = refusal([&] { read_peft_lora(directory.path()); });
  for (const char* part :
       {"one.lora_B.weight", "two.lora_A.weight", "'three'", "lora_up", "four.lora_A.weight"}) {
    CHECK_MESSAGE(says(message, part), message);
  }
  const std::string q = "base_model.model.q.";
  write_safetensors(directory.path() / adapter_model_name,
                    {TensorSource::copy(q + "lora_A.weight", m),
                     TensorSource::copy(q + "lora_B.weight", Matrix<float>(0, 2))});
  CHECK(says(refusal([&] { read_peft_lora(directory.path()); }), "got [2, 4] and [0, 2]"));
}

TEST_CASE("a LoRMA adapter comes back as it was written, and is no LoRA") {
  const lorma_tests::ScratchDirectory directory;
  LormaAdapter adapter;
  adapter.base_model = "some/model";
  adapter.layers = {lorma_layer("a.weight", 6, 2), lorma_layer("b.weight", 3, 5)};
  adapter.layers[1].inflation = "CyclicPermutation";
  adapter.layers[1].side = "Post";
  adapter.layers[1].layout = WeightLayout::in_out;
  write_lorma_adapter(directory.path() / "x", adapter);
  const LormaAdapter back = read_lorma_adapter(directory.path() / "x");
  REQUIRE(back.layers.size() == 2);
  CHECK(back.base_model == adapter.base_model);
  for (std::size_t i = 0; i < 2; ++i) {
    CHECK(back.layers[i].weight == adapter.layers[i].weight);
    CHECK(back.layers[i].inflation == adapter.layers[i].inflation);
    CHECK(back.layers[i].side == adapter.layers[i].side);
    CHECK(back.layers[i].layout == adapter.layers[i].layout);
    CHECK(back.layers[i].fingerprint == adapter.layers[i].fingerprint);
    CHECK(back.layers[i].alpha == adapter.layers[i].alpha);
    CHECK(back.layers[i].A == adapter.layers[i].A);
    CHECK(back.layers[i].B == adapter.layers[i].B);
  }
  CHECK(says(refusal([&] { read_peft_lora(directory.path() / "x"); }), "LORMA"));
}

TEST_CASE("slices of a fused weight are layers of their own") {
  const lorma_tests::ScratchDirectory directory;
  LormaAdapter adapter;
  adapter.layers = {lorma_layer("qkv.weight", 6, 2), lorma_layer("qkv.weight", 6, 2),
                    lorma_layer("qkv.weight", 9, 1), lorma_layer("dense.weight", 6, 2)};
  adapter.layers[0].outputs = {0, 6};
  adapter.layers[1].outputs = {12, 6};
  adapter.layers[2].outputs = {6, 6};
  adapter.layers[2].side = "Post";
  write_lorma_adapter(directory.path() / "x", adapter);
  const LormaAdapter back = read_lorma_adapter(directory.path() / "x");
  REQUIRE(back.layers.size() == 4);
  for (const LormaLayer& layer : back.layers) {
    const auto same = std::find_if(adapter.layers.begin(), adapter.layers.end(),
                                   [&](const LormaLayer& l) { return l.key() == layer.key(); });
    REQUIRE(same != adapter.layers.end());
    CHECK(layer.weight == same->weight);
    CHECK(layer.outputs == same->outputs);
    CHECK(layer.A == same->A);
    CHECK(layer.B == same->B);
  }
  const auto refused = [&](auto&& change) {
    LormaAdapter bad = adapter;
    change(bad.layers);
    CHECK_THROWS_AS(write_lorma_adapter(directory.path() / "bad", bad), FormatError);
    CHECK_FALSE(fs::exists(directory.path() / "bad"));
  };
  refused([](auto& l) { l[1].outputs = {5, 6}; });           // overlaps the first
  refused([](auto& l) { l[1].outputs = {}; });               // all of it
  refused([](auto& l) { l[1].outputs = {12, 5}; });          // B has 6 rows
  refused([](auto& l) { l[1].outputs = {-1, 6}; });          //
  refused([](auto& l) { l[1].fingerprint = "F32 other"; });  // one weight, one fingerprint
  refused([](auto& l) { l[1].layout = WeightLayout::in_out; });
  refused([](auto& l) { l[3].side = "pre"; });
  refused([](auto& l) { l[3].inflation = ""; });
  refused([](auto& l) { l[3].alpha = 0.0; });
}

TEST_CASE("a LoRMA adapter that is not one is refused") {
  const lorma_tests::ScratchDirectory directory;
  LormaAdapter adapter;
  adapter.layers = {lorma_layer("a.weight", 6, 2)};
  write_lorma_adapter(directory.path(), adapter);
  const auto good = read_config(directory.path());
  const auto check = [&](std::string_view part, auto&& change) {
    auto config = good;
    change(config);
    write_config(directory.path(), config);
    const std::string message = refusal([&] { read_lorma_adapter(directory.path()); });
    CHECK_MESSAGE(says(message, part), message);
  };
  check("format_version", [](auto& c) { c["format_version"] = 2; });
  check("peft_type", [](auto& c) { c["peft_type"] = "LORA"; });
  check("inflation", [](auto& c) { c["layers"]["a.weight"]["inflation"] = "Identiy"; });
  check("side", [](auto& c) { c["layers"]["a.weight"].erase("side"); });
  check("layout", [](auto& c) { c["layers"]["a.weight"]["layout"] = 3; });
  check("rank", [](auto& c) { c["layers"]["a.weight"]["rank"] = -1; });
  check("expected shape", [](auto& c) { c["layers"]["a.weight"]["rank"] = 3; });
  check("missing", [](auto& c) { c["layers"]["b.weight"] = c["layers"]["a.weight"]; });
  check("unexpected", [](auto& c) { c["layers"].erase("a.weight"); });
  check("outputs", [](auto& c) { c["layers"]["a.weight"]["outputs"] = {0}; });
  check("outputs", [](auto& c) { c["layers"]["a.weight"]["outputs"] = {-1, 6}; });
  check("outputs", [](auto& c) { c["layers"]["a.weight"]["outputs"] = {1e300, 6}; });
  check("as many outputs", [](auto& c) { c["layers"]["a.weight"]["outputs"] = {0, 7}; });
  check("object", [](auto& c) { c["layers"] = {1, 2}; });
  check("object", [](auto& c) { c["layers"]["a.weight"] = "x"; });
}

TEST_CASE("a configuration that is no JSON, too deep or too large is refused") {
  const lorma_tests::ScratchDirectory directory;
  const auto check = [&](const std::string& text) {
    std::ofstream(directory.path() / adapter_config_name) << text;
    CHECK_THROWS_AS(read_lorma_adapter(directory.path()), FormatError);
    CHECK_THROWS_AS(read_peft_lora(directory.path()), FormatError);
  };
  check("");
  check("{");
  check("[]");
  check("{\"peft_type\": \"LORA\", \"r\": " + std::string(200000, '['));
  check(std::string((std::size_t(16) << 20) + 1, ' '));
  check("{\"peft_type\": \"\xff\"}");
  check(R"({"peft_type": "LORA", "r": 1, "r": 2})");
  check(R"({"peft_type": "LORA", "layers": {"a": {"n": 1, "n": 2}}})");
  CHECK_THROWS_AS(read_peft_lora(directory.path() / "absent"), Error);
}

TEST_CASE("a fingerprint tells every byte, the shape and the type") {
  std::vector<std::byte> bytes(101);
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::byte>(7 * i);
  const std::span<const std::byte> all(bytes);
  const StoredTensor tensor{"x", Dtype::U8, {101}, all};
  const std::string name = fingerprint(tensor);
  CHECK(name.starts_with("U8 [101] "));
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    bytes[i] ^= std::byte{1};
    CHECK(fingerprint(tensor) != name);
    bytes[i] ^= std::byte{1};
  }
  CHECK(fingerprint(tensor) == name);
  CHECK(fingerprint({"x", Dtype::I8, {101}, all}) != name);
  // Zeros at the end are not the filling of the last word.
  const std::vector<std::byte> zeros(9);
  CHECK(detail::hash_bytes(std::span(zeros).first(8)) != detail::hash_bytes(zeros));
  CHECK(detail::hash_bytes({}) == detail::hash_bytes({}));
}

TEST_CASE("an adapter appears whole or not at all") {
  const lorma_tests::ScratchDirectory directory;
  LormaAdapter adapter;
  adapter.layers = {lorma_layer("a.weight", 6, 2)};
  // A name that JSON cannot hold: the tensors are written before the configuration fails.
  LormaAdapter bad = adapter;
  bad.base_model = "\xff";
  CHECK_THROWS_AS(write_lorma_adapter(directory.path() / "bad", bad), FormatError);
  CHECK(directory.files() == 0);
  // Into folders that are not there yet, with a slash at the end.
  write_lorma_adapter(directory.path() / "some" / "where" / "", adapter);
  CHECK(read_lorma_adapter(directory.path() / "some" / "where").layers.size() == 1);
  // An old one is replaced.
  adapter.layers[0].alpha = 9.0;
  write_lorma_adapter(directory.path() / "some" / "where", adapter);
  CHECK(read_lorma_adapter(directory.path() / "some" / "where").layers[0].alpha == 9.0);
  CHECK_THROWS_AS(AtomicDirectory(directory.path() / "some"), Error);
  {
    AtomicDirectory abandoned(directory.path() / "abandoned");
    std::ofstream(abandoned.path() / "file") << "content";
  }
  CHECK(directory.files() == 1);
  {
    AtomicDirectory kept(directory.path() / "kept");
    std::ofstream(directory.path() / "source") << "content";
    kept.copy(directory.path() / "source");
    kept.commit();
  }
  CHECK(lorma_tests::content(directory.path() / "kept" / "source") == "content");
  CHECK(directory.files() == 3);
}
