#include "runtime/base/recycler.h"

#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <mutex>
#include <utility>

#include "runtime/base/check.h"

namespace weir::runtime {

struct Recycler::Estate {
  std::mutex mutex;
  std::atomic<bool> any = false;
  std::array<Block*, kClasses> lists{};
};

// Not destroyed: threads may outlive the objects of the program.
Recycler::Estate& Recycler::TheEstate() {
  static Estate& estate = *new Estate;
  return estate;
}

void* Recycler::AllocSlow(size_t index, size_t size) {
  Estate& estate = TheEstate();
  if (index < kClasses && estate.any.load(std::memory_order_relaxed)) {
    const std::lock_guard lock(estate.mutex);
    if (Block* block = std::exchange(estate.lists[index], nullptr)) {
      lists_[index] = block->next;
      return block;
    }
  }
  ++misses_;
#ifndef WEIR_RECYCLER_OFF
  if (index < kClasses) return Cut((index + 1) * kGranule);
#endif
  bytes_ += size;
  void* memory = std::malloc(size);
  WEIR_CHECK(memory != nullptr);
  return memory;
}

// What is left of a chunk when a block does not fit is given up: at most 16 KiB of 64 or more.
void* Recycler::Cut(size_t size) {
  if (chunk_left_ < size) {
    chunk_ = static_cast<std::byte*>(NewChunk(next_chunk_));
    chunk_left_ = next_chunk_;
    next_chunk_ = std::min(2 * next_chunk_, kHugePage);
  }
  chunk_left_ -= size;
  bytes_ += size;
  return std::exchange(chunk_, chunk_ + size);
}

void* Recycler::NewChunk(size_t size) {
  // A huge page begins at a multiple of its size: twice as much is mapped, and what lies around it unmapped.
  const size_t mapped = size == kHugePage ? 2 * size : size;
  void* const at = mmap(nullptr, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  WEIR_CHECK(at != MAP_FAILED);
  if (mapped == size) return at;
  auto* const begin = static_cast<std::byte*>(at);
  const size_t before = (kHugePage - reinterpret_cast<uintptr_t>(begin) % kHugePage) % kHugePage;
  if (before != 0) munmap(begin, before);
  munmap(begin + before + size, mapped - size - before);
  madvise(begin + before, size, MADV_HUGEPAGE);  // where the system has none, it does without
  return begin + before;
}

Recycler::~Recycler() {
  Estate& estate = TheEstate();
  const std::lock_guard lock(estate.mutex);
  for (size_t i = 0; i < kClasses; ++i) {
    while (Block* block = lists_[i]) {
      lists_[i] = block->next;
      block->next = std::exchange(estate.lists[i], block);
      estate.any.store(true, std::memory_order_relaxed);
    }
  }
}

}  // namespace weir::runtime
