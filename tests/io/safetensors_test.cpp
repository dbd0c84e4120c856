// SPDX-License-Identifier: Apache-2.0
// What is written is read back, bit for bit, and a write that fails changes nothing.
#include <doctest/doctest.h>

#include <bit>
#include <complex>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <stdexcept>
#include <string>
#include <vector>

#include "safetensors_support.hpp"

#if defined(__unix__) || defined(__APPLE__)
#include <sys/resource.h>
#include <sys/stat.h>

#include <csignal>
#endif

using lorma::Dtype;
using lorma::Index;
using lorma::Matrix;
using lorma::RowMajorMatrix;
using lorma::SafetensorsFile;
using lorma::TensorSource;
using lorma_tests::content;
using lorma_tests::ScratchDirectory;

namespace {

const std::filesystem::path data_dir = LORMA_TEST_DATA_DIR;

/// The matrix as a view, in its own storage order.
template <typename T, typename M>
lorma::MatrixView<const T> view_of(const M& m) {
  return {m.data(), m.rows(), m.cols(), m.outerStride(),
          M::IsRowMajor ? lorma::StorageOrder::RowMajor : lorma::StorageOrder::ColMajor};
}

/// Values that every type has, up to the cut of fractions, and that tell places apart.
template <typename T>
Matrix<T> numbered(Index rows, Index cols) {
  Matrix<T> m(rows, cols);
  for (Index i = 0; i < rows; ++i) {
    for (Index j = 0; j < cols; ++j) {
      m(i, j) =
          static_cast<T>(static_cast<float>((i * cols + j) % 127) * (j % 2 == 0 ? 1.f : 0.5f));
    }
  }
  return m;
}

template <typename A, typename B>
bool same_bits(const A& a, const B& b) {
  using T = typename A::Scalar;
  static_assert(std::is_same_v<T, typename B::Scalar>);
  if (a.rows() != b.rows() || a.cols() != b.cols()) return false;
  for (Index j = 0; j < a.cols(); ++j) {
    for (Index i = 0; i < a.rows(); ++i) {
      const T x = a(i, j);
      const T y = b(i, j);
      if (std::memcmp(&x, &y, sizeof x) != 0) return false;
    }
  }
  return true;
}

}  // namespace

TEST_CASE_TEMPLATE("matrices of every type, order and size survive", T, double, float, Eigen::half,
                   Eigen::bfloat16, std::int64_t, std::uint64_t, std::int32_t, std::uint32_t,
                   std::int16_t, std::uint16_t, std::int8_t, std::uint8_t, std::complex<float>) {
  const ScratchDirectory scratch;
  for (const Index rows : {0, 1, 3, 65, 130}) {
    for (const Index cols : {0, 1, 7}) {
      CAPTURE(rows);
      CAPTURE(cols);
      const Matrix<T> columns = numbered<T>(rows, cols);
      const RowMajorMatrix<T> in_rows = columns;
      Matrix<T> wide = numbered<T>(rows + 2, cols + 1);
      const auto block = wide.block(1, 1, rows, cols);
      const std::filesystem::path path = scratch / "m.safetensors";
      lorma::write_safetensors(
          path,
          {TensorSource::copy("copy columns", columns), TensorSource::copy("copy rows", in_rows),
           TensorSource::view("view columns", view_of<T>(columns)),
           TensorSource::view("view rows", view_of<T>(in_rows)),
           TensorSource::view("block", lorma::MatrixView<T>(wide.data() + wide.rows() + 1, rows,
                                                            cols, wide.rows())),
           TensorSource::copy("transpose", columns.transpose())});
      const SafetensorsFile file(path);
      for (const char* const name : {"copy columns", "copy rows", "view columns", "view rows"}) {
        const auto stored = file.matrix_view<T>(name);
        CHECK(same_bits(stored.map(), columns));
        CHECK(file.tensor(name).dtype == lorma::dtype_of<T>);
      }
      CHECK(same_bits(file.matrix_view<T>("block").map(), block));
      CHECK(same_bits(file.matrix_view<T>("transpose").map(), columns.transpose()));
    }
  }
}

