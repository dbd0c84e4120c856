// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_PRIMITIVES_TAPE_HPP
#define LORMA_PRIMITIVES_TAPE_HPP

/// What forward leaves for backward, and the scratch both use.
///
///   Tape<float> tape;                       // or Tape<MyAdapter>
///   auto H = adapter.forward(W0, X, tape);
///   auto g = adapter.backward(W0, dH, tape);
///
/// Reused over steps of one shape it allocates nothing. It holds, by route: ActivationFirst the
/// input of P (n x b) and what the evaluation keeps (Factored r b numbers); WeightFirst the merged
/// weight (d x k) and X.

#include <concepts>
#include <string_view>

#include "lorma/backend/eigen_cpu.hpp"
#include "lorma/core/factors.hpp"

namespace lorma::inline LORMA_ABI {

/// Whether the tape copies an input that it needs later, or points to the caller's memory, which
/// must then stay unchanged until backward.
enum class TapeInput : unsigned char { copy, borrow };

namespace detail {

/// Backend memory that only grows.
template <typename S, typename Backend>
class Buffer {
 public:
  MatrixView<S> take(const typename Backend::Context& context, Index rows, Index cols,
                     StorageOrder order = StorageOrder::ColMajor) {
    if (storage_.rows() < rows * cols) Backend::resize(context, storage_, rows * cols, 1);
    return shaped(Backend::view(storage_).data, rows, cols, order);
  }
  MatrixView<const S> get(Index rows, Index cols, StorageOrder order) const {
    return shaped(Backend::view(storage_).data, rows, cols, order);
  }
  std::size_t bytes() const { return static_cast<std::size_t>(storage_.rows()) * sizeof(S); }

 private:
  template <typename T>
  static MatrixView<T> shaped(T* data, Index rows, Index cols, StorageOrder order) {
    return {data, rows, cols, std::max<Index>(1, order == StorageOrder::ColMajor ? rows : cols),
            order};
  }
  typename Backend::template Matrix<S> storage_;
};

/// Who recorded a tape; backward compares it with who asks.
struct TapeKey {
  std::string_view inflation;
  std::string_view side;
  std::size_t routes = 0;  ///< length of the route list, 0: nothing recorded
  std::size_t route = 0;
  Index d = 0;
  Index k = 0;
  Index b = 0;
  Index r = 0;
};

template <typename S, typename Backend>
class TapeStorage {
 public:
  using Scalar = S;
  using Workspace = typename Backend::Workspace;

  using Context = typename Backend::Context;

  explicit TapeStorage(
      TapeInput input = TapeInput::copy) requires std::default_initializable<Context>
      : TapeStorage(Context{}, input) {}
  /// For a device: where the tape's memory lies.
  explicit TapeStorage(const Context& context, TapeInput input = TapeInput::copy)
      : context_(context), mode_(input), workspace_(Backend::make_workspace(context)) {}

  /// Scratch used by calls that are given this tape.
  Workspace& workspace() { return workspace_; }

  /// Bytes held, scratch included.
  std::size_t bytes() const {
    return input_.bytes() + kept_.bytes() + weight_.bytes() + workspace_.bytes();
  }
  /// True after a forward that completed.
  bool recorded() const { return key_.routes != 0; }
  /// Forgets the record, keeps the memory.
  void clear() { key_ = {}; }

  /// \name For the primitives
  ///@{
  const TapeKey& key() const { return key_; }
  void set_key(const TapeKey& key) { key_ = key; }
  /// Room for an input that the primitive itself computes.
  MatrixView<S> new_input(Index rows, Index cols, StorageOrder order) {
    borrowed_ = {};
    input_rows_ = rows;
    input_cols_ = cols;
    input_order_ = order;
    return input_.take(context_, rows, cols, order);
  }
  /// Keeps the caller's matrix as the mode says.
  void keep_input(const MatrixView<const S>& X) {
    if (mode_ == TapeInput::copy) {
      Backend::copy(workspace_, X, new_input(X.rows, X.cols, X.order));
    } else {
      borrowed_ = X;
    }
  }
  MatrixView<const S> input() const {
    if (borrowed_.data != nullptr) return borrowed_;
    return input_.get(input_rows_, input_cols_, input_order_);
  }
  S* new_kept(Index count) {
    kept_count_ = count;
    return count == 0 ? nullptr : kept_.take(context_, count, 1).data;
  }
  const S* kept() const {
    return kept_count_ == 0 ? nullptr : kept_.get(kept_count_, 1, StorageOrder::ColMajor).data;
  }
  MatrixView<S> new_weight(Index rows, Index cols) { return weight_.take(context_, rows, cols); }
  MatrixView<const S> weight(Index rows, Index cols) const {
    return weight_.get(rows, cols, StorageOrder::ColMajor);
  }
  ///@}

 private:
  [[no_unique_address]] Context context_;
  TapeInput mode_;
  TapeKey key_;
  Buffer<S, Backend> input_;
  Index input_rows_ = 0;
  Index input_cols_ = 0;
  StorageOrder input_order_ = StorageOrder::ColMajor;
  MatrixView<const S> borrowed_;
  Buffer<S, Backend> kept_;
  Index kept_count_ = 0;
  Buffer<S, Backend> weight_;
  Workspace workspace_;
};

}  // namespace detail

/// Tape<Scalar[, Backend]>, or Tape<AdapterType> for that adapter's scalar and backend.
template <typename T, typename Backend = EigenCpu>
class Tape : public detail::TapeStorage<T, Backend> {
  using detail::TapeStorage<T, Backend>::TapeStorage;
};

template <typename T, typename Backend>
requires requires {
  typename T::Scalar;
  typename T::Backend;
}
class Tape<T, Backend> : public Tape<typename T::Scalar, typename T::Backend> {
  using Tape<typename T::Scalar, typename T::Backend>::Tape;
};

}  // namespace lorma::inline LORMA_ABI

#endif
