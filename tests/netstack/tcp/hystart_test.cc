// HyStart++: RFC 9406 §4.2.
#include <gtest/gtest.h>

#include "netstack/tcp/tcp_congestion.h"
#include "netstack/tcp/tcp_hystart.h"

namespace weir::netstack {
namespace {

// One round of eight ACKs with these round trips; returns whether slow start was over.
bool Round(TcpHystart& hystart, uint32_t& at, Nanos rtt_ns) {
  bool over = false;
  for (int i = 1; i <= 8; ++i) over |= hystart.OnAck(Seq(at + static_cast<uint32_t>(i)), Seq(at + 9), rtt_ns);
  at += 9;
  return over;
}

constexpr Nanos Ms(double ms) { return static_cast<Nanos>(ms * 1e6); }

// A round trip longer by an eighth, but at least 4 ms and at most 16 ms, is a sign of a queue.
TEST(Hystart, LongerRoundTrips) {
  struct {
    double before, after;
    bool sign;
  } const cases[] = {{100, 112.4, false}, {100, 112.6, true}, {10, 13.9, false}, {10, 14.1, true},
                     {400, 415, false},   {400, 416.1, true}};
  for (const auto& c : cases) {
    TcpHystart hystart;
    uint32_t at = 0;
    EXPECT_FALSE(Round(hystart, at, Ms(c.before)));
    EXPECT_FALSE(Round(hystart, at, Ms(c.after)));
    EXPECT_EQ(c.sign, hystart.in_css()) << c.before << " " << c.after;
  }
}

// Seven measurements in a round are not enough.
TEST(Hystart, EightSamples) {
  TcpHystart hystart;
  uint32_t at = 0;
  Round(hystart, at, Ms(10));
  for (uint32_t i = 0; i < 7; ++i) EXPECT_FALSE(hystart.OnAck(Seq(at + i), Seq(at + 100), Ms(100)));
  EXPECT_FALSE(hystart.in_css());
  EXPECT_FALSE(hystart.OnAck(Seq(at + 7), Seq(at + 100), Ms(100)));
  EXPECT_TRUE(hystart.in_css());
}

// Five rounds of Conservative Slow Start, and it is over; unless the round trip gets shorter again.
TEST(Hystart, ConservativeSlowStart) {
  for (bool jitter : {false, true}) {
    TcpHystart hystart;
    uint32_t at = 0;
    Round(hystart, at, Ms(10));
    Round(hystart, at, Ms(20));
    EXPECT_TRUE(hystart.in_css());
    int rounds = 0;
    while (rounds < 20 && !Round(hystart, at, jitter ? Ms(12) : Ms(20))) ++rounds;
    EXPECT_EQ(jitter ? 20 : 4, rounds);
    EXPECT_EQ(!jitter, hystart.in_css());
  }
}

// In the window: a quarter of the growth, and then ssthresh is where it stands.
TEST(Hystart, TheWindow) {
  TcpCongestion congestion;
  congestion.Init(1000);
  uint32_t at = 0;
  const auto round = [&](Nanos rtt_ns) {
    for (uint32_t i = 1; i <= 8; ++i) {
      congestion.OnAck({.now_ns = kSecond, .acked = 1000, .una = Seq(at + i), .nxt = Seq(at + 9), .mss = 1000,
                        .after_timeout = false, .rtt_ns = rtt_ns, .srtt_ns = rtt_ns});
    }
    at += 9;
  };
  round(Ms(10));
  EXPECT_EQ(18000u, congestion.cwnd());
  round(Ms(20));
  EXPECT_EQ(18000u + 7 * 1000 + 250, congestion.cwnd());
  const uint32_t before = congestion.cwnd();
  round(Ms(20));
  EXPECT_EQ(before + 8 * 250, congestion.cwnd());
  EXPECT_TRUE(congestion.in_slow_start());
  for (int i = 0; i < 4; ++i) round(Ms(20));
  EXPECT_FALSE(congestion.in_slow_start());
  EXPECT_GT(before + 50 * 250, congestion.ssthresh());
}

}  // namespace
}  // namespace weir::netstack
