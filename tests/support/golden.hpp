// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_TESTS_SUPPORT_GOLDEN_HPP
#define LORMA_TESTS_SUPPORT_GOLDEN_HPP

/// Outputs of the LoRMA authors' published PyTorch layer in float64 (tests/data/golden).

#include <filesystem>
#include <lorma/io/safetensors.hpp>
#include <string>
#include <vector>

namespace lorma_tests {

struct Golden {
  std::string file, inflation, side;
  lorma::Index rank = 0;
  double alpha = 0.0;
  lorma::Matrix<double> W0, A, B, x, g, h, dx, dA, dB, merged;  // x, g, h, dx: [batch, features]
  Eigen::VectorXd bias;
};

inline std::vector<Golden> read_golden(const std::string& directory) {
  std::vector<Golden> cases;
  for (const auto& entry : std::filesystem::directory_iterator(directory)) {
    if (entry.path().extension() != ".safetensors") continue;
    const lorma::SafetensorsFile file(entry.path().string());
    Golden c;
    c.file = entry.path().filename().string();
    c.inflation = file.metadata().at("inflation");
    c.side = file.metadata().at("side");
    c.rank = std::stol(file.metadata().at("rank"));
    c.alpha = std::stod(file.metadata().at("alpha"));
    const auto matrix = [&file](const char* name) { return file.matrix<double>(name); };
    c.W0 = matrix("W0");
    c.A = matrix("A");
    c.B = matrix("B");
    c.x = matrix("x");
    c.g = matrix("g");
    c.h = matrix("h");
    c.dx = matrix("dx");
    c.dA = matrix("dA");
    c.dB = matrix("dB");
    c.merged = matrix("merged");
    c.bias = file.vector<double>("bias");
    cases.push_back(std::move(c));
  }
  return cases;
}

}  // namespace lorma_tests

#endif
