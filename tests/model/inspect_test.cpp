// SPDX-License-Identifier: Apache-2.0
// inspect: numbers against matrices of known rank, verdicts, broken files.

#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <stdexcept>
#include <thread>

#include "inspect_support.hpp"

using namespace lorma_tests;

namespace {

const lorma::model::MatrixLine& line(const lorma::model::Inspection& result,
                                     const std::string& name) {
  const auto found = std::find_if(result.matrices.begin(), result.matrices.end(),
                                  [&](const auto& m) { return m.name == name; });
  REQUIRE(found != result.matrices.end());
  return *found;
}

}  // namespace

TEST_CASE("the rank of a 16-bit product says how much of it may be rounding") {
  const ScratchDirectory dir;
  const Eigen::MatrixXf product = of_rank(31, 40, 4, 7);
  const Eigen::Matrix<Eigen::bfloat16, -1, -1> rounded = product.cast<Eigen::bfloat16>();
  const Eigen::Matrix<Eigen::half, -1, -1> half = product.cast<Eigen::half>();
  lorma::write_safetensors(dir / "product.safetensors",
                           {TensorSource::copy("bf16", rounded), TensorSource::copy("f16", half),
                            TensorSource::copy("f32", product)});
  const auto result = inspect({dir / "product.safetensors"});
  for (const char* name : {"bf16", "f16"}) {
    CHECK(line(result, name).rank > 4);
    CHECK(line(result, name).rank_beyond_storage == 4);
  }
  CHECK(line(result, "f32").rank == 4);
  CHECK(line(result, "f32").rank_beyond_storage == 4);
}

TEST_CASE("every 2-D tensor with arithmetic is measured, the others are counted or left alone") {
  const ScratchDirectory dir;
  write_model(dir / "model.safetensors");
  const auto result = inspect({dir / "model.safetensors"});
  CHECK(result.matrices.size() == 4);
  CHECK(result.skipped == 1);
  CHECK(line(result, "a.full").rank == 30);
  CHECK(line(result, "a.full").near_full_rank);
  CHECK(line(result, "a.full").spectrum.size() == 30);
  CHECK(line(result, "b.deficient").rank == 20);
  CHECK(line(result, "b.deficient").fraction == doctest::Approx(0.4));
  CHECK_FALSE(line(result, "b.deficient").near_full_rank);
  CHECK(line(result, "c.narrow").dtype == "BF16");
  CHECK(line(result, "c.narrow").rank == 20);
  CHECK(line(result, "f.empty").near_full_rank);
  CHECK(result.near_full() == 3);
  CHECK(result.exit_code() == 1);
  const auto& full = line(result, "a.full");
  CHECK(full.stable_rank >= 1.0);
  CHECK(full.stable_rank <= full.effective_rank);
  CHECK(full.effective_rank <= 30.0);
  CHECK(full.condition == doctest::Approx(full.largest / full.smallest));
}

TEST_CASE("a pattern selects by name, and one that nothing has is an error") {
  const ScratchDirectory dir;
  write_model(dir / "model.safetensors");
  const auto result = inspect({dir / "model.safetensors"}, "^a[.]|narrow");
  CHECK(result.matrices.size() == 2);
  CHECK(result.exit_code() == 0);
  CHECK_THROWS_WITH_AS(inspect({dir / "model.safetensors"}, "("),
                       doctest::Contains("expected a regular expression of Python's, got '('"),
                       lorma::Error);
  CHECK_THROWS_WITH_AS(inspect({dir / "model.safetensors"}, "none"), doctest::Contains("none does"),
                       lorma::Error);
}

TEST_CASE("a broken file is one line, and the others are done") {
  const ScratchDirectory dir;
  write_model(dir / "model.safetensors");
  put(dir / "broken.safetensors", "no header");
  const auto result =
      inspect({dir / "broken.safetensors", dir / "absent.safetensors", dir / "model.safetensors"});
  REQUIRE(result.broken.size() == 2);
  CHECK(result.broken[0].find("broken.safetensors") != std::string::npos);
  CHECK(result.broken[1].find("absent.safetensors") != std::string::npos);
  for (const std::string& text : result.broken) CHECK(text.find('\n') == std::string::npos);
  CHECK(result.matrices.size() == 4);
  CHECK(result.exit_code() == 2);
}

