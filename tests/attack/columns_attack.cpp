// SPDX-License-Identifier: Apache-2.0
// Each column of a result is accurate by its own norm, whatever stands beside it: Spectral against
// sums in long double. The bounds are those of docs/accuracy.md.
#include <cmath>
#include <limits>
#include <lorma/lorma.hpp>

#include "attack.hpp"

using namespace lorma;

namespace {

using Exact = Eigen::Matrix<long double, Eigen::Dynamic, Eigen::Dynamic>;

/// Any size to 64, sometimes a large one, primes among them.
Index random_size(std::mt19937_64& urbg) {
  constexpr Index large[] = {96, 97, 127, 128, 192, 211, 240, 251, 256, 320, 384, 509};
  const auto draw = urbg();
  return draw % 50 == 0 ? large[draw / 64 % std::size(large)] : 1 + Index(draw / 64 % 64);
}

/// Uniform, sparse, or graded numbers times a power of ten of that many digits at most.
template <typename S>
Matrix<S> random_numbers(Index rows, Index cols, double digits, std::mt19937_64& urbg) {
  std::uniform_real_distribution<double> unit(-1, 1);
  const auto kind = urbg() % 4;
  const double power = std::pow(10.0, digits * unit(urbg));
  Matrix<S> m(rows, cols);
  for (Index j = 0; j < cols; ++j) {
    for (Index i = 0; i < rows; ++i) {
      double x = unit(urbg);
      if (kind == 1 && urbg() % 8 != 0) x = 0;
      if (kind == 2) x *= std::pow(10.0, 4 * unit(urbg));
      if (kind == 3) x = 1;
      m(i, j) = static_cast<S>(power * x);
    }
  }
  return m;
}

template <typename S>
double norm_of(const Matrix<S>& m) {
  return static_cast<double>(m.template cast<long double>().norm());
}

/// Columns of sizes 1e-30 to 1e30 side by side, some not finite, and P and its gradients on them.
template <typename S>
double ratio(std::mt19937_64& urbg) {
  constexpr double eps = std::numeric_limits<S>::epsilon();
  const Index n = random_size(urbg);
  const Index r = n > 64 ? 1 : 1 + Index(urbg() % 4);
  const Index b = 1 + Index(urbg() % (n > 64 ? 2 : 6));
  const Matrix<S> B = random_numbers<S>(n, r, 2, urbg);
  const Matrix<S> A = random_numbers<S>(r, n, 2, urbg);
  Adapter<S, CyclicPermutation, ActivationFirst<Spectral>> adapter(
      n, r, static_cast<S>(std::uniform_real_distribution<double>(0.1, 8)(urbg)));
  adapter.B() = B;
  adapter.A() = A;
  const S s = adapter.scale();
  Matrix<S> Y(n, b), G(n, b);
  std::vector<bool> finite(std::size_t(b), true);
  for (Index j = 0; j < b; ++j) {
    Y.col(j) = random_numbers<S>(n, 1, 30, urbg);
    // Gradients multiply Y by G, whose sizes are opposite so that the products are numbers.
    const S size = Y.col(j).cwiseAbs().maxCoeff();
    G.col(j) = random_numbers<S>(n, 1, 2, urbg) / std::max(size, S(1e-30));
  }
  const bool broken = urbg() % 4 == 0;
  if (broken) {
    const Index j = Index(urbg() % std::uint64_t(b));
    const S values[] = {std::numeric_limits<S>::quiet_NaN(), std::numeric_limits<S>::infinity(),
                        -std::numeric_limits<S>::infinity()};
    Y(Index(urbg() % std::uint64_t(n)), j) = values[urbg() % 3];
    G(Index(urbg() % std::uint64_t(n)), j) = values[urbg() % 3];
    finite[std::size_t(j)] = false;
  }

  const Matrix<S> H = adapter.apply(Y);
  const auto gradients = adapter.vjp(Y, G);

  // P(i, j) = s (B A)(i, (j - i) mod n)
  const Exact Bx = B.template cast<long double>();
  const Exact Ax = A.template cast<long double>();
  const Exact M = static_cast<long double>(s) * Bx * Ax;
  Exact P(n, n);
  for (Index j = 0; j < n; ++j) {
    for (Index i = 0; i < n; ++i) P(i, j) = M(i, (j - i + n) % n);
  }
  const double log_n = std::log2(static_cast<double>(2 * n));
  const double size = static_cast<double>(s) * norm_of(A) * norm_of(B);
  double worst = 0;
  const auto take = [&worst](long double error, double bound) {
    const double quotient = error == 0 ? 0 : static_cast<double>(error / bound);
    if (!(quotient <= worst)) worst = quotient;
  };
  for (Index j = 0; j < b; ++j) {
    if (!finite[std::size_t(j)]) continue;
    const Matrix<S> y = Y.col(j);
    const Matrix<S> g = G.col(j);
    const double unit = eps * (log_n + static_cast<double>(r)) * size;
    constexpr double largest = std::numeric_limits<S>::max();
    if (std::max(norm_of(y), norm_of(g)) * size > largest) continue;
    take((H.col(j).template cast<long double>() - P * y.template cast<long double>()).norm(),
         unit * norm_of(y) + std::numeric_limits<S>::min());
    take((gradients.dY.col(j).template cast<long double>() -
          P.transpose() * g.template cast<long double>())
             .norm(),
         unit * norm_of(g) + std::numeric_limits<S>::min());
  }
  if (broken) return worst;
  double columns = 0;
  for (Index j = 0; j < b; ++j) {
    columns += norm_of(Matrix<S>(Y.col(j))) * norm_of(Matrix<S>(G.col(j)));
  }
  const Exact dP = G.template cast<long double>() * Y.template cast<long double>().transpose();
  Exact D(n, n);
  for (Index m = 0; m < n; ++m) {
    for (Index i = 0; i < n; ++i) D(i, m) = dP(i, (i + m) % n);
  }
  const double unit = eps * (log_n + static_cast<double>(b)) * static_cast<double>(s) * columns;
  take(
      (gradients.dA.template cast<long double>() - static_cast<long double>(s) * Bx.transpose() * D)
          .norm(),
      unit * norm_of(B) + std::numeric_limits<S>::min());
  take(
      (gradients.dB.template cast<long double>() - static_cast<long double>(s) * D * Ax.transpose())
          .norm(),
      unit * norm_of(A) + std::numeric_limits<S>::min());
  return worst;
}

}  // namespace

TEST_CASE("columns of Spectral stay apart") {
  lorma_attack::search("Spectral, columns, float", 150, ratio<float>);
  lorma_attack::search("Spectral, columns, double", 150, ratio<double>);
}
