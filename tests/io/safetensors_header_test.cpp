// SPDX-License-Identifier: Apache-2.0
// Every rule of the safetensors format, by the verdict on files that keep or break it.
#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "safetensors_support.hpp"

using lorma_tests::content;
using lorma_tests::file_of;
using lorma_tests::verdict;

namespace {

const std::filesystem::path data_dir = LORMA_TEST_DATA_DIR;

bool holds(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

/// One tensor "a", F32 of shape [2] on 8 bytes, with one field replaced.
std::string tensor_a(const std::string& dtype = R"("F32")", const std::string& shape = "[2]",
                     const std::string& offsets = "[0,8]") {
  return R"({"a":{"dtype":)" + dtype + R"(,"shape":)" + shape + R"(,"data_offsets":)" + offsets +
         "}}";
}

std::string nested(std::size_t levels) {
  return R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8],"z":)" + std::string(levels, '[') +
         std::string(levels, ']') + "}}";
}

}  // namespace

TEST_CASE("every file of the collection gets its verdict") {
  std::ifstream table(data_dir / "safetensors-cases" / "verdicts.tsv");
  std::string line;
  REQUIRE(static_cast<bool>(std::getline(table, line)));
  REQUIRE(line == "file\treference_implementation\twanted_here");
  int files = 0;
  while (std::getline(table, line)) {
    std::istringstream row(line);
    std::string file, reference, wanted;
    REQUIRE(static_cast<bool>(row >> file >> reference >> wanted));
    CAPTURE(file);
    const std::filesystem::path path = data_dir / "safetensors-cases" / file;
    REQUIRE(std::filesystem::exists(path));
    std::string got = "accept";
    try {
      const lorma::SafetensorsFile opened(path);
    } catch (const lorma::FormatError& error) {
      got = "reject";
      CHECK(holds(error.what(), file));
    }
    if (wanted != "either") CHECK(got == wanted);
    ++files;
  }
  CHECK(files == 47);
}

