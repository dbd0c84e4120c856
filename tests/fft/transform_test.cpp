// SPDX-License-Identifier: Apache-2.0
// Transforms against the definition, for every radix and every product of them; engines against
// each other; how columns become signals.

#include <doctest/doctest.h>

#include <complex>
#include <cstring>
#include <lorma/core/power_of_two.hpp>
#include <lorma/fft/engine.hpp>
#include <lorma/fft/signal.hpp>
#ifdef LORMA_TEST_FFTW
#include <lorma/fft/fftw.hpp>
#endif
#include <numbers>
#include <numeric>
#include <thread>
#include <vector>

#include "../support/random_matrices.hpp"

using namespace lorma;
using namespace lorma_tests;

namespace {

using Complex = std::complex<long double>;

template <typename S>
using Numbers = std::vector<S, Eigen::aligned_allocator<S>>;

/// Two random complex signals side by side and room for their spectra.
template <typename Plan, typename S>
struct Case {
  using C = detail::ComplexLanes<S>;

  explicit Case(Index n)
      : plan(n),
        re(random_matrix<S>(2 * n, 1, 1)),
        im(random_matrix<S>(2 * n, 1, 2)),
        spectrum(std::size_t(plan.spectrum_size())),
        scratch(std::size_t(plan.scratch_size())) {
    const detail::Signal<const S> x{re.data(), im.data()};
    detail::to_spectrum(
        plan, x, [this](Index k, const C& v) { spectrum[std::size_t(k)] = v; }, scratch.data());
  }

  Plan plan;
  Matrix<S> re, im;
  std::vector<C, Eigen::aligned_allocator<C>> spectrum, scratch;
};

std::vector<Complex> roots(Index n) {
  std::vector<Complex> w(static_cast<std::size_t>(n));
  for (Index k = 0; k < n; ++k) {
    const long double angle = -2.0L * std::numbers::pi_v<long double> *
                              static_cast<long double>(k) / static_cast<long double>(n);
    w[std::size_t(k)] = {std::cos(angle), std::sin(angle)};
  }
  return w;
}

/// Where sample i of column h lies.
template <typename S>
Index place(Index i, Index h) {
  constexpr Index V = detail::lane_samples<S>;
  return i / V * 2 * V + h * V + i % V;
}

/// Coefficient that lies in lane l, of V, of element k of lorma's own engine.
template <typename S>
Index frequency(const detail::FftPlan<S>& plan, Index k, Index l) {
  constexpr Index V = detail::lane_samples<S>;
  const Index f = k / V * V + l;
  return f < plan.lane_length() ? f + plan.lane_length() * (k % V) : Index(-1);
}
#ifdef LORMA_TEST_FFTW
template <typename S>
Index frequency(const detail::FftwPlan<S>&, Index k, Index l) {
  return k * detail::lane_samples<S> + l;
}
#endif

template <typename Plan, typename S>
void check_transform(Index n) {
  constexpr Index V = detail::lane_samples<S>;
  using C = detail::ComplexLanes<S>;
  CAPTURE(n);
  Case<Plan, S> c(n);
  const double bound = 4.0 * eps<S> * (2.0 + std::log2(double(n))) * std::sqrt(double(n));
  const std::vector<Complex> w = roots(n);
  std::vector<bool> seen(std::size_t(n), false);
  double worst = 0.0;
  bool padding_is_zero = true;
  const Index step = n > 1000 ? 37 : 1;
  for (Index k = 0; k < c.plan.spectrum_size(); ++k) {
    S x_re[2 * V];
    S x_im[2 * V];
    detail::store_lanes<S>(x_re, c.spectrum[std::size_t(k)].re);
    detail::store_lanes<S>(x_im, c.spectrum[std::size_t(k)].im);
    for (Index l = 0; l < 2 * V; ++l) {
      const Index f = frequency(c.plan, k, l % V);
      if (f < 0) {
        padding_is_zero = padding_is_zero && x_re[l] == S(0) && x_im[l] == S(0);
        continue;
      }
      seen[std::size_t(f)] = true;
      if ((k * V + l) % step != 0) continue;
      Complex sum = 0;
      for (Index i = 0; i < n; ++i) {
        const Index at = place<S>(i, l / V);
        sum += Complex(c.re(at), c.im(at)) * w[std::size_t((i * f) % n)];
      }
      worst = std::max(worst, static_cast<double>(std::abs(Complex(x_re[l], x_im[l]) - sum)));
    }
  }
  CHECK(worst <= bound);
  CHECK(padding_is_zero);
  CHECK(std::accumulate(seen.begin(), seen.end(), Index(0)) == n);  // every coefficient is there

  // And back, N times.
  Matrix<S> re(2 * n, 1);
  Matrix<S> im(2 * n, 1);
  const detail::Signal<S> y{re.data(), im.data()};
  const auto load = [&](Index k) { return c.spectrum[std::size_t(k)]; };
  detail::from_spectrum(c.plan, load, y, c.scratch.data());
  CHECK(distance(re / S(n), c.re) <= bound);
  CHECK(distance(im / S(n), c.im) <= bound);

  // The mirrored spectrum is that of the conjugate signal, and adds it on the way back: z + z.
  std::vector<C, Eigen::aligned_allocator<C>> mirrored(c.spectrum.size());
  const auto into = [](auto& to) { return [&to](Index k, const C& x) { to[std::size_t(k)] = x; }; };
  detail::to_spectra(c.plan, detail::Signal<const S>{c.re.data(), c.im.data()}, into(c.spectrum),
                     into(mirrored), c.scratch.data());
  const auto load_mirrored = [&](Index k) { return mirrored[std::size_t(k)]; };
  detail::from_spectrum(c.plan, load_mirrored, y, c.scratch.data());
  CHECK(distance(re / S(n), c.re) <= bound);
  CHECK(distance(im / S(n), -c.im) <= bound);
  detail::from_spectra(c.plan, load, load_mirrored, y, c.scratch.data());
  CHECK(distance(re / S(n), 2 * c.re) <= 2 * bound);
  CHECK(distance(im / S(n), 2 * c.im) <= 2 * bound);
}

}  // namespace

