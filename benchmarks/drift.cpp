// SPDX-License-Identifier: Apache-2.0
// drift [CYCLES]: what cycles of merge and unmerge do to a weight of 16 and 32 bits, for ten
// adapters, beside the bound of one cycle: the table of docs/accuracy.md.

#include <Eigen/QR>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <lorma/lorma.hpp>
#include <random>
#include <string>

using lorma::Index;
using lorma::Matrix;

namespace {

constexpr Index n = 256;  // W0 is n x n, of spread 0.05

Matrix<double> gaussian(Index rows, Index cols, double spread, unsigned seed) {
  std::mt19937_64 urbg(seed);
  std::normal_distribution<double> normal(0.0, spread);
  return Matrix<double>::NullaryExpr(rows, cols, [&] { return normal(urbg); });
}

struct Factors {
  Matrix<double> B;
  Matrix<double> A;
};

/// |s B A| about `size` in the 2-norm.
Factors of_size(double size, Index r, unsigned seed) {
  Factors f{gaussian(n, r, 1.0, seed), gaussian(r, n, 1.0, seed + 1)};
  f.B *= size / static_cast<double>(n);
  return f;
}

/// I + B A stretches one direction by t and shrinks another by it, in mixed factors.
Factors stretched(double t) {
  const Matrix<double> Q =
      Eigen::HouseholderQR<Matrix<double>>(gaussian(n, 2, 1.0, 7)).householderQ() *
      Matrix<double>::Identity(n, 2);
  Matrix<double> mix(2, 2);
  mix << 1.0, -1.0, 1.0, 1.0;
  const Eigen::Vector2d change(t - 1.0, 1.0 / t - 1.0);
  return {Q * mix, 0.5 * mix.transpose() * change.asDiagonal() * Q.transpose()};
}

/// Two columns of B that are each other's negative but for a hundredth, `large` times too large.
Factors cancelling(double large) {
  Factors f = of_size(0.1, 2, 9);
  f.B *= large;
  f.B.col(1) = -f.B.col(0);
  f.A.row(1) = f.A.row(0) * (1.0 - 1.0 / large);
  return f;
}

/// The start of LoRMA_pi and as much of a change.
Factors near_start(double size) {
  Factors f = of_size(size, 8, 11);
  f.B *= std::sqrt(static_cast<double>(n));
  f.A /= std::sqrt(static_cast<double>(n));
  f.B.col(0).setOnes();
  f.A.row(0) *= size;
  f.A(0, 0) += 1.0;
  return f;
}

template <typename T, typename Inflation, typename Side>
void measure(const Factors& f, int cycles) {
  const Matrix<float> B = f.B.cast<float>();
  const Matrix<float> A = f.A.cast<float>();
  const lorma::AdapterView<float, Inflation, lorma::Auto, Side> a(B, A, 1.0F);
  const Matrix<T> W0 = gaussian(n, n, 0.05, 1).cast<float>().cast<T>();
  const Matrix<double> original = W0.template cast<double>();
  Matrix<T> W = W0;
  lorma::Workspace workspace;
  const auto error = [&] {
    return (W.template cast<double>() - original).norm() / original.norm();
  };
  const lorma::RoundTrip lost = lorma::Inverse<Inflation, float>(a.factors()).round_trip();
  const double bound = lost.relative_error(lorma::epsilon_of<T>());
  if constexpr (std::is_same_v<T, Eigen::bfloat16>) {
    std::printf(" %.3g | %.3g |", lost.condition, lost.growth);
  }
  if (lost.loss(lorma::epsilon_of<T>()) >= 1.0) {
    std::printf(" refused | | |");
    return;
  }
  double first = 0.0;
  for (int cycle = 0; cycle < cycles; ++cycle) {
    a.merge_in_place(W, workspace);
    a.unmerge_in_place(W, workspace);
    if (cycle == 0) first = error();
  }
  std::printf(" %.2g | %.2g | %.2g |", first, error(), bound);
}

template <typename Inflation, typename Side = lorma::Pre>
void row(const std::string& name, const Factors& f, int cycles) {
  std::printf("| %s |", name.c_str());
  measure<Eigen::bfloat16, Inflation, Side>(f, cycles);
  measure<Eigen::half, Inflation, Side>(f, cycles);
  measure<float, Inflation, Side>(f, cycles);
  std::printf("\n");
  std::fflush(stdout);
}

}  // namespace

int main(int argc, char** argv) {
  const int cycles = argc > 1 ? std::atoi(argv[1]) : 1000;
  using lorma::CyclicPermutation;
  using lorma::Identity;
  std::printf(
      "| adapter | kappa | beta | bf16: 1 | %d | bound | half: 1 | %d | bound | float: 1 | %d | "
      "bound |\n",
      cycles, cycles, cycles);
  std::printf("|---|---|---|---|---|---|---|---|---|---|---|---|\n");
  row<Identity>("LoRMA+, r = 8, change of 1 %", of_size(0.01, 8, 3), cycles);
  row<Identity>("the same of 30 %", of_size(0.3, 8, 3), cycles);
  row<Identity, lorma::Post>("the same, Post", of_size(0.3, 8, 3), cycles);
  row<Identity>("LoRMA+, r = 16, 30 %", of_size(0.3, 16, 5), cycles);
  row<Identity>("LoRMA+ of condition 10", stretched(std::sqrt(10.0)), cycles);
  row<Identity>("of condition 100", stretched(10.0), cycles);
  row<Identity>("of condition 10000", stretched(100.0), cycles);
  row<Identity>("factors that cancel to 1 / 100", cancelling(100.0), cycles);
  row<CyclicPermutation>("LoRMA_pi near its start, 1 %", near_start(0.01), cycles);
  row<CyclicPermutation>("the same, 30 %", near_start(0.3), cycles);
  return 0;
}
