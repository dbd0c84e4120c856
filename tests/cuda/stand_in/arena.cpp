// SPDX-License-Identifier: Apache-2.0
#include "arena.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstring>
#include <map>
#include <new>

namespace stand_in {
namespace {

constexpr std::size_t arena_bytes = std::size_t(4) << 30;  // pages appear when written
constexpr std::size_t alignment = 256;

struct Arena {
  Arena() {
    const int file = memfd_create("lorma-device", 0);
    if (file < 0 || ftruncate(file, static_cast<off_t>(arena_bytes)) != 0) throw std::bad_alloc();
    device = map(file, PROT_NONE);
    shadow = map(file, PROT_READ | PROT_WRITE);
    close(file);
    holes[0] = arena_bytes;
  }
  static char* map(int file, int protection) {
    void* p = mmap(nullptr, arena_bytes, protection, MAP_SHARED | MAP_NORESERVE, file, 0);
    if (p == MAP_FAILED) throw std::bad_alloc();
    return static_cast<char*>(p);
  }

  char* device;
  char* shadow;
  std::map<std::size_t, std::size_t> holes;   // offset, size
  std::map<std::size_t, std::size_t> blocks;  // offset, bytes asked for
};

Arena& arena() {
  static auto& it = *new Arena;  // outlives every context
  return it;
}

// A gap behind each block, so that running over its end leaves every allocation.
std::size_t padded(std::size_t bytes) {
  return (bytes / alignment + 2) * alignment;
}

}  // namespace

Counters& counters() {
  static Counters it;
  return it;
}

Limits& limits() {
  static Limits it;
  return it;
}
bool grant(long& left) {
  if (left == 0) return false;
  if (left > 0) --left;
  return true;
}

void* allocate(std::size_t bytes) {
  if (!grant(limits().allocations)) return nullptr;
  Arena& a = arena();
  for (auto hole = a.holes.begin(); hole != a.holes.end(); ++hole) {
    const auto [offset, size] = *hole;
    const std::size_t wanted = padded(bytes);
    if (size < wanted) continue;
    a.holes.erase(hole);
    if (size > wanted) a.holes[offset + wanted] = size - wanted;
    a.blocks[offset] = bytes;
    // 0xff.. is a NaN in half, bfloat16, float and double.
    if (bytes <= (std::size_t(1) << 22)) std::memset(a.shadow + offset, 0xff, bytes);
    ++counters().allocations;
    ++counters().live;
    return a.device + offset;
  }
  return nullptr;
}

bool release(void* device) {
  Arena& a = arena();
  const auto block = a.blocks.find(static_cast<std::size_t>(static_cast<char*>(device) - a.device));
  if (!is_device(device) || block == a.blocks.end()) return false;
  std::size_t offset = block->first;
  std::size_t size = padded(block->second);
  a.blocks.erase(block);
  const auto next = a.holes.find(offset + size);
  if (next != a.holes.end()) {
    size += next->second;
    a.holes.erase(next);
  }
  const auto after = a.holes.lower_bound(offset);
  if (after != a.holes.begin()) {
    const auto before = std::prev(after);
    if (before->first + before->second == offset) {
      offset = before->first;
      size += before->second;
      a.holes.erase(before);
    }
  }
  a.holes[offset] = size;
  --counters().live;
  return true;
}

bool is_device(const void* pointer) {
  const auto p = reinterpret_cast<std::uintptr_t>(pointer);
  const auto begin = reinterpret_cast<std::uintptr_t>(arena().device);
  return p >= begin && p < begin + arena_bytes;
}

void* resolve(const void* device, std::size_t bytes) {
  if (!is_device(device)) return nullptr;
  Arena& a = arena();
  const auto offset = static_cast<std::size_t>(static_cast<const char*>(device) - a.device);
  auto block = a.blocks.upper_bound(offset);
  if (block == a.blocks.begin()) return nullptr;
  --block;
  if (offset + bytes > block->first + block->second) return nullptr;
  return a.shadow + offset;
}

}  // namespace stand_in
