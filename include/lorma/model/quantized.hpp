// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_MODEL_QUANTIZED_HPP
#define LORMA_MODEL_QUANTIZED_HPP

/// Quantized checkpoints: recognized by their configuration and their tensors, and, where each code
/// is a number of an 8-bit type or of a table, times a scale, read as the weights that they stand
/// for.
///
///   FP8           X.weight of F8_E4M3 or F8_E5M2, times X.weight_scale_inv or X.weight_scale: one
///                 for the tensor, each row or each block
///   bitsandbytes  X.weight of two codes a byte, which X.weight.quant_map turns into numbers, times
///                 X.weight.absmax: one for each block of elements, and perhaps itself quantized
///                 (nested)
///
/// Sources: the files of DeepSeek-V3 and of compressed-tensors; bitsandbytes 0.49, functional.py
/// (QuantState, dequantize_4bit).

#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "lorma/io/json_file.hpp"
#include "lorma/io/safetensors_reader.hpp"
#include "lorma/model/compiled.hpp"
#include "lorma/model/stored_weight.hpp"
#include "lorma/model/weight_form.hpp"

namespace lorma::inline LORMA_ABI::model {

/// A weight in codes.
struct QuantizedWeight {
  const SafetensorsFile* file = nullptr;
  const StoredTensor* codes = nullptr;
  StoredTensor weight;  ///< what the codes stand for: name, type and shape, no bytes
  /// Of FP8: the scales, one for each `block` of rows and columns.
  const StoredTensor* scales = nullptr;
  std::array<Index, 2> block = {1, 1};
  /// Of bitsandbytes: 16 numbers, and the scale of each `blocksize` elements.
  std::vector<float> table, absmax;
  Index blocksize = 0;
};

/// The number that a code of F8_E4M3 (no infinities) or F8_E5M2 stands for.
inline float number_of_fp8(Dtype type, std::uint8_t code) {
  if (type == Dtype::F8_E5M2) {
    return static_cast<float>(std::bit_cast<Eigen::half>(static_cast<std::uint16_t>(code << 8)));
  }
  const int exponent = (code >> 3) & 15;
  const int mantissa = code & 7;
  if (exponent == 15 && mantissa == 7) return std::numeric_limits<float>::quiet_NaN();
  const float size = exponent == 0 ? std::ldexp(static_cast<float>(mantissa), -9)
                                   : std::ldexp(static_cast<float>(8 + mantissa), exponent - 10);
  return (code & 128) != 0 ? -size : size;
}

/// W becomes the weight, each number computed in float. Throws FormatError.
template <ComputeScalar S>
void dequantize(const QuantizedWeight& weight, RowMajorMatrix<S>& W) {
  const auto rows = static_cast<Index>(weight.weight.shape[0]);
  const auto cols = static_cast<Index>(weight.weight.shape[1]);
  W.resize(rows, cols);
  const auto* codes = reinterpret_cast<const std::uint8_t*>(weight.codes->bytes.data());
  weight.file->prefetch(weight.codes->bytes);
  if (weight.table.empty()) {
    std::array<float, 256> numbers{};
    for (std::size_t i = 0; i < 256; ++i) {
      numbers[i] = number_of_fp8(weight.codes->dtype, static_cast<std::uint8_t>(i));
    }
    const MatrixStack size = flat(weight.scales->shape);
    const Matrix<float> scales =
        weight.file->matrix<float>(weight.scales->name, size.rows, size.cols);
    for (Index i = 0; i < rows; ++i) {
      for (Index j = 0; j < cols; ++j) {
        W(i, j) = static_cast<S>(numbers[codes[i * cols + j]] *
                                 scales(i / weight.block[0], j / weight.block[1]));
      }
    }
  } else {
    for (Index i = 0; i < W.size(); ++i) {
      const int code = i % 2 == 0 ? codes[i / 2] >> 4 : codes[i / 2] & 15;
      W.data()[i] = static_cast<S>(weight.table[static_cast<std::size_t>(code)] *
                                   weight.absmax[static_cast<std::size_t>(i / weight.blocksize)]);
    }
  }
  weight.file->forget(weight.codes->bytes);
}

/// What of a checkpoint's tensors is quantized, and how.
class Quantization {
 public:
  /// "gptq", "fp8", "bitsandbytes 4-bit", ...; empty: nothing is.
  const std::string& method() const { return method_; }
  /// Whether all that is quantized can be read.
  bool is_readable() const { return !method_.empty() && problems_.empty(); }
  /// Why not.
  const std::vector<std::string>& problems() const { return problems_; }
  const std::map<std::string, QuantizedWeight, std::less<>>& weights() const { return weights_; }
  /// Whether a tensor is a part of a quantized weight, other than its codes.
  bool is_part(std::string_view name) const { return parts_.contains(name); }