TEST_CASE_TEMPLATE("every length that fills the lanes agrees with the definition", S, float,
                   double) {
  constexpr Index V = detail::lane_samples<S>;
  for (Index n = V; n <= 80 * V; n += V) {
    if (detail::is_smooth(n)) check_transform<detail::FftPlan<S>, S>(n);
  }
  for (const Index n : {768, 896, 1024, 3072, 4096, 5120, 5488}) {
    check_transform<detail::FftPlan<S>, S>(n);
  }
}

#ifdef LORMA_TEST_FFTW
TEST_CASE_TEMPLATE("FFTW as an engine agrees with the definition", S, float, double) {
  constexpr Index V = detail::lane_samples<S>;
  for (const Index n : {V, 3 * V, 5 * V, Index(96), Index(384), Index(1024)}) {
    check_transform<detail::FftwPlan<S>, S>(n);
  }
}

TEST_CASE_TEMPLATE("FFTW as an engine gives the same bits from run to run", S, float, double) {
  for (const Index n : {96, 768, 1024, 5040}) {
    const Case<detail::FftwPlan<S>, S> once(n);
    std::vector<int> differ(5, 0);
    std::vector<std::thread> threads;
    for (int& d : differ) {
      threads.emplace_back([&once, &d, n] {
        {
          const std::lock_guard lock(detail::fftw_planner());
          fftw_forget_wisdom();  // what a new process begins with
          fftwf_forget_wisdom();
        }
        const Case<detail::FftwPlan<S>, S> again(n);
        d = std::memcmp(once.spectrum.data(), again.spectrum.data(),
                        once.spectrum.size() * sizeof(once.spectrum[0]));
      });
    }
    for (auto& thread : threads) thread.join();
    CHECK(differ == std::vector<int>(5, 0));
  }
}

TEST_CASE_TEMPLATE("the engines agree on correlations", S, float, double) {
  const auto correlate = []<typename Plan>(std::type_identity<Plan>, Index n) {
    Case<Plan, S> c(n);
    using C = detail::ComplexLanes<S>;
    Matrix<S> re(2 * n, 1);
    Matrix<S> im(2 * n, 1);
    const detail::Signal<S> y{re.data(), im.data()};
    detail::from_spectrum(
        c.plan,
        [&](Index k) {
          const C& x = c.spectrum[std::size_t(k)];
          return detail::multiply_conjugate(x, x);
        },
        y, c.scratch.data());
    return re;
  };
  for (const Index n : {48, 96, 640, 2048}) {
    const Matrix<S> own = correlate(std::type_identity<detail::FftPlan<S>>{}, n);
    const Matrix<S> fftw = correlate(std::type_identity<detail::FftwPlan<S>>{}, n);
    CHECK(distance(own, fftw) <= 8.0 * eps<S> * std::log2(double(n)) * norm(own));
  }
}
#endif

TEST_CASE_TEMPLATE("lanes begin as zero", S, float, double) {
  using C = detail::ComplexLanes<S>;
  const auto sum = [](const C& x) {
    S numbers[2 * detail::lane_count<S>];
    detail::store_lanes<S>(numbers, x.re);
    detail::store_lanes<S>(numbers + detail::lane_count<S>, x.im);
    return std::accumulate(std::begin(numbers), std::end(numbers), S(0),
                           [](S a, S b) { return a + std::abs(b); });
  };
  alignas(C) unsigned char memory[sizeof(C)];
  std::memset(memory, 0x40, sizeof memory);
  const C* const one = new (memory) C(C{});
  CHECK(sum(*one) == S(0));
  std::vector<C, Eigen::aligned_allocator<C>> many(3);
  CHECK(sum(many[2]) == S(0));
}