TEST_CASE("a broken rule is named, with file and tensor") {
  struct Case {
    std::string header;
    std::size_t data;
    std::string says;
  };
  const std::string a = "file 'memory', tensor 'a': ";
  const std::vector<Case> cases = {
      // The JSON.
      {"", 0, "begins with '{'"},
      {" {}", 0, "begins with '{'"},
      {"[]", 0, "begins with '{'"},
      {"\xEF\xBB\xBF{}", 0, "begins with '{'"},
      {"{", 0, "JSON"},
      {"{}}", 0, "JSON"},
      {"{}{}", 0, "JSON"},
      {"{} x", 0, "JSON"},
      {std::string("{}\0", 3), 0, "NUL"},
      {std::string("{\0}", 3), 0, "NUL"},
      {tensor_a(R"('F32')"), 8, "JSON"},
      {tensor_a("NaN"), 8, "JSON"},
      {"{\"a\xC3\":{}}", 0, "UTF-8"},
      {"{\"\xED\xA0\x80\":{}}", 0, "UTF-8"},
      {"{\"\xC0\x80\":{}}", 0, "UTF-8"},
      {R"({"\udc00":{}})", 0, "surrogate"},
      {R"({"\ud800\ud800":{}})", 0, "surrogate"},
      {R"({"__metadata__":{"x":"\ud800"}})", 0, "surrogate"},
      {"{\"a\n\":{}}", 0, "control character"},
      {tensor_a(R"("F32")", "[1e999]"), 8, "JSON"},
      {nested(126), 8, "127 levels"},
      {nested(100000), 8, "127 levels"},
      // The tensors.
      {R"({"a":5})", 0, a + "expected an object, got an integer"},
      {R"({"a":["F32",[2],[0,8]]})", 8, a + "expected an object, got an array"},
      {R"({"a":{}})", 0, a + "field 'dtype' is missing"},
      {R"({"a":{"dtype":"F32","data_offsets":[0,8]}})", 8, a + "field 'shape' is missing"},
      {R"({"a":{"dtype":"F32","shape":[2]}})", 8, a + "field 'data_offsets' is missing"},
      {tensor_a("32"), 8, a + "expected 'dtype' to be a string"},
      {tensor_a("null"), 8, a + "expected 'dtype' to be a string"},
      {tensor_a(R"("f32")"), 8, a + "expected a 'dtype' of the format, got 'f32'"},
      {tensor_a(R"("F32 ")"), 8, "of the format"},
      {tensor_a(R"("F32")", "2"), 8, a + "expected 'shape' to be an array"},
      {tensor_a(R"("F32")", R"({"0":2})"), 8, a + "expected 'shape'"},
      {tensor_a(R"("F32")", "[[2]]"), 8, a + "expected 'shape'"},
      {tensor_a(R"("F32")", "[2.0]"), 8, a + "expected 'shape'"},
      {tensor_a(R"("F32")", "[2e0]"), 8, a + "expected 'shape'"},
      {tensor_a(R"("F32")", "[-2]"), 8, a + "expected 'shape'"},
      {tensor_a(R"("F32")", "[-0]", "[0,0]"), 0, a + "expected 'shape'"},
      {tensor_a(R"("F32")", "[true]"), 8, a + "expected 'shape'"},
      {tensor_a(R"("F32")", "[18446744073709551618]"), 8, "beyond 64 bits"},
      {tensor_a(R"("F32")", "[2]", "8"), 8, a + "expected 'data_offsets'"},
      {tensor_a(R"("F32")", "[2]", "[]"), 8,
       a + "expected 'data_offsets' to have two items, got 0"},
      {tensor_a(R"("F32")", "[2]", "[0,null]"), 8, a + "expected 'data_offsets'"},
      {tensor_a(R"("F32")", "[2]", R"([0,"8"])"), 8, a + "expected 'data_offsets'"},
      {tensor_a(R"("F32")", "[2]", "[0,8,16]"), 8, a + "'data_offsets' has a third item"},
      // Names twice.
      {R"({"a":{"dtype":"F32","shape":[0],"data_offsets":[0,0]},)"
       R"("\u0061":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}})",
       0, a + "name 'a' stands twice"},
      {R"({"__metadata__":{},"__metadata__":{}})", 0, "name '__metadata__' stands twice"},
      {R"({"__metadata__":{},"__metadat\u0061__":{}})", 0, "name '__metadata__' stands twice"},
      {R"({"__metadata__":{"x":"1","\u0078":"1"}})", 0, "metadata name 'x' stands twice"},
      {R"({"a":{"dtype":"F32","shape":[2],"shap\u0065":[2],"data_offsets":[0,8]}})", 8,
       a + "field 'shape' stands twice"},
      {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8],"z":[{"y":1,"y":1}]}})", 8,
       a + "field 'y' stands twice"},
      // The metadata.
      {R"({"__metadata__":"x"})", 0, "expected '__metadata__' to be an object of strings"},
      {R"({"__metadata__":[]})", 0, "expected '__metadata__' to be an object of strings"},
      {R"({"__metadata__":{"x":null}})", 0, "expected metadata entry 'x' to be a string"},
      {R"({"__metadata__":{"x":["1"]}})", 0, "expected metadata entry 'x' to be a string"},
      // Sizes and places.
      {tensor_a(R"("F32")", "[3]"), 8, a + "expected 12 bytes for F32 of shape [3], got 8"},
      {tensor_a(R"("F32")", "[]"), 8, a + "expected 4 bytes"},
      {tensor_a(R"("F6_E2M3")", "[3]", "[0,3]"), 3, a + "expected whole bytes"},
      {tensor_a(R"("F64")", "[2305843009213693952]", "[0,0]"), 0, a + "expected a size below 2^64"},
      {tensor_a(R"("U8")", "[4294967296,4294967296,0]", "[0,0]"), 0,
       a + "expected a size below 2^64"},
      {tensor_a(R"("F32")", "[4611686018427387906]"), 8, a + "expected a size below 2^64"},
      {tensor_a(R"("F32")", "[2]", "[8,0]"), 8, a + "expected 'data_offsets' with begin <= end"},
      {tensor_a(R"("F32")", "[2]", "[18446744073709551608,18446744073709551615]"), 8,
       a + "expected 'data_offsets' within the 8 bytes"},
      {tensor_a(R"("F32")", "[2]", "[4,12]"), 12, a + "expected 'data_offsets' without holes"},
      {tensor_a(R"("F32")", "[2]", "[0,8]"), 9, "cover the 9 bytes of data, got 8"},
      {"{}", 1, "cover the 1 bytes of data, got 0"},
      {R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},)"
       R"("b":{"dtype":"U8","shape":[4],"data_offsets":[3,7]}})",
       7, "tensor 'b': expected 'data_offsets' without overlap"},
  };
  for (const Case& c : cases) {
    CAPTURE(c.header.substr(0, 200));
    const std::string got = verdict(file_of(c.header, c.data));
    CAPTURE(got);
    CHECK(holds(got, "lorma::SafetensorsFile: file 'memory'"));
    CHECK(holds(got, c.says));
  }
}

