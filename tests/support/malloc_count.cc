#include "tests/support/malloc_count.h"

#include <atomic>
#include <cstddef>

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define WEIR_MALLOC_NOT_COUNTED 1
#endif
#endif

namespace {
std::atomic<uint64_t> allocations{0};
}  // namespace

#ifndef WEIR_MALLOC_NOT_COUNTED
// glibc's own names for the functions that are replaced here.
extern "C" {
void* __libc_malloc(size_t size);
void* __libc_calloc(size_t count, size_t size);
void* __libc_realloc(void* memory, size_t size);
void* __libc_memalign(size_t alignment, size_t size);

void* malloc(size_t size) {
  allocations.fetch_add(1, std::memory_order_relaxed);
  return __libc_malloc(size);
}
void* calloc(size_t count, size_t size) {
  allocations.fetch_add(1, std::memory_order_relaxed);
  return __libc_calloc(count, size);
}
void* realloc(void* memory, size_t size) {
  allocations.fetch_add(1, std::memory_order_relaxed);
  return __libc_realloc(memory, size);
}
void* memalign(size_t alignment, size_t size) {
  allocations.fetch_add(1, std::memory_order_relaxed);
  return __libc_memalign(alignment, size);
}
void* aligned_alloc(size_t alignment, size_t size) { return memalign(alignment, size); }
}
#endif

namespace weir::testing {

bool MallocCounted() {
#ifdef WEIR_MALLOC_NOT_COUNTED
  return false;
#else
  return true;
#endif
}

uint64_t MallocCount() { return allocations.load(std::memory_order_relaxed); }

}  // namespace weir::testing
