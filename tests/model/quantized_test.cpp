// SPDX-License-Identifier: Apache-2.0
// Quantized bases: named, and read as what their codes stand for where that is known.

#include <lorma/model/quantized.hpp>

#include "support.hpp"

using namespace lorma_tests;

namespace {

std::string refusal(const fs::path& base, const fs::path& adapter, const fs::path& out,
                    bool dequantize = false) {
  lorma::model::MergeOptions options;
  options.base = base;
  options.adapters = {{adapter}};
  options.out = out;
  options.dequantize = dequantize;
  try {
    lorma::model::merge(options);
  } catch (const lorma::Error& error) {
    return error.what();
  }
  return "nothing was refused";
}

bool says(const std::string& text, std::string_view part) {
  return text.find(part) != std::string::npos;
}

/// LoRA of rank 1 of the matrix `q`, d x k.
void write_lora(const fs::path& directory, Index d, Index k) {
  lorma::PeftLora lora;
  lora.layers = {{"q", random_matrix<float>(d, 1, 1), random_matrix<float>(1, k, 2), 1.0, 1.0}};
  lorma::write_peft_lora(directory, lora);
}

Matrix<double> change_of(const fs::path& directory) {
  const lorma::PeftLora lora = lorma::read_peft_lora(directory);
  return lora.layers[0].B.cast<double>() * lora.layers[0].A.cast<double>();
}

void merge_dequantized(const fs::path& base, const fs::path& adapter, const fs::path& out) {
  lorma::model::MergeOptions options;
  options.base = base;
  options.adapters = {{adapter}};
  options.out = out;
  options.dequantize = true;
  lorma::model::merge(options);
}

}  // namespace

TEST_CASE("numbers of FP8, by their definition") {
  using lorma::Dtype;
  using lorma::model::number_of_fp8;
  CHECK(number_of_fp8(Dtype::F8_E4M3, 0x38) == 1.0F);
  CHECK(number_of_fp8(Dtype::F8_E4M3, 0xB9) == -1.125F);
  CHECK(number_of_fp8(Dtype::F8_E4M3, 0x7E) == 448.0F);
  CHECK(number_of_fp8(Dtype::F8_E4M3, 0x01) == 0x1p-9F);
  CHECK(number_of_fp8(Dtype::F8_E4M3, 0x08) == 0x1p-6F);
  CHECK(std::isnan(number_of_fp8(Dtype::F8_E4M3, 0x7F)));
  CHECK(std::isnan(number_of_fp8(Dtype::F8_E4M3, 0xFF)));
  CHECK(number_of_fp8(Dtype::F8_E5M2, 0x3C) == 1.0F);
  CHECK(number_of_fp8(Dtype::F8_E5M2, 0xBE) == -1.5F);
  CHECK(number_of_fp8(Dtype::F8_E5M2, 0x7B) == 57344.0F);
  CHECK(number_of_fp8(Dtype::F8_E5M2, 0x01) == 0x1p-16F);
  CHECK(std::isinf(number_of_fp8(Dtype::F8_E5M2, 0x7C)));
}

TEST_CASE("FP8 with the scale of the tensor, of rows and of blocks") {
  const ScratchDirectory directory;
  const Index d = 6, k = 10;
  write_lora(directory / "lora", d, k);
  std::vector<std::byte> codes;
  for (Index i = 0; i < d * k; ++i) codes.push_back(static_cast<std::byte>(i * 37 % 0x78));
  const auto check = [&](const std::string& suffix, const Matrix<float>& scales,
                         std::vector<std::uint64_t> shape, Index rows, Index cols) {
    fs::remove_all(directory / "base");
    fs::create_directory(directory / "base");
    TensorSource scale =
        TensorSource::copy("q.weight" + suffix, lorma::RowMajorMatrix<float>(scales));
    scale.shape = std::move(shape);
    const Matrix<float> plain = weight<float>(2, 2, 1);
    const Matrix<float> one = Matrix<float>::Ones(1, 1);
    lorma::write_safetensors(
        directory / "base" / "model.safetensors",
        {TensorSource::bytes("q.weight", lorma::Dtype::F8_E4M3, {6, 10}, codes),
         TensorSource::bytes("k.weight", lorma::Dtype::F8_E4M3, {6, 10}, codes), scale,
         [&] {
           TensorSource other = scale;
           other.name = "k.weight" + suffix;
           return other;
         }(),
         TensorSource::copy("q.input_scale", one), TensorSource::copy("norm.weight", plain)});
    put(directory / "base" / "config.json",
        R"({"torch_dtype": "float32", "quantization_config": {"quant_method": "fp8",)"
        R"("weight_block_size": [4, 4]}})");
    CHECK(
        says(refusal(directory / "base", directory / "lora", directory / "x"), "quantized (fp8)"));
    CHECK(says(refusal(directory / "base", directory / "lora", directory / "x"), "--dequantize"));
    fs::remove_all(directory / "out");
    merge_dequantized(directory / "base", directory / "lora", directory / "out");
    Matrix<double> want(d, k);
    for (Index i = 0; i < d; ++i) {
      for (Index j = 0; j < k; ++j) {
        const auto code = std::to_integer<std::uint8_t>(codes[static_cast<std::size_t>(i * k + j)]);
        want(i, j) = static_cast<double>(lorma::model::number_of_fp8(lorma::Dtype::F8_E4M3, code)) *
                     static_cast<double>(scales(i / rows, j / cols));
      }
    }
    const lorma::SafetensorsFile out(directory / "out" / "model.safetensors");
    CHECK(out.tensors().size() == 3);
    CHECK(distance(out.matrix<double>("k.weight"), want) <= 0x1p-23 * norm(want));
    want += change_of(directory / "lora");
    CHECK(distance(out.matrix<double>("q.weight"), want) <= 4.0 * 0x1p-23 * norm(want));
    CHECK(out.matrix<float>("norm.weight") == plain);
    CHECK_FALSE(says(content(directory / "out" / "config.json"), "quantization_config"));
  };
  check("_scale_inv", weight<float>(2, 3, 3), {2, 3}, 4, 4);
  check("_scale", weight<float>(1, 1, 3), {}, d, k);
  check("_scale", weight<float>(1, 1, 3), {1}, d, k);
  check("_scale", weight<float>(6, 1, 3), {6, 1}, 1, k);
  check("_scale", weight<float>(6, 1, 3), {6}, 1, k);
}

