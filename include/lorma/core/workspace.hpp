// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_CORE_WORKSPACE_HPP
#define LORMA_CORE_WORKSPACE_HPP

/// Reusable scratch memory: the only place, with Tape, where lorma's kernels allocate.
///
///   Workspace workspace;
///   {
///     auto frame = workspace.frame();                     // returned at the end of the scope
///     MatrixView<float> panel = workspace.take<float>(768, 64);
///   }
///
/// A stack of 64-byte aligned blocks. While cold it grows by whole blocks (addresses handed out
/// stay valid); when the last frame closes, blocks are merged into one of the size needed, so that
/// the same calls again allocate nothing. Carries the executor whose threads the calls may use
/// (core/executor.hpp). Not shared between threads: one Workspace per thread.
///
/// An operation must not run out of memory after it has begun to write. So it runs twice: first a
/// rehearsal, in which kernels take their scratch and touch no element, then for real with the
/// memory that was taken.

#include <algorithm>
#include <cstddef>
#include <exception>
#include <limits>
#include <memory>
#include <new>
#include <type_traits>
#include <vector>

#include "lorma/core/error.hpp"
#include "lorma/core/executor.hpp"
#include "lorma/core/view.hpp"

namespace lorma::inline LORMA_ABI {

/// The stack on any memory; `Memory` is a copyable handle:
///   static constexpr std::size_t alignment;
///   std::byte* allocate(std::size_t);           // throws what derives from std::exception
///   void release(std::byte*, std::size_t) noexcept;
template <typename Memory>
class BasicWorkspace {
 public:
  static constexpr std::size_t alignment = Memory::alignment;

  /// Returns everything taken since its creation when it goes out of scope.
  class Frame {
   public:
    explicit Frame(BasicWorkspace& owner)
        : owner_(&owner), block_(owner.current_), used_(owner.used_), in_use_(owner.in_use_) {
      ++owner.depth_;
    }
    Frame(const Frame&) = delete;
    Frame& operator=(const Frame&) = delete;
    ~Frame() {
      owner_->current_ = block_;
      owner_->used_ = used_;
      owner_->in_use_ = in_use_;
      if (--owner_->depth_ == 0) owner_->merge_blocks();
    }

   private:
    BasicWorkspace* owner_;
    std::size_t block_;
    std::size_t used_;
    std::size_t in_use_;
  };

  BasicWorkspace() = default;
  explicit BasicWorkspace(const Memory& memory) : memory_(memory) {}
  BasicWorkspace(BasicWorkspace&&) noexcept = default;
  BasicWorkspace& operator=(BasicWorkspace&&) noexcept = default;
  /// Scratch is not data: a copy starts empty, with the same executor.
  BasicWorkspace(const BasicWorkspace& other) : BasicWorkspace(other.memory_) {
    executor_ = other.executor_;
  }
  BasicWorkspace& operator=(const BasicWorkspace&) { return *this; }
  ~BasicWorkspace() = default;

  const Memory& memory() const { return memory_; }
  const Executor& executor() const { return executor_; }
  void set_executor(Executor executor) { executor_ = std::move(executor); }

  [[nodiscard]] Frame frame() { return Frame(*this); }

  /// Calls run() as a rehearsal and, if that got all its memory, again for real; within another
  /// rehearsal only once. Every kernel below must check rehearsing() after it has taken its memory
  /// and before it does any work.
  template <typename Run>
  void rehearsed(Run&& run) {
    if (rehearsing()) return run();
    const Frame whole = frame();
    {
      const Rehearsal rehearsal(executor_);
      run();
    }
    run();
  }
  bool rehearsing() const { return executor_.idle_; }

  /// Uninitialized rows x cols matrix without padding, valid until the enclosing frame closes.
  /// Throws ShapeError when the number of bytes does not fit an Index.
  template <typename T>
  MatrixView<T> take(Index rows, Index cols, StorageOrder order = StorageOrder::ColMajor) {
    if (cols > 0 && rows > max_bytes / static_cast<Index>(sizeof(T)) / cols) {
      throw ShapeError("lorma::Workspace: expected scratch whose size fits, got a matrix of " +
                       detail::shape(rows, cols));
    }
    T* data = take_array<T>(rows * cols);
    return {data, rows, cols, std::max<Index>(1, order == StorageOrder::ColMajor ? rows : cols),
            order};
  }