TEST_CASE_TEMPLATE("floating types are read into the compute type, rounded once", T, float,
                   double) {
  const ScratchDirectory scratch;
  const std::filesystem::path path = scratch / "m.safetensors";
  Matrix<double> m = numbered<double>(37, 5);
  m(0, 0) = 1.0 / 3.0;
  m(1, 0) = std::numeric_limits<double>::infinity();
  m(2, 0) = 1e-40;
  const Eigen::VectorXd v = m.col(0);
  lorma::write_safetensors(
      path, {TensorSource::copy("F64", m), TensorSource::copy("F32", m.cast<float>()),
             TensorSource::copy("F16", m.cast<Eigen::half>()),
             TensorSource::copy("BF16", m.cast<Eigen::bfloat16>()), TensorSource::copy("v", v)});
  const SafetensorsFile file(path);
  CHECK(same_bits(file.matrix<T>("F64"), m.cast<T>()));
  CHECK(same_bits(file.matrix<T>("F32"), m.cast<float>().cast<T>()));
  CHECK(same_bits(file.matrix<T>("F16"), m.cast<Eigen::half>().template cast<T>()));
  CHECK(same_bits(file.matrix<T>("BF16"), m.cast<Eigen::bfloat16>().template cast<T>()));
  CHECK(same_bits(file.vector<T>("v"), v.cast<T>()));
  CHECK(file.tensor("v").shape == std::vector<std::uint64_t>{37});
}

TEST_CASE("NaN payloads and negative zeros pass unchanged") {
  const ScratchDirectory scratch;
  Matrix<float> m(1, 3);
  m << std::bit_cast<float>(0x7FC01234u), -0.0f, std::bit_cast<float>(0xFFC00001u);
  lorma::write_safetensors(scratch / "m", {TensorSource::copy("m", m)});
  CHECK(same_bits(SafetensorsFile(scratch / "m").matrix_view<float>("m").map(), m));
  CHECK(same_bits(SafetensorsFile(scratch / "m").matrix<float>("m"), m));
}

TEST_CASE_TEMPLATE("misaligned data is copied, aligned data is not", T, double, float, Eigen::half,
                   std::int16_t) {
  const Matrix<T> m = numbered<T>(3, 2);
  const RowMajorMatrix<T> in_rows = m;
  const std::string size = std::to_string(6 * sizeof(T));
  std::string header = R"({"m":{"dtype":")" + std::string(lorma::dtype_name(lorma::dtype_of<T>)) +
                       R"(","shape":[3,2],"data_offsets":[0,)" + size + "]}}";
  for (std::size_t shift = 0; shift < 16; ++shift) {
    std::string file = lorma_tests::file_of(header + std::string(shift, ' '), 0);
    file.append(reinterpret_cast<const char*>(in_rows.data()), 6 * sizeof(T));
    const std::size_t start = file.size() - 6 * sizeof(T);
    std::vector<std::max_align_t> storage(file.size() / sizeof(std::max_align_t) + 1);
    std::memcpy(storage.data(), file.data(), file.size());
    const auto bytes = std::as_bytes(std::span(storage)).first(file.size());
    const SafetensorsFile opened = SafetensorsFile::from_bytes(bytes, "memory");
    auto stored = opened.matrix_view<T>("m");
    CHECK(stored.copied() == (start % alignof(T) != 0));
    CHECK(same_bits(stored.map(), m));
    const auto moved = std::move(stored);
    const auto copied = moved;
    CHECK(same_bits(moved.map(), m));
    CHECK(same_bits(copied.map(), m));
    if constexpr (!std::is_integral_v<T>) {
      CHECK(same_bits(opened.matrix<double>("m"), m.template cast<double>()));
    }
  }
}

