// SPDX-License-Identifier: Apache-2.0
// A rank that is called certain is that of the exact singular values, and sigma_1 is in its
// enclosure.

#include <Eigen/SVD>
#include <lorma/analysis/numerical_rank.hpp>

#include "attack.hpp"

using namespace lorma;
using namespace lorma::analysis;
using lorma_attack::Draw;

namespace {

using Long = Matrix<long double>;
constexpr double wrong = 2.0;  // a ratio beyond every bound

/// Normal, of low rank, graded by rows and columns, of powers of two, of duplicates, with singular
/// values at `near` times the largest.
Matrix<float> draw_matrix(Draw& draw, Index m, Index n, double near) {
  const Index p = std::min(m, n);
  Matrix<double> M = draw.normal(m, n);
  switch (draw.index(0, 5)) {
    case 0:
      break;
    case 1: {
      const Index r = draw.index(1, p);
      M = draw.normal(m, r) * draw.normal(r, n);
      break;
    }
    case 2: {
      const double a = draw.uniform(0, 20), b = draw.uniform(0, 20);
      for (Index i = 0; i < m; ++i) M.row(i) *= std::exp2(-a * double(i) / double(m));
      for (Index j = 0; j < n; ++j) M.col(j) *= std::exp2(-b * double(j) / double(n));
      break;
    }
    case 3:
      M.setZero();
      for (Index i = 0; i < p; ++i) M(i, i) = std::exp2(double(-draw.index(0, 20)));
      break;
    case 4:
      for (Index i = 1; i < m; ++i) {
        if (draw.index(0, 2) == 0) M.row(i) = M.row(draw.index(0, i - 1));
      }
      break;
    default: {
      const lorma::detail::Svd<double> svd = lorma::detail::thin_svd(M);
      Eigen::VectorXd sigma(p);
      const double top = draw.uniform(0, 0.1);  // how far the others are from the first
      for (Index i = 0; i < p; ++i) sigma(i) = 1.0 - top * draw.uniform(0, 1);
      const Index few = draw.index(1, std::max<Index>(1, p / 2));
      for (Index i = 0; i < few; ++i) sigma(p - 1 - i) = near * std::exp(draw.uniform(-0.1, 0.1));
      M = svd.U * sigma.asDiagonal() * svd.V.transpose();
    }
  }
  return M.cast<float>();
}

Index count_above(const Vector<long double>& sigma, long double tolerance) {
  return (sigma.array() > tolerance).count();
}

/// `answer` of a matrix of these singular values, with `relative` as tolerance.
double error_of(const RankAnswer& answer, const Vector<long double>& sigma, double relative) {
  const long double tolerance = relative * sigma(0);
  double worst = 0.0;
  if (answer.certain && answer.rank != count_above(sigma, tolerance)) return wrong;
  if (answer.method == RankMethod::inertia && sigma(0) > 0) {
    worst = double(std::abs(answer.tolerance / tolerance - 1)) / answer.margin;
    for (const long double s : sigma) {
      worst = std::max(worst, 0.5 * answer.margin / double(std::abs(s / tolerance - 1)));
    }
  }
  return worst;
}

}  // namespace

TEST_CASE("attack: ranks by inertia, small and with tolerances that suit the size") {
  lorma_attack::search("rank by inertia", 20, [](std::mt19937_64& urbg) {
    Draw draw{urbg};
    const Index m = draw.index(2, 20), n = draw.index(2, 20);
    const double relative = std::exp2(draw.uniform(-18, -9));
    const Matrix<float> M = draw_matrix(draw, m, n, relative);
    const Matrix<float> scaled = M * std::ldexp(1.0F, int(draw.index(-60, 60)));
    const Vector<long double> sigma =
        Eigen::JacobiSVD<Long>(M.cast<long double>()).singularValues();
    double worst = 0.0;
    Matrix<double> G = analysis::detail::gram(M);
    const auto answer = analysis::detail::rank_by_inertia(G, m, n, relative, std::nullopt);
    if (answer) worst = error_of(*answer, sigma, relative);
    // G is scaled now. By the long double matrix rather than by the Gram matrix of rounded squares.
    Workspace workspace;
    if (const auto top = analysis::detail::largest_eigenvalue(workspace, G)) {
      const long double unit = G.trace() / sigma.squaredNorm();
      const double gram = 22 * 0x1p-53 * G.trace();
      const auto square = double(unit * sigma(0) * sigma(0));
      worst = std::max({worst, (top->low - square) / gram, (square - top->high) / gram});
    }
    // A power of two changes nothing, transposition nothing that is certain.
    Matrix<double> H = analysis::detail::gram(scaled);
    const auto same = analysis::detail::rank_by_inertia(H, m, n, relative, std::nullopt);
    if (answer.has_value() != same.has_value()) return wrong;
    if (answer && (answer->rank != same->rank || answer->margin != same->margin)) return wrong;
    H = analysis::detail::gram(M.transpose());
    const auto turned = analysis::detail::rank_by_inertia(H, n, m, relative, std::nullopt);
    if (answer && turned && answer->rank != turned->rank) return wrong;
    return worst;
  });
}

TEST_CASE("attack: singular values and ranks by decomposition") {
  lorma_attack::search("rank by decomposition", 20, [](std::mt19937_64& urbg) {
    Draw draw{urbg};
    const Index m = draw.index(1, 40), n = draw.index(1, 40);
    const Matrix<double> M =
        draw.index(0, 1) == 0
            ? Matrix<double>(draw.normal(m, n))
            : draw_matrix(draw, m, n, double(std::max(m, n)) * 0x1p-52).cast<double>();
    const Vector<long double> sigma =
        Eigen::JacobiSVD<Long>(M.cast<long double>()).singularValues();
    const Eigen::VectorXd found = singular_values(M);
    const double bound = analysis::detail::svd_error(m, n) * double(sigma(0));
    double worst = double((sigma - found.cast<long double>()).cwiseAbs().maxCoeff()) / bound;
    worst = std::max(worst, error_of(certain_rank(M), sigma, default_tolerance(M)));
    const Matrix<float> narrow = M.cast<float>();
    if (narrow.cast<double>() != M) return worst;
    return std::max(worst, error_of(certain_rank(narrow), sigma, default_tolerance(narrow)));
  });
}

TEST_CASE("attack: ranks of the sizes that inertia answers") {
  lorma_attack::search("rank of 96 x 96 and more", 2, [](std::mt19937_64& urbg) {
    Draw draw{urbg};
    const Index m = draw.index(96, 128), n = draw.index(96, 128);
    const double relative = double(std::max(m, n)) * 0x1p-23;
    const Matrix<float> M = draw_matrix(draw, m, n, relative);
    // Exact enough beside a tolerance of float.
    const Vector<long double> sigma = singular_values(M).cast<long double>();
    const RankAnswer answer = certain_rank(M);
    const double worst = error_of(answer, sigma, relative);
    const int e = int(draw.index(-50, 50));
    const RankAnswer same = certain_rank(Matrix<float>(M * std::ldexp(1.0F, e)));
    if (same.rank != answer.rank || same.tolerance != std::ldexp(answer.tolerance, e)) return wrong;
    const RankAnswer turned = certain_rank(M.transpose());
    if (turned.certain && answer.certain && turned.rank != answer.rank) return wrong;
    return worst;
  });
}
