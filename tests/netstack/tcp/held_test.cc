// What a program keeps of what it got counts against the connection (DESIGN §4): the window closes, without its right
// edge ever moving left (TcpTrace looks at that in every packet), and opens when the frames come back.
#include <gtest/gtest.h>

#include <vector>

#include "absl/strings/str_cat.h"
#include "netstack/tcp/tcp_memory.h"
#include "netstack/tcp/tcp_user_calls.h"
#include "tests/support/shortage.h"
#include "tests/support/tcp_trace.h"

namespace weir::testing_support {
namespace {

using netstack::DropReason;
using runtime::FrameChain;

constexpr uint32_t kMss = 1460;

// A receive buffer of four full segments, which does not grow.
TcpTrace::Options FourSegments(uint32_t frames = 1024) {
  return {.host = {.frames = frames, .tcp = {.receive_buffer = 4 * kMss, .moderate_rcvbuf = false}}};
}

// The `n`th full segment; what is said to it, if anything, is passed over.
void Segment(TcpTrace& t, double ms, uint32_t n) {
  t.In(ms, absl::StrCat("A ", 1 + n * kMss, ":", 1 + (n + 1) * kMss, " ack 1 win 65535"));
}

TEST(Held, TheWindowClosesAndOpens) {
  TcpTrace t(FourSegments());
  t.Establish();
  FrameChain chains[4];
  for (uint32_t n = 0; n < 4; ++n) {
    Segment(t, n, n);
    t.ReadFrames(chains[n]);
    EXPECT_EQ(n + 1, t.sock().held());
    if (n % 2 == 1) t.Out(n, absl::StrCat("A 1:1 ack ", 1 + (n + 1) * kMss, " win ", (3 - n) * kMss));
  }
  t.Quiet(1000);
  t.In (1000, absl::StrCat("A ", 4 * kMss, ":", 4 * kMss, " ack 1 win 65535"));  // a probe of the window
  t.Out(1000, absl::StrCat("A 1:1 ack ", 1 + 4 * kMss, " win 0"));
  // One segment's room is worth an update (RFC 9293 §3.8.6.2.2), the next is not, two are twice the window.
  chains[2].Clear();
  t.host().Turn();
  t.Out(1000, absl::StrCat("A 1:1 ack ", 1 + 4 * kMss, " win ", kMss));
  chains[0].Clear();
  t.host().Turn();
  t.Out(1000, absl::StrCat("A 1:1 ack ", 1 + 4 * kMss, " win ", 2 * kMss));
  chains[1].Clear();
  t.host().Turn();
  chains[3].Clear();
  t.host().Turn();
  t.Out(1000, absl::StrCat("A 1:1 ack ", 1 + 4 * kMss, " win ", 4 * kMss));
  EXPECT_EQ(0u, t.sock().held());
}

// All of a frame is kept by the smallest piece of it; only when the last is gone, there is room.
TEST(Held, PiecesKeepTheWholeFrame) {
  TcpTrace t(FourSegments());
  t.Establish();
  FrameChain chains[4];
  for (uint32_t n = 0; n < 4; ++n) {
    Segment(t, n, n);
    t.ReadFrames(chains[n]);
    t.Drain();
  }
  FrameChain piece = chains[0].Split(10);
  chains[0].Clear();
  piece.Consume(9);
  FrameChain shared = piece.Share();
  piece.Clear();
  t.host().Turn();
  t.Quiet(100);
  shared.Clear();
  t.host().Turn();
  t.Out(100, absl::StrCat("A 1:1 ack ", 1 + 4 * kMss, " win ", kMss));
}

// A segment of ten bytes keeps as much memory as a full one.
TEST(Held, SmallSegmentsCountAsWholeFrames) {
  TcpTrace t(FourSegments());
  t.Establish();
  FrameChain chains[4];
  for (uint32_t n = 0; n < 4; ++n) {
    t.In(n, absl::StrCat("A ", 1 + n * 10, ":", 11 + n * 10, " ack 1 win 65535"));
    t.ReadFrames(chains[n]);
  }
  t.Drain();
  // What was promised may still come; nothing is added to it.
  t.In (10, "A 41:1501 ack 1 win 65535");
  t.Read(kMss);
  t.In (20, "A 1501:2961 ack 1 win 65535");
  t.Read(kMss);
  t.Out(20, absl::StrCat("A 1:1 ack 2961 win ", 4 * kMss - 2960));
  t.Quiet(1000);
  for (FrameChain& chain : chains) chain.Clear();
  t.host().Turn();
  t.Out(1000, absl::StrCat("A 1:1 ack 2961 win ", 4 * kMss));
}

// A peer that was promised much and sends it in tiny segments, to a program that keeps them all.
TEST(Held, FramesAreBoundedToo) {
  TcpTrace t({.host = {.frames = 4096, .tcp = {.receive_buffer = 65535, .moderate_rcvbuf = false}}});
  t.Establish();
  std::vector<FrameChain> kept;
  uint32_t seq = 1;
  for (DropReason last = DropReason::kConsumed; last == DropReason::kConsumed && seq < 5000; ++seq) {
    t.In(0, absl::StrCat("A ", seq, ":", seq + 1, " ack 1 win 65535"));
    last = t.last();
    t.ReadFrames(kept.emplace_back());
    t.Drain();
  }
  EXPECT_EQ(DropReason::kTcpRcvPruned, t.last());
  EXPECT_EQ(768u, t.sock().held());
  kept.clear();
  t.host().Turn();
  t.Drain();
  t.In(10, absl::StrCat("A ", seq - 1, ":", seq, " ack 1 win 65535"));
  EXPECT_EQ(DropReason::kConsumed, t.last());
  t.Drain();
  t.Read(1);
}

TEST(Held, WhatIsSentOnIsNotHeld) {
  TcpTrace t(FourSegments());
  t.Establish();
  FrameChain chain;
  Segment(t, 0, 0);
  t.ReadFrames(chain);
  EXPECT_EQ(1u, t.sock().held());
  EXPECT_TRUE(TcpSendFrames(t.sock(), chain));
  EXPECT_EQ(0u, t.sock().held());
  EXPECT_EQ(0u, t.host().inet().ip.copied_bytes);
  t.host().Turn();
  t.Out(0, absl::StrCat("PA 1:", 1 + kMss, " ack ", 1 + kMss, " win ", 4 * kMss));
  t.In (1, absl::StrCat("A ", 1 + kMss, ":", 1 + kMss, " ack ", 1 + kMss, " win 65535"));
}

// The bytes stay when the connection is gone.
TEST(Held, OutlivesTheConnection) {
  TcpTrace t(FourSegments());
  t.Establish();
  FrameChain chains[2];
  for (uint32_t n = 0; n < 2; ++n) {
    Segment(t, n, n);
    t.ReadFrames(chains[n]);
    t.Drain();
  }
  t.In (2, absl::StrCat("R ", 1 + 2 * kMss, ":", 1 + 2 * kMss));
  t.Close();
  EXPECT_EQ(0u, t.tcp().sockets);
  EXPECT_EQ(2u, t.host().pool().charged());
  for (uint32_t n = 0; n < 2; ++n) {
    Bytes bytes(kMss);
    EXPECT_EQ(kMss, chains[n].CopyTo(bytes));
    EXPECT_EQ(Pattern(n * kMss, kMss), bytes);
    chains[n].Clear();
  }
  EXPECT_TRUE(t.tcp().leftovers.empty());
}

// And when the whole stack is.
TEST(Held, OutlivesTheStack) {
  runtime::FramePool::Ptr pool = *runtime::FramePool::Create({.frames = 16});
  runtime::TimerWheel timers(kSecond);
  FrameChain chains[2];
  {
    netstack::Inet inet({}, {.max_sockets = 4}, *pool, timers);
    for (FrameChain& chain : chains) {
      netstack::TcpSock* sock = inet.tcp.Alloc();
      runtime::Frame* frame = pool->Alloc();
      frame->len = 10;
      sock->receive_queue.PushBack(frame);
      sock->rcv.queued = frame->len;
      TcpRecvmsg(*sock, chain);
      inet.tcp.Free(*sock);
      if (&chain == chains) inet.tcp.FreeDead();
    }
    EXPECT_EQ(2u, pool->charged());
  }
  EXPECT_EQ(14u, pool->free_count());
  for (FrameChain& chain : chains) chain.Clear();
  EXPECT_EQ(16u, pool->free_count());
}

// A pool of 64 frames of which a connection has as many as it may.
struct Crowd {
  explicit Crowd(uint32_t segments) : t({.host = {.frames = 64}}) {
    t.Establish();
    for (uint32_t n = 0; n < segments; ++n) {
      Segment(t, n, n);
      t.ReadFrames(kept.emplace_back());
      t.Drain();
    }
  }
  bool InHeap(const FrameChain& chain) { return chain.front_frame()->pool == t.tcp().ip.heap(); }
  // Another connection.
  void Another() {
    t.Drain(95);
    t.From(40001);
    t.In(100, "S  0:0       win 65535 <mss 1460>");
    t.Drain();
    t.In(100, "A  1:1 ack 1 win 65535");
    t.Accept();
  }