  /// Uninitialized array with the memory's alignment. Throws what the memory throws when it is
  /// full.
  template <typename T>
  T* take_array(Index count) {
    static_assert(std::is_trivially_destructible_v<T>, "scratch holds plain numbers");
    if (count < 0 || count > max_bytes / static_cast<Index>(sizeof(T))) {
      throw std::bad_array_new_length();
    }
    return reinterpret_cast<T*>(take_bytes(static_cast<std::size_t>(count) * sizeof(T)));
  }

  /// Bytes obtained from the system.
  std::size_t bytes() const {
    std::size_t total = 0;
    for (const Block& block : blocks_) total += block.size;
    return total;
  }
  /// Most bytes ever in use at one time.
  std::size_t peak_bytes() const { return peak_; }

  /// Gives all memory back to the system. Only between frames.
  void release() {
    if (depth_ == 0) *this = BasicWorkspace(*this);
  }

 private:
  struct Free {
    [[no_unique_address]] Memory memory;
    std::size_t size = 0;
    void operator()(std::byte* data) noexcept { memory.release(data, size); }
  };
  struct Block {
    std::unique_ptr<std::byte, Free> data;
    std::size_t size = 0;
  };

  class Rehearsal {
   public:
    explicit Rehearsal(Executor& executor) : executor_(&executor) { executor.idle_ = true; }
    Rehearsal(const Rehearsal&) = delete;
    Rehearsal& operator=(const Rehearsal&) = delete;
    ~Rehearsal() { executor_->idle_ = false; }

   private:
    Executor* executor_;
  };

  static constexpr Index max_bytes = std::numeric_limits<Index>::max() - Index(alignment);

  static std::size_t padded(std::size_t bytes) {
    return (bytes + alignment - 1) / alignment * alignment;
  }
  Block make_block(std::size_t size) {
    return {std::unique_ptr<std::byte, Free>(memory_.allocate(size), Free{memory_, size}), size};
  }

  std::byte* take_bytes(std::size_t wanted) {
    const std::size_t size = padded(std::max<std::size_t>(wanted, 1));
    while (current_ < blocks_.size() && used_ + size > blocks_[current_].size) {
      ++current_;
      used_ = 0;
    }
    if (current_ == blocks_.size()) blocks_.push_back(make_block(std::max(size, bytes())));
    std::byte* result = blocks_[current_].data.get() + used_;
    used_ += size;
    in_use_ += size;
    peak_ = std::max(peak_, in_use_);
    return result;
  }

  void merge_blocks() noexcept {
    if (blocks_.size() < 2) return;
    const std::size_t size = peak_;
    blocks_.clear();
    current_ = 0;
    used_ = 0;
    try {
      blocks_.push_back(make_block(size));
    } catch (const std::exception&) {
      // Nothing is lost: the next call starts cold. The memory leaves no error behind for another
      // call to find (CUDA's runtime keeps one: cuda/check.hpp clears it).
    }
  }

  [[no_unique_address]] Memory memory_;
  Executor executor_;
  std::vector<Block> blocks_;
  std::size_t current_ = 0;
  std::size_t used_ = 0;
  std::size_t in_use_ = 0;
  std::size_t peak_ = 0;
  int depth_ = 0;
};

/// Host memory.
struct HostMemory {
  static constexpr std::size_t alignment = 64;
  static std::byte* allocate(std::size_t bytes) {
    return static_cast<std::byte*>(::operator new (bytes, std::align_val_t{alignment}));
  }
  static void release(std::byte* data, std::size_t) noexcept {
    ::operator delete (data, std::align_val_t{alignment});
  }
};

using Workspace = BasicWorkspace<HostMemory>;

}  // namespace lorma::inline LORMA_ABI

#endif