TEST_CASE("the file is laid out as the reference implementation lays it out") {
  const ScratchDirectory scratch;
  const std::filesystem::path path = scratch / "m.safetensors";
  const std::string raw = "abcdefghijklmnopqrstuvwxyz";
  const auto bytes = [&raw](std::size_t n) { return std::as_bytes(std::span(raw)).first(n); };
  lorma::write_safetensors(path,
                           {TensorSource::bytes("z", Dtype::U8, {1, 3}, bytes(3)),
                            TensorSource::bytes("b", Dtype::F32, {1}, bytes(4)),
                            TensorSource::bytes("a", Dtype::F32, {}, bytes(4)),
                            TensorSource::bytes("a\"\n\x7F\xC3\xBC", Dtype::F64, {1}, bytes(8))},
                           {{"x", "1"}, {"k", "v"}});
  std::string header =
      "{\"__metadata__\":{\"k\":\"v\",\"x\":\"1\"},"
      "\"a\\\"\\n\x7F\xC3\xBC\":{\"dtype\":\"F64\",\"shape\":[1],\"data_offsets\":[0,8]},"
      "\"a\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[8,12]},"
      "\"b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[12,16]},"
      "\"z\":{\"dtype\":\"U8\",\"shape\":[1,3],\"data_offsets\":[16,19]}}";
  header.resize((header.size() + 7) / 8 * 8, ' ');
  CHECK(content(path) == lorma_tests::file_of(header, 0) + "abcdefgh" + "abcd" + "abcd" + "abc");
  CHECK(scratch.files() == 1);

  lorma::write_safetensors(path, {});
  CHECK(content(path) == lorma_tests::file_of("{}      ", 0));
  CHECK(SafetensorsFile(path).tensors().empty());
}

TEST_CASE("a tensor may be made while it is written, and from the file that it replaces") {
  const ScratchDirectory scratch;
  const std::filesystem::path path = scratch / "m.safetensors";
  constexpr std::uint64_t rows = 3000, cols = 100;
  lorma::write_safetensors(path, {{"m", Dtype::I32, {rows, cols}, [](const lorma::ByteSink& sink) {
                                     for (std::uint64_t i = 0; i < rows; ++i) {
                                       std::vector<std::int32_t> row(cols,
                                                                     static_cast<std::int32_t>(i));
                                       sink(std::as_bytes(std::span(row).first(cols / 3)));
                                       sink({});
                                       sink(std::as_bytes(std::span(row).subspan(cols / 3)));
                                     }
                                   }}});
  SafetensorsFile old(path);
  const SafetensorsFile moved = std::move(old);
  const auto m = moved.matrix_view<std::int32_t>("m");
  for (int i = 0; i < m.rows(); ++i) REQUIRE((m.map().row(i).array() == i).all());
  lorma::write_safetensors(
      path, {TensorSource::bytes("n", Dtype::I32, {rows, cols}, moved.tensor("m").bytes)});
  const SafetensorsFile file(path);
  CHECK(same_bits(file.matrix_view<std::int32_t>("n").map(), m.map()));
}

TEST_CASE("a plan says what will be asked for, and in which order") {
  const ScratchDirectory scratch;
  const std::filesystem::path path = scratch / "m.safetensors";
  const lorma::SafetensorsPlan plan(
      {{"small", Dtype::U8, {3}}, {"b", Dtype::F32, {2}}, {"a", Dtype::F32, {}}}, {{"k", "v"}});
  std::vector<std::string> asked;
  lorma::write_safetensors(
      path, plan, [&](const lorma::PlannedTensor& tensor, const lorma::ByteSink& sink) {
        asked.push_back(tensor.name);
        const std::vector<std::byte> bytes(tensor.bytes, static_cast<std::byte>(tensor.given_as));
        sink(bytes);
      });
  CHECK(asked == std::vector<std::string>{"a", "b", "small"});
  CHECK(std::filesystem::file_size(path) == plan.bytes());
  const SafetensorsFile file(path);
  REQUIRE(file.tensors().size() == plan.tensors().size());
  for (std::size_t i = 0; i < asked.size(); ++i) {
    const lorma::PlannedTensor& planned = plan.tensors()[i];
    const lorma::StoredTensor& stored = file.tensors()[i];
    CHECK(stored.name == planned.name);
    CHECK(stored.dtype == planned.dtype);
    CHECK(stored.shape == planned.shape);
    CHECK(stored.bytes.size() == planned.bytes);
    for (const std::byte b : stored.bytes) CHECK(b == static_cast<std::byte>(planned.given_as));
  }
}

