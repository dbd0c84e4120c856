// SPDX-License-Identifier: Apache-2.0
// Runs where a GPU is; elsewhere checks that its absence is said in words, and reports a skip.

#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>

#include <iostream>
#include <lorma/backend/cublas.hpp>

namespace {

constexpr int skipped = 77;

bool has_gpu() {
  int devices = 0;
  return cudaGetDeviceCount(&devices) == cudaSuccess && devices > 0;
}

/// Whether every entry throws a BackendError that names what is missing.
bool absence_is_said() {
  const auto says = [](auto&& entry) {
    try {
      entry();
    } catch (const lorma::BackendError& error) {
      return std::string_view(error.what()).find("GPU") != std::string_view::npos;
    }
    return false;
  };
  return says([] { lorma::CudaContext::create(); }) &&
         says([] { lorma::CudaContext::on_stream(nullptr); });
}

}  // namespace

int main(int argc, char** argv) {
  if (!has_gpu()) {
    if (!absence_is_said()) {
      std::cout << "FAILED: without a GPU, expected a BackendError that says so\n";
      return 1;
    }
    std::cout << "SKIPPED: no NVIDIA GPU or driver here; its absence is reported as it should be\n";
    return skipped;
  }
  return doctest::Context(argc, argv).run();
}
