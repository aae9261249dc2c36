// Congestion control by itself: RFC 5681, RFC 6582, RFC 6928, RFC 3465.
#include <gtest/gtest.h>

#include "netstack/tcp/tcp_congestion.h"

namespace weir::netstack {
namespace {

constexpr uint16_t kMss = 1000;

TEST(Congestion, InitialWindow) {
  struct {
    uint16_t mss;
    uint32_t window;
  } const cases[] = {{1460, 14600}, {536, 5360}, {88, 880}, {2000, 14600}, {9000, 18000}};
  for (const auto& c : cases) {
    TcpCongestion congestion;
    congestion.Init(c.mss);
    EXPECT_EQ(c.window, congestion.cwnd()) << c.mss;
  }
}

TEST(Congestion, SlowStartCountsBytes) {
  TcpCongestion congestion;
  congestion.Init(kMss);
  congestion.OnAck(Seq(101), 100, kMss);
  EXPECT_EQ(10100u, congestion.cwnd());
  congestion.OnAck(Seq(2101), 2000, kMss);
  EXPECT_EQ(12100u, congestion.cwnd());
  congestion.OnAck(Seq(9101), 7000, kMss);  // at most two segments an ACK
  EXPECT_EQ(14100u, congestion.cwnd());
}

TEST(Congestion, TimeoutThenSlowStartThenAvoidance) {
  TcpCongestion congestion;
  congestion.Init(kMss);
  congestion.OnTimeout(Seq(8001), 8000, kMss);
  EXPECT_EQ(1000u, congestion.cwnd());
  EXPECT_EQ(4000u, congestion.ssthresh());
  Seq una(1);
  for (uint32_t expected : {2000u, 3000u, 4000u}) {
    una += 2000;
    congestion.OnAck(una, 2000, kMss);  // one segment an ACK until what was sent before the timeout is acknowledged
    EXPECT_EQ(expected, congestion.cwnd());
  }
  for (int i = 0; i < 3; ++i) congestion.OnAck(una += 1000, 1000, kMss);
  EXPECT_EQ(4000u, congestion.cwnd());
  congestion.OnAck(una += 1000, 1000, kMss);  // a window's worth: one segment more
  EXPECT_EQ(5000u, congestion.cwnd());
}

TEST(Congestion, FastRecovery) {
  TcpCongestion congestion;
  congestion.Init(kMss);
  EXPECT_TRUE(congestion.OnThirdDupAck(Seq(1), Seq(10001), 10000, kMss));
  EXPECT_TRUE(congestion.in_recovery());
  EXPECT_EQ(5000u, congestion.ssthresh());
  EXPECT_EQ(8000u, congestion.cwnd());
  EXPECT_FALSE(congestion.OnThirdDupAck(Seq(1), Seq(10001), 10000, kMss));
  congestion.OnDupAck(kMss);
  EXPECT_EQ(9000u, congestion.cwnd());
  EXPECT_TRUE(congestion.OnAck(Seq(3001), 3000, kMss));  // partial: 9000 - 3000 + 1000
  EXPECT_EQ(7000u, congestion.cwnd());
  EXPECT_TRUE(congestion.OnAck(Seq(9001), 6000, kMss));
  EXPECT_EQ(2000u, congestion.cwnd());
  EXPECT_FALSE(congestion.OnAck(Seq(10001), 1000, kMss));  // full
  EXPECT_FALSE(congestion.in_recovery());
  EXPECT_EQ(5000u, congestion.cwnd());
}

TEST(Congestion, SmallFlightsKeepTwoSegments) {
  TcpCongestion congestion;
  congestion.Init(kMss);
  congestion.OnTimeout(Seq(101), 100, kMss);
  EXPECT_EQ(2000u, congestion.ssthresh());
}

TEST(Congestion, ATimeoutEndsRecovery) {
  TcpCongestion congestion;
  congestion.Init(kMss);
  EXPECT_TRUE(congestion.OnThirdDupAck(Seq(1), Seq(10001), 10000, kMss));
  congestion.OnTimeout(Seq(10001), 10000, kMss);
  EXPECT_FALSE(congestion.in_recovery());
  EXPECT_EQ(1000u, congestion.cwnd());
  EXPECT_FALSE(congestion.OnThirdDupAck(Seq(5001), Seq(10001), 5000, kMss));
  EXPECT_FALSE(congestion.OnThirdDupAck(Seq(10001), Seq(10001), 5000, kMss));
  EXPECT_TRUE(congestion.OnThirdDupAck(Seq(10002), Seq(15001), 5000, kMss));
}

}  // namespace
}  // namespace weir::netstack