TEST_CASE_TEMPLATE("what a transform reads and writes: weights before, sums after", S, float,
                   double) {
  for (const Index n : {1, 2, 5, 8, 12, 35}) {  // passes of L = n: none, one, several
    constexpr Index V = detail::lane_samples<S>;
    const Index N = n * V;
    using Plan = detail::FftPlan<S>;
    using C = detail::ComplexLanes<S>;
    Case<Plan, S> c(N);
    const double bound = 32.0 * eps<S> * (2.0 + std::log2(double(N))) * double(N);
    const Matrix<S> b = random_matrix<S>(2 * N, 1, 3);  // packed
    Matrix<S> b_re(2 * N, 1), b_im(2 * N, 1);
    for (Index i = 0; i < 2 * N; ++i) {
      b_re(i) = b(i / (2 * V) * 2 * V + i % V);
      b_im(i) = b(i / (2 * V) * 2 * V + V + i % V);
    }
    const detail::Packed<S> weights(b.data());
    const detail::Signal<const S> x{c.re.data(), c.im.data()};
    const auto load = [&c](Index k) { return c.spectrum[std::size_t(k)]; };

    // Weighted: the spectrum of b . x comes back as N b . x.
    std::vector<C, Eigen::aligned_allocator<C>> weighted(c.spectrum.size());
    Matrix<S> re(2 * N, 1), im(2 * N, 1);
    detail::to_spectrum(
        c.plan, detail::Weighted<S>{x, weights},
        [&](Index k, const C& v) { weighted[std::size_t(k)] = v; }, c.scratch.data());
    detail::from_spectrum(
        c.plan, [&](Index k) { return weighted[std::size_t(k)]; },
        detail::Signal<S>{re.data(), im.data()}, c.scratch.data());
    CHECK(distance(re / S(N), b_re.cwiseProduct(c.re)) <= bound);
    CHECK(distance(im / S(N), b_im.cwiseProduct(c.im)) <= bound);

    // AddWeighted: h + N b . x.
    const Matrix<S> h_re = random_matrix<S>(2 * N, 1, 4);
    const Matrix<S> h_im = random_matrix<S>(2 * N, 1, 5);
    re = h_re;
    im = h_im;
    detail::from_spectrum(c.plan, load, detail::AddWeighted<S>{{re.data(), im.data()}, weights},
                          c.scratch.data());
    CHECK(distance(re / S(N), h_re / S(N) + b_re.cwiseProduct(c.re)) <= bound);
    CHECK(distance(im / S(N), h_im / S(N) + b_im.cwiseProduct(c.im)) <= bound);

    // AddProduct: sum + N g . x of both columns.
    Matrix<S> sum = b;
    detail::from_spectrum(c.plan, load,
                          detail::AddProduct<S>{sum.data(), {h_re.data(), h_im.data()}},
                          c.scratch.data());
    Matrix<S> expected = b / S(N);
    for (Index i = 0; i < 2 * N; ++i) {
      const Index at = i / (2 * V) * 2 * V + i % V;
      expected(at) += h_re(i) * c.re(i);
      expected(at + V) += h_im(i) * c.im(i);
    }
    CHECK(distance(sum / S(N), expected) <= bound);
  }
}

TEST_CASE_TEMPLATE("columns become signals and signals columns", S, float, double) {
  constexpr Index V = detail::lane_samples<S>;
  const Index N = 6 * V;
  const Matrix<S> x = random_matrix<S>(N, 2, 1);
  Matrix<S> re(N, 1), im(N, 1), back(N, 2), packed(N, 1), unpacked(N, 1);
  detail::unzip<S>({x.data(), x.data() + N}, {S(2), S(4)}, N, {re.data(), im.data()});
  for (Index i = 0; i < N / 2; ++i) {
    for (Index h = 0; h < 2; ++h) {
      CHECK(re(place<S>(i, h)) == S(2 << h) * x(2 * i, h));
      CHECK(im(place<S>(i, h)) == S(2 << h) * x(2 * i + 1, h));
    }
  }
  detail::zip<S>({re.data(), im.data()}, N, {S(0.5), S(0.25)}, {back.data(), back.data() + N});
  CHECK(back == x);
  detail::pack(x.data(), S(2), N, packed.data());
  for (Index i = 0; i < N / 2; ++i) {
    CHECK(packed(i / V * 2 * V + i % V) == 2 * x(2 * i, 0));
    CHECK(packed(i / V * 2 * V + V + i % V) == 2 * x(2 * i + 1, 0));
  }
  detail::unpack(packed.data(), N, unpacked.data());
  CHECK(unpacked == 2 * x.col(0));
}

