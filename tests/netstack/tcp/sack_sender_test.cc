// What the sender makes of SACK blocks: RFC 2018 §5 and §8, RFC 6675 §4 and §5, RFC 3042.
#include <gtest/gtest.h>

#include "netstack/tcp/tcp_scoreboard.h"
#include "tests/support/scoreboard_check.h"
#include "tests/netstack/tcp/sender_lines.h"
#include "tests/support/random.h"

namespace weir::testing_support {
namespace {

using netstack::TcpCaState;
using netstack::TcpInFlight;

constexpr TcpTrace::Handshake kSack{.rtt = 100, .sack = true};

// The third SACKed segment (RFC 6675 §5, RFC 8985 §6.2.4): only the holes are sent again, however many there are.
TEST(Sack, OnlyHolesAreSentAgain) {
  TcpTrace t;
  t.Establish(kSack);
  t.Send(10 * kMss);
  ExpectLast(t, 100, 0, 10);
  t.In (200, AckOf(0, {{1, 2}}));
  t.In (200, AckOf(0, {{3, 4}, {1, 2}}));
  EXPECT_EQ(TcpCaState::kDisorder, t.sock().recovery.state);
  t.In (200, AckOf(0, {{5, 6}, {3, 4}, {1, 2}}));
  EXPECT_EQ(TcpCaState::kRecovery, t.sock().recovery.state);
  EXPECT_EQ(3 * kMss, t.sock().board.sacked_out);
  EXPECT_EQ(3 * kMss, t.sock().board.lost_out);
  t.Out(200, absl::StrCat("A ", Segment(0), " ack 1"));
  t.In (201, AckOf(0, {{5, 8}, {3, 4}, {1, 2}}));
  t.Out(201, absl::StrCat("A ", Segment(2), " ack 1"));  // as much as arrived (RFC 6937 §3)
  t.Out(201, absl::StrCat("A ", Segment(4), " ack 1"));
  t.In (202, AckOf(0, {{5, 10}, {3, 4}, {1, 2}}));
  EXPECT_EQ(3 * kMss, TcpInFlight(t.sock()));
  t.In (300, AckOf(2, {{5, 10}, {3, 4}}));
  t.In (301, AckOf(4, {{5, 10}}));
  t.In (302, AckOf(10));
  EXPECT_EQ(TcpCaState::kOpen, t.sock().recovery.state);
  EXPECT_NEAR(t.sock().congestion.ssthresh(), t.sock().congestion.cwnd(), kMss);
  EXPECT_EQ(0u, TcpInFlight(t.sock()));
  EXPECT_EQ(3u, t.tcp().counters.retransmits);
  EXPECT_EQ(0u, t.tcp().counters.timeouts);
}

// RFC 3042 §2: what arrived makes room for new data while it is not known whether something is lost.
TEST(Sack, LimitedTransmit) {
  TcpTrace t;
  t.Establish(kSack);
  t.Send(12 * kMss);
  ExpectSegments(t, 100, 0, 10);
  t.In (200, AckOf(0, {{1, 2}}));
  t.Out(200, absl::StrCat("A ", Segment(10), " ack 1"));
  t.In (200, AckOf(0, {{1, 3}}));
  t.Out(200, absl::StrCat("PA ", Segment(11), " ack 1"));
}

// tcp_is_sackblock_valid: what was never sent, is the wrong way round, or lies below the acknowledgment, is ignored.
TEST(Sack, ImpossibleBlocksAreIgnored) {
  TcpTrace t;
  t.Establish(kSack);
  t.Send(6 * kMss);
  ExpectLast(t, 100, 0, 6);
  t.In(200, AckOf(2));
  for (const char* blocks : {"1:1461", "8761:8762", "2921:8762", "5841:4381", "5841:5841", "-5000:3000", "1461:4381",
                             "2147483648:2147488000", "4381:-2147483000"}) {
    t.In(201, absl::StrCat("A 1:1 ack ", 1 + 2 * kMss, " win 65535 <sack ", blocks, ">"));
    EXPECT_EQ(0u, t.sock().board.sacked_out) << blocks;
    EXPECT_EQ("", ScoreboardProblem(t.sock()));
  }
  t.Quiet(210);
  EXPECT_EQ(TcpCaState::kOpen, t.sock().recovery.state);
}

// A block that covers a segment in part says nothing of it (tcp_match_skb_to_sack).
TEST(Sack, PartsOfSegments) {
  TcpTrace t;
  t.Establish(kSack);
  t.Send(6 * kMss);
  ExpectLast(t, 100, 0, 6);
  t.In(200, "A 1:1 ack 1 win 65535 <sack 2000:5000>");
  EXPECT_EQ(kMss, t.sock().board.sacked_out);
  t.In(201, "A 1:1 ack 1 win 65535 <sack 1461:5842>");  // and a byte of the fifth
  EXPECT_EQ(3 * kMss, t.sock().board.sacked_out);
  EXPECT_EQ(3, t.sock().board.sacked_frames);
  t.Drain();
}

// RFC 2018 §8: a peer may throw away what it reported. When what is at the acknowledgment is among it, the timer, soon,
// begins anew without any of it (tcp_check_sack_reneging).
TEST(Sack, Reneging) {
  TcpTrace t;
  t.Establish(kSack);
  t.Send(4 * kMss);
  ExpectLast(t, 100, 0, 4);
  t.In (200, AckOf(0, {{1, 4}}));
  t.Out(200, absl::StrCat("A ", Segment(0), " ack 1"));
  t.In (300, AckOf(1, {{2, 4}}));  // the second is gone again, and so are the others
  const std::vector<std::string> sent = t.Drain(360);
  ASSERT_LE(1u, sent.size());
  EXPECT_NE(std::string::npos, sent[0].find(Segment(1))) << sent[0];
  EXPECT_EQ(0u, t.sock().board.sacked_out);
  t.In (400, AckOf(4));
  t.Quiet(2000);
}

// RFC 8985 §6.3, RFC 2018 §5: a timeout does not send again what the peer has.
TEST(Sack, SackedSegmentsSurviveATimeout) {
  InetTestHost::Options options;
  options.tcp.early_retrans = false;
  TcpTrace t({.host = options});
  t.Establish(kSack);
  t.Send(3 * kMss);
  ExpectLast(t, 100, 0, 3);
  t.In (200, AckOf(0, {{2, 3}}));
  // After a quarter of the round trip (RFC 8985 §6.2.4); the window is down, and the other waits (RFC 6937 §3).
  t.Out(225, absl::StrCat("A ", Segment(0), " ack 1"));
  t.Out(525, absl::StrCat("A ", Segment(0), " ack 1"));  // all lost once more: 100 + 4 * 50 ms later
  EXPECT_EQ(TcpCaState::kLoss, t.sock().recovery.state);
  EXPECT_EQ(kMss, t.sock().board.sacked_out);
  t.In (625, AckOf(1, {{2, 3}}));
  t.Out(625, absl::StrCat("A ", Segment(1), " ack 1"));
  t.In (725, AckOf(3));
  EXPECT_EQ(TcpCaState::kOpen, t.sock().recovery.state);
  EXPECT_EQ(0u, TcpInFlight(t.sock()));
}

// What a peer can make of one ACK: four blocks at the ends of the queue, never the same ones, so that nothing that was
// remembered is of use (RFC 2018 §4 lets it tell of any). All blocks of an ACK are looked for in one walk.
TEST(Sack, TheWorstBlocksCostOneWalk) {
  InetTestHost::Options options = Reno();
  options.frames = 8192;
  options.tcp.send_buffer = options.tcp.send_buffer_max = 4 << 20;
  options.tcp.notsent_lowat = UINT32_MAX;
  TcpTrace t({.host = options});
  t.Establish({.wscale = 7, .rtt = 100, .sack = true});
  constexpr int kFrames = 2000;
  for (int i = 0; i < kFrames; ++i) t.Send(kMss);
  t.sock().congestion.set_cwnd(4 << 20);
  t.Drain(100);
  t.sock().context.WantOutput(t.sock());
  t.host().Turn();
  ASSERT_EQ(kFrames - 10, static_cast<int>(t.Drain(100).size()));
  uint64_t before = t.tcp().counters.sack_frames_visited;
  for (int i = 0; i < 50; ++i) {
    // Ends that do not lie at frames' ends: nothing is marked, nothing remembered.
    const auto part = [&](int n) { return absl::StrCat(" ", n * 1460 + 100 - i, ":", n * 1460 + 1400); };
    t.In(100, absl::StrCat("A 1:1 ack 1 win 32767 <sack", part(1990), part(1500), part(1000), part(500), ">"));
    const uint64_t visited = t.tcp().counters.sack_frames_visited - before;
    ASSERT_GE(uint64_t{kFrames}, visited);
    ASSERT_LT(1000u, visited);  // else the blocks are not the worst
    before += visited;
  }
  t.Drain();
}

// Any blocks at all, in any order, with acknowledgments and timeouts between: the sums stay those of the bits.
TEST(Sack, AnythingKeepsTheSumsRight) {
  testing::Random random;
  for (int run = 0; run < 100; ++run) {
    TcpTrace t;
    t.Establish({.rtt = 10, .timestamps = random.OneIn(2), .sack = true});
    double ms = 10;
    int64_t una = 1;
    for (int i = 0; i < 100; ++i) {
      if (t.sock().send_queue.count() < 40) t.Send(1 + random.Below(8000));
      t.Drain(ms);
      const int64_t nxt = t.sock().snd.nxt - t.sock().snd.iss;
      if (random.OneIn(4)) una += static_cast<int64_t>(random.Below(static_cast<uint64_t>(nxt - una) + 1));
      std::string line = absl::StrCat("A 1:1 ack ", una, " win 65535 <sack");
      for (uint64_t blocks = 1 + random.Below(3); blocks > 0; --blocks) {
        const int64_t start = una - 1000 + static_cast<int64_t>(random.Below(static_cast<uint64_t>(nxt - una) + 2000));
        absl::StrAppend(&line, " ", start, ":", start + static_cast<int64_t>(random.Below(6000)) - 100);
      }
      t.In(ms, line + ">");
      ASSERT_EQ("", ScoreboardProblem(t.sock())) << line;
      t.Drain();
      ASSERT_EQ("", ScoreboardProblem(t.sock())) << line;
      ms += static_cast<double>(random.Below(random.OneIn(10) ? 1000 : 20));
    }
    t.Drain();
  }
}

}  // namespace
}  // namespace weir::testing_support
