// Frame pool, FrameChain, RecvBuffer and SendBuffer: chains against std::string, and every frame back at the end.
#include "runtime/buffer/frame_chain.h"

#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <vector>

#include "runtime/buffer/recv_buffer.h"
#include "runtime/buffer/send_buffer.h"
#include "tests/support/random.h"

namespace weir::runtime {
namespace {

FramePool::Ptr NewPool(uint32_t frames, uint32_t frame_size = 2048) {
  auto pool = FramePool::Create({.frame_size = frame_size, .frames = frames});
  EXPECT_TRUE(pool.ok()) << pool.status();
  return *std::move(pool);
}

std::string TextOf(const FrameChain& chain) {
  std::string text;
  for (const iovec& slice : chain.buffers()) text.append(static_cast<const char*>(slice.iov_base), slice.iov_len);
  return text;
}

void AppendText(FramePool& pool, FrameChain& chain, const std::string& text) {
  Frame* frame = pool.Alloc();
  ASSERT_NE(frame, nullptr);
  std::memcpy(frame->data, text.data(), text.size());
  frame->len = static_cast<uint32_t>(text.size());
  chain.Append(frame, frame->bytes());
}

TEST(FramePool, GivesEachFrameOnceAndTakesThemBack) {
  FramePool::Ptr pool = NewPool(64);
  std::vector<Frame*> frames;
  while (Frame* frame = pool->Alloc()) {
    EXPECT_EQ(frame->refs, 1);
    EXPECT_EQ(frame->headroom(), kTxHeadroom);
    EXPECT_EQ(frame->headroom() + frame->tailroom(), 2048u);
    EXPECT_EQ(&pool->FrameAt(pool->OffsetOf(frame->data)), frame);
    EXPECT_EQ(&(*pool)[pool->IndexOf(*frame)], frame);
    std::memset(frame->base, 0xaa, 2048);
    frames.push_back(frame);
  }
  EXPECT_EQ(frames.size(), 64u);
  EXPECT_EQ(pool->exhausted(), 1u);
  EXPECT_EQ(pool->outstanding(), 64u);
  Ref(frames[0]);
  for (Frame* frame : frames) Unref(frame);
  EXPECT_EQ(pool->outstanding(), 1u);
  Unref(frames[0]);
  EXPECT_EQ(pool->outstanding(), 0u);
}

TEST(FramePool, RefusesOtherFrameSizes) {
  EXPECT_FALSE(FramePool::Create({.frame_size = 1500}).ok());
  EXPECT_FALSE(FramePool::Create({.frame_size = 2048, .frames = 0}).ok());
  EXPECT_EQ(NewPool(1, 4096)->frame_size(), 4096u);
}

// A program may keep a buffer longer than the pool's owner.
TEST(FramePool, OutlivesItsOwnerWhileFramesAreOut) {
  FramePool::Ptr pool = NewPool(8);
  FrameChain chain;
  AppendText(*pool, chain, "still here");
  pool.reset();
  EXPECT_EQ(TextOf(chain), "still here");
}

// A frame that something reads for an unknown time is never given out again, and does not keep the pool alive.
TEST(FramePool, RetiresAFrameThatIsStillRead) {
  FramePool::Ptr pool = NewPool(2);
  Frame* frame = pool->Alloc();
  std::memset(frame->base, 'x', 2048);
  ++frame->tx_pending;
  Unref(frame);
  EXPECT_EQ(frame->base[0], std::byte{'x'});
  EXPECT_EQ(pool->retired(), 1u);
  EXPECT_EQ(pool->outstanding(), 1u);
  Frame* other = pool->Alloc();
  EXPECT_NE(other, frame);
  EXPECT_EQ(pool->Alloc(), nullptr);
  pool.reset();
  Unref(other);  // the last one: the leak check of the sanitizers sees whether the pool goes with it
}

TEST(Frame, PushPullTrim) {
  FramePool::Ptr pool = NewPool(1);
  Frame* frame = pool->Alloc();
  frame->len = 100;
  std::byte* payload = frame->data;
  EXPECT_EQ(frame->Push(20), payload - 20);
  EXPECT_EQ(frame->len, 120u);
  frame->Pull(20);
  EXPECT_EQ(frame->data, payload);
  frame->Trim(40);
  frame->Trim(50);
  EXPECT_EQ(frame->len, 40u);
  Unref(frame);
}

struct Modelled {
  FrameChain chain;
  std::string text;
};

void Check(const Modelled& one, testing::Random& random) {
  ASSERT_EQ(one.chain.size(), one.text.size());
  ASSERT_EQ(TextOf(one.chain), one.text);
  const size_t from = random.Below(one.text.size() + 2);
  const char wanted = static_cast<char>('a' + random.Below(26));
  const auto found = one.chain.Find(std::byte(wanted), from);
  const size_t expected = one.text.find(wanted, from);
  ASSERT_EQ(found.has_value(), expected != std::string::npos);
  if (found) {
    ASSERT_EQ(*found, expected);
  }
  std::string out(random.Below(3000), '?');
  const size_t n = one.chain.CopyTo(std::as_writable_bytes(std::span(out)), std::min(from, one.text.size()));
  ASSERT_EQ(out.substr(0, n), one.text.substr(std::min(from, one.text.size()), out.size()));
}

void Step(FramePool& pool, Modelled& one, Modelled& other, testing::Random& random) {
  switch (random.Below(7)) {
    case 0:
    case 1:
    case 2: {
      if (one.chain.full() || pool.free_count() == 0) break;
      std::string text(1 + random.Below(random.OneIn(2) ? 8 : 1500), ' ');
      for (char& c : text) c = static_cast<char>('a' + random.Below(26));
      AppendText(pool, one.chain, text);
      one.text += text;
      break;
    }
    case 3: {
      const size_t n = random.Below(one.text.size() + 1);
      one.chain.Consume(n);
      one.text.erase(0, n);
      break;
    }
    case 4: {
      const size_t n = random.Below(one.text.size() + 1);
      other.chain = one.chain.Split(n);
      other.text = one.text.substr(0, n);
      one.text.erase(0, n);
      break;
    }
    case 5:
      one.chain.Append(std::move(other.chain));
      if (other.chain.empty()) {
        one.text += std::exchange(other.text, "");
      } else {  // only what fitted
        ASSERT_TRUE(one.chain.full());
        const size_t moved = other.text.size() - other.chain.size();
        one.text += other.text.substr(0, moved);
        other.text.erase(0, moved);
      }
      break;
    case 6: {
      FrameChain moved = std::move(one.chain);
      one.chain = std::move(moved);
      if (!one.chain.empty()) {
        std::span<std::byte> bytes;
        ASSERT_EQ(one.chain.front_frame()->pool, &pool);
        Unref(one.chain.PopFront(&bytes));
        one.text.erase(0, bytes.size());
      }
    }
  }
}

TEST(FrameChain, RandomOperationsAgreeWithStrings) {
  testing::Random random;
  FramePool::Ptr pool = NewPool(256);
  {
    std::vector<Modelled> chains(4);
    for (int step = 0; step < 30'000 && !HasFatalFailure(); ++step) {
      const size_t a = random.Below(chains.size());
      const size_t b = (a + 1 + random.Below(chains.size() - 1)) % chains.size();
      Step(*pool, chains[a], chains[b], random);
      Check(chains[a], random);
      Check(chains[b], random);
    }
  }
  EXPECT_EQ(pool->outstanding(), 0u);
}

TEST(FrameChain, SplitInsideAFrameSharesIt) {
  FramePool::Ptr pool = NewPool(4);
  FrameChain chain;
  AppendText(*pool, chain, "hello world");
  FrameChain front = chain.Split(5);
  EXPECT_EQ(TextOf(front), "hello");
  EXPECT_EQ(TextOf(chain), " world");
  EXPECT_EQ(pool->outstanding(), 1u);
  EXPECT_EQ(chain.front_frame()->refs, 2);
  front.Clear();
  EXPECT_EQ(pool->outstanding(), 1u);
  EXPECT_EQ(TextOf(chain), " world");
}

TEST(FrameChain, GrowsInAFrameOfItsOwnOnly) {
  FramePool::Ptr pool = NewPool(4);
  FrameChain chain;
  EXPECT_TRUE(chain.OwnFrame().empty());
  AppendText(*pool, chain, "question");
  const std::span<std::byte> all = chain.OwnFrame();
  EXPECT_EQ(all.data(), chain.buffers()[0].iov_base);
  EXPECT_EQ(all.data() + all.size(), chain.front_frame()->base + pool->frame_size());
  std::memcpy(all.data() + 8, " answer", 7);
  chain.Resize(15);
  EXPECT_EQ(TextOf(chain), "question answer");
  EXPECT_EQ(chain.size(), 15u);
  chain.Consume(9);
  chain.Resize(3);
  EXPECT_EQ(TextOf(chain), "ans");
  {
    const FrameChain shared = chain.Share();
    EXPECT_TRUE(chain.OwnFrame().empty());
  }
  chain.front_frame()->tx_pending = 1;
  EXPECT_TRUE(chain.OwnFrame().empty());
  chain.front_frame()->tx_pending = 0;
  AppendText(*pool, chain, "more");
  EXPECT_TRUE(chain.OwnFrame().empty());
}

TEST(SendBuffer, AllocatesTrimsAndForwards) {
  FramePool::Ptr pool = NewPool(8);
  SendBuffer buffer = SendBuffer::Allocate(*pool, 5000, 1460);
  EXPECT_EQ(buffer.size(), 5000u);
  EXPECT_EQ(buffer.writable().size(), 4u);
  EXPECT_GE(buffer.front_frame()->headroom(), kTxHeadroom);
  buffer.Trim(1461);
  EXPECT_EQ(buffer.size(), 1461u);
  EXPECT_EQ(pool->outstanding(), 2u);
  buffer.Trim(0);
  EXPECT_EQ(pool->outstanding(), 0u);
  // Shorter when the pool is.
  SendBuffer all = SendBuffer::Allocate(*pool, 1'000'000, 1460);
  EXPECT_EQ(all.size(), 8u * 1460);
  RecvBuffer received;
  all.Clear();
  AppendText(*pool, received, "forward me");
  SendBuffer forwarded = std::move(received);
  EXPECT_EQ(TextOf(forwarded), "forward me");
  EXPECT_TRUE(received.empty());  // NOLINT: a moved-from chain is empty
}

}  // namespace
}  // namespace weir::runtime
