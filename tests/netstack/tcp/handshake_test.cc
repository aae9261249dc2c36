// How connections begin: RFC 9293 §3.5, §3.10.7.1 to §3.10.7.4; MSS §3.7.1; window scale RFC 7323 §2.
#include <gtest/gtest.h>

#include <cerrno>

#include "netstack/tcp/tcp_user_calls.h"
#include "tests/support/tcp_trace.h"

namespace weir::testing_support {
namespace {

using netstack::DropReason;
using netstack::ReadySock;
using netstack::TcpState;

TEST(PassiveOpen, ThreeSegments) {
  TcpTrace t;
  t.Listen(80);
  t.In (0, "S  0:0        win 65535 <mss 1460, wscale 7>");
  t.Out(0, "SA 0:0  ack 1 win 65535 <mss 1460, wscale 7>");
  t.In (1, "A  1:1  ack 1 win 512");
  t.Accept();
  EXPECT_EQ(TcpState::kEstablished, t.sock().state);
  EXPECT_EQ(1460, t.sock().snd.mss);
  EXPECT_EQ(512u << 7, t.sock().snd.wnd);
  EXPECT_EQ(1u, t.tcp().counters.accepted);
  t.Quiet(5000);
}

TEST(PassiveOpen, DataComesWithTheThirdSegment) {
  TcpTrace t;
  t.Listen(80);
  t.In (0, "S  0:0          win 65535 <mss 1460>");
  t.Out(0, "SA 0:0    ack 1 win 65535 <mss 1460>");
  t.In (1, "PA 1:101  ack 1 win 65535");
  t.Out(1, "A  1:1    ack 101");
  t.Accept();
  t.Read(100);
}

// RFC 9293 §3.10.7.4, eighth: a FIN may come with the third segment too.
TEST(PassiveOpen, FinComesWithTheThirdSegment) {
  TcpTrace t;
  t.Listen(80);
  t.In (0, "S   0:0          win 65535 <mss 1460>");
  t.Out(0, "SA  0:0    ack 1 <mss 1460>");
  t.In (1, "FPA 1:101  ack 1 win 65535");
  t.Out(1, "A   1:1    ack 102");
  t.Accept();
  t.Read(100);
  EXPECT_EQ(TcpState::kCloseWait, t.sock().state);
}

// RFC 9293 §3.7.1: without the option the peer takes segments of 536 bytes. RFC 7323 §1.3: no scale in the answer.
TEST(PassiveOpen, NoOptions) {
  TcpTrace t;
  t.Listen(80);
  t.In (0, "S  0:0          win 65535");
  t.Out(0, "SA 0:0    ack 1 win 65535 <mss 1460>");
  t.In (0, "A  1:1    ack 1 win 65535");
  t.Accept();
  t.Send(1000);
  t.Out(0, "A  1:537    ack 1 win 65535");
  t.Out(0, "PA 537:1001 ack 1 win 65535");
}

TEST(PassiveOpen, SmallMssOfThePeerIsKept) {
  TcpTrace t;
  t.Establish({.mss = 200});
  t.Send(450);
  t.Out(0, "A  1:201   ack 1");
  t.Out(0, "A  201:401 ack 1");
  t.Out(0, "PA 401:451 ack 1");
}

// Differs from the letter of RFC 9293 §3.7.1 as Linux does: an absurd MSS is taken as 88.
TEST(PassiveOpen, AbsurdMss) {
  for (const char* syn : {"S 0:0 win 65535 <mss 0>", "S 0:0 win 65535 <mss 1>", "S 0:0 win 65535 <mss 88>"}) {
    TcpTrace t;
    t.Listen(80);
    t.In (0, syn);
    t.Out(0, "SA 0:0    ack 1 <mss 1460>");
    t.In (0, "A  1:1    ack 1 win 65535");
    t.Accept();
    t.Send(100);
    t.Out(0, "A  1:89   ack 1");
    t.Out(0, "PA 89:101 ack 1");
  }
}

TEST(PassiveOpen, LargeMssIsBoundByOurMtu) {
  TcpTrace t;
  t.Establish({.mss = 9000});
  EXPECT_EQ(1460, t.sock().snd.mss);
}

// RFC 7323 §2.3: a shift above 14 is taken as 14.
TEST(PassiveOpen, LargeWindowScale) {
  TcpTrace t;
  t.Listen(80);
  t.In (0, "S  0:0          win 65535 <mss 1460, wscale 255>");
  t.Out(0, "SA 0:0    ack 1 win 65535 <mss 1460, wscale 7>");
  t.In (0, "A  1:1    ack 1 win 65535");
  t.Accept();
  EXPECT_EQ(65535u << 14, t.sock().snd.wnd);
}

TEST(PassiveOpen, WindowScaleZeroOfThePeerLetsOursCount) {
  TcpTrace t;
  t.Listen(80);
  t.In (0, "S  0:0          win 1000 <mss 1460, wscale 0>");
  t.Out(0, "SA 0:0    ack 1 win 65535 <mss 1460, wscale 7>");
  t.In (0, "A  1:1    ack 1 win 1000");
  t.Accept();
  EXPECT_EQ(1000u, t.sock().snd.wnd);
  EXPECT_EQ(7, t.sock().rcv.wscale);
}

// RFC 7323 §2.2: the window of a SYN is not scaled, so no more than 65535 was promised.
TEST(PassiveOpen, TheWindowOfTheSynIsAllThatWasPromised) {
  TcpTrace t;
  t.Listen(80);
  t.In (0, "S  0:0        win 65535 <mss 1460, wscale 7>");
  t.Out(0, "SA 0:0  ack 1 win 65535 <mss 1460, wscale 7>");
  t.In (0, "A  1:1  ack 1 win 512");
  t.Accept();
  EXPECT_EQ(65535u, t.sock().rcv.wnd);
}

TEST(PassiveOpen, MalformedOptionsEndTheList) {
  // MSS 1000; then kind 3 with length 0, which would be an endless loop if it were believed.
  TcpTrace t;
  t.Listen(80);
  t.In (0, "S  0:0          win 65535 <mss 1000, raw 03000000>");
  t.Out(0, "SA 0:0    ack 1 <mss 1460>");
  t.In (0, "A  1:1    ack 1 win 65535");
  t.Accept();
  EXPECT_EQ(1000, t.sock().snd.mss);
}

TEST(PassiveOpen, SynAndAckAreSentAgain) {
  TcpTrace t;
  t.Listen(80);
  t.In (0,     "S  0:0       win 65535 <mss 1460, wscale 7>");
  t.Out(0,     "SA 0:0 ack 1 win 65535 <mss 1460, wscale 7>");
  t.Out(1000,  "SA 0:0 ack 1 win 65535 <mss 1460, wscale 7>");
  t.Out(3000,  "SA 0:0 ack 1 <mss 1460, wscale 7>");
  t.Out(7000,  "SA 0:0 ack 1 <mss 1460, wscale 7>");
  t.Out(15000, "SA 0:0 ack 1 <mss 1460, wscale 7>");
  t.Out(31000, "SA 0:0 ack 1 <mss 1460, wscale 7>");
  t.Quiet(64000);  // given up after 63 s
  t.ExpectGone();
}

TEST(PassiveOpen, RepeatedSynIsAnsweredAgain) {
  TcpTrace t;
  t.Listen(80);
  t.In (0,   "S  0:0       win 65535 <mss 1460>");
  t.Out(0,   "SA 0:0 ack 1 <mss 1460>");
  t.In (500, "S  0:0       win 65535 <mss 1460>");
  t.Out(500, "SA 0:0 ack 1 <mss 1460>");
  EXPECT_EQ(1u, t.tcp().sockets);
}

// RFC 6298 §5.7: after a lost SYN the first timeout of data is 3 s.
TEST(PassiveOpen, LostSynAndAckLeavesThreeSeconds) {
  TcpTrace t;
  t.Listen(80);
  t.In (0,    "S  0:0       win 65535 <mss 1460>");
  t.Out(0,    "SA 0:0 ack 1 <mss 1460>");
  t.Out(1000, "SA 0:0 ack 1 <mss 1460>");
  t.In (1001, "A  1:1 ack 1 win 65535");
  t.Accept();
  t.Send(10);
  t.Out(1001, "PA 1:11 ack 1");
  t.Out(4001, "PA 1:11 ack 1");
}

// RFC 9293 §3.10.7.4, first: only the SYN itself is answered by the SYN and ACK again, anything else that is out of the
// window by an ACK (tcp_check_req).
TEST(PassiveOpen, OutOfTheWindowInSynReceived) {
  TcpTrace t;
  t.Listen(80);
  t.In (0,    "S  0:0 win 65535 <mss 1460>");
  t.Out(0,    "SA 0:0 ack 1 <mss 1460>");
  t.In (100,  "S  0:0 win 65535 <mss 1460>");
  t.Out(100,  "SA 0:0 ack 1 <mss 1460>");
  t.In (700,  "A  100000:100000 ack 1 win 65535");
  t.Out(700,  "A  1:1 ack 1");
  t.Out(1000, "SA 0:0 ack 1 <mss 1460>");
  t.In (1300, "SA 0:0 ack 1 win 65535 <mss 1460>");
  t.Out(1300, "A  1:1 ack 1");
  t.In (1400, "A  1:1 ack 1 win 65535");
  t.Accept();
}

// RFC 9293 §3.10.7.4, fifth, SYN-RECEIVED: an unacceptable ACK is answered by RST with its number.
TEST(PassiveOpen, WrongAckInSynReceived) {
  TcpTrace t;
  t.Listen(80);
  t.In (0, "S  0:0       win 65535 <mss 1460>");
  t.Out(0, "SA 0:0 ack 1 <mss 1460>");
  t.In (1, "A  1:1 ack 2 win 65535");
  t.Out(1, "R  2:2");
  t.In (2, "A  1:1 ack 0 win 65535");
  t.Out(2, "R  0:0");
  t.In (3, "A  1:1 ack 1 win 65535");
  t.Accept();
}

TEST(PassiveOpen, ResetInSynReceived) {
  TcpTrace t;
  t.Listen(80);
  t.In (0, "S  0:0       win 65535 <mss 1460>");
  t.Out(0, "SA 0:0 ack 1 <mss 1460>");
  t.In (1, "R  1:1");
  t.ExpectGone();
}

// RFC 9293 §3.10.7.1: with ACK <SEQ=SEG.ACK><CTL=RST>, without <SEQ=0><ACK=SEG.SEQ+SEG.LEN><CTL=RST,ACK>.
TEST(ClosedPort, Resets) {
  TcpTrace t;
  t.In (0, "S    0:0");
  t.Out(0, "RA   0:0 ack 1 win 0");
  t.In (0, "S    7:17");
  t.Out(0, "RA   0:0 ack 18 win 0");
  t.In (0, "FA   5:9 ack 77");
  t.Out(0, "R    77:77 win 0");
  t.In (0, "SA   0:0 ack 4000");
  t.Out(0, "R    4000:4000 win 0");
  t.In (0, "F    5:9");
  t.Out(0, "RA   0:0 ack 10 win 0");
  t.In (0, "R    5:5");
  t.In (0, "RA   5:5 ack 3");
  EXPECT_EQ(5u, t.tcp().counters.resets_out);
  EXPECT_EQ(7u, t.host().counted(DropReason::kTcpNoSocket));
}

// RFC 9293 §3.10.7.2.
TEST(Listen, WhatIsNoSyn) {
  TcpTrace t;
  t.Listen(80);
  t.In (0, "R   5:5");
  EXPECT_EQ(DropReason::kTcpReset, t.last());
  t.In (0, "A   5:5 ack 9");
  t.Out(0, "R   9:9 win 0");
  t.In (0, "SA  5:5 ack 9");
  t.Out(0, "R   9:9 win 0");
  t.In (0, "F   5:5");
  EXPECT_EQ(DropReason::kTcpBadFlags, t.last());
  t.In (0, "SF  5:5");
  EXPECT_EQ(DropReason::kTcpBadFlags, t.last());
  t.In (0, "SR  5:5");
  EXPECT_EQ(DropReason::kTcpReset, t.last());
  EXPECT_EQ(0u, t.tcp().sockets);
}

TEST(Listen, ClosingResetsWhatNobodyAccepted) {
  TcpTrace t;
  t.Listen(80);
  t.In (0, "S  0:0       win 65535 <mss 1460>");
  t.Out(0, "SA 0:0 ack 1 <mss 1460>");
  t.From(40001);
  t.In (0, "S  0:0       win 65535 <mss 1460>");
  t.Out(0, "SA 0:0 ack 1 <mss 1460>");
  t.In (0, "PA 1:101 ack 1 win 65535");
  t.Out(0, "A  1:1 ack 101");
  t.Unlisten();
  t.From(40000);
  t.Out(0, "RA 1:1 ack 1");
  t.From(40001);
  t.Out(0, "RA 1:1 ack 101");
  t.ExpectGone();
}

TEST(Listen, TheTableOfControlBlocksIsBound) {
  TcpTrace t({.host = {.tcp = {.max_sockets = 1}}});
  t.Listen(80);
  t.In (0, "S  0:0       win 65535 <mss 1460>");
  t.Out(0, "SA 0:0 ack 1 <mss 1460>");
  t.From(40001);
  t.In (0, "S  0:0       win 65535 <mss 1460>");
  EXPECT_EQ(DropReason::kTcpNoMemory, t.last());
}

TEST(Listen, Binding) {
  InetTestHost host;
  netstack::TcpContext& tcp = host.inet().tcp;
  netstack::TcpListenSock a, b, c;
  EXPECT_EQ(0, TcpListen(tcp, a, {{}, 80}, 1));
  EXPECT_EQ(EADDRINUSE, TcpListen(tcp, b, {IpAddress::V4(kHostIp), 80}, 1));
  EXPECT_EQ(EADDRNOTAVAIL, TcpListen(tcp, b, {IpAddress::V4(kPeerIp), 81}, 1));
  EXPECT_EQ(0, TcpListen(tcp, b, {IpAddress::V4(kHostIp), 80 + 256}, 1));  // the same bucket
  EXPECT_EQ(0, TcpListen(tcp, c, {{}, 0}, 1));
  EXPECT_LE(32768, c.local.port);
  EXPECT_GT(61000, c.local.port);
  TcpUnlisten(tcp, a, host.now());
  EXPECT_EQ(0, TcpListen(tcp, a, {{}, 80}, 1));
  for (auto* listener : {&a, &b, &c}) TcpUnlisten(tcp, *listener, host.now());
}

TEST(ActiveOpen, ThreeSegments) {
  TcpTrace t;
  t.Connect(443);
  t.Out(0,  "S  0:0       win 65535 <mss 1460, sackOK, ts, wscale 7>");
  t.In (30, "SA 0:0 ack 1 win 65535 <mss 1400, wscale 9>");
  t.Out(30, "A  1:1 ack 1");
  EXPECT_EQ(TcpState::kEstablished, t.sock().state);
  EXPECT_EQ(1400, t.sock().snd.mss);
  EXPECT_EQ(65535u, t.sock().snd.wnd);  // not scaled in the SYN
  EXPECT_EQ(ReadySock::kConnected | ReadySock::kWritable, t.TakeEvents());
  EXPECT_EQ(30 * kMillisecond, t.sock().rtt.srtt_ns);
  t.In (31, "A  1:1 ack 1 win 512");
  EXPECT_EQ(512u << 9, t.sock().snd.wnd);
}

TEST(ActiveOpen, NoScaleInTheAnswerMeansNoneAtAll) {
  TcpTrace t;
  t.Connect(443);
  t.Out(0, "S  0:0       win 65535 <mss 1460, sackOK, ts, wscale 7>");
  t.In (0, "SA 0:0 ack 1 win 5000 <mss 1460>");
  t.Out(0, "A  1:1 ack 1 win 65535");
  EXPECT_EQ(0, t.sock().rcv.wscale);
  EXPECT_EQ(65535u, t.sock().rcv.wnd);
}

TEST(ActiveOpen, Refused) {
  TcpTrace t;
  t.Connect(443);
  t.Out(0, "S  0:0 <mss 1460, sackOK, ts, wscale 7>");
  t.In (1, "RA 0:0 ack 1");
  EXPECT_EQ(ECONNREFUSED, t.sock().error);
  EXPECT_EQ(TcpState::kClosed, t.sock().state);
  EXPECT_NE(0, t.TakeEvents() & ReadySock::kConnected);
  t.Close();
  t.ExpectGone();
}

TEST(ActiveOpen, TimesOut) {
  TcpTrace t;
  t.Connect(443);
  for (int ms : {0, 1000, 3000, 7000, 15000, 31000, 63000}) t.Out(ms, "S 0:0 <mss 1460, sackOK, ts, wscale 7>");
  t.Quiet(126000);
  EXPECT_EQ(0, t.sock().error);
  t.Quiet(127500);
  EXPECT_EQ(ETIMEDOUT, t.sock().error);
  t.Close();
  t.ExpectGone();
}

// RFC 9293 §3.10.7.3, first and second.
TEST(ActiveOpen, WrongAnswers) {
  TcpTrace t;
  t.Connect(443);
  t.Out(0, "S  0:0 <mss 1460, sackOK, ts, wscale 7>");
  t.In (1, "SA 0:0 ack 2 win 100");  // never sent
  t.Out(1, "R  2:2");
  t.In (1, "SA 0:0 ack 0 win 100");  // our initial number itself
  t.Out(1, "R  0:0");
  t.In (1, "RA 0:0 ack 0");  // a reset about something else
  t.In (1, "R  0:0");        // and one that says not about what
  t.In (1, "A  0:0 ack 1 win 100");  // an old connection of the peer's? neither SYN nor RST
  t.In (1, "F  0:0");
  EXPECT_EQ(TcpState::kSynSent, t.sock().state);
  t.In (2, "SA 0:0 ack 1 win 100 <mss 1460>");
  t.Out(2, "A  1:1 ack 1");
}

TEST(ActiveOpen, ClosedBeforeTheAnswer) {
  TcpTrace t;
  t.Connect(443);
  t.Out(0, "S  0:0 <mss 1460, sackOK, ts, wscale 7>");
  t.Close();
  t.ExpectGone();
  t.In (1, "SA 0:0 ack 1 win 100 <mss 1460>");
  t.Out(1, "R  1:1");
}

TEST(ActiveOpen, Unreachable) {
  InetTestHost host;  // without a gateway
  int error = 0;
  EXPECT_EQ(nullptr, TcpConnect(host.inet().tcp, {IpAddress::V4(0x08080808), 80}, host.now(), &error));
  EXPECT_EQ(ENETUNREACH, error);
}

// RFC 9293 §3.5, figure 7; its SYN and ACK comes from before the window and is good nevertheless, as in Linux.
TEST(SimultaneousOpen, BothSendSyn) {
  TcpTrace t;
  t.Connect(443);
  t.Out(0, "S  0:0       <mss 1460, sackOK, ts, wscale 7>");
  t.In (1, "S  0:0       win 65535 <mss 1460, wscale 7>");
  t.Out(1, "SA 0:0 ack 1 win 65535 <mss 1460, wscale 7>");
  EXPECT_EQ(TcpState::kSynReceived, t.sock().state);
  t.In (2, "SA 0:0 ack 1 win 65535 <mss 1460, wscale 7>");
  t.Out(2, "A  1:1 ack 1");
  EXPECT_EQ(TcpState::kEstablished, t.sock().state);
  EXPECT_EQ(65535u, t.sock().snd.wnd);
  EXPECT_NE(0, t.TakeEvents() & ReadySock::kConnected);
  t.Send(10);
  t.Out(2, "PA 1:11 ack 1");
}

// The same with what the two agree on: what both offered in their SYNs holds, wherever the options came first.
TEST(SimultaneousOpen, WithOptions) {
  TcpTrace t;
  t.Connect(443);
  t.Out(0, "S  0:0       <mss 1460, sackOK, ts, wscale 7>");
  t.In (1, "S  0:0       win 65535 <mss 1400, sackOK, ts 5 ecr 0, wscale 2>");
  t.Out(1, "SA 0:0 ack 1 win 65535 <mss 1460, sackOK, ts, wscale 7>");
  t.In (2, "SA 0:0 ack 1 win 65535 <mss 1400, sackOK, ts 6 ecr 0, wscale 2>");
  t.Out(2, "A  1:1 ack 1");
  EXPECT_EQ(TcpState::kEstablished, t.sock().state);
  EXPECT_TRUE(t.sock().ts.ok);
  EXPECT_TRUE(t.sock().sack.ok);
  EXPECT_EQ(2, t.sock().snd.wscale);
  EXPECT_EQ(1388u, t.sock().snd.mss);
  t.In (3, "A  11:21 ack 1 win 1000 <ts 7 ecr 1>");
  t.Out(3, "A  1:1   ack 1 <sack 11:21>");
  EXPECT_EQ(4000u, t.sock().snd.wnd);
}

// RFC 9293 §3.10.7.4: the crossing SYN again, since our SYN and ACK was lost, is answered by that once more.
TEST(SimultaneousOpen, TheCrossingSynAgain) {
  TcpTrace t;
  t.Connect(443);
  t.Out(0,    "S  0:0       <mss 1460, sackOK, ts, wscale 7>");
  t.In (1,    "S  0:0       win 65535 <mss 1460>");
  t.Out(1,    "SA 0:0 ack 1 win 65535 <mss 1460>");
  t.In (500,  "S  0:0       win 65535 <mss 1460>");
  t.Out(500,  "SA 0:0 ack 1 win 65535 <mss 1460>");
  EXPECT_EQ(TcpState::kSynReceived, t.sock().state);
  t.In (501,  "SA 0:0 ack 1 win 65535 <mss 1460>");
  t.Out(501,  "A  1:1 ack 1");
  EXPECT_EQ(TcpState::kEstablished, t.sock().state);
  t.In (1502, "SA 0:0 ack 1 win 65535 <mss 1460>");  // it did not get the ACK
  t.Out(1502, "A  1:1 ack 1");
  t.Quiet(3000);
}

// Nothing of the peer's arrives any more: our SYN and ACK goes as often as a SYN would, and then the attempt is over.
TEST(SimultaneousOpen, GivenUp) {
  TcpTrace t;
  t.Connect(443);
  t.Out(0, "S  0:0       <mss 1460, sackOK, ts, wscale 7>");
  t.In (1, "S  0:0       win 65535 <mss 1460>");
  const std::vector<std::string> sent = t.Drain(300'000);
  EXPECT_EQ(1u + 5u, sent.size());  // tcp_synack_retries
  EXPECT_EQ(ETIMEDOUT, t.sock().error);
}

TEST(SimultaneousOpen, ClosedInSynReceived) {
  TcpTrace t;
  t.Connect(443);
  t.Out(0, "S  0:0       <mss 1460, sackOK, ts, wscale 7>");
  t.In (1, "S  0:0       win 65535 <mss 1460, wscale 7>");
  t.Out(1, "SA 0:0 ack 1 <mss 1460, wscale 7>");
  t.Close();
  t.Out(1000, "SA 0:0 ack 1 <mss 1460, wscale 7>");  // still what is missing; the FIN waits for ESTABLISHED
  t.In (1001, "A  1:1 ack 1 win 65535");
  t.Out(1001, "FA 1:1 ack 1");
  t.In (1002, "FA 1:1 ack 2 win 65535");
  t.Out(1002, "A  2:2 ack 2");
  t.Quiet(62000);
  t.ExpectGone();
}

// What the program gives before the connection is there goes out with it.
TEST(ActiveOpen, DataGivenEarly) {
  TcpTrace t;
  t.Connect(443);
  t.Out(0, "S  0:0       <mss 1460, sackOK, ts, wscale 7>");
  t.Send(100);
  t.In (1, "S  0:0       win 65535 <mss 1460, wscale 7>");
  t.Out(1, "SA 0:0 ack 1 <mss 1460, wscale 7>");
  t.In (2, "A  1:1 ack 1 win 512");
  t.Out(2, "PA 1:101 ack 1");
}

// RFC 9293 §3.10.7.4, first. The third segment was lost, and so was a whole window behind it: what the peer then says comes
// from the right edge of the window, and is good (tcp_sequence).
TEST(Handshake, AcknowledgedFromTheEndOfTheWindow) {
  InetTestHost::Options options;
  options.tcp.receive_buffer = 6000;
  TcpTrace t({.host = options});
  t.Listen(80);
  t.In (0, "S 0:0 win 65535 <mss 1460>");
  t.Out(0, "SA 0:0 ack 1 win 6000 <mss 1460>");
  t.In (10, "A 6001:6001 ack 1 win 65535");
  t.Accept();
  // And of data.
  t.Send(100);
  t.Out(10, "PA 1:101 ack 1");
  t.In (20, "A 6001:6001 ack 101 win 65535");
  t.Quiet(5000);
  t.In (5000, "A 6002:6002 ack 101 win 65535");  // one further is not
  t.Out(5000, "A 101:101 ack 1");
}

}  // namespace
}  // namespace weir::testing_support
