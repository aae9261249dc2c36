// What is given up when frames run short (tcp_memory.h): data out of order first, from its end, so that what is in order,
// acknowledgments and output go on. RFC 2018 §8 lets a receiver take back what it SACKed.
#include <gtest/gtest.h>

#include <cerrno>

#include "absl/strings/str_cat.h"
#include "netstack/tcp/tcp_loss.h"
#include "netstack/tcp/tcp_memory.h"
#include "netstack/tcp/tcp_user_calls.h"
#include "tests/support/scoreboard_check.h"
#include "tests/support/shortage.h"
#include "tests/support/tcp_trace.h"

namespace weir::testing_support {
namespace {

using netstack::DropReason;

constexpr TcpTrace::Handshake kSack{.sack = true};

TcpTrace::Options Pool(uint32_t frames) { return {.host = {.frames = frames}}; }

// One byte at each second number from `first` on: nothing touches, each keeps a frame.
void Confetti(TcpTrace& t, uint32_t first, int n) {
  for (int i = 0; i < n; ++i, first += 2) {
    t.In(0, absl::StrCat("A ", first, ":", first + 1, " ack 1 win 65535"));
    t.Drain();
  }
}

TEST(OutOfOrder, IsGivenUpForWhatIsInOrder) {
  TcpTrace t(Pool(64));
  t.Establish(kSack);
  Confetti(t, 3, 20);
  Shortage shortage(t.host().pool(), 2);
  t.In (1, "A 1:2 ack 1 win 65535");
  EXPECT_EQ(DropReason::kConsumed, t.last());
  EXPECT_EQ(1u, t.sock().receive_queue.count());
  EXPECT_LT(0u, t.host().counted(DropReason::kTcpOfoPruned));
  EXPECT_EQ(20u, netstack::TcpOfoCount(t.sock()) + t.host().counted(DropReason::kTcpOfoPruned));
  t.Drain();
  t.Read(1);
  t.Drain();
}

// The end of the queue goes, and the blocks tell of what is left: 37 and what follows is gone.
TEST(OutOfOrder, WhatIsGivenUpIsNotToldOf) {
  TcpTrace t(Pool(64));
  t.Establish(kSack);
  Confetti(t, 3, 20);
  {
    Shortage shortage(t.host().pool(), 4);
    t.In (1, "A 2:3 ack 1 win 65535");  // before all others, so it may take their place
    EXPECT_EQ(DropReason::kConsumed, t.last());
    t.Out(1, "A 1:1 ack 1 <sack 2:3 35:36>");
  }
  EXPECT_EQ(3u, t.host().counted(DropReason::kTcpOfoPruned));
  EXPECT_EQ(2u, t.sock().sack.count);
  t.In (2, "A 37:38 ack 1 win 65535");  // sent again
  t.Out(2, "A 1:1 ack 1 <sack 37:38 2:3 35:36>");
}

// A duplicate of what is given up in the same turn would look like a block of its own (RFC 2883 §4).
TEST(OutOfOrder, ADuplicateOfWhatIsGivenUpIsNotToldOf) {
  TcpTrace t(Pool(64));
  t.Establish(kSack);
  Confetti(t, 3, 20);
  Shortage shortage(t.host().pool(), 5);
  t.InBurst(1, {"A 41:42 ack 1 win 65535", "A 2:3 ack 1 win 65535"});
  EXPECT_LT(0u, t.host().counted(DropReason::kTcpOfoPruned));
  t.Out(1, "A 1:1 ack 1 <sack 2:3 35:36>");
}

// What comes further on than all else takes nothing's place.
TEST(OutOfOrder, TheEndGivesUpNothing) {
  TcpTrace t(Pool(64));
  t.Establish(kSack);
  Confetti(t, 3, 20);
  Shortage shortage(t.host().pool(), 4);
  t.In (1, "A 101:102 ack 1 win 65535");
  EXPECT_EQ(DropReason::kTcpOfoFull, t.last());
  EXPECT_EQ(20u, netstack::TcpOfoCount(t.sock()));
  t.Drain();
}

TEST(OutOfOrder, IsGivenUpForAnAck) {
  TcpTrace t(Pool(64));
  t.Establish(kSack);
  Confetti(t, 3, 10);
  t.In (1, "A 1:2 ack 1 win 65535");
  t.Out(1, "A 1:1 ack 2 <sack 21:22 19:20 17:18 15:16>");
  t.Read(1);
  Shortage shortage(t.host().pool(), 0);
  t.Send(10);
  t.Out(1, "PA 1:11 ack 2 <sack 11:12 9:10 7:8 5:6>");
}

// Another connection's holes do not stop this one.
TEST(OutOfOrder, OfOthersIsGivenUpToo) {
  TcpTrace t(Pool(64));
  t.Establish(kSack);
  Confetti(t, 3, 10);
  netstack::TcpSock& holder = t.sock();
  t.From(40001);
  t.In (1, "S  0:0       win 65535 <mss 1460>");
  t.Out(1, "SA 0:0 ack 1 <mss 1460>");
  t.In (1, "A  1:1 ack 1 win 65535");
  t.Accept();
  Shortage shortage(t.host().pool(), 1);
  t.In (2, "A 1:101 ack 1 win 65535");
  EXPECT_EQ(DropReason::kConsumed, t.last());
  EXPECT_GT(10u, netstack::TcpOfoCount(holder));
  t.Drain();
  t.Read(100);
  t.Send(10);
  t.Drain();
  EXPECT_EQ(11u, t.sock().snd.nxt - t.sock().snd.iss);
}

// Tiny segments without holes between them share frames when there are few (tcp_collapse_ofo_queue).
TEST(OutOfOrder, NeighboursShareFrames) {
  TcpTrace t(Pool(64));
  t.Establish(kSack);
  for (uint32_t seq = 11; seq < 1011; seq += 10) {
    t.In(0, absl::StrCat("A ", seq, ":", seq + 10, " ack 1 win 65535"));
    EXPECT_EQ(DropReason::kConsumed, t.last()) << seq;
    t.Drain();
  }
  EXPECT_GE(48u + 2, netstack::TcpOfoCount(t.sock()));
  Shortage shortage(t.host().pool(), 2);
  t.In (1, "A 1:11 ack 1 win 65535");
  EXPECT_EQ(0u, t.host().counted(DropReason::kTcpOfoPruned));
  t.Drain();
  t.Read(1010);
}

// With no frame to cut it with, a segment that became too large for the path goes in part: without its acknowledgment no
// frame may ever come back.
TEST(Output, WhatCannotBeCutGoesInPart) {
  TcpTrace t;
  t.Establish();
  t.Send(1460);
  t.Out(0, "PA 1:1461 ack 1");
  Shortage shortage(t.host().pool(), 1);
  for (double ms : {200, 600, 1400}) t.Out(ms, "PA 1:1461 ack 1");
  t.Out(3000, "PA 1:1025 ack 1");  // a black hole (RFC 4821 §7.7), and tcp_base_mss
  t.In (3100, "A 1:1 ack 1025 win 65535");
  t.Out(6300, "PA 1025:1461 ack 1");
  EXPECT_EQ("", ScoreboardProblem(t.sock()));
  t.In (6400, "A 1:1 ack 1461 win 65535");
}

// What waits for a reader too (tcp_collapse).
TEST(InOrder, TinySegmentsShareFrames) {
  TcpTrace t(Pool(64));
  t.Establish();
  for (uint32_t seq = 1; seq < 1001; seq += 10) {
    t.In(0, absl::StrCat("A ", seq, ":", seq + 10, " ack 1 win 65535"));
    EXPECT_EQ(DropReason::kConsumed, t.last()) << seq;
    t.Drain();
  }
  Shortage shortage(t.host().pool(), 1);
  t.In (1, "A 1001:1011 ack 1 win 65535");
  EXPECT_EQ(DropReason::kConsumed, t.last());
  t.Drain();
  t.Read(1010);
}

// A sender leaves frames for what comes in and for acknowledgments, however much its program gives it.
TEST(SendQueue, LeavesFrames) {
  TcpTrace t({.host = {.frames = 64}});
  t.Establish();
  const Bytes bytes = Pattern(0, 200'000);
  const iovec from{const_cast<std::byte*>(bytes.data()), bytes.size()};
  size_t sent = 0;
  EXPECT_FALSE(TcpSendmsg(t.sock(), {&from, 1}, &sent));
  EXPECT_LT(0u, sent);
  EXPECT_LE(netstack::TcpSendReserve(t.host().pool()), t.host().pool().free_count());
}

// A peer that takes everything and acknowledges nothing keeps its connection's send queue full until the retransmissions
// give up. Another connection goes on all the time, and all frames are back in the end.
TEST(SendQueue, APeerThatNeverAcknowledges) {
  TcpTrace t({.host = {.frames = 64}});
  t.Establish();
  const Bytes bytes = Pattern(0, 200'000);
  const iovec from{const_cast<std::byte*>(bytes.data()), bytes.size()};
  size_t sent = 0;
  EXPECT_FALSE(TcpSendmsg(t.sock(), {&from, 1}, &sent));
  t.host().Turn();
  t.Drain();
  t.From(40001);
  t.In(1, "S  0:0       win 65535 <mss 1460>");
  t.Drain(1);
  t.In(1, "A  1:1 ack 1 win 65535");
  t.Accept();
  for (uint32_t i = 0; i < 20; ++i) {
    const double ms = 10'000.0 * (i + 1);
    t.Drain(ms);
    t.In(ms, absl::StrCat("A ", 1 + i * 100, ":", 101 + i * 100, " ack ", 1 + i * 100, " win 65535"));
    EXPECT_EQ(DropReason::kConsumed, t.last());
    t.Read(100);
    t.Send(100);
    t.Drain();
  }
  t.In(201'000, "A 2001:2001 ack 2001 win 65535");
  t.From(40000);
  t.Drain(1'500'000);
  EXPECT_EQ(ETIMEDOUT, t.sock().error);
  EXPECT_EQ(64u, t.host().pool().free_count());
}

// A peer that takes back what it had promised (RFC 9293 §3.8.6), and says nothing more for minutes.
TEST(SendQueue, APeerThatShrinksItsWindow) {
  TcpTrace t({.host = {.frames = 64}});
  t.Establish();
  t.Send(20'000);
  t.Drain();
  t.In(1, "A 1:1 ack 1461 win 100");
  t.Drain(300'000);
  EXPECT_EQ(0, t.sock().error);
  t.In(300'000, "A 1:1 ack 1461 win 0");
  t.Drain(400'000);
  EXPECT_EQ(0, t.sock().error);
  double ms = 400'000;
  for (; t.sock().snd.una != t.sock().snd.write_seq && ms < 460'000; ms += 1000) {
    t.In(ms, absl::StrCat("A 1:1 ack ", static_cast<uint32_t>(t.sock().snd.nxt - t.sock().snd.iss), " win 65535"));
    t.Drain(ms);
  }
  EXPECT_EQ(64u, t.host().pool().free_count());
  t.Send(10);
  t.Out(ms - 1000, "PA 20001:20011 ack 1");
}

}  // namespace
}  // namespace weir::testing_support
