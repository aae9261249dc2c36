// Tail loss probes: RFC 8985 §7.
#include <gtest/gtest.h>

#include "tests/netstack/tcp/sender_lines.h"

namespace weir::testing_support {
namespace {

using netstack::TcpCaState;

constexpr TcpTrace::Handshake kSack{.rtt = 100, .sack = true};

// RFC 8985 §7.2, §7.3: two round trips without an ACK: the last segment again; its SACK tells what else is missing.
TEST(LossProbe, RepairsATail) {
  TcpTrace t;
  t.Establish(kSack);
  t.Send(4 * kMss);
  ExpectLast(t, 100, 0, 4);
  t.In (200, AckOf(1));
  t.Out(402, absl::StrCat("PA ", Segment(3), " ack 1"));
  t.In (503, AckOf(1, {{3, 4}}));
  t.Out(503, absl::StrCat("A ", Segment(1), " ack 1"));
  t.In (603, AckOf(2, {{3, 4}}));
  t.Out(603, absl::StrCat("A ", Segment(2), " ack 1"));
  t.In (702, AckOf(4));
  EXPECT_EQ(0u, t.tcp().counters.timeouts);
  EXPECT_EQ(1u, t.tcp().counters.loss_probes);
  t.Quiet(3000);
}

// §7.3: new data is the better probe, whatever the congestion window says.
TEST(LossProbe, NewDataFirst) {
  TcpTrace t;
  t.Establish(kSack);
  t.Send(11 * kMss);
  ExpectSegments(t, 100, 0, 10);
  t.Out(302, absl::StrCat("PA ", Segment(10), " ack 1"));
  t.In (402, AckOf(11));
  EXPECT_EQ(0u, t.tcp().counters.retransmits);
}

// §7.2: a single segment may wait for the peer's delayed ACK, but not longer than the retransmission timeout.
TEST(LossProbe, OfASingleSegment) {
  TcpTrace t;
  t.Establish(kSack);
  t.Send(100);
  t.Out(100, "PA 1:101 ack 1");
  t.Out(400, "PA 1:101 ack 1");  // 200 + 200 ms, but the timeout is 300
  EXPECT_EQ(1u, t.tcp().counters.loss_probes);
  t.Out(700, "PA 1:101 ack 1");  // the timer, counted from the probe
  EXPECT_EQ(1u, t.tcp().counters.timeouts);
  t.In (800, "A 1:1 ack 101 win 65535");
}

// §7.4.2: the probe filled the hole; nothing else tells of the loss, so the window comes down when more than the probe
// is acknowledged without a sign of a duplicate.
TEST(LossProbe, ARepairedLossCounts) {
  for (bool duplicate : {false, true}) {
    TcpTrace t;
    t.Establish(kSack);
    t.Send(4 * kMss);
    ExpectLast(t, 100, 0, 4);
    t.In (200, AckOf(3));
    const uint32_t before = t.sock().congestion.cwnd();
    t.Out(500, absl::StrCat("PA ", Segment(3), " ack 1"));
    t.In (600, AckOf(4));
    if (duplicate) t.In(601, AckOf(4, {{3, 4}}));  // both copies came
    t.Quiet(601);
    t.Send(kMss);
    t.Out(601, absl::StrCat("PA ", Segment(4), " ack 1"));
    t.In (701, AckOf(5));
    if (duplicate) EXPECT_LE(before, t.sock().congestion.cwnd());
    else EXPECT_GT(before, t.sock().congestion.cwnd());
    EXPECT_EQ(TcpCaState::kOpen, t.sock().recovery.state);
  }
}

TEST(LossProbe, NotWithoutSackAndNotWhenOff) {
  for (bool sack : {false, true}) {
    InetTestHost::Options options;
    options.tcp.early_retrans = !sack;
    TcpTrace t({.host = options});
    t.Establish({.rtt = 100, .sack = sack});
    t.Send(2 * kMss);
    ExpectLast(t, 100, 0, 2);
    t.Out(400, absl::StrCat("A ", Segment(0), " ack 1"));  // the timer
    t.In (500, AckOf(2));
    EXPECT_EQ(0u, t.tcp().counters.loss_probes);
  }
}

}  // namespace
}  // namespace weir::testing_support