TEST_CASE("a matrix that is not finite has an error, not numbers") {
  const ScratchDirectory dir;
  Eigen::MatrixXf bad = random_matrix<float>(5, 5, 1);
  bad(2, 3) = std::numeric_limits<float>::quiet_NaN();
  lorma::write_safetensors(dir / "m.safetensors",
                           {TensorSource::copy("bad", bad),
                            TensorSource::copy("good", Eigen::MatrixXf::Identity(3, 3))});
  const auto result = inspect({dir / "m.safetensors"});
  CHECK(line(result, "bad").error.find("expected finite numbers") != std::string::npos);
  CHECK(line(result, "good").rank == 3);
  CHECK(result.exit_code() == 2);
}

TEST_CASE("an index file stands for its shards") {
  const ScratchDirectory dir;
  const auto shard = [&](const char* file, const char* name) {
    lorma::write_safetensors(dir / file,
                             {TensorSource::copy(name, Eigen::MatrixXf::Identity(3, 3))});
  };
  shard("model-1.safetensors", "first");
  shard("model-2.safetensors", "second");
  put(dir / "model.safetensors.index.json",
      R"({"weight_map": {"second": "model-2.safetensors", "first": "model-1.safetensors",
          "third": "model-2.safetensors"}})");
  for (const auto& path : {dir / "model.safetensors.index.json", dir.path()}) {
    const auto result = inspect({path});
    REQUIRE(result.matrices.size() == 2);
    CHECK(result.matrices[0].name == "first");
    REQUIRE(result.broken.size() == 1);  // the third
    CHECK(result.broken[0].find("has no tensor 'third'") != std::string::npos);
    CHECK(result.exit_code() == 2);
  }
  std::filesystem::remove(dir / "model.safetensors.index.json");
  CHECK(inspect({dir.path()}).exit_code() == 0);
}

TEST_CASE("an index from outside opens nothing but its neighbours") {
  const ScratchDirectory dir;
  for (const char* text : {R"({"weight_map": {"a": "../secret.safetensors"}})",
                           R"({"weight_map": {"a": "/etc/passwd"}})",
                           R"({"weight_map": {"a": ""}})", R"({"weight_map": {"a": ".."}})",
                           R"({"weight_map": {"a": 3}})", R"({"weight_map": []})", "[]", "{", ""}) {
    CAPTURE(text);
    put(dir / "i.json", text);
    const auto result = inspect({dir / "i.json"});
    REQUIRE(result.broken.size() == 1);
    CHECK(result.broken[0].find("expected") != std::string::npos);
    CHECK(result.exit_code() == 2);
  }
}

TEST_CASE("one thread and several give the same lines") {
  const ScratchDirectory dir;
  write_model(dir / "model.safetensors");
  lorma::model::InspectOptions options;
  options.files = {dir / "model.safetensors"};
  options.threads = 1;
  const auto one = lorma::model::inspect(options);
  options.threads = 4;
  const auto several = lorma::model::inspect(options);
  REQUIRE(several.matrices.size() == one.matrices.size());
  for (std::size_t i = 0; i < one.matrices.size(); ++i) {
    CHECK(several.matrices[i].name == one.matrices[i].name);
    CHECK(several.matrices[i].rank == one.matrices[i].rank);
    CHECK(several.matrices[i].spectrum == one.matrices[i].spectrum);
    CHECK(several.matrices[i].effective_rank == one.matrices[i].effective_rank);
  }
}

TEST_CASE("what a callback throws reaches the caller, whatever the thread") {
  const ScratchDirectory dir;
  write_model(dir / "model.safetensors");
  lorma::model::InspectOptions options;
  options.files = {dir / "model.safetensors"};
  options.threads = 3;
  const auto here = std::this_thread::get_id();
  const auto fail = [here] {
    if (std::this_thread::get_id() != here) throw std::domain_error("from a callback");
  };
  lorma::model::Monitor monitor;
  monitor.begin_thread = fail;
  CHECK_THROWS_WITH_AS(lorma::model::inspect(options, monitor), "from a callback",
                       std::domain_error);
  // The caller's own thread waits at its first tensor until another one has failed.
  std::atomic<bool> failed = false;
  monitor = {};
  monitor.stop = [&] {
    if (std::this_thread::get_id() != here) {
      failed = true;
      throw std::domain_error("from a callback");
    }
    while (!failed) std::this_thread::yield();
    return false;
  };
  CHECK_THROWS_AS(lorma::model::inspect(options, monitor), std::domain_error);
}
