// SPDX-License-Identifier: Apache-2.0
// libFuzzer: whatever the bytes, reading them returns or throws lorma::Error, and what was accepted
// is written again so that it reads the same.

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <lorma/io/fingerprint.hpp>
#include <lorma/io/safetensors.hpp>

namespace {

void require(bool good) {
  if (!good) std::abort();
}

/// The header and data that write_safetensors would put on the disk, in its order.
void check_round_trip(const lorma::SafetensorsFile& file) {
  std::vector<lorma::PlannedTensor> planned;
  for (const auto& t : file.tensors()) planned.push_back({t.name, t.dtype, t.shape});
  const lorma::SafetensorsPlan plan(std::move(planned), file.metadata());
  std::string again = plan.header();
  for (const auto& t : plan.tensors()) {
    const auto bytes = file.tensor(t.name).bytes;
    require(bytes.size() == t.bytes);
    again.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  }
  require(again.size() == plan.bytes());
  const auto copy =
      lorma::SafetensorsFile::from_bytes(std::as_bytes(std::span(again)), "written again");
  require(copy.metadata() == file.metadata());
  require(copy.tensors().size() == file.tensors().size());
  for (const auto& t : file.tensors()) {
    const auto& same = copy.tensor(t.name);
    require(same.dtype == t.dtype && same.shape == t.shape &&
            std::equal(same.bytes.begin(), same.bytes.end(), t.bytes.begin(), t.bytes.end()));
    require(lorma::fingerprint(same) == lorma::fingerprint(t));
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    const auto file =
        lorma::SafetensorsFile::from_bytes(std::as_bytes(std::span(data, size)), "fuzz");
    for (const auto& t : file.tensors()) {
      if (t.shape.size() != 2) continue;
      if (t.bytes.empty() && !t.shape.empty()) continue;  // one extent may be huge
      try {
        static_cast<void>(file.matrix<float>(t.name));
      } catch (const lorma::FormatError&) {
      }
    }
    check_round_trip(file);
  } catch (const lorma::Error&) {
  }
  return 0;
}
