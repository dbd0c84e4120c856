// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_TESTS_CUDA_ON_DEVICE_HPP
#define LORMA_TESTS_CUDA_ON_DEVICE_HPP

/// An adapter of the backend CuBlas that takes and gives matrices of the CPU, so that the laws of
/// support/laws.hpp hold for it as they stand. Every operand lies in a larger parent on the device,
/// in the storage order of the caller's matrix.

#include "routes.hpp"

namespace lorma_tests {

using lorma::CuBlas;
using lorma::CudaContext;
using lorma::DeviceMatrix;
using lorma::DeviceView;
using lorma::Index;

inline CudaContext make_context() {
  return CudaContext::create({.workspace_bytes = std::size_t(1) << 20});
}
inline const CudaContext& test_context() {
  static const CudaContext context = make_context();
  return context;
}

/// A matrix of the CPU inside a larger one on the device.
template <typename S>
class Uploaded {
 public:
  template <typename M>
  explicit Uploaded(const M& m)
      : order_(M::IsRowMajor ? lorma::StorageOrder::RowMajor : lorma::StorageOrder::ColMajor),
        rows_(m.rows()),
        cols_(m.cols()),
        parent_(test_context(), rows_ + 3, cols_ + 2, order_) {
    lorma::Matrix<S> all = lorma::Matrix<S>::Constant(rows_ + 3, cols_ + 2,
                                                      S(std::numeric_limits<float>::quiet_NaN()));
    all.block(1, 1, rows_, cols_) = m;
    const DeviceMatrix<S> dense = lorma::to_device(test_context(), all);
    lorma::DeviceWorkspace workspace(test_context());
    CuBlas::copy(workspace, dense.view(), parent_.view());
  }

  DeviceView<S> view() {
    return DeviceView<S>(test_context(), parent_.view()).block(1, 1, rows_, cols_);
  }
  lorma::Matrix<S> host() { return lorma::to_host(view()); }
  /// Whether everything beside the block is as it was.
  bool frame_is_intact() {
    lorma::Matrix<S> all = lorma::to_host(parent_);
    Index outside = 0;
    for (Index j = 0; j < all.cols(); ++j) {
      for (Index i = 0; i < all.rows(); ++i) {
        const bool inside = i >= 1 && i <= rows_ && j >= 1 && j <= cols_;
        outside += !inside && !(all(i, j) == all(i, j)) ? 1 : 0;
      }
    }
    return outside == (rows_ + 3) * (cols_ + 2) - rows_ * cols_;
  }

 private:
  lorma::StorageOrder order_;
  Index rows_;
  Index cols_;
  DeviceMatrix<S> parent_;
};
template <typename M>
Uploaded(const M&) -> Uploaded<typename M::Scalar>;

template <typename HostAdapter>
class OnDevice {
 public:
  using Scalar = typename HostAdapter::Scalar;
  using Inflation = typename HostAdapter::Inflation;
  using Order = typename HostAdapter::Order;
  using Side = typename HostAdapter::Side;
  using Device = lorma::Adapter<Scalar, Inflation, Order, Side, CuBlas>;
  using M = lorma::Matrix<Scalar>;
  using Gradients = lorma::Gradients<Scalar>;

  struct Tape : Device::Tape {
    Tape() : Device::Tape(test_context()) {}
  };
  struct Workspace : lorma::DeviceWorkspace {
    Workspace() : lorma::DeviceWorkspace(test_context()) {}
  };

  OnDevice(Index n, Index rank, Scalar alpha) : host_(n, rank, alpha) {}

  template <typename Urbg>
  void initialize(Urbg&& urbg) {
    Device device(test_context(), dim(), rank(), alpha());
    device.initialize(urbg);
    host_ = device.template to<lorma::EigenCpu>();
  }
  M& A() { return host_.A(); }
  M& B() { return host_.B(); }
  const M& A() const { return host_.A(); }
  const M& B() const { return host_.B(); }
  Scalar alpha() const { return host_.alpha(); }
  Scalar scale() const { return host_.scale(); }
  Index rank() const { return host_.rank(); }
  Index dim() const { return host_.dim(); }
  M inflated() const { return to_host(device().inflated()); }

  template <typename W, typename X>
  M forward(const W& w, const X& x) const {
    Uploaded<Scalar> W0(w.eval()), in(x.eval());
    return to_host(device().forward(W0.view(), in.view()));
  }
  template <typename W, typename X>
  M forward(const W& w, const X& x, Tape& tape) const {
    Uploaded<Scalar> W0(w.eval()), in(x.eval());
    return to_host(device().forward(W0.view(), in.view(), tape));
  }
  template <typename H, typename W, typename X, typename Scratch>
  void forward_into(H&& h, const W& w, const X& x, Scratch& scratch) const {
    Uploaded<Scalar> W0(w.eval()), in(x.eval()), out(h.eval());
    device().forward_into(out.view(), W0.view(), in.view(), scratch);
    CHECK(out.frame_is_intact());
    h = out.host();
  }
  template <typename W, typename G>
  Gradients backward(const W& w, const G& g, Tape& tape) const {
    Uploaded<Scalar> W0(w.eval()), dH(g.eval());
    const auto result = device().backward(W0.view(), dH.view(), tape);
    return {to_host(result.dX), to_host(result.dA), to_host(result.dB)};
  }
  template <typename W>
  M merge(const W& w) const {
    Uploaded<Scalar> W0(w.eval());
    return to_host(device().merge(W0.view()));
  }
  template <typename W>
  void merge_in_place(W&& w) const {
    change(w, [this](const auto& on_device) { device().merge_in_place(on_device); });
  }
  template <typename W>
  void unmerge_in_place(W&& w) const {
    change(w, [this](const auto& on_device) { device().unmerge_in_place(on_device); });
  }

 private:
  Device device() const { return host_.template to<CuBlas>(test_context()); }

  /// What the device holds after a refusal is the caller's too.
  template <typename W, typename F>
  static void change(W& w, F&& f) {
    Uploaded<Scalar> stored(w);
    try {
      f(stored.view());
    } catch (const lorma::Error&) {
      w = stored.host();
      throw;
    }
    CHECK(stored.frame_is_intact());
    w = stored.host();
  }

  HostAdapter host_;
};

}  // namespace lorma_tests

#endif
