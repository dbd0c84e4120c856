// SPDX-License-Identifier: Apache-2.0
// Both ends of the spectrum of a multiplier lie in their enclosures.

#include <Eigen/SVD>
#include <lorma/analysis/extreme_singular_values.hpp>

#include "attack.hpp"

using namespace lorma;
using namespace lorma::analysis;
using lorma_attack::Draw;

namespace {

using Long = Matrix<long double>;

/// Factors of size 1 and far from it, graded, and those whose P has a small singular value.
template <typename A>
A draw_adapter(Draw& draw, Index n, Index r) {
  A adapter(n, r, draw.uniform(0.1, 4.0) * double(r));
  const double size = std::exp2(draw.uniform(-6, 6));
  adapter.B() = size * draw.normal(n, r);
  adapter.A() = draw.normal(r, n) * std::exp2(draw.uniform(-6, 6)) / size;
  const Index kind = draw.index(0, 3);
  if (kind == 1) {
    for (Index q = 0; q < r; ++q) adapter.B().col(q) *= std::exp2(draw.uniform(-20, 20));
  } else if (kind == 2) {  // P = I - (1 - t) u u^T and the like
    const Matrix<double> Q = lorma::detail::orthonormal(draw.normal(n, r));
    const double t = std::exp2(draw.uniform(-30, 5));
    adapter.B().leftCols(Q.cols()) = Q / adapter.scale();
    adapter.A().setZero();
    adapter.A().topRows(Q.cols()) = (t - 1.0) * Q.transpose();
  } else if (kind == 3) {  // cancelling
    if (r > 1) adapter.B().col(1) = -adapter.B().col(0) * (1.0 + std::exp2(draw.uniform(-30, 0)));
    if (r > 1) adapter.A().row(1) = adapter.A().row(0);
  }
  return adapter;
}

/// P without a rounding that matters.
template <typename A>
Long exact(const A& adapter) {
  const Index n = adapter.dim();
  const Long M =
      static_cast<long double>(adapter.scale()) *
      (adapter.B().template cast<long double>() * adapter.A().template cast<long double>());
  if constexpr (AddsIdentity<typename A::Inflation>) {
    const long double c = identity_multiple<typename A::Inflation>;
    return M + c * Long::Identity(n, n);
  } else {
    return Long::NullaryExpr(n, n, [&](Index i, Index j) { return M(i, (j - i + n) % n); });
  }
}

/// How far sigma_1 and sigma_n are from the middle of what is said of them, over half its width;
/// `blur` is the error of `sigma` itself.
double error_of(const ExtremeSingularValues& ends, double first, double last, double blur) {
  double worst = 0.0;
  const auto inside = [&](double value, double found, double bound) {
    if (std::isinf(bound)) return;
    worst = std::max(worst, std::abs(value - found) / (std::abs(bound - found) + blur));
  };
  // `smallest_at_least` is cut at 0, which no singular value is below.
  inside(first, ends.largest, ends.largest_at_most);
  if (ends.smallest_at_least > 0.0 || !ends.converged) {
    worst = std::max(worst, ends.smallest_at_least - last > blur ? 2.0 : 0.0);
  }
  if (ends.converged) inside(last, ends.smallest, ends.smallest_at_least);
  return worst;
}

template <typename A>
double trial(std::mt19937_64& urbg) {
  Draw draw{urbg};
  const Index n = draw.index(1, 16);
  const A adapter = draw_adapter<A>(draw, n, draw.index(1, 4));
  const Vector<long double> sigma = Eigen::JacobiSVD<Long>(exact(adapter)).singularValues();
  return error_of(
      extreme_singular_values(adapter), double(sigma(0)), double(sigma(n - 1)),
      0x1p-58 * (double(sigma(0)) + adapter.scale() * adapter.B().norm() * adapter.A().norm()));
}

}  // namespace

TEST_CASE("attack: both ends by structure and of small multipliers") {
  lorma_attack::search("extremes of LoRMA+", 20, trial<Adapter<double, Identity>>);
  lorma_attack::search("extremes of None", 20, trial<Adapter<double, None>>);
  lorma_attack::search("extremes of LoRMA_pi, dense", 20,
                       trial<Adapter<double, CyclicPermutation>>);
}

TEST_CASE("attack: nothing false is proved, whatever was found") {
  lorma_attack::search("proof of extremes", 50, [](std::mt19937_64& urbg) {
    Draw draw{urbg};
    const Index n = draw.index(2, 16);
    Matrix<double> P = draw.normal(n, n);
    P.col(0) *= std::exp2(draw.uniform(-20, 5));
    const Vector<long double> sigma =
        Eigen::JacobiSVD<Long>(P.cast<long double>()).singularValues();
    ExtremeSingularValues ends;  // a wrong one as often as not
    ends.largest = double(sigma(draw.index(0, std::min<Index>(1, n - 1))));
    ends.smallest = double(sigma(n - 1 - draw.index(0, std::min<Index>(1, n - 1))));
    analysis::detail::prove(analysis::detail::gram(P), 0.0, ends);
    const auto beyond = [](double value, double found, double bound) {
      const bool nothing = std::isinf(bound) || bound == 0.0;
      return nothing || value == found ? 0.0 : (value - found) / (bound - found);
    };
    return std::max(beyond(double(sigma(0)), ends.largest, ends.largest_at_most),
                    beyond(double(sigma(n - 1)), ends.smallest, ends.smallest_at_least));
  });
}

TEST_CASE("attack: both ends by iteration") {
  lorma_attack::search("extremes of LoRMA_pi, iterated", 2, [](std::mt19937_64& urbg) {
    Draw draw{urbg};
    const Index n = draw.index(65, 100);
    auto adapter = draw_adapter<Adapter<double, CyclicPermutation>>(draw, n, draw.index(1, 3));
    const Eigen::VectorXd sigma = singular_values(adapter.inflated());
    return error_of(extreme_singular_values(adapter, 1e-8, 60), sigma(0), sigma(n - 1),
                    analysis::detail::svd_error(n, n) * sigma(0));
  });
}
