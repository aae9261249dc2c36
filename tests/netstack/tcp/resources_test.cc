// When something runs out: frames, control blocks, the transmit queue. Nothing crashes, what was lost is counted, and
// all goes on when there is room again. TcpTrace checks that every frame comes back.
#include <gtest/gtest.h>

#include <cstdio>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/support/shortage.h"
#include "tests/support/tcp_trace.h"

namespace weir::testing_support {
namespace {

using netstack::DropReason;
using netstack::TcpState;

// What an idle connection costs, in all, is to come within 1 KiB. The recycler rounds up to whole cache lines.
TEST(ControlBlock, StaysSmall) {
  std::printf("%zu bytes\n", sizeof(netstack::TcpSock));
  EXPECT_LE(sizeof(netstack::TcpSock), 640u);
}

TEST(NoFrames, AHandshakeGoesOnLater) {
  TcpTrace t;
  t.Listen(80);
  {
    Shortage shortage(t.host().pool(), 1);  // for the SYN; none for the answer
    t.In(0, "S 0:0 win 65535 <mss 1460>");
    EXPECT_LT(0u, t.host().counted(DropReason::kTxNoFrame));
  }
  t.Out(1000, "SA 0:0 ack 1 <mss 1460>");
  t.In (1001, "A  1:1 ack 1 win 65535");
  t.Accept();
}

TEST(NoFrames, AConnectGoesOnLater) {
  TcpTrace t;
  {
    Shortage shortage(t.host().pool(), 0);
    t.Connect(443);
    t.Quiet(500);
  }
  t.Out(1000, "S  0:0       <mss 1460, sackOK, ts, wscale 7>");
  t.In (1001, "SA 0:0 ack 1 win 65535 <mss 1460>");
  t.Out(1001, "A  1:1 ack 1");
}

TEST(NoFrames, AFinGoesOutLater) {
  TcpTrace t;
  t.Establish();
  {
    Shortage shortage(t.host().pool(), 0);
    t.Shutdown();
    t.Quiet(100);
  }
  t.Out(200, "FA 1:1 ack 1");
  t.In (201, "A  1:1 ack 2 win 65535");
  EXPECT_EQ(TcpState::kFinWait2, t.sock().state);
}

// To cut a segment for a small window takes a frame.
TEST(NoFrames, ASegmentIsCutLater) {
  TcpTrace t;
  t.Establish({.window = 0});
  t.Send(1000);
  {
    Shortage shortage(t.host().pool(), 1);
    t.In (10, "A  1:1   ack 1 win 300");
    t.Quiet(100);
  }
  t.Out(210, "A  1:301 ack 1");
  t.In (211, "A  1:1   ack 301 win 2000");
  t.Out(211, "PA 301:1001 ack 1");
}

TEST(NoFrames, ProbesGoOnLater) {
  TcpTrace t;
  t.Establish({.window = 0});
  t.Send(10);
  {
    Shortage shortage(t.host().pool(), 0);
    t.Quiet(300);
  }
  t.Out(600, "A  0:0  ack 1");
  t.In (601, "A  1:1  ack 1 win 100");
  t.Out(601, "PA 1:11 ack 1");
}

// Two connections whose send queues hold nearly everything still receive: one segment each at a time.
TEST(FewFrames, EmptyReceiversKeepAWindow) {
  TcpTrace t({.host = {.frames = 64, .tcp = {.invalid_ratelimit_ms = 0}}});
  t.Establish({.window = 0});
  Shortage shortage(t.host().pool(), 4);
  for (int i = 0; i < 5; ++i) {
    t.In (i, absl::StrCat("A 0:0 ack 1 win 0"));
    t.Out(i, absl::StrCat("A 1:1 ack ", 1 + i * 1000));
    EXPECT_LE(1460u, t.sock().rcv.wnd);
    t.In (i, absl::StrCat("A ", 1 + i * 1000, ":", 1001 + i * 1000, " ack 1 win 0"));
    EXPECT_EQ(DropReason::kConsumed, t.last());
    t.Read(1000);
    t.Drain();
  }
}

// What the transmit queue does not take is lost like on the wire, and sent again.
TEST(TxQueue, Full) {
  TcpTrace t({.host = {.frames = 8192}});
  t.Establish();
  netstack::NetDevice& device = t.host().interface().device;
  std::vector<runtime::Frame*> filler;
  while (device.tx_size() < netstack::NetDevice::kTxQueue) {
    runtime::Frame* frame = t.host().pool().Alloc();
    frame->len = 60;
    frame->data[12] = std::byte{0x08};
    frame->data[13] = std::byte{0x06};
    ASSERT_EQ(DropReason::kConsumed, device.Queue(frame));
  }
  t.Send(100);
  EXPECT_EQ(1u, t.host().counted(DropReason::kTxQueueFull));
  while (t.host().has_sent()) t.host().TakeSent();
  t.Out(200, "PA 1:101 ack 1");
}

}  // namespace
}  // namespace weir::testing_support
