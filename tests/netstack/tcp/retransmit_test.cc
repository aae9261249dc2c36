// Loss: the retransmission timer RFC 6298, fast retransmit and recovery RFC 5681 §3.2 and RFC 6582.
#include <gtest/gtest.h>

#include <cerrno>
#include <string>

#include "absl/strings/str_cat.h"
#include "tests/netstack/tcp/sender_lines.h"

namespace weir::testing_support {
namespace {

using netstack::TcpCaState;

// RFC 6298 §5.5, tcp_retries2: doubled from 200 ms up to 120 s, 15 times, then the program is told.
TEST(RetransmissionTimer, BacksOffAndGivesUp) {
  TcpTrace t;
  t.Establish();
  t.Send(100);
  double at = 0, interval = 200;
  for (int i = 0; i <= 15; ++i) {
    t.Out(at, "PA 1:101 ack 1");
    at += interval;
    interval = std::min(2 * interval, 120000.0);
  }
  EXPECT_NEAR(924600, at, 1);  // what the documentation of tcp_retries2 says
  t.Quiet(at - 1);
  EXPECT_EQ(0, t.sock().error);
  t.Quiet(at + 1);
  EXPECT_EQ(ETIMEDOUT, t.sock().error);
  EXPECT_EQ(15u, t.tcp().counters.retransmits);
  t.Close();
  t.ExpectGone();
}

// A peer that answers, but never with what would help, is given up too: only progress counts (tcp_retries2).
TEST(RetransmissionTimer, AcksWithoutProgressDoNotHelp) {
  TcpTrace t;
  t.Establish();
  t.Send(100);
  double at = 0, interval = 200;
  for (int i = 0; i <= 15; ++i) {
    t.Out(at, "PA 1:101 ack 1");
    t.In (at + 10, "A 1:1 ack 1 win 65535");
    at += interval;
    interval = std::min(2 * interval, 120000.0);
  }
  t.Quiet(at + 1);
  EXPECT_EQ(ETIMEDOUT, t.sock().error);
}

// RFC 6298 §2.2, §2.3, with the variance's part not below 200 ms, as in Linux.
TEST(RetransmissionTimer, FollowsTheRoundTripTime) {
  TcpTrace t;
  t.Listen(80);
  t.In (0,    "S  0:0       win 65535 <mss 1460>");
  t.Out(0,    "SA 0:0 ack 1 <mss 1460>");
  t.In (400,  "A  1:1 ack 1 win 65535");
  t.Accept();
  EXPECT_EQ(400 * kMillisecond, t.sock().rtt.srtt_ns);
  EXPECT_EQ(200 * kMillisecond, t.sock().rtt.rttvar_ns);
  EXPECT_EQ(1200 * kMillisecond, t.sock().rtt.rto_ns);  // 400 + 4 * 200
  t.Send(1);
  t.Out(400,  "PA 1:2 ack 1");
  t.In (1200, "A  1:1 ack 2 win 65535");  // 800 ms
  EXPECT_EQ(450 * kMillisecond, t.sock().rtt.srtt_ns);
  EXPECT_EQ(250 * kMillisecond, t.sock().rtt.rttvar_ns);
  EXPECT_EQ(1450 * kMillisecond, t.sock().rtt.rto_ns);
  t.Send(1);
  t.Out(1200, "PA 2:3 ack 1");
  t.Out(2650, "PA 2:3 ack 1");  // 1450 ms later
}

// A steady round trip does not bring the timeout down to itself: a delayed ACK would then look like a loss.
TEST(RetransmissionTimer, KeepsItsDistanceFromASteadyRoundTrip) {
  TcpTrace t;
  t.Establish();
  for (int i = 0; i < 60; ++i) {
    const double at = i * 1000;
    t.In (at, absl::StrCat("A 1:1 ack ", 1 + i, " win 65535"));
    t.Send(1);
    t.Out(at, absl::StrCat("PA ", 1 + i, ":", 2 + i, " ack 1"));
    t.In (at + 190, absl::StrCat("A 1:1 ack ", 2 + i, " win 65535"));
  }
  EXPECT_NEAR(190e6, static_cast<double>(t.sock().rtt.srtt_ns), 1e6);
  EXPECT_LE(t.sock().rtt.srtt_ns + 200 * kMillisecond, t.sock().rtt.rto_ns);
}

// Karn's algorithm (RFC 6298 §3): an ACK that covers something sent twice measures nothing.
TEST(RetransmissionTimer, RetransmissionsAreNotMeasured) {
  TcpTrace t;
  t.Establish();
  const Nanos srtt = t.sock().rtt.srtt_ns;
  t.Send(3 * kMss);
  ExpectSegments(t, 0, 0, 2);
  t.Out(0,   absl::StrCat("PA ", Segment(2), " ack 1"));
  t.Out(200, absl::StrCat("A ", Segment(0), " ack 1"));  // only the first was lost
  t.In (250, AckOf(3));
  EXPECT_EQ(srtt, t.sock().rtt.srtt_ns);
  EXPECT_EQ(200 * kMillisecond, t.sock().rtt.rto_ns);
}

// RFC 6298 §5, last paragraphs: the backed-off value is kept until something was measured again; otherwise a path that
// became slower than the timeout would never be measured at all.
TEST(RetransmissionTimer, BackoffIsKeptUntilSomethingWasMeasured) {
  TcpTrace t;
  t.Establish();
  t.Send(10);
  t.Out(0,   "PA 1:11  ack 1");
  t.Out(200, "PA 1:11  ack 1");
  t.In (250, "A  1:1   ack 11 win 65535");
  t.Send(10);
  t.Out(250, "PA 11:21 ack 1");
  t.In (600, "A  1:1   ack 21 win 65535");  // 350 ms: not taken for a loss at 450
  t.Quiet(700);
  EXPECT_EQ(1u, t.tcp().counters.retransmits);
  EXPECT_EQ(350 * kMillisecond, t.sock().rtt.srtt_ns);
  t.Send(10);
  t.Out(700,  "PA 21:31 ack 1");
  t.Out(1750, "PA 21:31 ack 1");  // 350 + 4 * 175
}

// RFC 5681 §3.1: after a timeout one segment, then slow start; what the peer has already is not sent again.
TEST(Timeout, OneSegmentThenSlowStart) {
  TcpTrace t({.host = Reno()});
  t.Establish();
  t.Send(8 * kMss);
  ExpectSegments(t, 0, 0, 7);
  t.Out(0,   absl::StrCat("PA ", Segment(7), " ack 1"));
  t.Out(200, absl::StrCat("A ", Segment(0), " ack 1"));
  EXPECT_EQ(kMss, t.sock().congestion.cwnd());
  EXPECT_EQ(4 * kMss, t.sock().congestion.ssthresh());
  t.In (210, AckOf(3));  // the second and third had come; the fourth had not
  t.Out(210, absl::StrCat("A ", Segment(3), " ack 1"));
  t.Out(210, absl::StrCat("A ", Segment(4), " ack 1"));
  t.In (220, AckOf(8));
  t.Quiet(2000);
}

// RFC 6582 §3.2 without SACK: an ACK of the first retransmission does not mean that the next one, just sent, is lost
// too (tcp_newreno_mark_lost).
TEST(Timeout, EachSegmentIsSentAgainOnce) {
  TcpTrace t({.host = Reno()});
  t.Establish();
  t.Send(8 * kMss);
  ExpectLast(t, 0, 0, 8);
  t.Out(200, absl::StrCat("A ", Segment(0), " ack 1"));
  t.In (210, AckOf(1));
  ExpectSegments(t, 210, 1, 3);
  t.In (220, AckOf(2));
  ExpectSegments(t, 220, 3, 5);
  t.In (221, AckOf(3));
  ExpectSegments(t, 221, 5, 7);
  EXPECT_EQ(7u, t.tcp().counters.retransmits);
  EXPECT_EQ(TcpCaState::kLoss, t.sock().recovery.state);
}

// While old data is sent again, an ACK still has the number behind everything sent: the peer would not look at an old
// one, and two hosts that both answer such ACKs would never stop.
TEST(Timeout, AcksHaveTheNewestNumber) {
  TcpTrace t;
  t.Establish();
  t.Send(3 * kMss);
  ExpectSegments(t, 0, 0, 2);
  t.Out(0,   absl::StrCat("PA ", Segment(2), " ack 1"));
  t.Out(200, absl::StrCat("A ", Segment(0), " ack 1"));
  t.In (210, "A 1:101 ack 1 win 65535");
  t.Out(250, "A 4381:4381 ack 101");
  t.In (260, "A 201:301 ack 1 win 65535");
  t.Out(260, "A 4381:4381 ack 101");
  t.Abort();
  t.Out(260, "RA 4381:4381 ack 101");
}

// RFC 5681 §3.2: the third duplicate ACK.
TEST(FastRetransmit, ThirdDuplicateAck) {
  TcpTrace t({.host = Reno()});
  t.Establish();
  t.Send(8 * kMss);
  ExpectSegments(t, 0, 0, 7);
  t.Out(0, absl::StrCat("PA ", Segment(7), " ack 1"));
  t.In (10, AckOf(0));
  t.In (10, AckOf(0));
  t.Quiet(10);
  t.In (10, AckOf(0));
  t.Out(10, absl::StrCat("A ", Segment(0), " ack 1"));
  EXPECT_EQ(4 * kMss, t.sock().congestion.ssthresh());
  EXPECT_EQ(5 * kMss, t.sock().congestion.cwnd());  // four are in flight, and the one that is sent again
  t.In (20, AckOf(8));
  EXPECT_EQ(TcpCaState::kRecovery, t.sock().recovery.state);  // RFC 6582 §3.2: until more than that is acknowledged
  t.Send(kMss);
  t.Out(20, absl::StrCat("PA ", Segment(8), " ack 1"));
  t.In (30, AckOf(9));
  EXPECT_EQ(4 * kMss, t.sock().congestion.cwnd());
  EXPECT_EQ(TcpCaState::kOpen, t.sock().recovery.state);
  EXPECT_EQ(1u, t.tcp().counters.retransmits);
}

// RFC 5681 §2: what is no duplicate ACK.
TEST(FastRetransmit, OnlyDuplicatesCount) {
  TcpTrace t;
  t.Establish();
  t.In (0, AckOf(0));  // nothing outstanding
  t.In (0, AckOf(0));
  t.Send(2 * kMss);
  t.Out(0, absl::StrCat("A ", Segment(0), " ack 1"));
  t.Out(0, absl::StrCat("PA ", Segment(1), " ack 1"));
  t.In (1, AckOf(0));
  t.In (1, AckOf(0));
  for (int win : {60000, 65534, 65533}) t.In(2, absl::StrCat("A 1:1 ack 1 win ", win));  // windows change
  t.In (3, "A 1:11 ack 1 win 65535");   // with data
  t.In (3, "A 11:21 ack 1 win 65535");
  t.Quiet(40);
  EXPECT_EQ(0u, t.tcp().counters.retransmits);
}

// RFC 3042 §2: each of the first two duplicates lets a new segment go. RFC 6582 §3.2: a partial acknowledgment names
// the next hole; one of more than was outstanding ends recovery.
TEST(NewReno, TwoHoles) {
  TcpTrace t({.host = Reno()});
  t.Establish();
  t.Send(12 * kMss);
  ExpectSegments(t, 0, 0, 10);
  t.In (10, AckOf(0));  // the first is lost, and the fifth
  t.Out(10, absl::StrCat("A ", Segment(10), " ack 1"));
  t.In (10, AckOf(0));
  t.Out(10, absl::StrCat("PA ", Segment(11), " ack 1"));
  t.In (10, AckOf(0));
  t.Out(10, absl::StrCat("A ", Segment(0), " ack 1"));
  EXPECT_EQ(5 * kMss, t.sock().congestion.ssthresh());
  for (int i = 0; i < 6; ++i) t.In(11, AckOf(0));
  t.In (20, AckOf(4));  // partial
  t.Out(20, absl::StrCat("A ", Segment(4), " ack 1"));
  EXPECT_EQ(TcpCaState::kRecovery, t.sock().recovery.state);
  t.In (30, AckOf(12));
  t.Send(1);
  t.Out(30, absl::StrCat("PA ", 1 + 12 * kMss, ":", 2 + 12 * kMss, " ack 1"));
  t.In (40, absl::StrCat("A 1:1 ack ", 2 + 12 * kMss, " win 65535"));
  EXPECT_EQ(TcpCaState::kOpen, t.sock().recovery.state);
  EXPECT_EQ(5 * kMss, t.sock().congestion.cwnd());
  t.Quiet(2000);
}

// RFC 6582 §3.2, step 1 and §4.1: duplicates of what was sent again after a timeout are no new loss.
TEST(NewReno, NoFastRetransmitForWhatATimeoutSentAgain) {
  TcpTrace t({.host = Reno()});
  t.Establish();
  t.Send(4 * kMss);
  ExpectSegments(t, 0, 0, 3);
  t.Out(0,   absl::StrCat("PA ", Segment(3), " ack 1"));
  t.Out(200, absl::StrCat("A ", Segment(0), " ack 1"));
  t.In (201, AckOf(1));
  t.Out(201, absl::StrCat("A ", Segment(1), " ack 1"));
  t.Out(201, absl::StrCat("A ", Segment(2), " ack 1"));
  t.In (202, AckOf(4));
  t.Send(4 * kMss);
  ExpectSegments(t, 202, 4, 7);
  t.Drain();
  for (int i = 0; i < 4; ++i) t.In(203, AckOf(4));  // the echoes of 1 and 2
  t.Quiet(204);
  EXPECT_EQ(3u, t.tcp().counters.retransmits);
}

// A FIN that was not sent yet does not slip out with a retransmission: the peer would acknowledge what, by our own
// account, was never sent.
TEST(FastRetransmit, DoesNotBringTheFinForward) {
  TcpTrace t;
  t.Establish({.window = 4 * kMss});
  t.Send(4 * kMss);
  ExpectSegments(t, 0, 0, 3);
  t.Out(0,  absl::StrCat("PA ", Segment(3), " ack 1"));
  t.Shutdown();  // the window has no room for the FIN
  const std::string window = absl::StrCat(" win ", 4 * kMss);
  t.In (10, absl::StrCat("A 1:1 ack ", 1 + 3 * kMss, " win ", kMss));
  for (int i = 0; i < 3; ++i) t.In(11, absl::StrCat("A 1:1 ack ", 1 + 3 * kMss, " win ", kMss));
  t.Out(11, absl::StrCat("PA ", Segment(3), " ack 1"));
  t.In (12, absl::StrCat("A 1:1 ack ", 1 + 4 * kMss, window));
  t.Out(12, absl::StrCat("FA ", 1 + 4 * kMss, ":", 1 + 4 * kMss, " ack 1"));
}

TEST(RetransmissionTimer, TheFinToo) {
  TcpTrace t;
  t.Establish();
  t.Shutdown();
  t.Out(0,    "FA 1:1 ack 1");
  t.Out(200,  "FA 1:1 ack 1");
  t.Out(600,  "FA 1:1 ack 1");
  t.In (610,  "A  1:1 ack 2 win 65535");
  EXPECT_EQ(netstack::TcpState::kFinWait2, t.sock().state);
  t.Quiet(100000);
}

}  // namespace
}  // namespace weir::testing_support
