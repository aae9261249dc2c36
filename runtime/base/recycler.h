// Recycler: memory blocks that come back soon and often (coroutine frames, control blocks, long buffer chains),
// kept in per-thread lists by size, so that the steady state allocates nothing. A list never holds more than was
// once in use at the same time, which the program's own bounds (connections, tasks) bound in turn.
//
// Blocks are cut off larger chunks, one behind the other: what is made together lies together, without a header
// between, at the beginning of a cache line. Chunks become larger the more there are; those of 2 MiB ask for huge
// pages, since with many connections the look-up of an address costs as much as the memory does. A chunk is never given
// back.
//
// A block may be freed on another thread than it was allocated on; it then stays with that thread. What a thread has
// when it ends is for those that come later. Under AddressSanitizer every block comes from malloc, so that a use after
// free is seen.
#ifndef RUNTIME_BASE_RECYCLER_H_
#define RUNTIME_BASE_RECYCLER_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#if defined(__SANITIZE_ADDRESS__)
#define WEIR_RECYCLER_OFF 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define WEIR_RECYCLER_OFF 1
#endif
#endif

namespace weir::runtime {

class Recycler {
 public:
  static Recycler& ThisThread() {
    thread_local constinit Recycler recycler;
    return recycler;
  }

  // Memory of at least `size` bytes, aligned to 64, or to 16 beyond 16 KiB; ends the process when there is none (as
  // operator new would without exceptions).
  void* Alloc(size_t size) {
    const size_t index = ClassOf(size);
    if (index < kClasses && lists_[index] != nullptr) {
      Block* block = lists_[index];
      lists_[index] = block->next;
      return block;
    }
    return AllocSlow(index, size);
  }

  // `size` is what Alloc was called with.
  void Free(void* memory, size_t size) {
#ifdef WEIR_RECYCLER_OFF
    static_cast<void>(size);
    std::free(memory);
#else
    const size_t index = ClassOf(size);
    if (index >= kClasses) return std::free(memory);
    Block* block = static_cast<Block*>(memory);
    block->next = lists_[index];
    lists_[index] = block;
#endif
  }

  // Blocks that had to be made since the thread began, and their bytes: constant in the steady state.
  uint64_t misses() const { return misses_; }
  uint64_t bytes() const { return bytes_; }

  ~Recycler();

 private:
  struct Block {
    Block* next;
  };
  static constexpr size_t kGranule = 64;
  // Up to 16 KiB: a coroutine frame may hold a parser or a small buffer; more belongs elsewhere.
  static constexpr size_t kClasses = 16384 / kGranule;
  static constexpr size_t kFirstChunk = 64 * 1024;
  static constexpr size_t kHugePage = 2 * 1024 * 1024;

  static size_t ClassOf(size_t size) { return size == 0 ? 0 : (size - 1) / kGranule; }
  void* AllocSlow(size_t index, size_t size);
  void* Cut(size_t size);
  static void* NewChunk(size_t size);

  // What threads that ended have left.
  struct Estate;
  static Estate& TheEstate();

  uint64_t misses_ = 0;
  uint64_t bytes_ = 0;
  // The chunk that blocks are cut off, and the size of the next one.
  std::byte* chunk_ = nullptr;
  size_t chunk_left_ = 0;
  size_t next_chunk_ = kFirstChunk;
  std::array<Block*, kClasses> lists_{};
};

// Base of what is made and deleted as often as connections are.
struct Recycled {
  static void* operator new(size_t size) { return Recycler::ThisThread().Alloc(size); }
  static void operator delete(void* memory, size_t size) { Recycler::ThisThread().Free(memory, size); }
};

}  // namespace weir::runtime

#endif  // RUNTIME_BASE_RECYCLER_H_