TEST_CASE("what the format cannot hold is refused before anything is written") {
  const ScratchDirectory scratch;
  const std::filesystem::path path = scratch / "m.safetensors";
  lorma_tests::put(path, "old");
  const auto no_bytes = [](const lorma::ByteSink&) { FAIL("nothing may be asked for"); };
  constexpr std::uint64_t big = std::uint64_t{1} << 60;
  const std::vector<std::vector<TensorSource>> refused = {
      {{"a", Dtype::U8, {0}, no_bytes}, {"a", Dtype::F32, {0}, no_bytes}},
      {{"__metadata__", Dtype::U8, {0}, no_bytes}},
      {{"\xFF", Dtype::U8, {0}, no_bytes}},
      {{"a", Dtype::F4, {3}, no_bytes}},
      {{"a", Dtype::F64, {big, 16}, no_bytes}},
      {{std::string(100'000'000, 'a'), Dtype::U8, {0}, no_bytes}},
  };
  for (const auto& tensors : refused) {
    CHECK_THROWS_AS(lorma::write_safetensors(path, tensors), lorma::FormatError);
  }
  // It would fit alone.
  CHECK_THROWS_WITH_AS(lorma::write_safetensors(path, {}, {{"k", std::string(99'999'990, 'a')}}),
                       doctest::Contains("at most 100000000 bytes, got at least 1000000"),
                       lorma::FormatError);
  CHECK_THROWS_AS(lorma::write_safetensors(path, {}, {{"k", "\xC0\x80"}}), lorma::FormatError);
  CHECK_THROWS_AS(lorma::write_safetensors(path, {}, {{"\xED\xA0\x80", ""}}), lorma::FormatError);
  CHECK(content(path) == "old");
  CHECK(scratch.files() == 1);
}

TEST_CASE("a write that fails leaves the old file and no other") {
  const ScratchDirectory scratch;
  const std::filesystem::path path = scratch / "m.safetensors";
  lorma_tests::put(path, "old");
  const std::vector<std::byte> megabyte(1 << 20);
  const auto piece = [&](std::size_t n) { return std::span(megabyte).first(n); };

  SUBCASE("a source yields too little") {
    CHECK_THROWS_AS(
        lorma::write_safetensors(path, {TensorSource::bytes("a", Dtype::U8, {5}, piece(4))}),
        lorma::ShapeError);
  }
  SUBCASE("a source yields too much") {
    CHECK_THROWS_AS(
        lorma::write_safetensors(path, {TensorSource::bytes("a", Dtype::U8, {5}, piece(6))}),
        lorma::ShapeError);
  }
  SUBCASE("a source throws") {
    CHECK_THROWS_AS(lorma::write_safetensors(path, {{"a",
                                                     Dtype::U8,
                                                     {1 << 20},
                                                     [&](const lorma::ByteSink& sink) {
                                                       sink(piece(1 << 19));
                                                       throw std::out_of_range("stop");
                                                     }}}),
                    std::out_of_range);
  }
#if defined(__unix__) || defined(__APPLE__)
  SUBCASE("the disk takes no more") {
    // A limit on the size of files stands for a full disk: write(2) fails alike.
    rlimit old_limit = {};
    REQUIRE(getrlimit(RLIMIT_FSIZE, &old_limit) == 0);
    rlimit limit = old_limit;
    limit.rlim_cur = 1 << 19;
    const auto old_action = std::signal(SIGXFSZ, SIG_IGN);
    std::string message = "no error";
    REQUIRE(setrlimit(RLIMIT_FSIZE, &limit) == 0);
    try {
      lorma::write_safetensors(path, {TensorSource::bytes("a", Dtype::U8, {1 << 20}, megabyte)});
    } catch (const lorma::Error& error) {
      message = error.what();
    }
    setrlimit(RLIMIT_FSIZE, &old_limit);
    std::signal(SIGXFSZ, old_action);
    CHECK(message.find("m.safetensors': " + std::generic_category().message(EFBIG)) !=
          std::string::npos);
  }
#endif
  CHECK(content(path) == "old");
  CHECK(scratch.files() == 1);
}