TEST_CASE("what the format leaves open or allows is read") {
  const std::vector<std::pair<std::string, std::size_t>> cases = {
      {"{}", 0},
      {"{ \t\r\n}\n\t  ", 0},
      {R"({"__metadata__":{}})", 0},
      {R"({"__metadata__":{"":""}})", 0},
      {tensor_a(R"("F32")", "[]", "[0,4]"), 4},
      {tensor_a(R"("F32")", "[ 2 , 1 ]"), 8},
      {tensor_a(R"("C64")", "[1]"), 8},
      {tensor_a(R"("F6_E3M2")", "[4]", "[0,3]"), 3},
      {tensor_a(R"("F4")", "[3,2]", "[0,3]"), 3},
      {tensor_a(R"("F32")", "[0,18446744073709551615]", "[0,0]"), 0},
      {nested(125), 8},
      {R"({"a":{"z":null,"data_offsets":[0,8],"y":{"x":[-1,2.5,"s",true]},"shape":[2],"dtype":"F32"}})",
       8},
      {R"({"\ud83d\ude00\u0000":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})", 1},
  };
  for (const auto& c : cases) {
    CAPTURE(c.first);
    CHECK(verdict(file_of(c.first, c.second)) == "accepted");
  }
}

TEST_CASE("tensors come in the order of their data, with their bytes") {
  const std::string file = file_of(
      R"({"b":{"dtype":"U8","shape":[2],"data_offsets":[3,5]},)"
      R"("e":{"dtype":"F64","shape":[0,7],"data_offsets":[3,3]},"__metadata__":{"k":"\u00fc\n"},)"
      R"("a":{"dtype":"BOOL","shape":[3],"data_offsets":[0,3]}})",
      5);
  const lorma::SafetensorsFile opened = lorma_tests::open_bytes(file);
  REQUIRE(opened.tensors().size() == 3);
  CHECK(opened.tensors()[0].name == "a");
  CHECK(opened.tensors()[1].name == "e");
  CHECK(opened.tensors()[2].name == "b");
  const lorma::StoredTensor& b = opened.tensor("b");
  CHECK(b.dtype == lorma::Dtype::U8);
  CHECK(b.shape == std::vector<std::uint64_t>{2});
  REQUIRE(b.bytes.size() == 2);
  CHECK(b.bytes[0] == std::byte{3});
  CHECK(b.bytes[1] == std::byte{4});
  CHECK(opened.tensor("e").bytes.empty());
  CHECK(opened.metadata() == std::map<std::string, std::string>{{"k", "\u00fc\n"}});
}

TEST_CASE("the length of the header is bounded by the file and by 100,000,000") {
  const auto with_length = [](std::uint64_t length, std::size_t rest) {
    std::string file(8 + rest, ' ');
    std::memcpy(file.data(), &length, sizeof length);
    if (rest >= 2) file.replace(8, 2, "{}");
    return file;
  };
  CHECK(holds(verdict(""), "at least 8 bytes, got 0"));
  CHECK(holds(verdict("1234567"), "at least 8 bytes, got 7"));
  CHECK(holds(verdict(with_length(0, 0)), "begins with '{'"));
  CHECK(verdict(with_length(2, 2)) == "accepted");
  CHECK(holds(verdict(with_length(3, 2)), "within the 10 bytes"));
  CHECK(holds(verdict(with_length(~std::uint64_t{0}, 2)), "at most 100000000"));
  CHECK(holds(verdict(with_length(~std::uint64_t{7}, 2)), "at most 100000000"));
  CHECK(holds(verdict(with_length(100'000'001, 100'000'001)), "at most 100000000"));
  CHECK(verdict(with_length(100'000'000, 100'000'000)) == "accepted");
}

