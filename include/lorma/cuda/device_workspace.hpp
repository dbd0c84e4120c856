// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_CUDA_DEVICE_WORKSPACE_HPP
#define LORMA_CUDA_DEVICE_WORKSPACE_HPP

/// Scratch in memory of the device: the stack of core/workspace.hpp over cudaMallocAsync.
///
/// All blocks live in the order of one stream, so that a block given back may still be read by
/// kernels queued before. Warm, it allocates nothing. One a thread.

#include <algorithm>

#include "lorma/core/view.hpp"
#include "lorma/cuda/context.hpp"

namespace lorma::inline LORMA_ABI {

class DeviceWorkspace {
 public:
  static constexpr std::size_t alignment = 256;

  class Frame {
   public:
    explicit Frame(DeviceWorkspace& owner)
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
    DeviceWorkspace* owner_;
    std::size_t block_;
    std::size_t used_;
    std::size_t in_use_;
  };

  explicit DeviceWorkspace(const CudaContext& context) : context_(context) {}
  DeviceWorkspace(DeviceWorkspace&& other) noexcept
      : context_(other.context_), blocks_(std::move(other.blocks_)), peak_(other.peak_) {
    other.blocks_.clear();
  }
  DeviceWorkspace& operator=(DeviceWorkspace&& other) noexcept {
    std::swap(context_, other.context_);
    std::swap(blocks_, other.blocks_);
    std::swap(peak_, other.peak_);
    return *this;
  }
  /// Scratch is not data: a copy starts empty.
  DeviceWorkspace(const DeviceWorkspace& other) : context_(other.context_) {}
  DeviceWorkspace& operator=(const DeviceWorkspace&) { return *this; }
  ~DeviceWorkspace() { release(); }

  const CudaContext& context() const { return context_; }
  [[nodiscard]] Frame frame() { return Frame(*this); }

  /// Uninitialized rows x cols matrix without padding, valid until the enclosing frame closes.
  template <typename T>
  MatrixView<T> take(Index rows, Index cols, StorageOrder order = StorageOrder::ColMajor) {
    T* data = take_array<T>(rows * cols);
    return {data, rows, cols, std::max<Index>(1, order == StorageOrder::ColMajor ? rows : cols),
            order};
  }

  /// Uninitialized array, aligned to 256 bytes. Throws BackendError when the device is full.
  template <typename T>
  T* take_array(Index count) {
    return static_cast<T*>(take_bytes(static_cast<std::size_t>(count) * sizeof(T)));
  }

  /// Bytes held from the device.
  std::size_t bytes() const {
    std::size_t total = 0;
    for (const Block& block : blocks_) total += block.size;
    return total;
  }
  std::size_t peak_bytes() const { return peak_; }

  /// Gives all memory back. Only between frames.
  void release() noexcept {
    for (const Block& block : blocks_) context_.release(block.data);
    blocks_.clear();
    current_ = 0;
    used_ = 0;
    in_use_ = 0;
  }

 private:
  struct Block {
    std::byte* data = nullptr;
    std::size_t size = 0;
  };

  void* take_bytes(std::size_t wanted) {
    const std::size_t size =
        (std::max<std::size_t>(wanted, 1) + alignment - 1) / alignment * alignment;
    while (current_ < blocks_.size() && used_ + size > blocks_[current_].size) {
      ++current_;
      used_ = 0;
    }
    if (current_ == blocks_.size()) add_block(std::max(size, bytes()));
    std::byte* result = blocks_[current_].data + used_;
    used_ += size;
    in_use_ += size;
    peak_ = std::max(peak_, in_use_);
    return result;
  }

  void add_block(std::size_t size) {
    blocks_.reserve(blocks_.size() + 1);
    blocks_.push_back({static_cast<std::byte*>(context_.allocate(size)), size});
  }

  void merge_blocks() noexcept {
    if (blocks_.size() < 2) return;
    release();
    try {
      add_block(peak_);
    } catch (const std::exception&) {
      // Nothing is lost: the next call starts cold.
    }
  }

  CudaContext context_;
  std::vector<Block> blocks_;
  std::size_t current_ = 0;
  std::size_t used_ = 0;
  std::size_t in_use_ = 0;
  std::size_t peak_ = 0;
  int depth_ = 0;
};

}  // namespace lorma::inline LORMA_ABI

#endif
