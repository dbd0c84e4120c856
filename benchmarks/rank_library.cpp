// SPDX-License-Identifier: Apache-2.0
// What rank.py measures beside NumPy, as a C interface. Status 0, or 1 after an exception.

#include <cstring>
#include <exception>
#include <lorma/analysis/analysis.hpp>

using lorma::Index;

namespace {

template <typename F>
int guarded(F&& f) {
  try {
    f();
    return 0;
  } catch (const std::exception&) {
    return 1;
  }
}

}  // namespace

extern "C" {

/// M is rows x cols, row-major. method: 0 by inertia, 1 by decomposition.
int lorma_bench_rank(const float* M, Index rows, Index cols, Index* rank, int* method) {
  return guarded([&] {
    using RowMajor = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
    const auto answer = lorma::analysis::certain_rank(Eigen::Map<const RowMajor>(M, rows, cols));
    *rank = answer.rank;
    *method = answer.method == lorma::analysis::RankMethod::inertia ? 0 : 1;
  });
}

/// The n singular values of I + B A (scale 1), B n x r and A r x n, column-major.
int lorma_bench_multiplier(const double* B, const double* A, Index n, Index r, double* sigma) {
  return guarded([&] {
    lorma::Adapter<double, lorma::Identity> adapter(n, r, static_cast<double>(r));
    adapter.B() = Eigen::Map<const Eigen::MatrixXd>(B, n, r);
    adapter.A() = Eigen::Map<const Eigen::MatrixXd>(A, r, n);
    const Eigen::VectorXd values = lorma::analysis::multiplier_singular_values(adapter);
    std::memcpy(sigma, values.data(), static_cast<std::size_t>(n) * sizeof(double));
  });
}
}