TEST_CASE("a file that is none is told what it is") {
  struct Case {
    std::string file;
    std::string says;
  };
  const std::vector<Case> cases = {
      {"", "this is an empty file"},
      {"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", "Git LFS"},
      {"<!DOCTYPE html>\n<html>", "an HTML page"},
      {"\xEF\xBB\xBF \n<HTML><head>", "an HTML page"},
      {std::string("PK\3\4\0\0\x08\x08\0\0", 10), "a zip archive"},
      {"\x80\2}q\0X\1\0\0", "a Python pickle"},
      {std::string("\x80\2\x8a\nl\xfc\x9c\x46\xf9 j", 11), "a Python pickle"},
      {std::string("GGUF\3\0\0\0\x10", 9), "a GGUF file"},
      {R"({"error": "not found"})", "JSON"},
      {"not much", "expected a header of at most"},
  };
  for (const Case& c : cases) {
    CAPTURE(c.says);
    CHECK(holds(verdict(c.file), c.says));
  }
  // What may be the length of a header is taken for one.
  CHECK(!holds(verdict(file_of(std::string(640, 'x'), 0)), "pickle"));
  const std::string whole = content(data_dir / "safetensors-cases" / "ok.safetensors");
  CHECK(holds(verdict(whole.substr(0, whole.size() - 1)), "a file cut short?"));
  CHECK(holds(verdict(whole.substr(0, 20)), "a file cut short?"));
}

TEST_CASE("a file cut off anywhere, or with any one byte changed, never does harm") {
  const std::string whole = content(data_dir / "safetensors-cases" / "0-size_amid.safetensors");
  REQUIRE(verdict(whole) == "accepted");
  for (std::size_t size = 0; size < whole.size(); ++size) {
    // A block of its own, so that a read beyond it is seen by the sanitizers.
    const std::vector<char> cut(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size));
    CAPTURE(size);
    CHECK(verdict({cut.data(), cut.size()}) != "accepted");
  }
  for (std::size_t i = 0; i < whole.size(); ++i) {
    for (int value = 0; value < 256; ++value) {
      std::string changed = whole;
      changed[i] = static_cast<char>(value);
      verdict(changed);  // returns or throws FormatError
    }
  }
}

TEST_CASE("names from a file cannot drive a terminal or fill a log") {
  const std::string long_name(100000, 'x');
  const std::string hostile = file_of(
      R"({"\u001b[2J\u0007\u202e'\\ü)" + long_name + R"(":{"dtype":"F32","shape":[2]}})", 0);
  const std::string message = verdict(hostile);
  CHECK(holds(message, R"(tensor '\x1b[2J\x07\xe2\x80\xae\'\\ü)"));
  CHECK(holds(message, "field 'data_offsets' is missing"));
  CHECK(message.size() < 500);
  for (const std::string& header :
       {R"({"a":{"dtype":")" + long_name + "\"}}", "{\"__metadata__\":{\"" + long_name + "\":1}}",
        "{\"" + long_name + "\":1,\"" + long_name + "\":1}", "{\"" + long_name,
        "{\"a\":{\"" + long_name + "\":1,\"" + long_name + "\":1}}"}) {
    CHECK(verdict(file_of(header, 0)).size() < 700);
  }
  for (const char c : verdict(file_of("{\"\x1b[31m", 0)))
    CHECK(static_cast<unsigned char>(c) >= 32);
}

TEST_CASE("the types of the format and their sizes") {
  using lorma::Dtype;
  for (int i = 0; i < 22; ++i) {
    const auto dtype = static_cast<Dtype>(i);
    const std::string name(lorma::dtype_name(dtype));
    CAPTURE(name);
    CHECK(lorma::parse_dtype(name) == dtype);
    const unsigned bits = lorma::dtype_bits(dtype);
    const std::string file =
        file_of(tensor_a('"' + name + '"', "[8]", "[0," + std::to_string(bits) + "]"), bits);
    CHECK(verdict(file) == "accepted");
  }
  CHECK(!lorma::parse_dtype(""));
  CHECK(!lorma::parse_dtype("F8"));
  static_assert(lorma::dtype_of<double> == Dtype::F64 && lorma::dtype_of<float> == Dtype::F32);
  static_assert(lorma::dtype_of<Eigen::half> == Dtype::F16);
  static_assert(lorma::dtype_of<Eigen::bfloat16> == Dtype::BF16);
  static_assert(lorma::dtype_of<std::complex<float>> == Dtype::C64);
  static_assert(lorma::dtype_of<std::uint8_t> == Dtype::U8);
  static_assert(lorma::dtype_of<long long> == Dtype::I64);
  static_assert(!lorma::DtypeScalar<bool> && !lorma::DtypeScalar<long double>);
}
