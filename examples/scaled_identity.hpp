// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_EXAMPLES_SCALED_IDENTITY_HPP
#define LORMA_EXAMPLES_SCALED_IDENTITY_HPP

/// An inflation that declares its structure: P = c I + M with c = percent / 100.
///
/// The declaration, `adds_identity = c`, is all that Factored, the inverse, the determinant, the
/// spectrum and the ranks need: none of them forms an n x n matrix.

#include <cmath>
#include <lorma/lorma.hpp>

namespace lorma_examples {

template <int percent>
struct ScaledIdentity {
  static constexpr std::string_view name = "ScaledIdentity";
  using Evaluations = lorma::EvaluationList<lorma::Factored, lorma::Dense>;
  static constexpr lorma::Index copies = 1;
  static constexpr bool starts_as_identity = percent == 100;
  static constexpr double adds_identity = percent / 100.0;

  template <typename Backend, typename S>
  static lorma::MatrixView<S> inflate(typename Backend::Workspace& workspace,
                                      const lorma::MatrixView<S>& T) {
    Backend::add_identity(workspace, static_cast<S>(adds_identity), T);
    return T;
  }
  template <typename Backend, typename S>
  static lorma::MatrixView<S> deflate(typename Backend::Workspace&, const lorma::MatrixView<S>& T) {
    return T;
  }

  /// B = 0, so that P = c I.
  template <typename S, typename Urbg>
  static void initialize(const lorma::MatrixView<S>& B, const lorma::MatrixView<S>& A, S /*scale*/,
                         Urbg& urbg) {
    lorma::fill_uniform(A, 1.0 / std::sqrt(static_cast<double>(B.rows)), urbg);
  }
};

}  // namespace lorma_examples

#endif