  TcpTrace t;
  std::vector<FrameChain> kept;
};

// Nobody gets more than what is left for the others.
TEST(Held, AConnectionLeavesHalfOfThePool) {
  Crowd crowd(40);
  const netstack::TcpSock& sock = crowd.t.sock();
  EXPECT_EQ(40u, sock.held());
  EXPECT_GT(2 * kMss, sock.rcv.wnd);
  // What it was promised at first, when all frames were free, is no more than 42 segments.
  EXPECT_GE(42 * kMss, static_cast<uint32_t>(sock.rcv.wup + sock.rcv.wnd - sock.rcv.irs));
}

// With half of it in programs' hands, a program gets heap frames, unless it has shown that it gives back.
TEST(Held, HalfOfThePoolAndThenTheHeap) {
  Crowd crowd(32);
  EXPECT_EQ(32u, crowd.t.host().pool().charged());
  EXPECT_EQ(0u, crowd.t.tcp().ip.copied_out_bytes);
  Segment(crowd.t, 50, 32);
  FrameChain last;
  crowd.t.ReadFrames(last);
  crowd.t.Drain();
  EXPECT_TRUE(crowd.InHeap(last));
  EXPECT_EQ(33u, crowd.t.sock().held());
  Bytes bytes(kMss);
  EXPECT_EQ(kMss, last.CopyTo(bytes));
  EXPECT_EQ(Pattern(32 * kMss, kMss), bytes);

  crowd.Another();
  for (bool shown : {false, true, true}) {
    const uint32_t at = crowd.t.sock().rcv.nxt - crowd.t.sock().rcv.irs;
    crowd.t.In(200, absl::StrCat("A ", at, ":", at + 100, " ack 1 win 65535"));
    FrameChain chain;
    crowd.t.ReadFrames(chain);
    crowd.t.Drain();
    EXPECT_EQ(!shown, crowd.InHeap(chain)) << at;
  }
}

// What nobody reads is put together in heap frames before anybody is short of frames.
TEST(CopiedOut, WhatWaitsForAReader) {
  TcpTrace t({.host = {.frames = 64}});
  t.Establish();
  for (uint32_t n = 0; n < 100; ++n) {
    t.In(n, absl::StrCat("A ", 1 + n * 500, ":", 501 + n * 500, " ack 1 win 65535"));
    ASSERT_EQ(DropReason::kConsumed, t.last()) << n;
    t.host().Turn();
    t.Drain();
    ASSERT_LT(14u, t.host().pool().free_count()) << n;
  }
  EXPECT_LT(0u, t.tcp().ip.copied_out_bytes);
  t.Read(50'000);
}

// With no frame left but the one that a segment comes in.
TEST(CopiedOut, ThePoolAtZero) {
  TcpTrace t({.host = {.frames = 64}});
  t.Establish();
  Shortage shortage(t.host().pool(), 1);
  for (uint32_t n = 0; n < 10; ++n) {
    t.In (n, absl::StrCat("A ", 1 + n * 100, ":", 101 + n * 100, " ack 1 win 65535"));
    EXPECT_EQ(DropReason::kConsumed, t.last()) << n;
    EXPECT_EQ(1u, t.host().pool().free_count());
    t.Drain(n);
  }
  EXPECT_EQ(1000u, t.tcp().ip.copied_bytes);
  EXPECT_LT(0u, t.tcp().ip.copied_out_bytes);
  t.Read(1000);
  t.Drain();
}

}  // namespace
}  // namespace weir::testing_support