TEST_CASE("bitsandbytes' four bits, plain and nested") {
  const ScratchDirectory directory;
  const Index d = 5, k = 7;  // 35 elements, 18 bytes, blocks of 8
  write_lora(directory / "lora", d, k);
  std::vector<std::byte> codes;
  for (int i = 0; i < 18; ++i) codes.push_back(static_cast<std::byte>(i * 53));
  const Eigen::VectorXf table = Eigen::VectorXf::LinSpaced(16, -1.0F, 1.0F);
  const Eigen::VectorXf absmax = Eigen::VectorXf::LinSpaced(5, 0.5F, 2.5F);
  const Eigen::VectorXf nested_table = Eigen::VectorXf::LinSpaced(256, -1.0F, 1.0F);
  const Eigen::VectorXf nested_absmax = Eigen::VectorXf::LinSpaced(2, 1.0F, 2.0F);
  const std::vector<std::byte> small = {std::byte{255}, std::byte{0}, std::byte{200}, std::byte{7},
                                        std::byte{128}};
  for (const bool nested : {false, true}) {
    CAPTURE(nested);
    std::string state =
        R"({"quant_type": "nf4", "blocksize": 8, "dtype": "float32", "shape": [5, 7])";
    if (nested)
      state += R"(, "nested_blocksize": 3, "nested_dtype": "float32", "nested_offset": 0.25)";
    state += '}';
    std::vector<TensorSource> tensors = {
        TensorSource::bytes("q.weight", lorma::Dtype::U8, {18, 1}, codes),
        TensorSource::copy("q.weight.quant_map", table),
        TensorSource::bytes("q.weight.quant_state.bitsandbytes__nf4", lorma::Dtype::U8,
                            {state.size()}, std::as_bytes(std::span(state)))};
    if (nested) {
      tensors.push_back(TensorSource::bytes("q.weight.absmax", lorma::Dtype::U8, {5}, small));
      tensors.push_back(TensorSource::copy("q.weight.nested_quant_map", nested_table));
      tensors.push_back(TensorSource::copy("q.weight.nested_absmax", nested_absmax));
    } else {
      tensors.push_back(TensorSource::copy("q.weight.absmax", absmax));
    }
    lorma::write_safetensors(directory / "base.safetensors", tensors);
    CHECK(says(refusal(directory / "base.safetensors", directory / "lora", directory / "x"),
               "quantized (bitsandbytes 4-bit)"));
    fs::remove(directory / "out.safetensors");
    merge_dequantized(directory / "base.safetensors", directory / "lora",
                      directory / "out.safetensors");
    Matrix<double> want(d, k);
    for (Index i = 0; i < d * k; ++i) {
      const auto byte = std::to_integer<unsigned>(codes[static_cast<std::size_t>(i / 2)]);
      const unsigned code = i % 2 == 0 ? byte >> 4 : byte & 15U;  // the first in the upper half
      const auto block = static_cast<std::size_t>(i / 8);
      const double scale =
          nested ? 0.25 + static_cast<double>(nested_table(std::to_integer<Index>(small[block]))) *
                              static_cast<double>(nested_absmax(static_cast<Index>(block / 3)))
                 : static_cast<double>(absmax(static_cast<Index>(block)));
      want(i / k, i % k) = static_cast<double>(table(static_cast<Index>(code))) * scale;
    }
    want += change_of(directory / "lora");
    const lorma::SafetensorsFile out(directory / "out.safetensors");
    CHECK(out.tensors().size() == 1);
    CHECK(out.tensor("q.weight").dtype == lorma::Dtype::F32);
    CHECK(distance(out.matrix<double>("q.weight"), want) <= 8.0 * 0x1p-23 * norm(want));
  }
}

