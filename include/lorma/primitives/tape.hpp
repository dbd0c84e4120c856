// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_PRIMITIVES_TAPE_HPP
#define LORMA_PRIMITIVES_TAPE_HPP

/// What forward stores for backward, and the scratch that both use.
///
///   Tape<float> tape;                       // or Tape<MyAdapter>, Tape<MyComposition>
///   auto H = adapter.forward(W0, X, tape);
///   auto g = adapter.backward(W0, dH, tape);
///
/// Backward may be called several times on one record. The next forward replaces it; one that is
/// refused for its arguments leaves the older record, one that fails later leaves none. Every stage
/// of a record carries its key, and a backward with another key is a ShapeError. Reused over steps
/// of one shape, a tape allocates nothing. It holds, by route: ActivationFirst the input of P (n x
/// b) and what the evaluation keeps (Factored r b numbers); WeightFirst the merged weight (d x k)
/// and X.

#include <concepts>
#include <string>
#include <string_view>
#include <vector>

#include "lorma/backend/eigen_cpu.hpp"
#include "lorma/core/door.hpp"

namespace lorma::inline LORMA_ABI {

/// Whether the tape copies an input that it needs later, or points to the caller's memory, which
/// must then stay unchanged until backward. An input that the door had to copy is kept by the tape
/// either way.
enum class TapeInput : unsigned char { copy, borrow };

/// What recorded a stage of a tape; backward compares it with its own key.
struct TapeKey {
  std::string_view place;       ///< where P acts: "ActivationFirst" or "WeightFirst"
  std::string_view evaluation;  ///< "Factored", "Dense", "Spectral" or yours
  std::string_view inflation;
  std::string_view side;
  Index d = 0;
  Index k = 0;
  Index b = 0;
  Index r = 0;
  /// Identity of the types themselves: two inflations may share a name.
  const void* types = nullptr;

  friend bool operator==(const TapeKey&, const TapeKey&) = default;

  /// "Identity, Pre, ActivationFirst<Dense>, rank 2, W0 12 x 9, b = 5"
  std::string text() const {
    return std::string(inflation) + ", " + std::string(side) + ", " + std::string(place) + "<" +
           std::string(evaluation) + ">, rank " + std::to_string(r) + ", W0 " +
           detail::shape(d, k) + ", b = " + std::to_string(b);
  }
};

namespace detail {

/// Backend memory that only grows, shaped anew by each use.
template <typename S, typename Backend>
class Buffer {
 public:
  MatrixView<S> take(const typename Backend::Context& context, Index rows, Index cols,
                     StorageOrder order = StorageOrder::ColMajor) {
    if (storage_.rows() < rows * cols) Backend::resize(context, storage_, rows * cols, 1);
    rows_ = rows;
    cols_ = cols;
    order_ = order;
    return shaped(Backend::view(storage_).data);
  }
  MatrixView<const S> get() const { return shaped(Backend::view(storage_).data); }
  std::size_t bytes() const { return static_cast<std::size_t>(storage_.rows()) * sizeof(S); }

 private:
  template <typename T>
  MatrixView<T> shaped(T* data) const {
    const Index inner = order_ == StorageOrder::ColMajor ? rows_ : cols_;
    return {data, rows_, cols_, std::max<Index>(1, inner), order_};
  }
  typename Backend::template Matrix<S> storage_;
  Index rows_ = 0;
  Index cols_ = 0;
  StorageOrder order_ = StorageOrder::ColMajor;
};

/// The record of one operator: a layer has one stage, a composition one for each adapter.
template <typename S, typename Backend>
class TapeStage {
  using Context = typename Backend::Context;
  using Workspace = typename Backend::Workspace;

 public:
  TapeKey key;

  /// Room for an input that the layer itself computes.
  MatrixView<S> new_input(const Context& context, Index rows, Index cols, StorageOrder order) {
    borrowed_ = {};
    return input_.take(context, rows, cols, order);
  }
  /// Copies X, or points to it.
  void keep_input(const Context& context, Workspace& workspace, const MatrixView<const S>& X,
                  bool borrow) {
    if (borrow) {
      borrowed_ = X;
    } else {
      Backend::copy(workspace, X, new_input(context, X.rows, X.cols, X.order));
    }
  }
  MatrixView<const S> input() const { return borrowed_.data != nullptr ? borrowed_ : input_.get(); }
  /// Null data unless the input is the caller's.
  const MatrixView<const S>& borrowed() const { return borrowed_; }

