// Reductions that were needless are undone: by D-SACK (RFC 3708), by timestamps (RFC 3522, RFC 4015), by F-RTO (RFC
// 5682).
#include <gtest/gtest.h>

#include "tests/netstack/tcp/sender_lines.h"

namespace weir::testing_support {
namespace {

using netstack::TcpCaState;

InetTestHost::Options WithoutProbes() {
  InetTestHost::Options options;
  options.tcp.early_retrans = false;
  return options;
}

// RFC 3708 §3: every retransmission was reported as a duplicate: nothing was lost.
TEST(Undo, ByDsack) {
  TcpTrace t;
  t.Establish({.rtt = 100, .sack = true});
  t.Send(10 * kMss);
  ExpectLast(t, 100, 0, 10);
  const uint32_t before = t.sock().congestion.cwnd();
  t.In (200, AckOf(0, {{1, 4}}));
  t.Out(200, absl::StrCat("A ", Segment(0), " ack 1"));
  EXPECT_GT(before, t.sock().congestion.ssthresh());
  t.In (210, AckOf(4));             // the first was only late
  EXPECT_EQ(TcpCaState::kRecovery, t.sock().recovery.state);
  t.In (300, AckOf(5, {{0, 1}}));
  EXPECT_EQ(TcpCaState::kOpen, t.sock().recovery.state);
  EXPECT_LE(before, t.sock().congestion.cwnd());
  EXPECT_EQ(1u, t.tcp().counters.undone_reductions);
  t.In (310, AckOf(10));
  t.Quiet(2000);
}

// Not every one of them: the others repaired something.
TEST(Undo, NotByOneDsackOfTwo) {
  TcpTrace t;
  t.Establish({.rtt = 100, .sack = true});
  t.Send(10 * kMss);
  ExpectLast(t, 100, 0, 10);
  t.In (200, AckOf(0, {{2, 10}}));
  t.Out(200, absl::StrCat("A ", Segment(0), " ack 1"));
  t.Out(200, absl::StrCat("A ", Segment(1), " ack 1"));
  t.In (300, AckOf(10));
  const uint32_t after = t.sock().congestion.cwnd();
  t.In (301, AckOf(10, {{0, 1}}));
  EXPECT_EQ(after, t.sock().congestion.cwnd());
  EXPECT_EQ(0u, t.tcp().counters.undone_reductions);
}

// RFC 3522 §3.2: an ACK that echoes a timestamp from before the retransmission is of the first transmission.
TEST(Undo, ByTimestamp) {
  for (bool early : {true, false}) {
    TcpTrace t;
    t.Establish({.mss = kMss + 12, .rtt = 100, .timestamps = true, .sack = true});
    ASSERT_EQ(1448, t.sock().snd.mss);
    t.Send(10 * 1448);
    ASSERT_EQ(10u, t.Drain(100).size());
    const uint32_t before = t.sock().congestion.cwnd();
    t.In (200, "A 1:1 ack 1 win 65535 <ts 200 ecr 100, sack 1449:5793>");
    ASSERT_EQ(1u, t.Drain(200).size());
    t.In (210, absl::StrCat("A 1:1 ack 14481 win 65535 <ts 210 ecr ", early ? 100 : 200, ">"));
    EXPECT_EQ(TcpCaState::kOpen, t.sock().recovery.state);
    if (early) EXPECT_LE(before, t.sock().congestion.cwnd());
    else EXPECT_GT(before, t.sock().congestion.cwnd());
    EXPECT_EQ(early ? 1u : 0u, t.tcp().counters.undone_reductions);
  }
}

// Retransmissions leave at the end of the turn: what comes in the same burst may show that none is needed.
TEST(Undo, BeforeAnythingWasSentAgain) {
  TcpTrace t;
  t.Establish({.rtt = 100, .sack = true});
  t.Send(10 * kMss);
  ExpectLast(t, 100, 0, 10);
  const std::string sacked = AckOf(0, {{1, 4}}), all = AckOf(10);
  t.InBurst(200, {sacked, all});
  t.Quiet(2000);
  EXPECT_EQ(0u, t.tcp().counters.retransmits);
  EXPECT_EQ(1u, t.tcp().counters.undone_reductions);
}

// RFC 5682 §3.1: after a timeout the first ACK lets new data go; when then something is acknowledged that was sent
// once, before the timeout, nothing was lost.
TEST(Frto, SpuriousTimeout) {
  TcpTrace t({.host = WithoutProbes()});
  t.Establish({.rtt = 100, .sack = true});
  t.Send(12 * kMss);
  ExpectSegments(t, 100, 0, 10);
  const uint32_t before = t.sock().congestion.cwnd();
  t.Out(400, absl::StrCat("A ", Segment(0), " ack 1"));
  EXPECT_EQ(TcpCaState::kLoss, t.sock().recovery.state);
  t.In (410, AckOf(1));  // of the first transmission, but who knows
  t.Out(410, absl::StrCat("A ", Segment(10), " ack 1"));
  t.Out(410, absl::StrCat("PA ", Segment(11), " ack 1"));
  t.In (411, AckOf(2));
  EXPECT_EQ(TcpCaState::kOpen, t.sock().recovery.state);
  EXPECT_LE(before, t.sock().congestion.cwnd());
  EXPECT_EQ(1u, t.tcp().counters.spurious_timeouts);
  EXPECT_EQ(1u, t.tcp().counters.retransmits);
  t.In (420, AckOf(10));
  t.In (510, AckOf(12));
  t.Quiet(2000);
}

// Step 3.a: a duplicate instead; conventional recovery.
TEST(Frto, RealTimeout) {
  TcpTrace t({.host = WithoutProbes()});
  t.Establish({.rtt = 100, .sack = true});
  t.Send(12 * kMss);
  ExpectSegments(t, 100, 0, 10);
  t.Out(400, absl::StrCat("A ", Segment(0), " ack 1"));  // all ten were lost
  t.In (500, AckOf(1));
  t.Out(500, absl::StrCat("A ", Segment(10), " ack 1"));
  t.Out(500, absl::StrCat("PA ", Segment(11), " ack 1"));
  t.In (600, AckOf(1, {{10, 12}}));
  const std::vector<std::string> again = t.Drain(600);
  ASSERT_LE(2u, again.size());
  EXPECT_NE(std::string::npos, again[0].find(Segment(1))) << again[0];
  EXPECT_EQ(TcpCaState::kLoss, t.sock().recovery.state);
  EXPECT_EQ(0u, t.tcp().counters.spurious_timeouts);
}

}  // namespace
}  // namespace weir::testing_support
