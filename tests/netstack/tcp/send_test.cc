// Data that is sent: windows and probes RFC 9293 §3.8.6, buffers, and frames that are passed on as they lie.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "netstack/tcp/tcp_sock_options.h"
#include "netstack/tcp/tcp_user_calls.h"
#include "tests/support/tcp_trace.h"

namespace weir::testing_support {
namespace {

using netstack::DropReason;
using netstack::ReadySock;

TEST(Send, SmallWritesOfATurnShareASegment) {
  TcpTrace t;
  t.Establish({.window = 0});
  t.Send(10);
  t.Send(20);
  t.In (1, "A  1:1   ack 1 win 1000");
  t.Out(1, "PA 1:31  ack 1");
}

TEST(Send, ThePeersWindowBoundsWhatIsInFlight) {
  TcpTrace t;
  t.Establish({.window = 3000});
  t.Send(5000);
  t.Out(0, "A  1:1461    ack 1");
  t.Out(0, "A  1461:2921 ack 1");  // 79 bytes of window are left: no confetti (RFC 9293 §3.8.6.2.1)
  t.In (5, "A  1:1 ack 2921 win 3000");
  t.Out(5, "A  2921:4381 ack 1");
  t.Out(5, "PA 4381:5001 ack 1");
}

// A window smaller than a segment, with nothing in flight: the segment is cut.
TEST(Send, TinyWindowSplitsFrames) {
  TcpTrace t;
  t.Establish({.window = 100});
  t.Send(250);
  t.Out(0, "A  1:101   ack 1");
  t.In (1, "A  1:1 ack 101 win 100");
  t.Out(1, "A  101:201 ack 1");
  t.In (2, "A  1:1 ack 201 win 100");
  t.Out(2, "PA 201:251 ack 1");
  t.In (3, "A  1:1 ack 251 win 100");
  EXPECT_TRUE(t.sock().send_queue.empty());
}

// The FIN counts in the window like a byte.
TEST(Send, TheFinWaitsForTheWindowToo) {
  TcpTrace t;
  t.Establish({.window = 100});
  t.Send(100);
  t.Shutdown();
  t.Out(0, "PA 1:101   ack 1");
  t.Quiet(5);
  t.In (5, "A  1:1 ack 101 win 100");
  t.Out(5, "FA 101:101 ack 1");
}

TEST(Send, FinWithTheLastData) {
  TcpTrace t;
  t.Establish({.window = 0});
  t.Send(100);
  t.Shutdown();
  t.In (5, "A   1:1 ack 1 win 200");
  t.Out(5, "FPA 1:101 ack 1");
  t.In (6, "A   1:1 ack 102 win 200");
  EXPECT_EQ(netstack::TcpState::kFinWait2, t.sock().state);
}

// An acknowledgment may cut a segment.
TEST(Send, PartlyAcknowledgedSegment) {
  TcpTrace t;
  t.Establish();
  t.Send(1000);
  t.Out(0,   "PA 1:1001   ack 1");
  t.In (100, "A  1:1      ack 401 win 65535");
  t.Out(300, "PA 401:1001 ack 1");  // sent again 200 ms after what was acknowledged
  t.In (301, "A  1:1      ack 1001 win 65535");
}

// RFC 9293 §3.8.6.2.1: with nothing in flight a segment is still not cut to a small window, which soon opens as the
// reader goes on; it is after the timeout, and at once when the peer never had a window of twice as much.
TEST(Send, SegmentsAreNotCutToASmallWindow) {
  TcpTrace t;
  t.Establish();
  t.Send(1000);
  t.Out(0,   "PA 1:1001 ack 1");
  t.In (0,   "A  1:1 ack 1001 win 500");
  t.Send(1400);
  t.Quiet(99);
  t.In (100, "A  1:1 ack 1001 win 2000");
  t.Out(100, "PA 1001:2401 ack 1");
  t.In (100, "A  1:1 ack 2401 win 600");
  EXPECT_EQ(1000u + 1400u, t.host().inet().ip.copied_bytes) << "what was sent by copy";
  t.Send(1400);
  t.Quiet(299);
  t.Out(300, "A  2401:3001 ack 1");  // 200 ms later
  t.In (301, "A  1:1 ack 3001 win 800");
  t.Out(301, "PA 3001:3801 ack 1");
  t.In (302, "A  1:1 ack 3801 win 800");
  EXPECT_EQ(0, t.sock().error);
}

TEST(Send, SegmentsAreCutToTheWindowOfASmallPeer) {
  TcpTrace t;
  t.Establish({.window = 600});
  t.Send(1000);
  t.Out(0, "A  1:601 ack 1");
  t.In (1, "A  1:1 ack 601 win 300");
  t.Out(1, "A  601:901 ack 1");
  t.In (2, "A  1:1 ack 901 win 299");
  t.Out(2, "PA 901:1001 ack 1");
}

// RFC 9293 §3.8.6.1: the window is asked for at the intervals of a retransmission, and for as long as the peer answers.
TEST(ZeroWindow, Probes) {
  TcpTrace t;
  t.Establish({.window = 0});
  t.Send(100);
  double at = 0, interval = 200;
  for (int i = 0; i < 20; ++i) {
    at += interval;
    t.Out(at,     "A 0:0 ack 1");  // an old number, which must be answered
    t.In (at + 1, "A 1:1 ack 1 win 0");
    interval = std::min(2 * interval, 120000.0);
  }
  EXPECT_EQ(0, t.sock().error);
  t.In (at + 10, "A  1:1   ack 1 win 1000");
  t.Out(at + 10, "PA 1:101 ack 1");
  t.Out(at + 210, "PA 1:101 ack 1");  // and the backoff of the probes is over
}

// RFC 9293 §3.8.6.1: a peer that answers may keep its window closed for hours, and the opening may be lost: the answer to
// the next probe tells of it.
TEST(ZeroWindow, StaysClosedForHoursAndTheUpdateIsLost) {
  TcpTrace t;
  t.Establish({.window = 0});
  t.Send(100);
  double at = 0, interval = 200;
  int probes = 0;
  while (at < 6 * 3600 * 1000.0) {
    at += interval;
    ASSERT_EQ(1u, t.Drain(at + 10).size()) << at;  // the wheel rounds up, by microseconds each time
    t.In(at + 11, "A 1:1 ack 1 win 0");
    interval = std::min(2 * interval, 120000.0);
    ++probes;
  }
  EXPECT_GE(200, probes);  // one in two minutes
  EXPECT_EQ(0, t.sock().error);
  at += interval;
  ASSERT_EQ(1u, t.Drain(at + 10).size());
  t.In (at + 11, "A  1:1   ack 1 win 1000");
  t.Out(at + 11, "PA 1:101 ack 1");
}

TEST(ZeroWindow, ProbesNobodyAnswers) {
  TcpTrace t;
  t.Establish({.window = 0});
  t.Send(100);
  double at = 0, interval = 200;
  for (int i = 0; i < 15; ++i) {
    at += interval;
    t.Out(at, "A 0:0 ack 1");
    interval = std::min(2 * interval, 120000.0);
  }
  t.Quiet(at + 121000);
  EXPECT_EQ(ETIMEDOUT, t.sock().error);
  t.Close();
  t.ExpectGone();
}

// A program that is gone may not be held for ever by a peer that keeps its window closed (tcp_orphan_retries).
TEST(ZeroWindow, OrphansAreGivenUp) {
  TcpTrace t;
  t.Establish({.window = 0});
  t.Send(100);
  t.Close();
  double at = 0, interval = 200;
  for (int i = 0; i < 8; ++i) {
    at += interval;
    t.Out(at,     "A 0:0 ack 1");
    t.In (at + 1, "A 1:1 ack 1 win 0");
    interval *= 2;
  }
  t.Quiet(at + 60000);
  t.ExpectGone();
}

// The window closes while data is in flight, without acknowledging it: RFC 9293 §3.8.6 wants senders to bear that.
TEST(ZeroWindow, ShrunkWhileDataIsInFlight) {
  TcpTrace t;
  t.Establish();
  t.Send(1000);
  t.Out(0, "PA 1:1001 ack 1");
  t.In (1, "A  1:1 ack 1 win 0");
  t.Out(200, "PA 1:1001 ack 1");  // sent again all the same, which asks for the window too
  t.In (201, "A  1:1 ack 1 win 0");
  t.Out(600, "PA 1:1001 ack 1");
  t.In (601, "A  1:1 ack 1001 win 1000");
  t.Quiet(5000);
}

// TCP_NOTSENT_LOWAT: what was not sent yet is bounded by itself, and who waits is woken by the sending.
TEST(Send, WhatWasNotSentIsBound) {
  TcpTrace t;
  t.Establish({.window = 0});
  ASSERT_EQ(0, TcpSetOption(t.sock(), netstack::TcpSockOption::kNotSentLowat, 3000));
  t.host().Turn();
  const Bytes bytes = Pattern(0, 10'000);
  const iovec from{const_cast<std::byte*>(bytes.data()), bytes.size()};
  size_t sent = 0;
  EXPECT_FALSE(TcpSendmsg(t.sock(), {&from, 1}, &sent));
  EXPECT_EQ(3000u, sent);
  EXPECT_FALSE(TcpSendmsg(t.sock(), {&from, 1}, &sent));
  EXPECT_EQ(3000u, sent);
  t.host().Turn();
  t.TakeEvents();
  t.In(1, "A 1:1 ack 1 win 2000");
  t.Drain();
  t.host().Turn();
  EXPECT_NE(0, t.TakeEvents() & ReadySock::kWritable);
  EXPECT_FALSE(TcpSendmsg(t.sock(), {&from, 1}, &sent));
  EXPECT_EQ(3000u + 1460u, sent);
}

// The same by tcp_notsent_lowat, for a program that has set neither that nor the size of its send buffer. Nobody is
// woken who does not wait.
TEST(Send, WhatWasNotSentIsBoundByDefault) {
  InetTestHost::Options options;
  options.tcp.notsent_lowat = 3000;
  TcpTrace t({.host = options});
  t.Establish({.window = 0});
  const Bytes bytes = Pattern(0, 10'000);
  const iovec from{const_cast<std::byte*>(bytes.data()), bytes.size()};
  const auto opened = [&](const char* segment) {
    t.host().Turn();
    t.TakeEvents();
    t.In(1, segment);
    t.Drain();
    t.host().Turn();
    return (t.TakeEvents() & ReadySock::kWritable) != 0;
  };
  size_t sent = 0;
  EXPECT_FALSE(TcpSendmsg(t.sock(), {&from, 1}, &sent));
  EXPECT_EQ(3000u, sent);
  EXPECT_TRUE(opened("A 1:1 ack 1 win 2000"));
  EXPECT_FALSE(opened("A 1:1 ack 1 win 3000"));
  ASSERT_EQ(0, TcpSetOption(t.sock(), netstack::TcpSockOption::kSendBuffer, 1 << 20));
  EXPECT_TRUE(TcpSendmsg(t.sock(), {&from, 1}, &sent));
}

TEST(Send, TheSendBufferIsBound) {
  InetTestHost::Options options;
  options.tcp.send_buffer = 4000;
  TcpTrace t({.host = options});
  t.Establish({.window = 1000});
  const Bytes bytes = Pattern(0, 5000);
  const iovec from[] = {{const_cast<std::byte*>(bytes.data()), 3000},
                        {const_cast<std::byte*>(bytes.data()) + 3000, 2000}};
  size_t sent = 0;
  EXPECT_FALSE(TcpSendmsg(t.sock(), from, &sent));
  EXPECT_EQ(4000u, sent);
  t.Out(0, "A  1:1001    ack 1");
  t.TakeEvents();
  t.In (1, "A  1:1       ack 1001 win 6000");
  EXPECT_EQ(ReadySock::kWritable, t.TakeEvents());
  t.Out(1, "A  1001:1461 ack 1");
  t.Out(1, "A  1461:2921 ack 1");
  t.Out(1, "PA 2921:4001 ack 1");
  EXPECT_TRUE(TcpSendmsg(t.sock(), from, &sent));
  EXPECT_EQ(5000u, sent);
  t.host().Turn();
  t.Out(1, "PA 4001:5001 ack 1");
}

// DESIGN: forwarding a RecvBuffer copies nothing.
TEST(Send, ReceivedFramesAreForwardedAsTheyLie) {
  TcpTrace t;
  t.Establish();
  t.InBurst(0, {"A 1:1461 ack 1 win 65535", "A 1461:2921 ack 1 win 65535", "PA 2921:3021 ack 1 win 65535"});
  t.Out(0, "A 1:1 ack 3021");
  runtime::FrameChain chain;
  t.ReadFrames(chain);
  ASSERT_EQ(3020u, chain.size());
  EXPECT_TRUE(TcpSendFrames(t.sock(), chain));
  t.host().Turn();
  t.Out(0, "A  1:1461    ack 3021");
  t.Out(0, "A  1461:2921 ack 3021");
  t.Out(0, "PA 2921:3021 ack 3021");
  t.Out(200, "A 1:1461   ack 3021");  // sent again from the same frame
  t.In (201, "A 3021:3021 ack 3021 win 65535");
  EXPECT_EQ(0u, t.host().inet().ip.copied_bytes);
  EXPECT_EQ(t.host().pool().size(), t.host().pool().free_count());
}

// A slice of a frame that somebody else still holds is copied, and so is what does not fit the peer's segments.
TEST(Send, SharedFramesAreCopied) {
  TcpTrace t;
  t.Establish({.mss = 600});
  t.In (0, "PA 1:1001 ack 1 win 65535");
  runtime::FrameChain chain;
  t.ReadFrames(chain);
  runtime::FrameChain front = chain.Split(300);
  EXPECT_TRUE(TcpSendFrames(t.sock(), front));
  EXPECT_EQ(300u, t.host().inet().ip.copied_bytes);
  EXPECT_TRUE(TcpSendFrames(t.sock(), chain));  // 700 bytes
  t.host().Turn();
  t.Out(0, "A  1:601    ack 1001");
  t.Out(0, "PA 601:1001 ack 1001");
}

// The device has not finished with a frame: it is not written to, so not sent again, and given back later.
TEST(Send, FramesOnTheDeviceAreLeftAlone) {
  InetTestHost::Options options;
  options.hold_tx = true;
  TcpTrace t({.host = options});
  t.Establish();
  t.Send(100);
  t.Out(0, "PA 1:101 ack 1");
  t.Quiet(1000);
  t.host().CompleteTx();
  t.Out(1400, "PA 1:101 ack 1");
  t.In (1401, "A  1:1 ack 101 win 65535");
  EXPECT_TRUE(t.sock().send_queue.empty());
  EXPECT_LT(0u, t.host().pool().outstanding());
  t.host().CompleteTx();
  EXPECT_EQ(0u, t.host().pool().outstanding());
}

TEST(Send, WithoutFrames) {
  TcpTrace t({.host = {.frames = 64}});
  t.Establish();
  std::vector<runtime::Frame*> taken;
  while (runtime::Frame* frame = t.host().pool().Alloc()) taken.push_back(frame);
  const Bytes bytes = Pattern(0, 100);
  const iovec from{const_cast<std::byte*>(bytes.data()), 100};
  size_t sent = 0;
  EXPECT_FALSE(TcpSendmsg(t.sock(), {&from, 1}, &sent));
  EXPECT_EQ(0u, sent);
  t.TakeEvents();
  t.Quiet(10);
  for (runtime::Frame* frame : taken) runtime::Unref(frame);
  t.host().Turn();
  t.host().Turn();
  EXPECT_EQ(ReadySock::kWritable, t.TakeEvents());
  t.Send(100);
  t.Out(10, "PA 1:101 ack 1");
}

// No frame for an ACK: it is sent when there is one, at the latest when the peer asks.
TEST(Send, NoFrameForAnAck) {
  TcpTrace t({.host = {.frames = 64}});
  t.Establish();
  t.In (0, "A 1:101 ack 1 win 65535");
  t.Read(100);
  std::vector<runtime::Frame*> taken;
  while (runtime::Frame* frame = t.host().pool().Alloc()) taken.push_back(frame);
  t.Quiet(100);
  for (runtime::Frame* frame : taken) runtime::Unref(frame);
  t.In (200, "A 1:101 ack 1 win 65535");
  t.Out(200, "A 1:1   ack 101");
}

TEST(Send, AcksOfTheUnsentAndTheLongAcknowledged) {
  TcpTrace t;
  t.Establish({.window = 1000});
  t.Send(100);
  t.Out(0, "PA 1:101 ack 1");
  t.In (1, "A  1:11 ack 102 win 1000");  // never sent (RFC 9293 §3.10.7.4, fifth): its data is not taken either
  EXPECT_EQ(DropReason::kTcpUnsentAck, t.last());
  t.Out(1, "A  101:101 ack 1");
  t.In (2, "A  1:1 ack 101 win 1000");
  t.Quiet(600);  // two such answers are half a second apart (blind_attack_test.cc)
  // RFC 5961 §5.2: older than the largest window; dropped, and answered by an ACK.
  t.In (600, "A  1:11 ack -900 win 1000");
  EXPECT_EQ(DropReason::kTcpOldAck, t.last());
  t.Out(600, "A  101:101 ack 1");
  // Old, but within it: the data counts, the window does not.
  t.In (700, "A 1:11 ack 1 win 9");
  t.Out(740, "A 101:101 ack 11");
  EXPECT_EQ(1000u, t.sock().snd.wnd);
}

// An older segment does not set the window (RFC 9293 §3.10.7.4: WL1, WL2).
TEST(Send, WindowUpdatesInTheWrongOrder) {
  TcpTrace t;
  t.Establish({.window = 1000});
  t.In (0, "A 11:21 ack 1 win 5000");
  t.Out(0, "A 1:1   ack 1");
  EXPECT_EQ(5000u, t.sock().snd.wnd);
  t.In (1, "A 1:11  ack 1 win 1000");
  t.Out(1, "A 1:1   ack 21");
  EXPECT_EQ(5000u, t.sock().snd.wnd);
}

}  // namespace
}  // namespace weir::testing_support
