// SPDX-License-Identifier: Apache-2.0
// serve_adapter MODEL ADAPTER: an adapter from its directory, beside the weights that it was made
// for, which stay as they are in their file.
#include <iostream>
#include <lorma/model/checkpoint.hpp>
#include <lorma/model/visit_layer.hpp>

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  try {
    const lorma::model::Checkpoint model(argv[1]);
    double worst = 0.0;
    for (const lorma::LormaLayer& layer : lorma::read_lorma_adapter(argv[2]).layers) {
      const auto found = model.find(layer.weight);
      if (found.file == nullptr) throw lorma::Error("no tensor " + layer.weight);
      const auto stored = found.file->matrix_view<float>(layer.weight);  // mapped: no copy
      const auto W0 = stored.map();                                      // out x in
      const Eigen::MatrixXf X = Eigen::MatrixXf::Random(W0.cols(), 16);  // a token a column
      lorma::visit_layer<float>(layer, [&](const auto& adapter) {
        const Eigen::MatrixXf H = adapter.forward(W0, X);
        const Eigen::MatrixXf merged = adapter.merge(W0) * X;
        worst = std::max(worst, double((H - merged).norm() / merged.norm()));
        std::cout << layer.weight << ": " << H.rows() << " x " << H.cols() << '\n';
      });
    }
    return worst < 1e-5 ? 0 : 1;
  } catch (const lorma::Error& error) {
    std::cerr << error.what() << '\n';
    return 3;
  }
}
