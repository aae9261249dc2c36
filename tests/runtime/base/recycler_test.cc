#include "runtime/base/recycler.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <thread>
#include <vector>

namespace weir::runtime {
namespace {

TEST(Recycler, BlocksAreBigEnoughAlignedAndApart) {
  Recycler& recycler = Recycler::ThisThread();
  std::vector<std::pair<void*, size_t>> blocks;
  for (size_t size = 0; size < 5000; size += 37) {
    void* block = recycler.Alloc(size);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(block) % 16, 0u);
    std::memset(block, static_cast<int>(size), size);
    blocks.emplace_back(block, size);
  }
  for (auto [block, size] : blocks) {
    for (size_t i = 0; i < size; ++i) ASSERT_EQ(static_cast<uint8_t*>(block)[i], static_cast<uint8_t>(size));
    recycler.Free(block, size);
  }
}

#ifndef WEIR_RECYCLER_OFF
TEST(Recycler, SteadyStateAllocatesNothing) {
  std::thread([] {
    Recycler& recycler = Recycler::ThisThread();
    const auto use_some = [&] {
      std::vector<void*> blocks;
      for (size_t size = 1; size <= 4096; size += 63) blocks.push_back(recycler.Alloc(size));
      size_t size = 1;
      for (void* block : blocks) recycler.Free(block, std::exchange(size, size + 63));
    };
    use_some();
    const uint64_t misses = recycler.misses();
    EXPECT_GT(misses, 0u);
    for (int i = 0; i < 100; ++i) use_some();
    EXPECT_EQ(recycler.misses(), misses);
  }).join();
}

TEST(Recycler, SizesOfOneClassShareBlocks) {
  Recycler& recycler = Recycler::ThisThread();
  void* block = recycler.Alloc(65);
  recycler.Free(block, 65);
  EXPECT_EQ(recycler.Alloc(128), block);
  recycler.Free(block, 128);
}
#endif

TEST(Recycler, FreedOnAnotherThread) {
  void* block = Recycler::ThisThread().Alloc(100);
  std::thread([block] { Recycler::ThisThread().Free(block, 100); }).join();
}

}  // namespace
}  // namespace weir::runtime
