// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_INFLATION_INFLATION_HPP
#define LORMA_INFLATION_INFLATION_HPP

/// An inflation I turns the low-rank M = s B A (n x n) into the multiplier P = I(M).
///
/// It is a stateless struct of one file (docs/extending.md has a complete one):
///
///   struct MyTurn {
///     static constexpr std::string_view name = "MyTurn";
///     using Evaluations = lorma::EvaluationList<lorma::Dense>;   // Dense alone is enough
///     static constexpr lorma::Index copies = 1;
///     static constexpr bool starts_as_identity = true;
///     // T: n x (copies n), row-major, M repeated `copies` times side by side. Returns an n x n
///     // view that is I(M), into T, which may be rewritten, or into memory of the workspace.
///     template <class Backend, class S>
///     static MatrixView<S> inflate(typename Backend::Workspace&, const MatrixView<S>& T);
///     // The adjoint: T holds `copies` copies of dP; returns the n x n view of dM.
///     template <class Backend, class S>
///     static MatrixView<S> deflate(typename Backend::Workspace&, const MatrixView<S>& T);
///     // The start of training; B n x r and A r x n are zero, on the host.
///     template <class S, class Urbg>
///     static void initialize(const MatrixView<S>& B, const MatrixView<S>& A, S scale, Urbg&);
///   };
/// Optional: `template <class Backend, class S> static constexpr Index copies_for`, where a backend
/// needs another number of copies; and what the structure of P is, from which Factored, inverse,
/// determinant, spectrum and ranks follow:
///     static constexpr bool adds_identity = true;  // P = c I + M; a number is c, false is 0
///     static constexpr bool turns_rows = true;     // P(i, j) = M(i, (j - i) mod n)

#include <concepts>
#include <string_view>

#include "lorma/core/view.hpp"
#include "lorma/policies/evaluation.hpp"

namespace lorma::inline LORMA_ABI {

namespace detail {

template <typename I>
concept NamesItself = requires {
  { I::name } -> std::convertible_to<std::string_view>;
};
template <typename I>
concept ListsEvaluations = requires {
  requires I::Evaluations::template contains<Dense>;
};
template <typename I>
concept CountsCopies = requires {
  { I::copies } -> std::convertible_to<Index>;
  requires I::copies >= 1;
};
template <typename I>
concept SaysHowItStarts = requires {
  { I::starts_as_identity } -> std::convertible_to<bool>;
};
struct AnyRandomBits {
  static constexpr unsigned min() { return 0; }
  static constexpr unsigned max() { return ~0U; }
  unsigned operator()() { return 0; }
};
template <typename I>
concept Initializes = requires(const MatrixView<float>& m, AnyRandomBits& urbg) {
  I::initialize(m, m, 1.0F, urbg);
};

/// Copies of M in T.
template <typename I, typename Backend, typename S>
constexpr Index copies_of() {
  if constexpr (requires { I::template copies_for<Backend, S>; }) {
    return I::template copies_for<Backend, S>;
  } else {
    return I::copies;
  }
}

/// Only looks for the names: the backend is not known here.
struct AnyBackend {
  struct Workspace {};
};
template <typename I>
concept Inflates = requires {
  I::template inflate<AnyBackend, float>;
};
template <typename I>
concept Deflates = requires {
  I::template deflate<AnyBackend, float>;
};

}  // namespace detail

/// What such a file must have.
template <typename I>
concept InflationPolicy = detail::NamesItself<I> && detail::ListsEvaluations<I> &&
    detail::CountsCopies<I> && detail::SaysHowItStarts<I> && detail::Inflates<I> &&
    detail::Deflates<I> && detail::Initializes<I>;

/// P = c I + M.
template <typename I>
concept AddsIdentity = requires {
  {static_cast<double>(I::adds_identity)};
};

/// c of P = c I + M.
template <AddsIdentity I>
inline constexpr double identity_multiple = static_cast<double>(I::adds_identity);

/// P = I + M: LoRMA+, whatever it is called.
template <typename I>
concept IsPlus = AddsIdentity<I> &&(identity_multiple<I> == 1.0);

/// P(i, j) = M(i, (j - i) mod n).
template <typename I>
concept TurnsRows = requires {
  requires I::turns_rows;
};

}  // namespace lorma::inline LORMA_ABI

#endif
