// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_TESTS_CUDA_STAND_IN_ARENA_HPP
#define LORMA_TESTS_CUDA_STAND_IN_ARENA_HPP

/// Memory of a device that does not exist. Its addresses cannot be touched by the host: the pages
/// are mapped a second time, readable, where only the stand-in looks.

#include <cstddef>

namespace stand_in {

/// Fresh memory is NaN in every floating-point type. Null when the device is full.
void* allocate(std::size_t bytes);
bool release(void* device);

/// Where the stand-in reads [device, device + bytes); null unless it lies in one live allocation.
void* resolve(const void* device, std::size_t bytes);
template <typename T>
T* resolve_as(const void* device, std::size_t count) {
  return static_cast<T*>(resolve(device, count * sizeof(T)));
}
/// Whether the address is the device's at all.
bool is_device(const void* pointer);

struct Counters {
  long allocations = 0;
  long live = 0;
  long waits = 0;
  long products = 0;
  long grouped_products = 0;
  long host_copies = 0;  ///< between the memory of the process and of the device
  long plans = 0;        ///< cuFFT plans that exist
  long transforms = 0;   ///< calls of cuFFT
};
Counters& counters();

/// How much the device still grants before it refuses; negative: no end.
struct Limits {
  long allocations = -1;
  long plans = -1;
};
Limits& limits();
/// Counts one down; false when nothing was left.
bool grant(long& left);

}  // namespace stand_in

#endif
