#include "runtime/base/recycler.h"

#include <gtest/gtest.h>

#include <algorithm>
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

TEST(Recycler, WhatAThreadLeavesIsUsedAgain) {
  constexpr size_t kSize = 16'000;  // of which no other test has any
  void* left = nullptr;
  std::thread([&] {
    left = Recycler::ThisThread().Alloc(kSize);
    Recycler::ThisThread().Free(left, kSize);
  }).join();
  std::thread([&] {
    Recycler& recycler = Recycler::ThisThread();
    void* block = recycler.Alloc(kSize);
    EXPECT_EQ(left, block);
    EXPECT_EQ(0u, recycler.misses());
    recycler.Free(block, kSize);
  }).join();
}

// More than a chunk of huge pages: every block is at a cache line of its own, and is written without harm to others.
TEST(Recycler, BlocksOfManyChunksDoNotOverlap) {
  std::thread([] {
    Recycler& recycler = Recycler::ThisThread();
    std::vector<uint64_t*> blocks;
    for (uint64_t i = 0; i < 7000; ++i) {
      auto* block = static_cast<uint64_t*>(recycler.Alloc(768));
      EXPECT_EQ(0u, reinterpret_cast<uintptr_t>(block) % 64);
      std::fill_n(block, 768 / sizeof *block, i);
      blocks.push_back(block);
    }
    EXPECT_LE(6900u * 768, recycler.bytes());  // but for what other threads have left
    for (uint64_t i = 0; i < blocks.size(); ++i) {
      for (size_t at = 0; at < 768 / sizeof(uint64_t); ++at) ASSERT_EQ(i, blocks[i][at]);
      recycler.Free(blocks[i], 768);
    }
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
