// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_ADAPTER_ADAPTER_HPP
#define LORMA_ADAPTER_ADAPTER_HPP

/// A multiplicative low-rank adapter that owns its factors: W = I(BA) W0 (Pre) or W0 I(BA) (Post).
///
///   lorma::Adapter<float> adapter(W0.rows(), 8, 16.0F);   // LoRMA+, n = d, rank 8, alpha 16
///   std::mt19937_64 urbg(42);
///   adapter.initialize(urbg);                             // the identity map
///   lorma::Tape<float> tape;
///   auto H = adapter.forward(W0, X, tape);                // d x b
///   auto g = adapter.backward(W0, dH, tape);              // g.dX, g.dA, g.dB
///   adapter.merge_in_place(W0);                           // W0 becomes W
///
/// Policies: Inflation Identity | CyclicPermutation | None | yours; Order Auto |
/// ActivationFirst<E> | WeightFirst<E>; Side Pre | Post; Backend EigenCpu | CuBlas, whose adapters
/// are made with a context or by to<CuBlas>(context). The operations are those of AdapterView
/// (adapter/adapter_view.hpp). With CuBlas a context, and everything made with it, belongs to one
/// thread at a time, so a second thread needs its own adapter, made by to<CuBlas>(its context).

#include <cmath>
#include <concepts>

#include "lorma/adapter/adapter_view.hpp"

namespace lorma::inline LORMA_ABI {

namespace detail {

/// Factors in their own memory, and what they were made with.
template <typename S, typename Backend>
struct OwnedFactors {
  using Context = typename Backend::Context;
  using MatrixType = typename Backend::template Matrix<S>;
  using Real = Accumulator<S>;

  OwnedFactors(const Context& its_context, Index dim, Index r, Real its_alpha);

  const Context& context() const { return place; }
  Factors<S> factors() const;
  template <typename FactorB, typename FactorA>
  void check_shapes(const FactorB& b, const FactorA& a) const {
    check_shape("Adapter", "factor B (n x r)", b.rows(), b.cols(), n, rank);
    check_shape("Adapter", "factor A (r x n)", a.rows(), a.cols(), rank, n);
  }

  [[no_unique_address]] Context place;
  Real alpha;
  Index n;
  Index rank;
  MatrixType B;
  MatrixType A;
};

template <typename S, typename Backend>
OwnedFactors<S, Backend>::OwnedFactors(const Context& its_context, Index dim, Index r,
                                       Real its_alpha)
    : place(its_context), alpha(its_alpha), n(dim), rank(r) {
  if (n < 1 || rank < 1) {
    throw ShapeError("lorma::Adapter: expected n >= 1 and rank >= 1, got n = " + std::to_string(n) +
                     ", rank = " + std::to_string(rank));
  }
  if (!std::isfinite(alpha) || !(alpha > Real(0))) {
    throw Error("lorma::Adapter: expected a finite alpha > 0, got " + std::to_string(alpha));
  }
  Matrix<S> zeros;
  HostMemoryBackend::resize({}, zeros, n, rank);
  zeros.setZero();
  Backend::upload(place, zeros, B);
  zeros.setZero(rank, n);
  Backend::upload(place, zeros, A);
}

template <typename S, typename Backend>
Factors<S> OwnedFactors<S, Backend>::factors() const {
  check_shapes(B, A);
  if (context_id<Backend>(B) != context_id<Backend>(A)) {
    throw BackendError("lorma::Adapter: expected factors A and B of one context, got two");
  }
  return {Backend::view(B), Backend::view(A), alpha / static_cast<Real>(rank),
          context_id<Backend>(B)};
}

}  // namespace detail

template <typename ScalarType, typename InflationType = Identity, typename OrderType = Auto,
          typename SideType = Pre, typename BackendType = EigenCpu>
class Adapter : public AdapterView<ScalarType, InflationType, OrderType, SideType, BackendType,
                                   detail::OwnedFactors> {
  using View = AdapterView<ScalarType, InflationType, OrderType, SideType, BackendType,
                           detail::OwnedFactors>;

 public:
  using typename View::Backend;
  using typename View::Context;
  using typename View::MatrixType;
  using typename View::Real;
  using typename View::Scalar;

  /// Factors start as zero. Throws ShapeError unless n >= 1 and rank >= 1, Error unless alpha is
  /// finite and positive.
  Adapter(Index n, Index rank, Real alpha) requires std::default_initializable<Context>
      : Adapter(Context{}, n, rank, alpha) {}
  /// The same on a device.
  Adapter(const Context& context, Index n, Index rank, Real alpha)
      : View(typename View::OwnedTag{}, context, n, rank, alpha) {}

  MatrixType& A() { return this->storage_.A; }              ///< r x n
  const MatrixType& A() const { return this->storage_.A; }  ///< r x n
  MatrixType& B() { return this->storage_.B; }              ///< n x r
  const MatrixType& B() const { return this->storage_.B; }  ///< n x r
  Index rank() const { return this->storage_.rank; }
  Index dim() const { return this->storage_.n; }
  Real alpha() const { return this->storage_.alpha; }
  Real scale() const { return alpha() / static_cast<Real>(rank()); }

  /// The inflation's initial factors (paper, section 3; docs/mathematics.md has the table).
  template <typename Urbg>
  requires RandomBits<std::remove_cvref_t<Urbg>>
  void initialize(Urbg&& urbg) {
    Matrix<Real> b = Matrix<Real>::Zero(dim(), rank());
    Matrix<Real> a = Matrix<Real>::Zero(rank(), dim());
    InflationType::initialize(view_of(b), view_of(a), scale(), urbg);
    set_factors(b.template cast<Scalar>(), a.template cast<Scalar>());
  }

  /// Copies factors of the CPU, B (n x r) and A (r x n), to where the adapter lives. Throws
  /// ShapeError.
  void set_factors(const Matrix<Scalar>& b, const Matrix<Scalar>& a) {
    this->storage_.check_shapes(b, a);
    Backend::upload(this->context(), b, B());
    Backend::upload(this->context(), a, A());
  }

  /// The same adapter on another backend; factors are copied.
  template <typename Target>
  Adapter<ScalarType, InflationType, OrderType, SideType, Target> to(
      const typename Target::Context& context) const {
    Adapter<ScalarType, InflationType, OrderType, SideType, Target> result(context, dim(), rank(),
                                                                           alpha());
    const Factors<Scalar> f = this->factors();
    auto workspace = Backend::make_workspace(this->context());
    const auto copy = [&](const MatrixView<const Scalar>& m) {
      const auto host = Backend::on_host(workspace, m);
      return detail::copy_strided<Scalar>(detail::strided(host.view()));
    };
    result.set_factors(copy(f.B), copy(f.A));
    return result;
  }
  template <typename Target>
  requires std::default_initializable<typename Target::Context>
  auto to() const { return to<Target>(typename Target::Context{}); }
};

}  // namespace lorma::inline LORMA_ABI

#endif
