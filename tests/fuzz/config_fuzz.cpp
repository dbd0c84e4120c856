// SPDX-License-Identifier: Apache-2.0
// libFuzzer: whatever an adapter's configuration says, reading the adapter returns or throws
// lorma::Error. The first byte chooses the tensors beside it.

#include <lorma/model/read_changes.hpp>

#include "fuzz.hpp"

namespace {

using lorma::TensorSource;

void write_tensors(const std::filesystem::path& directory, int kind) {
  std::filesystem::create_directories(directory);
  const lorma::Matrix<float> A = lorma::Matrix<float>::Ones(2, 4);
  const lorma::Matrix<float> B = lorma::Matrix<float>::Ones(4, 2);
  const lorma::Matrix<float> one = lorma::Matrix<float>::Ones(4, 1);
  const std::string p = "base_model.model.m.layers.";
  std::vector<TensorSource> tensors;
  for (const std::string layer : {"0.q", "1.q", "10.v_proj"}) {
    if (kind == 0) {
      tensors.push_back(TensorSource::copy(p + layer + ".lora_A.weight", A));
      tensors.push_back(TensorSource::copy(p + layer + ".lora_B.weight", B));
    } else if (kind == 1) {
      tensors.push_back(TensorSource::copy("m.layers." + layer + ".lorma_A", A));
      tensors.push_back(TensorSource::copy("m.layers." + layer + ".lorma_B", B));
    } else {
      tensors.push_back(TensorSource::copy(p + layer + ".ia3_l", one));
      tensors.push_back(TensorSource::copy(p + layer + ".hra_u", B));
      tensors.push_back(TensorSource::copy(p + layer + ".road_theta", one));
      tensors.push_back(TensorSource::copy(p + layer + ".road_alpha", one));
      tensors.push_back(TensorSource::copy(p + layer + ".deft_P", B));
      tensors.push_back(TensorSource::copy(p + layer + ".deft_R", A));
    }
  }
  lorma::write_safetensors(directory / lorma::adapter_model_name, tensors);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const lorma_tests::FuzzDirectory scratch;
  static const bool written = [] {
    write_tensors(scratch / "0", 0);
    write_tensors(scratch / "1", 1);
    write_tensors(scratch / "2", 2);
    return true;
  }();
  if (size == 0 || !written) return 0;
  constexpr const char* names[] = {"0", "1", "2"};
  constexpr const char* configs[] = {"0/adapter_config.json", "1/adapter_config.json",
                                     "2/adapter_config.json"};
  const std::size_t kind = data[0] % 3;
  scratch.put(configs[kind], data + 1, size - 1);
  try {
    std::vector<std::string> remarks;
    static_cast<void>(lorma::model::read_changes(scratch / names[kind], remarks));
  } catch (const lorma::Error&) {
  }
  return 0;
}
