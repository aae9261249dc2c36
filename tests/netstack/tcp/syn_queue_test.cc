// A listener's queues when they are full: half-open connections (RFC 4987 §3.4), cookies instead of them (§3.6), and
// connections that nobody accepts.
#include <gtest/gtest.h>

#include <random>

#include "absl/strings/str_cat.h"
#include "netstack/tcp/tcp_syn_cookie.h"
#include "tests/support/tcp_trace.h"

namespace weir::testing_support {
namespace {

using netstack::DropReason;
using netstack::Seq;
using netstack::TcpSock;
using netstack::TcpState;

// Half-open connections fill the queue of one that listens with a backlog of 2; the next lines are of port 40002.
void FillSynQueue(TcpTrace& t) {
  t.Listen(80, 2);
  for (uint16_t port : {40000, 40001}) {
    t.From(port);
    t.In (0, "S  0:0       win 65535 <mss 1460>");
    t.Out(0, "SA 0:0 ack 1 <mss 1460>");
  }
  t.From(40002);
}

// What is half-open goes, so that its retransmissions are in nobody's way.
void EmptySynQueue(TcpTrace& t, double ms) {
  for (uint16_t port : {40000, 40001}) {
    t.From(port);
    t.In(ms, "R 1:1");
  }
  t.From(40002);
}

TEST(SynQueue, HalfOpenConnectionsAreBound) {
  TcpTrace t({.host = {.tcp = {.syncookies = 0}}});
  FillSynQueue(t);
  t.In (0, "S  0:0       win 65535 <mss 1460>");  // no answer, the peer tries again
  EXPECT_EQ(DropReason::kTcpSynQueueFull, t.last());
  t.From(40001);
  t.In (1, "A  1:1 ack 1 win 65535");  // established: the queue has room, though nobody accepted it
  t.From(40002);
  t.In (1, "S  0:0       win 65535 <mss 1460>");
  t.Out(1, "SA 0:0 ack 1 <mss 1460>");
  t.From(40000);
  t.In (1, "R  1:1");
  t.From(40003);
  t.In (2, "S  0:0       win 65535 <mss 1460>");
  t.Out(2, "SA 0:0 ack 1 <mss 1460>");
}

TEST(SynQueue, MaxSynBacklog) {
  TcpTrace t({.host = {.tcp = {.max_syn_backlog = 1, .syncookies = 0}}});
  t.Listen(80, 100);
  t.In (0, "S  0:0       win 65535 <mss 1460>");
  t.Out(0, "SA 0:0 ack 1 <mss 1460>");
  t.From(40001);
  t.In (0, "S  0:0       win 65535 <mss 1460>");
  EXPECT_EQ(DropReason::kTcpSynQueueFull, t.last());
}

// Connections that nobody accepts: a SYN is dropped, and so is the ACK of one that was half-open, which is asked again.
TEST(AcceptQueue, IsBound) {
  TcpTrace t;
  t.Listen(80, 1);
  for (uint16_t port : {40000, 40001}) {
    if (port == 40001) t.tcp().settings.max_syn_backlog = 2;
    t.From(port);
    t.In (0, "S  0:0       win 65535 <mss 1460>");
    if (port == 40000) t.Out(0, "SA 0:0 ack 1 <mss 1460>");
    if (port == 40000) t.In (0, "A 1:1 ack 1 win 65535");
  }
  EXPECT_EQ(DropReason::kTcpAcceptQueueFull, t.last());
  EXPECT_EQ(1u, t.tcp().sockets);
}

TEST(AcceptQueue, TheLastAckOfTheHandshakeIsAskedForAgain) {
  TcpTrace t;
  t.Listen(80, 2);
  for (uint16_t port : {40000, 40001}) {
    t.From(port);
    t.In (0, "S  0:0       win 65535 <mss 1460>");
    t.Out(0, "SA 0:0 ack 1 <mss 1460>");
  }
  t.From(40000);
  t.In (0, "A 1:1 ack 1 win 65535");
  t.From(40002);
  t.In (0, "S  0:0       win 65535 <mss 1460>");
  t.Out(0, "SA 0:0 ack 1 <mss 1460>");
  t.In (0, "A 1:1 ack 1 win 65535");  // two wait to be accepted now
  t.From(40001);
  t.In (1, "PA 1:101 ack 1 win 65535");
  EXPECT_EQ(DropReason::kTcpAcceptQueueFull, t.last());
  t.Out(1000, "SA 0:0 ack 1 <mss 1460>");
  t.Accept();
  EXPECT_EQ(40000, t.sock().remote.port);
  t.From(40001);
  t.In (1001, "PA 1:101 ack 1 win 65535");
  t.Out(1001, "A  1:1 ack 101");
  t.Accept();
  EXPECT_EQ(40002, t.sock().remote.port);
  t.Accept();
  EXPECT_EQ(40001, t.sock().remote.port);
  t.Read(100);
}

// RFC 4987 §3.6: nothing is kept, and the ACK opens the connection, with its data.
TEST(SynCookie, OpensAConnection) {
  TcpTrace t;
  FillSynQueue(t);
  t.In (0, "S  0:0       win 65535 <mss 1460, wscale 7, sackOK>");
  t.Out(0, "SA 0:0 ack 1 win 65535 <mss 1460>");  // without timestamps the options cannot be remembered
  EXPECT_EQ(2u, t.tcp().sockets);
  EXPECT_EQ(1u, t.tcp().counters.syncookies_sent);
  t.In (5, "PA 1:101 ack 1 win 1000");
  t.Out(5, "A  1:1 ack 101");
  t.Accept();
  EXPECT_EQ(1u, t.tcp().counters.syncookies_received);
  EXPECT_EQ(TcpState::kEstablished, t.sock().state);
  EXPECT_EQ(1460, t.sock().snd.mss);
  EXPECT_EQ(1000u, t.sock().snd.wnd);
  EXPECT_FALSE(t.sock().sack.ok);
  t.Read(100);
  t.Send(10);
  t.Out(5, "PA 1:11 ack 101");
  EmptySynQueue(t, 6);
  t.Out(1005, "PA 1:11 ack 101");  // RFC 6298 §2.1: nothing was measured
  t.In (1006, "A 101:101 ack 11 win 1000");
}

// The MSS is kept as the next lower one of a table.
TEST(SynCookie, KeepsTheMss) {
  const std::pair<int, int> cases[] = {{100, 536}, {535, 536}, {536, 536}, {1299, 536}, {1300, 1300}, {1439, 1300},
                                       {1440, 1440}, {1459, 1440}, {1460, 1460}, {9000, 1460}};
  for (const auto& [said, kept] : cases) {
    TcpTrace t;
    FillSynQueue(t);
    t.In (0, absl::StrCat("S 0:0 win 65535 <mss ", said, ">"));
    t.Out(0, "SA 0:0 ack 1 <mss 1460>");
    t.In (1, "A  1:1 ack 1 win 65535");
    t.Accept();
    EXPECT_EQ(kept, t.sock().snd.mss) << said;
  }
}

// With timestamps the window scale and SACK are kept, too: cookie_timestamp_decode.
TEST(SynCookie, TimestampsKeepScaleAndSack) {
  for (int scale = -1; scale <= 14; ++scale) {
    for (bool sack : {false, true}) {
      TcpTrace t({.host = {.start_ns = kSecond + scale * 7 * kMillisecond}});
      FillSynQueue(t);
      const std::string ours = absl::StrCat("<mss 1460", sack ? ", sackOK" : "", ", ts", scale < 0 ? "" : ", wscale 7>",
                                            scale < 0 ? ">" : "");
      t.In (0, absl::StrCat("S 0:0 win 65535 <mss 1460", sack ? ", sackOK" : "", ", ts 0 ecr 0",
                            scale < 0 ? ">" : absl::StrCat(", wscale ", scale, ">")));
      t.Out(0, absl::StrCat("SA 0:0 ack 1 win 65535 ", ours));
      t.In (30, "A 1:1 ack 1 win 20");
      t.Accept();
      EXPECT_EQ(sack, t.sock().sack.ok);
      EXPECT_TRUE(t.sock().ts.ok);
      EXPECT_EQ(20u << std::max(scale, 0), t.sock().snd.wnd);
      EXPECT_EQ(scale < 0 ? 0 : 7, t.sock().rcv.wscale);
      EXPECT_EQ(1448, t.sock().snd.mss);
      t.Send(10);
      t.Out(30, "PA 1:11 ack 1");
      t.In (31, "A  1:1 ack 11 win 20");
      if (HasFailure()) return;
    }
  }
}

// RFC 3168 §6.1.1: what was agreed to about ECN is kept there, too; without timestamps nothing is.
TEST(SynCookie, TimestampsKeepEcn) {
  for (bool timestamps : {false, true}) {
    TcpTrace t;
    FillSynQueue(t);
    t.In (0, timestamps ? "SEW 0:0 win 65535 <mss 1460, ts 0 ecr 0>" : "SEW 0:0 win 65535 <mss 1460>");
    t.Out(0, timestamps ? "SAE 0:0 ack 1 <mss 1460, ts>" : "SA 0:0 ack 1 <mss 1460>");
    t.In (30, "A 1:1 ack 1 win 20");
    t.Accept();
    EXPECT_EQ(timestamps, t.sock().ecn.ok);
  }
}

// A cookie is good in its period of 64 s and the next one; the trace begins 1 s after one.
TEST(SynCookie, Ages) {
  for (double ms : {1.0, 126'999.0, 127'001.0}) {
    TcpTrace t;
    FillSynQueue(t);
    t.In (0, "S  0:0       win 65535 <mss 1460>");
    t.Out(0, "SA 0:0 ack 1 <mss 1460>");
    EmptySynQueue(t, 0.5);
    t.In (ms, "A  1:1 ack 1 win 65535");
    if (ms > 127'000) {
      t.Out(ms, "R  1:1");
      EXPECT_EQ(0u, t.tcp().counters.syncookies_received);
    } else {
      t.Accept();
    }
  }
}

// An ACK is only looked at while a cookie may be under way.
TEST(SynCookie, NoneIsExpectedWhenNoneWasSent) {
  TcpTrace t;
  FillSynQueue(t);
  t.In (0, "S  0:0       win 65535 <mss 1460>");
  t.Out(0, "SA 0:0 ack 1 <mss 1460>");
  t.In (1, "A  1:1 ack 2 win 65535");
  t.Out(1, "R  2:2");
  EXPECT_EQ(1u, t.tcp().counters.syncookies_failed);
  EmptySynQueue(t, 2);
  t.In (200'000, "A  1:1 ack 2 win 65535");
  t.Out(200'000, "R  2:2");
  EXPECT_EQ(1u, t.tcp().counters.syncookies_failed);
}

TEST(SynCookie, TheAcceptQueueIsBoundAllTheSame) {
  TcpTrace t;
  FillSynQueue(t);
  for (uint16_t port : {40002, 40003, 40004}) {
    t.From(port);
    t.In (0, "S  0:0       win 65535 <mss 1460>");
    t.Out(0, "SA 0:0 ack 1 <mss 1460>");
  }
  for (uint16_t port : {40002, 40003, 40004}) {
    t.From(port);
    t.In (1, "A  1:1 ack 1 win 65535");
  }
  EXPECT_EQ(DropReason::kTcpAcceptQueueFull, t.last());
  t.Accept();
  t.From(40004);
  t.In (2, "PA 1:11 ack 1 win 65535");
  t.Out(2, "A  1:1 ack 11");
  t.Accept();
  t.Accept();
  EXPECT_EQ(40004, t.sock().remote.port);
  EmptySynQueue(t, 2);
}

// The number says nothing to who has no key: guesses fail, and so does a right one for other endpoints or numbers.
TEST(SynCookie, CannotBeMade) {
  InetTestHost host;
  TcpSock sock(host.inet().tcp);
  sock.local = {IpAddress::V4(kHostIp), 80};
  sock.remote = {IpAddress::V4(kPeerIp), 40000};
  sock.snd.peer_mss = 1460;
  sock.rcv.irs = Seq(77);
  const Seq cookie = TcpSynCookie(sock, host.now());
  runtime::FramePool& pool = host.pool();
  runtime::Frame* frame = pool.Alloc();
  netstack::TcpSegment segment{.seq = Seq(78), .ack = cookie + 1, .frame = *frame};
  EXPECT_EQ(1460, TcpCheckSynCookie(sock, segment, host.now()));
  sock.remote.port ^= 1;
  EXPECT_FALSE(TcpCheckSynCookie(sock, segment, host.now()).has_value());
  sock.remote.port ^= 1;
  segment.seq += 100;
  EXPECT_FALSE(TcpCheckSynCookie(sock, segment, host.now()).has_value());
  segment.seq = Seq(78);
  std::mt19937 random(1);
  int right = 0;
  for (int i = 0; i < 200'000; ++i) {
    segment.ack = Seq(random());
    right += TcpCheckSynCookie(sock, segment, host.now()).has_value();
  }
  EXPECT_GE(1, right);  // 1 in 2^29 is
  runtime::Unref(frame);
}

TEST(SynCookie, TheMssOfIpv6) {
  InetTestHost host;
  TcpSock sock(host.inet().tcp);
  sock.local = {*IpAddress::Parse("fd00::1"), 80};
  sock.remote = {*IpAddress::Parse("fd00::2"), 40000};
  runtime::Frame* frame = host.pool().Alloc();
  for (uint16_t mss : {1220, 1420, 1440, 8940}) {
    sock.snd.peer_mss = mss;
    sock.rcv.irs = Seq(mss);
    const netstack::TcpSegment segment{
        .seq = Seq(mss) + 1, .ack = TcpSynCookie(sock, host.now()) + 1, .frame = *frame};
    EXPECT_EQ(mss, TcpCheckSynCookie(sock, segment, host.now()));
  }
  runtime::Unref(frame);
}

}  // namespace
}  // namespace weir::testing_support
