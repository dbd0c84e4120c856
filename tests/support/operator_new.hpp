// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_TESTS_SUPPORT_OPERATOR_NEW_HPP
#define LORMA_TESTS_SUPPORT_OPERATOR_NEW_HPP

/// Replaces operator new, for a program of one source that includes this and defines
/// lorma_tests::may_allocate().

#include <cstdlib>
#include <new>

namespace lorma_tests {

/// Called before each allocation; false makes it fail.
bool may_allocate();

// Not inlined, or the compiler pairs free with new and warns.
[[gnu::noinline]] inline void* allocate(std::size_t size, std::size_t alignment) {
  void* p = may_allocate()
                ? std::aligned_alloc(alignment, (size + alignment - 1) / alignment * alignment)
                : nullptr;
  if (p == nullptr) throw std::bad_alloc();
  return p;
}
[[gnu::noinline]] inline void give_back(void* p) noexcept {
  std::free(p);
}

}  // namespace lorma_tests

void* operator new(std::size_t size) {
  return lorma_tests::allocate(size, 16);
}
void* operator new(std::size_t size, std::align_val_t alignment) {
  return lorma_tests::allocate(size, static_cast<std::size_t>(alignment));
}
void operator delete(void* p) noexcept {
  lorma_tests::give_back(p);
}
void operator delete(void* p, std::size_t) noexcept {
  lorma_tests::give_back(p);
}
void operator delete(void* p, std::align_val_t) noexcept {
  lorma_tests::give_back(p);
}
void operator delete(void* p, std::size_t, std::align_val_t) noexcept {
  lorma_tests::give_back(p);
}

#endif
