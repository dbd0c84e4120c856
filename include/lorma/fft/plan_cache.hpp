// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_FFT_PLAN_CACHE_HPP
#define LORMA_FFT_PLAN_CACHE_HPP

/// Plans are made once and shared by all threads.

#include <list>
#include <memory>
#include <mutex>

#include "lorma/core/types.hpp"

namespace lorma::inline LORMA_ABI::detail {

/// The plan of a length, from a cache of the last few. Safe from several threads.
template <typename Plan>
std::shared_ptr<const Plan> shared_plan(Index length) {
  constexpr std::size_t capacity = 32;
  static std::mutex mutex;
  static std::list<std::shared_ptr<const Plan>> recent;
  const std::lock_guard lock(mutex);
  for (auto it = recent.begin(); it != recent.end(); ++it) {
    if ((*it)->length() == length) {
      recent.splice(recent.begin(), recent, it);
      return recent.front();
    }
  }
  recent.push_front(std::make_shared<const Plan>(length));
  if (recent.size() > capacity) recent.pop_back();
  return recent.front();
}

}  // namespace lorma::inline LORMA_ABI::detail

#endif
