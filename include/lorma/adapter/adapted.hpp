// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_ADAPTER_ADAPTED_HPP
#define LORMA_ADAPTER_ADAPTED_HPP

/// An adapted weight as a base for another adapter: W of the adapter as a LinearOperator.
///
///   second.forward(lorma::adapted(first, W0), X)

#include "lorma/adapter/adapter.hpp"

namespace lorma::inline LORMA_ABI {

/// Refers to both the adapter and W0, which must outlive it.
template <typename AdapterType, typename W0>
class Adapted {
  using S = typename AdapterType::Scalar;

 public:
  Adapted(const AdapterType& adapter, const W0& w0) : adapter_(adapter), w0_(w0) {}
  Index rows() const { return detail::rows_of(w0_); }
  Index cols() const { return detail::columns_of(w0_); }
  /// W X.
  template <typename X>
  Matrix<S> apply(const X& x) const {
    return adapter_.forward(w0_, x);
  }
  /// W^T G.
  template <typename G>
  Matrix<S> apply_adjoint(const G& g) const {
    if constexpr (std::is_same_v<typename AdapterType::Side, Pre>) {
      return base_adjoint(adapter_.apply_adjoint(g));
    } else {
      return adapter_.apply_adjoint(base_adjoint(g));
    }
  }

 private:
  template <typename G>
  Matrix<S> base_adjoint(const G& g) const {
    using Backend = typename AdapterType::Backend;
    Workspace workspace;
    Door<Backend> door("Adapted::apply_adjoint", workspace);
    const detail::FrozenWeight<Backend, S, W0> weight(door, w0_);
    const auto gradient = door.template read<S>("G", g);
    Matrix<S> result(cols(), detail::columns_of(g));
    weight.get().multiply_adjoint(workspace, gradient.view(), view_of(result), false);
    return result;
  }

  const AdapterType& adapter_;
  const W0& w0_;
};

template <typename AdapterType, typename W0>
Adapted<AdapterType, W0> adapted(const AdapterType& adapter, const W0& w0) {
  return {adapter, w0};
}

}  // namespace lorma::inline LORMA_ABI

#endif