  /// Looks at the files of a checkpoint, which must outlive this object; all parts of a weight must
  /// be in one of them. `config` is the model's config.json, or an empty object.
  void look_at(const std::vector<std::unique_ptr<SafetensorsFile>>& files,
               const nlohmann::json& config);

 private:
  /// What the configuration says of quantized weights.
  struct Settings {
    nlohmann::json quantization;  ///< quantization_config, or an empty object
    std::string method;           ///< its quant_method; empty: none
    Dtype type = Dtype::BF16;     ///< of the weights before they were quantized
  };

  /// The name without the suffix; nothing where it does not end in it.
  static std::optional<std::string_view> stem(std::string_view name, std::string_view suffix) {
    if (!name.ends_with(suffix)) return std::nullopt;
    return name.substr(0, name.size() - suffix.size());
  }

  void complain(const std::string& tensor, const std::string& what) {
    problems_.push_back(lorma::detail::in_quotes(tensor) + ": " + what);
  }

  void look_at(const SafetensorsFile& file, const Settings& settings);
  void take_fp8(const SafetensorsFile& file, const StoredTensor& codes, const StoredTensor& scales,
                const Settings& settings);
  void take_bitsandbytes(const SafetensorsFile& file, const StoredTensor& codes);
  std::string method_;
  std::vector<std::string> problems_;
  std::map<std::string, QuantizedWeight, std::less<>> weights_;
  std::set<std::string, std::less<>> parts_;
};

#ifdef LORMA_MODEL_BODIES
namespace detail {

inline std::optional<Dtype> dtype_of_torch(std::string_view name) {
  if (name.starts_with("torch.")) name.remove_prefix(6);
  if (name == "float64") return Dtype::F64;
  if (name == "float32") return Dtype::F32;
  if (name == "float16") return Dtype::F16;
  if (name == "bfloat16") return Dtype::BF16;
  return std::nullopt;
}

inline std::vector<float> numbers_of(const SafetensorsFile& file, const std::string& name) {
  const MatrixStack size = flat(file.tensor(name).shape);
  const Matrix<float> values = file.matrix<float>(name, size.rows * size.cols, 1);
  return {values.data(), values.data() + values.size()};
}

}  // namespace detail

LORMA_MODEL_FUNCTION void Quantization::take_fp8(const SafetensorsFile& file,
                                                 const StoredTensor& codes,
                                                 const StoredTensor& scales,
                                                 const Settings& settings) {
  if (codes.shape.size() != 2 || (codes.dtype != Dtype::F8_E4M3 && codes.dtype != Dtype::F8_E5M2)) {
    return complain(codes.name, "expected a matrix of F8_E4M3 or F8_E5M2, got " +
                                    std::string(dtype_name(codes.dtype)) + ' ' +
                                    lorma::detail::shape_text(codes.shape));
  }
  if (!has_arithmetic(scales.dtype)) {
    return complain(scales.name, "expected scales of F64, F32, F16 or BF16, got " +
                                     std::string(dtype_name(scales.dtype)));
  }
  const MatrixStack size = flat(scales.shape);
  const std::array<Index, 2> extents = {static_cast<Index>(codes.shape[0]),
                                        static_cast<Index>(codes.shape[1])};
  const std::array<Index, 2> counts = {size.rows, size.cols};
  QuantizedWeight weight{
      &file, &codes, {codes.name, settings.type, codes.shape, {}}, &scales, {}, {}, {}, 0};
  const nlohmann::json blocks = settings.quantization.value("weight_block_size", nlohmann::json());
  for (std::size_t axis = 0; axis < 2; ++axis) {
    Index block = 128;
    if (blocks.is_array() && blocks.size() == 2 && blocks[axis].is_number_unsigned() &&
        blocks[axis] > 0 && blocks[axis] < (1 << 30)) {
      block = blocks[axis].get<Index>();
    }
    if (counts[axis] == 1) block = std::max<Index>(extents[axis], 1);
    if (counts[axis] == extents[axis]) block = 1;
    weight.block[axis] = block;
    if ((extents[axis] + block - 1) / block != counts[axis]) {
      return complain(scales.name, "expected a scale of the tensor, of rows or of blocks of " +
                                       lorma::detail::shape_text(codes.shape) + ", got " +
                                       lorma::detail::shape_text(scales.shape));
    }
  }
  weights_.emplace(codes.name, std::move(weight));
}

LORMA_MODEL_FUNCTION void Quantization::take_bitsandbytes(const SafetensorsFile& file,
                                                          const StoredTensor& codes) {
  const std::string& name = codes.name;
  try {
    const StoredTensor* state = nullptr;
    for (const char* kind : {".quant_state.bitsandbytes__nf4", ".quant_state.bitsandbytes__fp4"}) {
      if (file.contains(name + kind)) state = &file.tensor(name + kind);
    }
    if (state == nullptr || state->bytes.size() > 4096) {
      return complain(name, "expected its quant_state, of 4096 bytes at most, in the same file");
    }
    const auto* text = reinterpret_cast<const char*>(state->bytes.data());
    const auto json = nlohmann::json::parse(text, text + state->bytes.size(), nullptr, false);
    const std::filesystem::path where = file.name();
    if (!json.is_object()) return complain(state->name, "expected a JSON object");
    const lorma::detail::JsonFields fields(where, json,
                                           lorma::detail::in_quotes(state->name) + ": ");
    const auto type = detail::dtype_of_torch(fields.text("dtype"));
    const nlohmann::json& shape = fields.find("shape");
    if (!type || !shape.is_array() || shape.size() != 2) {
      return complain(state->name, "expected 'dtype' of a float and 'shape' of a matrix");
    }
    QuantizedWeight weight{&file, &codes, {name, *type, {}, {}}, nullptr, {}, {}, {}, 0};
    for (const nlohmann::json& extent : shape) {
      weight.weight.shape.push_back(static_cast<std::uint64_t>(fields.count_of("shape", extent)));
    }
    const std::uint64_t count = weight.weight.shape[0] * weight.weight.shape[1];
    weight.blocksize = fields.count("blocksize");
    weight.table = detail::numbers_of(file, name + ".quant_map");
    const std::string absmax = name + ".absmax";
    if (fields.find("nested_blocksize").is_null()) {
      weight.absmax = detail::numbers_of(file, absmax);
    } else {
      const auto table = detail::numbers_of(file, name + ".nested_quant_map");
      const auto scales = detail::numbers_of(file, name + ".nested_absmax");
      const auto each = static_cast<std::size_t>(fields.count("nested_blocksize"));
      const nlohmann::json& offset = fields.find("nested_offset");
      if (!offset.is_number()) fields.refuse("nested_offset", "a number");
      const auto bytes = file.tensor(absmax).bytes;
      if (table.size() != 256 || (bytes.size() + each - 1) / each > scales.size()) {
        return complain(absmax, "expected 256 numbers and a scale for each block");
      }
      for (std::size_t i = 0; i < bytes.size(); ++i) {
        weight.absmax.push_back(table[std::to_integer<std::size_t>(bytes[i])] * scales[i / each] +
                                offset.get<float>());
      }
    }
    const auto each = static_cast<std::uint64_t>(weight.blocksize);
    if (codes.bytes.size() != (count + 1) / 2 || weight.table.size() != 16 ||
        weight.absmax.size() != (count + each - 1) / each) {
      return complain(name, "expected two codes a byte, 16 numbers and a scale for each block");
    }
    weights_.emplace(name, std::move(weight));
  } catch (const Error& error) {
    complain(name, error.what());
  }
}

LORMA_MODEL_FUNCTION void Quantization::look_at(
    const std::vector<std::unique_ptr<SafetensorsFile>>& files, const nlohmann::json& config) {
  Settings settings;
  settings.quantization = config.value("quantization_config", nlohmann::json());
  if (!settings.quantization.is_object()) settings.quantization = nlohmann::json::object();
  const auto method = settings.quantization.value("quant_method", nlohmann::json());
  if (method.is_string()) settings.method = method.get<std::string>();
  for (const char* key : {"torch_dtype", "dtype"}) {
    const auto text = config.value(key, nlohmann::json());
    if (!text.is_string()) continue;
    settings.type = detail::dtype_of_torch(text.get<std::string>()).value_or(settings.type);
  }
  for (const auto& file : files) look_at(*file, settings);
  if (method_.empty() && !settings.method.empty()) {
    method_ = settings.method;
    problems_.push_back("its codes are not recognized");
  }
}

LORMA_MODEL_FUNCTION void Quantization::look_at(const SafetensorsFile& file,
                                                const Settings& settings) {
  const auto recognize = [&](const char* method) {
    if (method_.empty()) method_ = settings.method.empty() ? method : settings.method;
  };
  for (const StoredTensor& tensor : file.tensors()) {
    const std::string_view name = tensor.name;
    const auto has = [&](std::string_view module, std::string_view suffix) {
      return file.contains(std::string(module) + std::string(suffix));
    };
    if (const auto module = stem(name, ".qweight"); module) {
      recognize(has(*module, ".g_idx") ? "gptq" : "gptq or awq");
      complain(tensor.name, "its codes are not read");
    } else if (const auto packed = stem(name, ".weight_packed"); packed) {
      recognize("compressed-tensors");
      complain(tensor.name, "its codes are not read");
    } else if (const auto blocks = stem(name, "_blocks"); blocks && has(*blocks, "_scales")) {
      recognize("mxfp4");
      complain(tensor.name, "its codes are not read");
    } else if (const auto bytes = stem(name, ".SCB"); bytes) {
      recognize("bitsandbytes 8-bit");
      complain(tensor.name, "8-bit codes are not read");
    } else if (has(name, ".absmax")) {
      method_ = "bitsandbytes 4-bit";
      take_bitsandbytes(file, tensor);
      for (const char* part :
           {".absmax", ".quant_map", ".nested_absmax", ".nested_quant_map",
            ".quant_state.bitsandbytes__nf4", ".quant_state.bitsandbytes__fp4"}) {
        if (has(name, part)) parts_.insert(tensor.name + part);
      }
    } else if (tensor.dtype == Dtype::F8_E4M3 || tensor.dtype == Dtype::F8_E5M2) {
      recognize("fp8");
      const StoredTensor* scales = nullptr;
      for (const char* suffix : {"_scale", "_scale_inv"}) {
        if (has(name, suffix)) scales = &file.tensor(tensor.name + suffix);
      }
      if (scales == nullptr) {
        complain(tensor.name, "expected its scales in the same file");
        continue;
      }
      take_fp8(file, tensor, *scales, settings);
      parts_.insert(scales->name);
      if (const auto owner = stem(name, ".weight")) {
        for (const char* part : {".input_scale", ".input_scale_ub"}) {
          if (has(*owner, part)) parts_.insert(std::string(*owner) + part);
        }
      }
    }
  }
}
#endif

}  // namespace lorma::inline LORMA_ABI::model

#endif
