// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_CORE_EXECUTOR_HPP
#define LORMA_CORE_EXECUTOR_HPP

/// Whose threads do the work: one, OpenMP's, or those of the framework at hand.
///
///   Workspace workspace;
///   workspace.set_executor(lorma::serial_executor());
///   workspace.set_executor({pool.size(), [&pool](lorma::Index count, lorma::IndexedTask task) {
///     pool.parallel_for(count, task);                  // task(i) for every i in [0, count)
///   }});
///
/// An algorithm divides its work by size, never by thread, and adds partial sums in a fixed order:
/// the results are the same to the bit for every executor. A task never throws, and never calls
/// parallel_for itself.

#include <functional>
#include <memory>
#include <utility>

#include "lorma/core/types.hpp"
#ifdef _OPENMP
#include "lorma/core/openmp_executor.hpp"
#endif

namespace lorma::inline LORMA_ABI {

/// A function of an index that is called, not owned: valid while parallel_for runs.
class IndexedTask {
 public:
  template <typename F>
  requires(!std::same_as<F, IndexedTask>) IndexedTask(const F& f)  // NOLINT(*-explicit-*)
      : object_(&f),
        call_([](const void* object, Index i) { (*static_cast<const F*>(object))(i); }) {}

  void operator()(Index i) const { call_(object_, i); }

 private:
  const void* object_;
  void (*call_)(const void*, Index);
};

/// A handle: copies call the same parallel_for. Workspaces of several threads may carry copies only
/// if that function may be called from several threads at once.
class Executor {
 public:
  using ParallelFor = std::function<void(Index count, IndexedTask task)>;

  /// OpenMP's threads if the program is compiled with OpenMP, else one.
  Executor() = default;
  /// `parallel_for` calls task(i) for every i in [0, count), in any order, up to `threads` of them
  /// at a time, and returns when all have returned.
  Executor(Index threads, ParallelFor parallel_for)
      : threads_(threads < 1 ? 1 : threads),
        parallel_for_(std::make_shared<const ParallelFor>(std::move(parallel_for))) {}

  /// How many tasks are worth making; scratch is taken for that many.
  Index threads() const {
#ifdef _OPENMP
    if (threads_ == 0) return detail::openmp_threads();
#endif
    return threads_ == 0 ? 1 : threads_;
  }

  void parallel_for(Index count, IndexedTask task) const {
    if (idle_) return;
    if (count > 1 && parallel_for_ != nullptr) return (*parallel_for_)(count, task);
#ifdef _OPENMP
    if (count > 1 && threads_ == 0) return detail::openmp_parallel_for(count, task);
#endif
    for (Index i = 0; i < count; ++i) task(i);
  }

 private:
  friend Executor serial_executor();
  template <typename Memory>
  friend class BasicWorkspace;

  Index threads_ = 0;  ///< 0: the default executor
  bool idle_ = false;  ///< a rehearsal: tasks are counted, not called
  std::shared_ptr<const ParallelFor> parallel_for_;
};

/// Everything on the calling thread.
inline Executor serial_executor() {
  Executor executor;
  executor.threads_ = 1;
  return executor;
}

}  // namespace lorma::inline LORMA_ABI

#endif
