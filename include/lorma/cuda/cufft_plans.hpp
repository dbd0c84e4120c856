// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_CUDA_CUFFT_PLANS_HPP
#define LORMA_CUDA_CUFFT_PLANS_HPP

/// cuFFT plans of one stream, made once and found again.

#include <algorithm>
#include <utility>
#include <vector>

#include "lorma/core/types.hpp"
#include "lorma/cuda/check.hpp"

namespace lorma::inline LORMA_ABI::detail {

/// A plan without memory of its own: who executes it gives `work_bytes` of scratch.
struct CufftPlan {
  cufftHandle handle = 0;
  std::size_t work_bytes = 0;
};

/// The `capacity` plans used last, and beyond them those that a captured graph reads.
class CufftPlans {
 public:
  static constexpr std::size_t capacity = 64;

  CufftPlans() = default;
  CufftPlans(const CufftPlans&) = delete;
  CufftPlans& operator=(const CufftPlans&) = delete;
  ~CufftPlans() {
    for (const Entry& entry : entries_) (void)cufftDestroy(entry.plan.handle);
  }

  /// Plan of `batch` contiguous transforms of length n. While `capturing` it must exist, and is
  /// kept from then on. Making one allocates tables on the device and may wait for it, as may
  /// destroying the one that was not used for longest. Throws BackendError.
  CufftPlan get(cudaStream_t stream, bool capturing, cufftType type, Index n, Index batch) {
    const auto found = std::find_if(entries_.begin(), entries_.end(), [&](const Entry& entry) {
      return entry.type == type && entry.n == n && entry.batch == batch;
    });
    if (found != entries_.end()) {
      found->last_use = ++clock_;
      found->pinned = found->pinned || capturing;
      return found->plan;
    }
    if (capturing) {
      throw BackendError(
          "lorma::CuBlas: expected the cuFFT plan to exist before the stream is captured: make the "
          "same call once before the capture");
    }
    make_room();
    entries_.reserve(entries_.size() + 1);
    entries_.push_back({type, n, batch, make(stream, type, n, batch), ++clock_, false});
    return entries_.back().plan;
  }

 private:
  struct Entry {
    cufftType type;
    Index n;
    Index batch;
    CufftPlan plan;
    unsigned long long last_use;
    bool pinned;
  };

  static CufftPlan make(cudaStream_t stream, cufftType type, Index n, Index batch) {
    CufftPlan plan;
    check_cufft("cufftCreate", cufftCreate(&plan.handle));
    const auto check = [&plan](std::string_view call, cufftResult status) {
      if (status == CUFFT_SUCCESS) return;
      (void)cufftDestroy(plan.handle);
      check_cufft(call, status);
    };
    long long length = n;
    check("cufftSetAutoAllocation", cufftSetAutoAllocation(plan.handle, 0));
    check("cufftMakePlanMany64", cufftMakePlanMany64(plan.handle, 1, &length, nullptr, 1, 0,
                                                     nullptr, 1, 0, type, batch, &plan.work_bytes));
    check("cufftSetStream", cufftSetStream(plan.handle, stream));
    return plan;
  }

  void make_room() {
    const auto evictable = [](const Entry& entry) { return !entry.pinned; };
    const auto count = std::count_if(entries_.begin(), entries_.end(), evictable);
    if (static_cast<std::size_t>(count) < capacity) return;
    auto oldest = std::find_if(entries_.begin(), entries_.end(), evictable);
    for (auto entry = oldest; entry != entries_.end(); ++entry) {
      if (!entry->pinned && entry->last_use < oldest->last_use) oldest = entry;
    }
    (void)cufftDestroy(oldest->plan.handle);
    entries_.erase(oldest);
  }

  std::vector<Entry> entries_;
  unsigned long long clock_ = 0;
};

}  // namespace lorma::inline LORMA_ABI::detail

#endif