TEST_CASE_TEMPLATE("scaling by powers of two", S, float, double) {
  using Limits = std::numeric_limits<S>;
  CHECK(detail::exponent_of(S(1)) == 0);
  CHECK(detail::exponent_of(S(-3.9)) == 1);
  CHECK(detail::exponent_of(S(0.25)) == -2);
  for (const S x : {Limits::max(), Limits::infinity(), Limits::quiet_NaN(), S(0),
                    Limits::denorm_min(), Limits::min()}) {
    const int e = detail::exponent_of(x);
    CHECK(std::isnormal(detail::power_of_two<S>(e)));
    CHECK(std::isnormal(detail::power_of_two<S>(-e)));
    if (std::isfinite(x)) CHECK(x * detail::power_of_two<S>(-e) <= S(4));
  }
  for (Index n = 0; n < 100; ++n) {
    Matrix<S> x = S(0.7) * random_matrix<S>(n, 1, 1).cwiseMin(S(1)).cwiseMax(S(-1));
    if (n > 0) x((7 * n) % n) = S(-5);
    CHECK(detail::largest_exponent(x.data(), n) == (n > 0 ? 2 : -detail::largest_power<S>));
  }
}

TEST_CASE_TEMPLATE("lanes are transposed, each column's by themselves", S, float, double) {
  constexpr Index V = detail::lane_samples<S>;
  const Matrix<S> numbers = random_matrix<S>(4 * V, V, 1);
  std::vector<detail::ComplexLanes<S>, Eigen::aligned_allocator<detail::ComplexLanes<S>>> x(V);
  for (Index i = 0; i < V; ++i) {
    x[std::size_t(i)] = {detail::load_lanes<S>(numbers.data() + 4 * V * i),
                         detail::load_lanes<S>(numbers.data() + 4 * V * i + 2 * V)};
  }
  detail::transpose<S>(x.data());
  bool right = true;
  for (Index i = 0; i < V; ++i) {
    S re[2 * V];
    S im[2 * V];
    detail::store_lanes<S>(re, x[std::size_t(i)].re);
    detail::store_lanes<S>(im, x[std::size_t(i)].im);
    for (Index l = 0; l < 2 * V; ++l) {
      const Index row = l / V * V + i;
      right = right && re[l] == numbers(row, l % V) && im[l] == numbers(2 * V + row, l % V);
    }
  }
  CHECK(right);
}

TEST_CASE_TEMPLATE("a signal holds a circular correlation of any length", S, float, double) {
  constexpr Index W = detail::lane_count<S>;
  for (Index n = 1; n <= 300; ++n) {
    const Index length = detail::signal_length<S>(n);
    CHECK(detail::is_smooth(length));
    CHECK(length % W == 0);
    CHECK((length == n || length >= 2 * n - 1));
    CHECK(length <= 4 * n + 3 * W);
  }
  for (const Index n : {384, 768, 1024, 4096, 14336}) CHECK(detail::signal_length<S>(n) == n);
  CHECK(detail::signal_length<S>(11008) >= 2 * 11008 - 1);
}

TEST_CASE("extend and fold are each other's adjoint") {
  for (const auto& [n, N] : {std::pair<Index, Index>{1, 4}, {5, 12}, {7, 13}, {8, 8}, {6, 32}}) {
    const Matrix<double> x = random_matrix<double>(n, 1, 1);
    const Matrix<double> y = random_matrix<double>(N, 1, 2);
    Matrix<double> extended(N, 1);
    Matrix<double> folded(n, 1);
    detail::extend(x.data(), n, true, extended.data(), N);
    detail::fold(y.data(), N, n, folded.data());
    CHECK(std::abs(inner(extended, y) - inner(x, folded)) <= 100 * eps<double>);
    for (Index i = 0; i < std::min(N, 2 * n - 1); ++i) CHECK(extended(i) == x(i % n));
    detail::extend(x.data(), n, false, extended.data(), N);
    CHECK(extended.topRows(n) == x);
    CHECK(extended.bottomRows(N - n).isZero(0.0));
  }
}

TEST_CASE("plans are shared, bounded and safe from several threads") {
  using Plan = detail::FftPlan<double>;
  constexpr Index V = Plan::V;
  CHECK(detail::shared_plan<Plan>(96) == detail::shared_plan<Plan>(96));
  std::vector<std::thread> threads;
  std::vector<int> wrong(4, 0);
  for (std::size_t t = 0; t < 4; ++t) {
    threads.emplace_back([&wrong, t] {
      for (Index n = V; n < 100 * V; n += V) {
        if (detail::is_smooth(n)) wrong[t] += detail::shared_plan<Plan>(n)->length() != n;
      }
    });
  }
  for (auto& thread : threads) thread.join();
  CHECK(wrong == std::vector<int>(4, 0));
}
