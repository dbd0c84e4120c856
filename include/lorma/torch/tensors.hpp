// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_TORCH_TENSORS_HPP
#define LORMA_TORCH_TENSORS_HPP

/// torch's tensors and threads as lorma sees them: matrices where they lie, an executor, scratch.
///
/// A tensor [rows, cols] of any strides is a matrix; one of tokens, [b, n], is the transpose of its
/// n x b columns: tensor_matrix<S>(t.t()). Nothing is copied here; what a BLAS cannot read is
/// copied by the door (core/door.hpp). With OpenMP in torch, at::parallel_for is code of headers
/// that runs on threads where a program is compiled with -fopenmp only.

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include "lorma/adapter/adapter_view.hpp"

namespace lorma::inline LORMA_ABI::torch {

using at::Tensor;

namespace detail {

/// The elements of a tensor, to read: without the copy that torch 2 makes of a lazy one to write.
template <typename S, typename AnyTensor>
const S* elements(const AnyTensor& t) {
  if constexpr (requires { t.template const_data_ptr<S>(); }) {
    return t.template const_data_ptr<S>();
  } else {
    return t.template data_ptr<S>();
  }
}

/// A tensor of two dimensions and scalar S, to read.
template <typename S>
auto tensor_matrix(const Tensor& t) {
  using Strides = Eigen::Stride<Eigen::Dynamic, Eigen::Dynamic>;
  return Eigen::Map<const Matrix<S>, Eigen::Unaligned, Strides>(
      elements<S>(t), t.size(0), t.size(1), Strides(t.stride(1), t.stride(0)));
}

/// A contiguous tensor of two dimensions, to write; null where it holds nothing that is wanted.
template <typename S>
MatrixView<S> contiguous_matrix(const Tensor& t, bool wanted = true) {
  if (!wanted) return {};
  const Index cols = t.size(1);
  return {t.data_ptr<S>(), t.size(0), cols, std::max<Index>(1, cols), StorageOrder::RowMajor};
}

inline Executor torch_executor() {
  return {at::get_num_threads(), [](Index count, IndexedTask task) {
            at::parallel_for(0, count, 1, [&task](std::int64_t begin, std::int64_t end) {
              for (Index i = begin; i < end; ++i) task(i);
            });
          }};
}

/// Scratch of the calling thread, on torch's threads. What is above 64 MB is given back.
class Scratch {
 public:
  Scratch() { workspace().set_executor(torch_executor()); }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  ~Scratch() {
    if (workspace().bytes() > (std::size_t(1) << 26)) workspace().release();
  }
  static Workspace& workspace() {
    thread_local Workspace scratch;
    return scratch;
  }
};

/// What y is computed in: its own type, or float for half and bfloat16.
inline at::ScalarType compute_type(const Tensor& y) {
  return y.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
}

/// Throws c10::Error (a RuntimeError in Python) unless y is [..., n], B [n, r] and A [r, n], all
/// floating-point and on one device.
inline void check_operands(const char* function, const Tensor& y, const Tensor& B,
                           const Tensor& A) {
  const bool fits = y.dim() >= 1 && B.dim() == 2 && A.dim() == 2 &&
                    B.sym_size(0) == y.sym_size(-1) && A.sym_size(1) == y.sym_size(-1) &&
                    A.sym_size(0) == B.sym_size(1) && B.sym_size(1) > 0 && B.sym_size(0) > 0;
  TORCH_CHECK(fits, "lorma::torch::", function,
              ": expected y [..., n], B [n, r] and A [r, n] with n, r >= 1, got ", y.sym_sizes(),
              ", ", B.sym_sizes(), ", ", A.sym_sizes());
  for (const Tensor* t : {&y, &B, &A}) {
    TORCH_CHECK(t->is_floating_point() && t->device() == y.device(), "lorma::torch::", function,
                ": expected floating-point tensors on one device, got ", y.toString(), ", ",
                B.toString(), ", ", A.toString());
  }
}

/// y as [b, n] in the type it is computed in.
inline Tensor tokens_of(const Tensor& y) {
  return y.reshape_symint({y.sym_numel() / y.sym_size(-1), y.sym_size(-1)}).to(compute_type(y));
}

}  // namespace detail
}  // namespace lorma::inline LORMA_ABI::torch

#endif