TEST_CASE("a shard without codes does not hide those of a later one") {
  const ScratchDirectory directory;
  const fs::path base = directory / "base";
  fs::create_directory(base);
  write_lora(directory / "lora", 4, 4);
  const std::vector<std::byte> codes(16, std::byte{0x38});  // 1
  const Matrix<float> plain = weight<float>(2, 2, 1), scale = Matrix<float>::Constant(1, 1, 3.0F);
  lorma::write_safetensors(base / "model-1.safetensors",
                           {TensorSource::copy("norm.weight", plain)});
  lorma::write_safetensors(base / "model-2.safetensors",
                           {TensorSource::bytes("q.weight", lorma::Dtype::F8_E4M3, {4, 4}, codes),
                            TensorSource::copy("q.weight_scale", scale)});
  put(base / "model.safetensors.index.json",
      R"({"weight_map": {"norm.weight": "model-1.safetensors", "q.weight": "model-2.safetensors",)"
      R"("q.weight_scale": "model-2.safetensors"}})");
  put(base / "config.json",
      R"({"torch_dtype": "float32", "quantization_config": {"quant_method": "fp8"}})");
  merge_dequantized(base, directory / "lora", directory / "out");
  const Matrix<double> want = Matrix<double>::Constant(4, 4, 3.0) + change_of(directory / "lora");
  CHECK(distance(matrix(directory / "out" / "model-2.safetensors", "q.weight"), want) <=
        4.0 * 0x1p-23 * norm(want));
  // Where no shard has codes that are known, the configuration's word for them is in the refusal.
  lorma::write_safetensors(
      base / "model-2.safetensors",
      {TensorSource::copy("q.weight", plain), TensorSource::copy("q.weight_scale", scale)});
  const std::string message = refusal(base, directory / "lora", directory / "x", true);
  CHECK_MESSAGE(says(message, "(fp8)"), message);
  CHECK_MESSAGE(says(message, "its codes are not recognized"), message);
}

TEST_CASE("a configuration that cannot be rewritten is refused before anything is written") {
  const ScratchDirectory directory;
  const fs::path base = directory / "base";
  fs::create_directory(base);
  write_lora(directory / "lora", 4, 4);
  const std::vector<std::byte> codes(16, std::byte{0x38});
  lorma::write_safetensors(
      base / "model.safetensors",
      {TensorSource::bytes("q.weight", lorma::Dtype::F8_E4M3, {4, 4}, codes),
       TensorSource::copy("q.weight_scale", Matrix<float>(Matrix<float>::Ones(1, 1)))});
  lorma::model::MergeOptions options;
  options.base = base;
  options.adapters = {{directory / "lora"}};
  options.out = directory / "out";
  options.dequantize = true;
  options.dry_run = true;
  CHECK_NOTHROW(lorma::model::merge(options));
  for (const char* config : {"{", "[1]", "null", "\"\xff\""}) {
    CAPTURE(config);
    put(base / "config.json", config);
    CHECK_THROWS_WITH_AS(lorma::model::merge(options),
                         doctest::Contains("config.json': expected a JSON object"),
                         lorma::FormatError);
  }
}

TEST_CASE("what cannot be read is named, and the way out") {
  const ScratchDirectory directory;
  const fs::path report = fs::path(LORMA_TEST_DATA_DIR) / "reports" / "gptq-base-message";
  for (const bool dequantize : {false, true}) {
    const std::string message =
        refusal(report / "base", report / "adapter", directory / "out", dequantize);
    CHECK_MESSAGE(says(message, "quantized (gptq)"), message);
    CHECK_MESSAGE(says(message, "the model that it was made from"), message);
    CHECK_FALSE(says(message, "or --dequantize"));
  }
  // A state that lies about its size, and a base that is not quantized.
  write_lora(directory / "lora", 4, 4);
  const std::string state =
      R"({"quant_type": "nf4", "blocksize": 64, "dtype": "float16", "shape": [400, 400]})";
  const std::vector<std::byte> codes(8);
  const Eigen::VectorXf table = Eigen::VectorXf::Ones(16), absmax = Eigen::VectorXf::Ones(1);
  lorma::write_safetensors(
      directory / "base.safetensors",
      {TensorSource::bytes("q.weight", lorma::Dtype::U8, {8, 1}, codes),
       TensorSource::copy("q.weight.quant_map", table),
       TensorSource::copy("q.weight.absmax", absmax),
       TensorSource::bytes("q.weight.quant_state.bitsandbytes__nf4", lorma::Dtype::U8,
                           {state.size()}, std::as_bytes(std::span(state)))});
  CHECK(says(refusal(directory / "base.safetensors", directory / "lora", directory / "x", true),
             "two codes a byte"));
  lorma::write_safetensors(directory / "plain.safetensors",
                           {TensorSource::copy("q.weight", weight<float>(4, 4, 1))});
  CHECK(says(refusal(directory / "plain.safetensors", directory / "lora", directory / "x", true),
             "got one that is not"));
}
