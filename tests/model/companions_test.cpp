// SPDX-License-Identifier: Apache-2.0
// What stands beside the weights of a model: what is copied, what is left out and named, and heads
// that are tied to the embedding.

#include <sys/stat.h>

#include "support.hpp"

using namespace lorma_tests;

namespace {

bool has(const std::vector<std::string>& remarks, const std::string& words) {
  return std::any_of(remarks.begin(), remarks.end(),
                     [&](const std::string& remark) { return remark.find(words) != remark.npos; });
}

}  // namespace

TEST_CASE(
    "links to nothing and to folders, and pipes, are left out and named; links out are named") {
  const ScratchDirectory directory;
  const fs::path p = directory.path();
  const fs::path model = p / "model";
  fs::create_directories(model);
  fs::create_directories(p / "elsewhere" / "more");
  lorma::write_safetensors(model / "model.safetensors",
                           {TensorSource::copy("w", weight<float>(4, 4, 1))});
  put(p / "elsewhere" / "vocabulary.txt", "words");
  put(model / "own.txt", "own");
  fs::create_symlink("own.txt", model / "within.txt");
  fs::create_symlink(p / "elsewhere" / "vocabulary.txt", model / "vocabulary.txt");
  fs::create_symlink(p / "absent", model / "dangling.txt");
  fs::create_symlink("itself.txt", model / "itself.txt");
  fs::create_symlink(p / "elsewhere" / "more", model / "folder");
  REQUIRE(::mkfifo((model / "pipe").c_str(), 0600) == 0);
  LormaAdapter adapter;
  adapter.layers = {layer("w", 4, 1, "Identity", "Pre")};
  lorma::write_lorma_adapter(p / "adapter", adapter);
  const auto report = run(model, p / "adapter", p / "out");
  CHECK(has(report.remarks, "left out: 'dangling.txt': a link to nothing"));
  CHECK(has(report.remarks, "left out: 'itself.txt': a link to nothing"));
  CHECK(has(report.remarks, "left out: 'folder': a link to a folder"));
  CHECK(has(report.remarks, "left out: 'pipe': no regular file"));
  CHECK(has(report.remarks, "'vocabulary.txt' is a link out of the model"));
  CHECK(report.remarks.size() == 5);
  CHECK(is_empty_but(p / "out", {"model.safetensors", "own.txt", "within.txt", "vocabulary.txt"}));
  CHECK(content(p / "out" / "vocabulary.txt") == "words");
}

TEST_CASE("a cache of models links to its store of blobs: no remark") {
  const ScratchDirectory directory;
  const fs::path p = directory.path();
  const fs::path model = p / "cache" / "snapshots" / "abc";
  fs::create_directories(model);
  fs::create_directories(p / "cache" / "blobs");
  lorma::write_safetensors(p / "cache" / "blobs" / "1",
                           {TensorSource::copy("w", weight<float>(4, 4, 1))});
  put(p / "cache" / "blobs" / "2", "{}");
  fs::create_symlink("../../blobs/1", model / "model.safetensors");
  fs::create_symlink("../../blobs/2", model / "tokenizer.json");
  LormaAdapter adapter;
  adapter.layers = {layer("w", 4, 1, "Identity", "Pre")};
  lorma::write_lorma_adapter(p / "adapter", adapter);
  CHECK(run(model, p / "adapter", p / "out").remarks.empty());
  CHECK(is_empty_but(p / "out", {"model.safetensors", "tokenizer.json"}));
}

TEST_CASE("a tied head that an adapter changes is tied no more, or the merge is refused") {
  const ScratchDirectory directory;
  const fs::path p = directory.path();
  const fs::path model = p / "model";
  fs::create_directories(model);
  const Matrix<float> W = weight<float>(6, 4, 1);
  lorma::write_safetensors(model / "model.safetensors",
                           {TensorSource::copy("model.embed_tokens.weight", W),
                            TensorSource::copy("lm_head.weight", W)});
  put(model / "config.json", R"({"vocab_size": 6, "tie_word_embeddings": true})");
  lorma::PeftLora lora;
  lora.layers = {
      {"lm_head", random_matrix<float>(6, 1, 2), random_matrix<float>(1, 4, 3), 1.0, 1.0}};
  lorma::write_peft_lora(p / "adapter", lora);
  const auto report = run(model, p / "adapter", p / "out");
  CHECK(has(report.remarks, "tied to the embedding"));
  const auto config = nlohmann::json::parse(content(p / "out" / "config.json"));
  CHECK(config["tie_word_embeddings"] == false);
  CHECK(config["vocab_size"] == 6);
  // Without a configuration to write, only when forced.
  lorma::model::MergeOptions options;
  options.base = model / "model.safetensors";
  options.adapters = {{p / "adapter"}};
  options.out = p / "out.safetensors";
  CHECK_THROWS_WITH_AS(lorma::model::merge(options), doctest::Contains("tie_word_embeddings"),
                       lorma::Error);
  CHECK_FALSE(fs::exists(options.out));
  // A base without a head of its own has nothing to merge into.
  lorma::write_safetensors(model / "model.safetensors",
                           {TensorSource::copy("model.embed_tokens.weight", W)});
  CHECK_THROWS_WITH_AS(run(model, p / "adapter", p / "no"),
                       doctest::Contains("it uses the embedding there"), lorma::FormatError);
}

TEST_CASE("an adapter without layers is refused") {
  const ScratchDirectory directory;
  const fs::path p = directory.path();
  lorma::write_safetensors(p / "base.safetensors",
                           {TensorSource::copy("w", weight<float>(4, 4, 1))});
  lorma::write_lorma_adapter(p / "adapter", LormaAdapter{});
  CHECK_THROWS_WITH_AS(run(p / "base.safetensors", p / "adapter", p / "out.safetensors"),
                       doctest::Contains("expected layers, got none"), lorma::FormatError);
}