TEST_CASE("paths that cannot be written or read are errors in words") {
  const ScratchDirectory scratch;
  const auto message = [](const auto& action) -> std::string {
    try {
      action();
    } catch (const lorma::FormatError&) {
      return "a FormatError";
    } catch (const lorma::Error& error) {
      return error.what();
    }
    return "no error";
  };
  const auto words = [](int number) { return std::generic_category().message(number); };
  const auto ends_with = [](const std::string& text, const std::string& end) {
    CAPTURE(text);
    CHECK(text.ends_with(end));
  };
  ends_with(message([&] { lorma::write_safetensors(scratch / "none/m", {}); }), words(ENOENT));
  ends_with(message([&] { lorma::write_safetensors(scratch / "", {}); }), words(EISDIR));
  ends_with(message([&] { SafetensorsFile file(scratch / "none"); }), "none': " + words(ENOENT));
  CHECK(message([&] { SafetensorsFile file(scratch / ""); }) != "no error");
  CHECK(scratch.files() == 0);
#if defined(__unix__) || defined(__APPLE__)
  const std::filesystem::path pipe = scratch / "pipe";
  REQUIRE(mkfifo(pipe.c_str(), 0600) == 0);
  ends_with(message([&] { SafetensorsFile file(pipe); }), words(EINVAL));  // and does not wait
  ends_with(message([&] { lorma::write_safetensors(pipe, {}); }), words(EINVAL));
  CHECK(std::filesystem::is_fifo(pipe));
#endif
}

TEST_CASE("the permissions of a replaced file are kept; a link is replaced, not followed") {
  namespace fs = std::filesystem;
  const ScratchDirectory scratch;
  const fs::path path = scratch / "m";
  lorma_tests::put(path, "old");
  fs::permissions(path, fs::perms::owner_read | fs::perms::owner_write | fs::perms::group_read);
  const fs::perms before = fs::status(path).permissions();
  lorma::write_safetensors(path, {});
  CHECK(fs::status(path).permissions() == before);

  const fs::path link = scratch / "link";
  fs::create_symlink(path, link);
  const std::string target = content(path);
  lorma::write_safetensors(link, {}, {{"k", "v"}});
  CHECK(!fs::is_symlink(link));
  CHECK(content(path) == target);
}

TEST_CASE("tensors asked for wrongly are named") {
  const ScratchDirectory scratch;
  const std::filesystem::path path = scratch / "m.safetensors";
  lorma::write_safetensors(path,
                           {TensorSource::copy("m", Matrix<float>::Zero(2, 3)),
                            TensorSource::copy("v", Eigen::VectorXf::Zero(2)),
                            TensorSource::copy("i", Matrix<std::int32_t>::Zero(1, 1)),
                            TensorSource::bytes("huge", Dtype::F32, {0, ~std::uint64_t{0}}, {}),
                            TensorSource::bytes("wide", Dtype::F32, {0, 1ull << 62}, {})});
  const SafetensorsFile file(path);
  const auto message = [](const auto& action) -> std::string {
    try {
      action();
    } catch (const lorma::FormatError& error) {
      return error.what();
    }
    return "no error";
  };
  const auto holds = [](const std::string& text, const std::string& part) {
    CAPTURE(text);
    CHECK(text.find(part) != std::string::npos);
  };
  CHECK(file.contains("m"));
  CHECK(!file.contains("M"));
  CHECK(!file.contains("zz"));
  CHECK(!file.contains(""));
  holds(message([&] { file.tensor("none"); }), "m.safetensors', tensor 'none': expected a tensor");
  holds(message([&] { file.matrix<float>("none"); }), "tensor 'none'");
  holds(message([&] { file.matrix<float>("v"); }),
        "tensor 'v': expected a 2-D tensor, got shape [2]");
  holds(message([&] { file.vector<float>("m"); }), "expected a 1-D tensor, got shape [2, 3]");
  holds(message([&] { file.matrix<float>("i"); }), "expected type F64, F32, F16 or BF16, got I32");
  holds(message([&] { file.matrix_view<double>("m"); }), "expected type F64, got F32");
  holds(message([&] { file.matrix<float>("huge"); }), "expected extents that an Index holds");
  CHECK(file.matrix<float>("wide").size() == 0);  // and ends soon
}

TEST_CASE("the golden files are read") {
  int files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(data_dir / "golden")) {
    CAPTURE(entry.path().filename().string());
    const SafetensorsFile file(entry.path());
    const Matrix<double> W0 = file.matrix<double>("W0");
    const Matrix<double> x = file.matrix<double>("x");
    CHECK(W0.allFinite());
    CHECK(file.vector<double>("bias").size() == W0.rows());
    CHECK(x.cols() == W0.cols());
    CHECK(file.metadata().at("rank") == std::to_string(file.matrix<double>("A").rows()));
    CHECK(file.metadata().at("batch") == std::to_string(x.rows()));
    ++files;
  }
  CHECK(files == 18);
}
