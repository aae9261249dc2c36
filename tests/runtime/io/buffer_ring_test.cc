#include "runtime/io/buffer_ring.h"

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <string>
#include <vector>

#include "runtime/base/unique_fd.h"
#include "tests/support/loop.h"

namespace weir::runtime {
namespace {

using weir::testing::Loop;

// A multishot receive on one end of a socket pair, whose frames are kept.
class BufferRingTest : public ::testing::Test {
 protected:
  BufferRingTest() {
    int fds[2];
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds), 0);
    near_ = UniqueFd(fds[0]);
    far_ = UniqueFd(fds[1]);
  }
  ~BufferRingTest() override {
    for (Frame* frame : frames_) Unref(frame);
    loop_.reactor().CancelAndDrain(recv_);
    ring_.reset();
    EXPECT_EQ(pool_->outstanding(), 0u);
  }
  void NewRing(uint32_t entries, uint32_t reserve, uint32_t frames = 16) {
    pool_ = *FramePool::Create({.frame_size = 2048, .frames = frames});
    auto ring = BufferRing::Create(loop_.reactor(), *pool_, 7, entries, reserve);
    ASSERT_TRUE(ring.ok()) << ring.status();
    ring_ = *std::move(ring);
  }
  void Arm() {
    io_uring_sqe* sqe = loop_.reactor().Prepare(recv_);
    io_uring_prep_recv_multishot(sqe, near_.get(), nullptr, 0, 0);
    sqe->flags |= IOSQE_BUFFER_SELECT;
    sqe->buf_group = ring_->group();
  }
  void Send(const std::string& text) {
    ASSERT_EQ(send(far_.get(), text.data(), text.size(), 0), static_cast<ssize_t>(text.size()));
  }
  void OnRecv(int32_t result, uint32_t flags) {
    last_ = result;
    if ((flags & IORING_CQE_F_BUFFER) == 0) return;
    Frame* frame = ring_->Take(flags);
    EXPECT_EQ(frame->refs, 1);
    frame->len = static_cast<uint32_t>(result);
    frames_.push_back(frame);
  }
  std::string Text(size_t i) { return {reinterpret_cast<char*>(frames_[i]->data), frames_[i]->len}; }

  Loop loop_;
  FramePool::Ptr pool_;
  std::unique_ptr<BufferRing> ring_;
  UniqueFd near_, far_;
  std::vector<Frame*> frames_;
  int32_t last_ = 0;
  MemberOp<BufferRingTest, &BufferRingTest::OnRecv> recv_{*this};
};

TEST_F(BufferRingTest, ReceivesIntoFrames) {
  NewRing(8, 0);
  EXPECT_EQ(ring_->provided(), 8u);
  EXPECT_EQ(pool_->outstanding(), 8u);
  Arm();
  for (int i = 0; i < 100; ++i) {
    const std::string text = "message " + std::to_string(i);
    Send(text);
    ASSERT_TRUE(loop_.RunUntil([&] { return frames_.size() == 1; }));
    EXPECT_EQ(Text(0), text);
    Unref(frames_[0]);
    frames_.clear();
  }
  EXPECT_TRUE(recv_.in_flight());
}

TEST_F(BufferRingTest, SurvivesAnEmptyPool) {
  NewRing(8, 4);
  Arm();
  // 16 frames: the reader keeps 12, then the pool is at its reserve and the receive ends.
  for (int i = 0; i < 13; ++i) {
    Send(std::to_string(i));
    loop_.RunFor(2 * kMillisecond);
  }
  ASSERT_TRUE(loop_.RunUntil([&] { return !recv_.in_flight(); }));
  EXPECT_EQ(last_, -ENOBUFS);
  EXPECT_EQ(frames_.size(), 12u);
  EXPECT_EQ(ring_->provided(), 0u);
  EXPECT_EQ(pool_->free_count(), 4u);
  for (Frame* frame : frames_) Unref(frame);
  frames_.clear();
  ring_->Refill();
  EXPECT_EQ(ring_->provided(), 8u);
  Arm();
  ASSERT_TRUE(loop_.RunUntil([&] { return frames_.size() == 1; }));
  EXPECT_EQ(Text(0), "12");
}

TEST_F(BufferRingTest, IsFilledNoDeeperThanTheKernelNeeds) {
  NewRing(2048, 0, 4096);
  const uint32_t least = ring_->depth();
  EXPECT_EQ(ring_->provided(), least);
  EXPECT_LT(least, ring_->entries());
  Arm();
  // A burst that uses all of it up before the program takes any.
  for (uint32_t i = 0; i < least + 1; ++i) {
    Send("x");
    loop_.reactor().uring().Enter();
  }
  ASSERT_TRUE(loop_.RunUntil([&] { return !recv_.in_flight(); }));
  EXPECT_EQ(last_, -ENOBUFS);
  // Those that were taken were made up for, so the last turn's shortage is the only sign.
  EXPECT_EQ(frames_.size(), least);
  loop_.reactor().uring().Enter();
  ring_->RanDry();
  EXPECT_EQ(ring_->depth(), 2 * least);
  EXPECT_EQ(ring_->provided(), 2 * least);

  Arm();
  ASSERT_TRUE(loop_.RunUntil([&] { return frames_.size() == least + 1; }));
  for (uint32_t i = 0; i < BufferRing::kCalmTakes; ++i) {
    for (Frame* frame : frames_) Unref(frame);
    frames_.clear();
    Send("x");
    ASSERT_TRUE(loop_.RunUntil([&] { return frames_.size() == 1; }));
  }
  EXPECT_EQ(ring_->depth(), least);
}

}  // namespace
}  // namespace weir::runtime
