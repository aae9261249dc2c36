// Frames that end on another thread than their shard's: they come home through the mailbox, and a buffer that outlives
// its shard stays readable wherever it is.
#include "runtime/io/frame_returns.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cstring>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "runtime/buffer/recv_buffer.h"
#include "runtime/buffer/recv_reader.h"
#include "tests/support/loop.h"

namespace weir::runtime {
namespace {

using weir::testing::Loop;

RecvBuffer Text(FramePool& pool, const std::string& text, size_t slices = 1) {
  RecvBuffer buffer;
  for (size_t i = 0; i < slices; ++i) {
    Frame* frame = pool.Alloc();
    std::memcpy(frame->data, text.data(), text.size());
    buffer.Append(frame, {frame->data, text.size()});
  }
  return buffer;
}

FramePool::Ptr NewPool(uint32_t frames = 256) { return *FramePool::Create({.frames = frames}); }

TEST(FrameReturns, ComeThroughTheMailbox) {
  Loop loop;
  FramePool::Ptr pool = NewPool();
  {
    FrameReturns returns(*pool, loop.mailbox());
    for (const size_t slices : {1u, 2u, 64u}) {
      std::thread([buffer = Text(*pool, "away", slices), slices]() mutable {
        EXPECT_EQ(buffer.size(), 4 * slices);
        EXPECT_EQ(RecvReader(buffer).Read<uint8_t>(), 'a');
        buffer.Consume(3);
        RecvBuffer moved = std::move(buffer);
      }).join();
      EXPECT_EQ(pool->outstanding(), slices);  // until the message has run
      EXPECT_TRUE(loop.RunUntil([&] { return pool->outstanding() == 0; }));
    }
  }
  EXPECT_EQ(loop.mailbox().Run(), 0u);
}

// The shard sleeps when they come.
TEST(FrameReturns, WakeTheShard) {
  Loop loop;
  FramePool::Ptr pool = NewPool();
  FrameReturns returns(*pool, loop.mailbox());
  std::thread other([buffer = Text(*pool, "away")]() mutable {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    buffer.Clear();
  });
  EXPECT_TRUE(loop.RunUntil([&] { return pool->outstanding() == 0; }));
  other.join();
}

// A frame that both threads hold is counted on the owner's alone.
TEST(FrameReturns, SharedFramesAndSeveralThreads) {
  Loop loop;
  FramePool::Ptr pool = NewPool(512);
  {
    FrameReturns returns(*pool, loop.mailbox());
    constexpr int kThreads = 3, kEach = 5000;
    std::mutex mutex;
    std::vector<RecvBuffer> handed[kThreads];
    std::atomic<int> dropped = 0;
    std::vector<std::thread> threads;
    for (int t = 0; t < kThreads; ++t) {
      threads.emplace_back([&, t] {
        for (int done = 0; done < kEach;) {
          std::vector<RecvBuffer> mine;
          {
            std::lock_guard lock(mutex);
            mine.swap(handed[t]);
          }
          done += static_cast<int>(mine.size());
          dropped += static_cast<int>(mine.size());
          if (mine.empty()) std::this_thread::yield();
        }
      });
    }
    int given[kThreads] = {};
    EXPECT_TRUE(loop.RunUntil([&] {
      for (int t = 0; t < kThreads; ++t) {
        if (given[t] == kEach || pool->free_count() < 8) continue;
        RecvBuffer whole = Text(*pool, "hello world", 1 + static_cast<size_t>(given[t]) % 4);
        RecvBuffer front = whole.Split(5);
        ++given[t];
        std::lock_guard lock(mutex);
        handed[t].push_back(std::move(front));
      }
      return dropped == kThreads * kEach;
    }));
    for (std::thread& thread : threads) thread.join();
    EXPECT_TRUE(loop.RunUntil([&] { return pool->outstanding() == 0; }));
  }
}

// Without a mailbox the pool looks for them when it has nothing else.
TEST(FrameReturns, ThePoolLooksWhenItIsEmpty) {
  FramePool::Ptr pool = NewPool(4);
  std::thread([buffer = Text(*pool, "away", 4)] {}).join();
  EXPECT_EQ(pool->free_count(), 0u);
  Frame* frame = pool->Alloc();
  ASSERT_NE(frame, nullptr);
  EXPECT_EQ(pool->exhausted(), 0u);
  Unref(frame);
  EXPECT_EQ(pool->outstanding(), 0u);
}

// The leak check of the sanitizers sees whether the pool goes with the last of them.
TEST(FrameReturns, BuffersOutliveTheShard) {
  FramePool::Ptr pool = NewPool();
  RecvBuffer here = Text(*pool, "still here"), there = Text(*pool, "and there", 5), early = Text(*pool, "early");
  RecvBuffer part = here.Split(6);
  std::thread([buffer = std::move(early)] {}).join();
  pool.reset();
  EXPECT_EQ(RecvReader(here).Peek<uint32_t>(), 0x68657265u);  // "here"
  std::thread([buffer = std::move(there), part = std::move(part)]() mutable {
    EXPECT_EQ(RecvReader(buffer).Peek<uint32_t>(), 0x616e6420u);  // "and "
    buffer.Consume(10);
    buffer.Clear();
    part.Clear();
  }).join();
  here.Consume(1);
}

}  // namespace
}  // namespace weir::runtime