  S* new_kept(const Context& context, Index count) {
    return kept_.take(context, count, count == 0 ? 0 : 1).data;
  }
  const S* kept() const {
    const auto view = kept_.get();
    return view.empty() ? nullptr : view.data;
  }

  MatrixView<S> new_weight(const Context& context, Index rows, Index cols) {
    return weight_.take(context, rows, cols);
  }
  MatrixView<const S> weight() const { return weight_.get(); }

  std::size_t bytes() const { return input_.bytes() + kept_.bytes() + weight_.bytes(); }

 private:
  Buffer<S, Backend> input_;
  MatrixView<const S> borrowed_;
  Buffer<S, Backend> kept_;
  Buffer<S, Backend> weight_;
};

}  // namespace detail

/// The tape of everything that computes in S on one backend. Not shared between threads.
template <typename S, typename Backend = EigenCpu>
class BasicTape {
 public:
  using Scalar = S;
  using Workspace = typename Backend::Workspace;
  using Context = typename Backend::Context;

  explicit BasicTape(TapeInput input = TapeInput::copy) requires std::default_initializable<Context>
      : BasicTape(Context{}, input) {}
  /// For a device: where the tape's memory lies.
  explicit BasicTape(const Context& context, TapeInput input = TapeInput::copy)
      : context_(context), mode_(input), workspace_(Backend::make_workspace(context)) {}

  /// Scratch used by calls that are given this tape; carries the executor.
  Workspace& workspace() { return workspace_; }

  /// Bytes held, scratch included.
  std::size_t bytes() const {
    std::size_t sum = workspace_.bytes();
    for (const auto& stage : stages_) sum += stage.bytes();
    return sum;
  }
  /// True after a forward that completed.
  bool recorded() const { return recorded_ > 0; }
  /// Forgets the record, keeps the memory.
  void clear() { recorded_ = 0; }

  /// \name For the library's own functions
  ///@{
  using Stage = detail::TapeStage<S, Backend>;

  const Context& context() const { return context_; }
  /// Whether an input of the caller may be pointed to.
  bool borrows() const { return mode_ == TapeInput::borrow; }
  /// Begins a record with that many stages; nothing is recorded until finish.
  void begin(std::size_t stages) {
    recorded_ = 0;
    if (stages_.size() < stages) stages_.resize(stages);
    for (Stage& stage : stages_) stage.key = {};
  }
  void finish(std::size_t stages) { recorded_ = stages; }
  std::size_t stages() const { return recorded_; }
  Stage& stage(std::size_t i) { return stages_[i]; }
  const Stage& stage(std::size_t i) const { return stages_[i]; }
  /// Throws ShapeError unless the record has `count` stages and fits(i, key) holds for each; asks()
  /// says who is asking.
  template <typename Fits, typename Asks>
  void check(std::string_view function, std::size_t count, Fits&& fits, Asks&& asks) const {
    bool good = recorded_ == count;
    for (std::size_t i = 0; good && i < count; ++i) good = fits(i, stages_[i].key);
    if (good) return;
    std::string found = recorded_ == 0 ? "an empty tape" : "one of ";
    for (std::size_t i = 0; i < recorded_; ++i) {
      found += (i == 0 ? "" : "; ") + stages_[i].key.text();
    }
    throw ShapeError("lorma::" + std::string(function) +
                     ": expected a tape recorded by forward of " + asks() + ", got " + found);
  }
  ///@}

 private:
  [[no_unique_address]] Context context_;
  TapeInput mode_;
  std::vector<Stage> stages_;
  std::size_t recorded_ = 0;
  Workspace workspace_;
};

namespace detail {

/// Scalar and backend of an adapter or composition, or the scalar that was given.
template <typename T, typename Backend>
struct TapeFor {
  using type = BasicTape<typename T::Scalar, typename T::Backend>;
};
template <ElementScalar S, typename Backend>
struct TapeFor<S, Backend> {
  using type = BasicTape<S, Backend>;
};

}  // namespace detail

/// Tape<float>, Tape<float, CuBlas>, Tape<MyAdapter>.
template <typename ScalarOrAdapter, typename Backend = EigenCpu>
using Tape = typename detail::TapeFor<ScalarOrAdapter, Backend>::type;

}  // namespace lorma::inline LORMA_ABI

#endif
