// SPDX-License-Identifier: Apache-2.0
// What the system refuses to say of a path is an Error with its reason.

#include <doctest/doctest.h>

#include <lorma/io/atomic_directory.hpp>
#include <lorma/io/paths.hpp>

#include "safetensors_support.hpp"

using namespace lorma::detail;
using lorma_tests::put;
using lorma_tests::ScratchDirectory;
namespace fs = std::filesystem;

TEST_CASE("what is there, and what is not") {
  const ScratchDirectory directory;
  const fs::path p = directory.path();
  put(p / "b", "");
  fs::create_directory(p / "c");
  fs::create_symlink("absent", p / "a");
  CHECK(path_is_directory(p));
  CHECK(path_is_file(p / "b"));
  CHECK_FALSE(path_is_file(p / "c"));
  CHECK_FALSE(path_exists(p / "a"));
  CHECK(path_is_taken(p / "a"));
  CHECK_FALSE(path_is_taken(p / "d"));
  CHECK_FALSE(path_exists(p / "b" / "below a file"));
  CHECK_FALSE(path_exists(""));
  CHECK(paths_in(p) == std::vector<fs::path>{p / "a", p / "b", p / "c"});
  make_directories(p / "d" / "e");
  CHECK(path_is_directory(p / "d" / "e"));
  CHECK(directory_path(p / "d" / "") == p / "d");
  CHECK(resolved_path(p / "c" / ".." / "a") == resolved_path(p) / "a");
}

TEST_CASE("what the system does not say is an Error with the path and the reason") {
  const ScratchDirectory directory;
  const fs::path p = directory.path();
  const fs::path longer = p / std::string(300, 'x');
  fs::create_symlink("loop", p / "loop");
  put(p / "file", "");
  const auto refuses = [](auto&& ask, const fs::path& path) {
    CHECK_THROWS_WITH_AS(ask(), doctest::Contains(path.string().c_str()), lorma::Error);
  };
  refuses([&] { path_exists(longer); }, longer);
  refuses([&] { path_is_taken(longer); }, longer);
  refuses([&] { path_is_directory(p / "loop"); }, p / "loop");
  refuses([&] { paths_in(p / "absent"); }, p / "absent");
  refuses([&] { paths_in(p / "file"); }, p / "file");
  refuses([&] { make_directories(longer); }, longer);
  refuses([&] { make_directories(p / "file" / "below"); }, p / "file");
  refuses([&] { resolved_path(p / "loop"); }, p / "loop");
  refuses([&] { absolute_path(""); }, "");
  refuses([&] { lorma::AtomicFile file(longer); }, longer);
  refuses([&] { lorma::AtomicDirectory made(longer); }, longer);
  CHECK_THROWS_AS(lorma::AtomicDirectory(""), lorma::Error);
  CHECK(path_is_taken(p / "loop"));
}
