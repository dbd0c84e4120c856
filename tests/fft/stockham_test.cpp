// SPDX-License-Identifier: Apache-2.0
// Transforms against the definition, for every radix and every product of them.

#include <doctest/doctest.h>

#include <complex>
#include <lorma/fft/stockham.hpp>
#include <numbers>
#include <thread>
#include <vector>

#include "../support/random_matrices.hpp"

using namespace lorma;
using namespace lorma_tests;

namespace {

/// Largest error of a transform of random lanes against the definition in long double, relative to
/// the norm of the signal.
template <typename S, bool Inverse>
double worst_error(Index n) {
  using C = detail::ComplexLanes<S>;
  constexpr int W = detail::lane_count<S>;
  const Matrix<S> re = random_matrix<S>(W, n, 1);
  const Matrix<S> im = random_matrix<S>(W, n, 2);
  std::vector<C> x(static_cast<std::size_t>(n)), y(x.size()), scratch(2 * x.size());
  for (Index i = 0; i < n; ++i) {
    x[std::size_t(i)] = {detail::load_lanes<S>(re.col(i).data()),
                         detail::load_lanes<S>(im.col(i).data())};
  }
  const auto plan = detail::fft_plan<S>(n);
  detail::transform<Inverse>(
      *plan, [&](Index i) { return x[std::size_t(i)]; },
      [&](Index k, const C& value) { y[std::size_t(k)] = value; }, scratch.data());
  using Complex = std::complex<long double>;
  std::vector<Complex> roots(x.size());
  for (Index k = 0; k < n; ++k) {
    const long double angle = (Inverse ? 2.0L : -2.0L) * std::numbers::pi_v<long double> *
                              static_cast<long double>(k) / static_cast<long double>(n);
    roots[std::size_t(k)] = {std::cos(angle), std::sin(angle)};
  }
  double worst = 0.0;
  const int l = W - 1;
  const Index step = n > 2000 ? 97 : 1;
  for (Index k = 0; k < n; k += step) {
    Complex sum = 0;
    for (Index i = 0; i < n; ++i) {
      sum += Complex(re(l, i), im(l, i)) * roots[std::size_t((i * k) % n)];
    }
    S out_re[W];
    S out_im[W];
    detail::store_lanes<S>(out_re, y[std::size_t(k)].re);
    detail::store_lanes<S>(out_im, y[std::size_t(k)].im);
    worst = std::max(worst, static_cast<double>(std::abs(Complex(out_re[l], out_im[l]) - sum)));
  }
  return worst / std::sqrt(static_cast<double>(n));  // the size of a coefficient of random data
}

}  // namespace

TEST_CASE_TEMPLATE("every smooth length agrees with the definition", S, float, double) {
  const auto check = [](Index n) {
    CAPTURE(n);
    const double bound = 4.0 * eps<S> * (2.0 + std::log2(static_cast<double>(n)));
    CHECK(worst_error<S, false>(n) <= bound);
    CHECK(worst_error<S, true>(n) <= bound);
  };
  for (Index n = 1; n <= 512; ++n) {
    if (detail::is_smooth(n)) check(n);
  }
  for (const Index n : {768, 896, 1024, 3072, 4096, 5120, 7 * 7 * 7 * 5}) check(n);
}

TEST_CASE("a transform holds a circular correlation of any length") {
  for (Index n = 1; n <= 300; ++n) {
    const Index length = detail::transform_length(n);
    CHECK(detail::is_smooth(length));
    CHECK((length == n || length >= 2 * n - 1));
    CHECK(length <= 4 * n);
  }
  CHECK(detail::transform_length(768) == 768);
  CHECK(detail::transform_length(11008) >= 2 * 11008 - 1);
}

TEST_CASE("plans are shared, bounded and safe from several threads") {
  CHECK(detail::fft_plan<float>(96) == detail::fft_plan<float>(96));
  std::vector<std::thread> threads;
  std::vector<int> wrong(4, 0);
  for (std::size_t t = 0; t < 4; ++t) {
    threads.emplace_back([&wrong, t] {
      for (Index n = 1; n < 100; ++n) {
        if (detail::is_smooth(n)) wrong[t] += detail::fft_plan<double>(n)->length() != n;
      }
    });
  }
  for (auto& thread : threads) thread.join();
  CHECK(wrong == std::vector<int>(4, 0));
}
