#include "runtime/base/recycler.h"

#include "runtime/base/check.h"

namespace weir::runtime {

void* Recycler::AllocSlow(size_t size) {
  ++misses_;
  void* memory = std::malloc(size);
  WEIR_CHECK(memory != nullptr);
  return memory;
}

Recycler::~Recycler() {
  for (Block*& list : lists_) {
    while (Block* block = list) {
      list = block->next;
      std::free(block);
    }
  }
}

}  // namespace weir::runtime
