// SPDX-License-Identifier: Apache-2.0
/// Adapters and weights that are hard on arithmetic.
#pragma once
#include <cmath>
#include <lorma/core/types.hpp>
#include <random>

#include "../support/references.hpp"

namespace lorma_attack {

using lorma::Index;
using lorma::Matrix;

/// P = I(s B A), in double.
struct RandomFactors {
  Matrix<double> B;  ///< n x r
  Matrix<double> A;  ///< r x n
  double scale = 1.0;
};

template <typename Urbg>
double uniform(Urbg& urbg, double from, double to) {
  return std::uniform_real_distribution<double>(from, to)(urbg);
}
template <typename Urbg>
Index integer(Urbg& urbg, Index from, Index to) {
  return std::uniform_int_distribution<Index>(from, to)(urbg);
}
/// 10^x, x uniform.
template <typename Urbg>
double power_of_ten(Urbg& urbg, double from, double to) {
  return std::pow(10.0, uniform(urbg, from, to));
}
template <typename Urbg>
Matrix<double> gaussian(Urbg& urbg, Index rows, Index cols) {
  std::normal_distribution<double> normal;
  return Matrix<double>::NullaryExpr(rows, cols, [&] { return normal(urbg); });
}
template <typename Urbg>
Matrix<double> orthonormal_columns(Urbg& urbg, Index n, Index count) {
  return lorma_tests::orthonormal_columns(gaussian(urbg, n, count));
}

inline constexpr const char* kinds_of_factors[] = {
    "near the start",  "Gaussian",  "large",    "cancelling", "graded",
    "nearly singular", "stretched", "constant", "sparse",     "deficient"};

/// Factors of one of the ten kinds, I + s B A or its turn being what is meant.
template <typename Urbg>
RandomFactors random_factors(Urbg& urbg, int kind, Index n, Index r, bool turns) {
  const double root = std::sqrt(static_cast<double>(n));
  RandomFactors f{gaussian(urbg, n, r) / root, gaussian(urbg, r, n) / root,
                  uniform(urbg, 0.0, 1.0) < 0.5 ? 1.0 : uniform(urbg, -2.0, 2.0)};
  switch (kind) {
    case 0:
      f.B *= power_of_ten(urbg, -6, 0);
      break;
    case 2:
      f.B *= power_of_ten(urbg, 0, 8);
      f.A *= power_of_ten(urbg, -4, 4);
      break;
    case 3:  // pairs whose sum is small beside them
      for (Index q = 0; q + 1 < r; q += 2) {
        f.B.col(q) *= power_of_ten(urbg, 0, 6);
        f.B.col(q + 1) = f.B.col(q);
        f.A.row(q + 1) = -f.A.row(q) * (1.0 + power_of_ten(urbg, -8, -1));
      }
      break;
    case 4:
      for (Index q = 0; q < r; ++q) {
        const double t = power_of_ten(urbg, -12, 12);
        f.B.col(q) *= t * power_of_ten(urbg, -3, 3);
        f.A.row(q) /= t;
      }
      break;
    case 5: {
      const Matrix<double> u = orthonormal_columns(urbg, n, 1);
      f.scale = 1.0;
      f.B.col(0) = u;
      f.A.row(0) = -(1.0 - power_of_ten(urbg, -17, 0)) * u.transpose();
      f.B.rightCols(r - 1) *= power_of_ten(urbg, -8, 0);
      break;
    }
    case 6: {  // one direction stretched by 1 + t, another shrunk to 1 / t, in mixed factors
      const Index m = std::min<Index>(2, std::min(n, r));
      const Matrix<double> Q = orthonormal_columns(urbg, n, m);
      const double t = power_of_ten(urbg, 0, 8);
      f.scale = 1.0;
      f.B.leftCols(m) = std::sqrt(t) * Q;
      f.A.topRows(m) = std::sqrt(t) * Q.transpose();
      f.A.row(m - 1) *= -(1.0 - 1.0 / t) / t;
      if (m == 2) {
        const double a = uniform(urbg, 0.0, 7.0);
        Matrix<double> turn(2, 2);
        turn << std::cos(a), -std::sin(a), std::sin(a), std::cos(a);
        f.B.leftCols(2) *= turn;
        f.A.topRows(2) = turn.transpose() * f.A.topRows(2).eval();
      }
      f.B.rightCols(r - m) *= power_of_ten(urbg, -8, 0);
      break;
    }
    case 7:
      for (Index q = 0; q < r; ++q) {
        f.B.col(q).setConstant(uniform(urbg, -1.0, 1.0));
        f.A.row(q).setConstant(uniform(urbg, -1.0, 1.0));
      }
      break;
    case 8:
      f.B = f.B.unaryExpr([&](double x) { return urbg() % 4 == 0 ? std::round(x * 4 * root) : 0; });
      f.A = f.A.unaryExpr([&](double x) { return urbg() % 4 == 0 ? std::round(x * 2 * root) : 0; });
      break;
    case 9:
      for (Index q = 1; q < r; q += 2) f.B.col(q) = f.B.col(q - 1) * uniform(urbg, -1.0, 1.0);
      f.A.row(r - 1) *= urbg() % 2 == 0 ? 0.0 : power_of_ten(urbg, -20, 6);
      break;
    default:
      break;
  }
  if (turns && kind != 1 && (kind != 7 || r > 1) &&
      urbg() % 2 == 0) {  // the start of LoRMA_pi, and more
    f.scale = 1.0;
    f.B.col(0).setOnes();
    f.A.row(0) *= power_of_ten(urbg, -8, 0);
    f.A(0, 0) = 1.0;
  }
  return f;
}

/// n x k: Gaussian, constant, of one direction that P stretches most, or graded.
template <typename Urbg>
Matrix<double> random_weight(Urbg& urbg, const Matrix<double>& P, Index k) {
  const Index n = P.rows();
  Matrix<double> W = gaussian(urbg, n, k) * power_of_ten(urbg, -4, 2);
  switch (urbg() % 4) {
    case 0:
      W.setConstant(uniform(urbg, -1.0, 1.0));
      break;
    case 1: {
      Matrix<double> v = gaussian(urbg, n, 1);
      for (int step = 0; step < 6; ++step) {
        v = (P.transpose() * (P * v).eval()).eval();
        if (!(v.norm() > 0.0) || !v.allFinite()) v = gaussian(urbg, n, 1);
        v /= v.norm();
      }
      W = v * gaussian(urbg, 1, k);
      break;
    }
    case 2:
      for (Index j = 0; j < k; ++j) W.col(j) *= power_of_ten(urbg, -3, 3);
      break;
    default:
      break;
  }
  return W;
}

}  // namespace lorma_attack
