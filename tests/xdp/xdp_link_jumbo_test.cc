// Packets that are larger than a frame, through the rings of an AF_XDP socket (XDP_USE_SG). Needs root, and Linux 6.6.
#include <gmock/gmock.h>
#include <sys/utsname.h>

#include <cstdio>
#include <utility>

#include "tests/xdp/xdp_link_fixture.h"

namespace weir::xdp {
namespace {

using testing::HasSubstr;

class XdpLinkJumboTest : public XdpLinkTest {
 protected:
  XdpLinkJumboTest() : XdpLinkTest(9000) {}

  void SetUp() override {
    XdpLinkTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    pool_ = *FramePool::Create({.frames = 1024});
    auto program = SteerProgram::Attach({.interface = kDevice});
    ASSERT_TRUE(program.ok()) << program.status();
    auto link = XdpLink::Create({.multi_buffer = true}, **program, *pool_);
    utsname kernel;
    int major = 0, minor = 0;
    ASSERT_EQ(uname(&kernel), 0);
    ASSERT_EQ(std::sscanf(kernel.release, "%d.%d", &major, &minor), 2);
    if (std::pair(major, minor) >= std::pair(6, 6)) {
      ASSERT_TRUE(link.ok()) << link.status();
      return;
    }
    EXPECT_TRUE(absl::IsUnimplemented(link.status()));
    EXPECT_THAT(std::string(link.status().message()), HasSubstr("Linux 6.6"));
    GTEST_SKIP() << "SKIPPED: " << link.status().message();
  }

  // All bytes of a packet, with the references given back.
  static Bytes TakeAll(Frame* frame, size_t* frames) {
    Bytes bytes;
    for (*frames = 0; frame != nullptr; ++*frames) {
      const Bytes piece = Contents(*frame);
      bytes.insert(bytes.end(), piece.begin(), piece.end());
      Frame* next = std::exchange(frame->next, nullptr);
      Unref(frame);
      frame = next;
    }
    return bytes;
  }
};

TEST_F(XdpLinkJumboTest, APacketInSeveralFrames) {
  for (const AttachMode attach : {AttachMode::kNative, AttachMode::kGeneric}) {
    // Rings that hold few packets: they are cut by the end of the ring, and by that of a burst.
    OpenLink({.rx_size = 64, .fill_size = 64, .tx_size = 64, .completion_size = 64, .multi_buffer = true}, attach);
    uint32_t number = 0;
    for (int round = 0; round < 40; ++round) {
      for (const size_t size : {60, 1792, 1793, 3584, 3585, 9014}) {
        ASSERT_TRUE(peer_->Send(Packet(size, number)));
        const std::vector<Frame*> taken = Take(1);
        ASSERT_EQ(taken.size(), 1u);
        for (Frame* frame = taken[0]; frame != nullptr; frame = frame->next) {
          EXPECT_GE(frame->headroom(), runtime::kTxHeadroom);
          EXPECT_EQ(frame->refs, 1);
        }
        size_t frames = 0;
        EXPECT_EQ(TakeAll(taken[0], &frames), Packet(size, number));
        EXPECT_EQ(frames, (size + 1791) / 1792);
        ++number;
      }
    }
    // Several at once.
    for (uint32_t i = 0; i < 8; ++i) ASSERT_TRUE(peer_->Send(Packet(9014, i)));
    const std::vector<Frame*> burst = Take(8);
    for (uint32_t i = 0; i < burst.size(); ++i) {
      size_t frames = 0;
      EXPECT_EQ(TakeAll(burst[i], &frames), Packet(9014, i));
    }
    EXPECT_EQ(link_->counters().kernel_rx_dropped, 0u);
    CloseLink();
  }
}

TEST_F(XdpLinkJumboTest, GoesOutInSeveralFrames) {
  OpenLink({.tx_size = 16, .completion_size = 16, .multi_buffer = true});
  for (uint32_t number = 0; number < 100; ++number) {
    const Bytes packet = Packet(9014, number);
    std::vector<Frame*> frames;
    for (size_t at = 0; at < packet.size();) {
      Frame* frame = pool_->Alloc(at == 0 ? runtime::kTxHeadroom : 0);
      frame->len = static_cast<uint32_t>(std::min<size_t>(packet.size() - at, frame->tailroom()));
      std::memcpy(frame->data, &packet[at], frame->len);
      at += frame->len;
      frames.push_back(frame);
    }
    ASSERT_EQ(frames.size(), 5u);
    Frame* small = pool_->Alloc();
    const Bytes one = Packet(100, number);
    std::memcpy(small->data, one.data(), one.size());
    small->len = static_cast<uint32_t>(one.size());
    frames.push_back(small);
    ASSERT_EQ(link_->Transmit(frames, 0b01111), frames.size());
    link_->Doorbell();
    for (Frame* frame : frames) Unref(frame);
    for (const Bytes& expected : {packet, one}) {
      const std::optional<Bytes> got = peer_->Receive(5000);
      ASSERT_TRUE(got.has_value()) << number;
      EXPECT_EQ(*got, expected);
    }
    while (link_->counters().tx_outstanding > 0) link_->ReapCompletions();
  }
  EXPECT_EQ(link_->counters().kernel_tx_invalid, 0u);
}

// On a ring with too little room a packet is not begun.
TEST_F(XdpLinkJumboTest, IsPutOnTheRingWhole) {
  OpenLink({.tx_size = 8, .completion_size = 8, .multi_buffer = true});
  std::vector<Frame*> frames;
  for (int i = 0; i < 10; ++i) {
    frames.push_back(pool_->Alloc());
    frames.back()->len = 60;
    std::memset(frames.back()->data, 0, 60);
  }
  EXPECT_EQ(link_->Transmit(frames, 0b0111101111), 5u);
  EXPECT_EQ(link_->Transmit(std::span(frames).subspan(5), 0b01111), 0u);
  for (Frame* frame : frames) Unref(frame);
}

// Without it the kernel drops what is larger than a frame, and says so; what is not comes.
TEST_F(XdpLinkJumboTest, OnlyWhenAskedFor) {
  OpenLink();
  ASSERT_TRUE(peer_->Send(Packet(9014, 1)));
  ASSERT_TRUE(peer_->Send(Packet(1500, 2)));
  const std::vector<Frame*> taken = Take(1);
  ASSERT_EQ(taken.size(), 1u);
  EXPECT_EQ(Contents(*taken[0]), Packet(1500, 2));
  Unref(taken[0]);
  EXPECT_EQ(link_->counters().kernel_rx_dropped, 1u);
}

}  // namespace
}  // namespace weir::xdp
