// SPDX-License-Identifier: Apache-2.0
// libFuzzer: whatever an index says of the files beside it, opening the checkpoint returns or
// throws lorma::Error, and no file elsewhere is opened.

#include <lorma/model/checkpoint.hpp>

#include "fuzz.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const lorma_tests::FuzzDirectory scratch;
  static const bool written = [] {
    const lorma::Matrix<float> W = lorma::Matrix<float>::Ones(2, 2);
    lorma::write_safetensors(scratch / "a.safetensors",
                             {lorma::TensorSource::copy("one.weight", W)});
    lorma::write_safetensors(scratch / "b.safetensors",
                             {lorma::TensorSource::copy("two.weight", W)});
    return true;
  }();
  if (!written) return 0;
  scratch.put("model.safetensors.index.json", data, size);
  try {
    const lorma::model::Checkpoint checkpoint(scratch / "model.safetensors.index.json");
    for (const auto& path : checkpoint.paths()) {
      if (path.parent_path() != (scratch / "a").parent_path()) std::abort();
    }
    static_cast<void>(checkpoint.find("one.weight"));
  } catch (const lorma::Error&) {
  }
  return 0;
}
