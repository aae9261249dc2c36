// Congestion control by itself: RFC 5681, RFC 6928, RFC 3465.
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
  congestion.Use(TcpCongestionControl::kReno);
    congestion.Init(c.mss);
    EXPECT_EQ(c.window, congestion.cwnd()) << c.mss;
  }
}

TcpCongestion::Ack Acked(uint32_t bytes, bool after_timeout = false) {
  return {.now_ns = 0, .acked = bytes, .una = Seq(0), .nxt = Seq(0), .mss = kMss, .after_timeout = after_timeout,
          .rtt_ns = 0, .srtt_ns = 0};
}

TcpCongestion::Congestion Lost(uint32_t flight) {
  return {.flight = flight, .mss = kMss, .timeout = false};
}

// RFC 3465 §2.2: what was acknowledged counts, in however few ACKs (stretch ACKs); Linux has no limit either.
TEST(Congestion, SlowStartCountsBytes) {
  TcpCongestion congestion;
  congestion.Use(TcpCongestionControl::kReno);
  congestion.Init(kMss);
  congestion.OnAck(Acked(100));
  EXPECT_EQ(10100u, congestion.cwnd());
  congestion.OnAck(Acked(2000));
  EXPECT_EQ(12100u, congestion.cwnd());
  congestion.OnAck(Acked(20000));
  EXPECT_EQ(32100u, congestion.cwnd());
}

// RFC 3465 §2.3: while that is acknowledged which was sent before a timeout, one segment an ACK; RFC 5681 §3.1.
TEST(Congestion, TimeoutThenSlowStartThenAvoidance) {
  TcpCongestion congestion;
  congestion.Use(TcpCongestionControl::kReno);
  congestion.Init(kMss);
  congestion.OnCongestion(Lost(8000));
  congestion.set_cwnd(kMss);
  EXPECT_EQ(4000u, congestion.ssthresh());
  for (uint32_t expected : {2000u, 3000u, 4000u}) {
    congestion.OnAck(Acked(2000, true));
    EXPECT_EQ(expected, congestion.cwnd());
  }
  for (int i = 0; i < 3; ++i) congestion.OnAck(Acked(1000));
  EXPECT_EQ(4000u, congestion.cwnd());
  congestion.OnAck(Acked(1000));  // a window's worth: one segment more
  EXPECT_EQ(5000u, congestion.cwnd());
}

// RFC 5681 §3.1, equation 4: half of the flight, not of the window; two segments at least; limited transmit is not
// counted.
TEST(Congestion, HalfOfTheFlight) {
  TcpCongestion congestion;
  congestion.Use(TcpCongestionControl::kReno);
  congestion.Init(kMss);
  congestion.OnCongestion(Lost(6000));
  EXPECT_EQ(3000u, congestion.ssthresh());
  congestion.OnCongestion(Lost(100));
  EXPECT_EQ(2000u, congestion.ssthresh());
  congestion.OnCongestion(Lost(12000));
  EXPECT_EQ(5000u, congestion.ssthresh());
}

// RFC 9438 §4.6: CUBIC comes down to seven tenths.
TEST(Congestion, ByName) {
  EXPECT_EQ(TcpCongestionControl::kReno, TcpCongestionControlByName("reno"));
  EXPECT_EQ(TcpCongestionControl::kCubic, TcpCongestionControlByName("cubic"));
  EXPECT_EQ(std::nullopt, TcpCongestionControlByName("bbr"));
  TcpCongestion congestion;
  congestion.Init(kMss);
  EXPECT_EQ(TcpCongestionControl::kCubic, congestion.control());
  congestion.OnCongestion(Lost(10000));
  EXPECT_EQ(7000u, congestion.ssthresh());
}

TEST(Congestion, UndoneReductionsTakeNothingAway) {
  TcpCongestion congestion;
  congestion.Use(TcpCongestionControl::kReno);
  congestion.Init(kMss);
  congestion.OnCongestion(Lost(10000));
  congestion.set_cwnd(3000);
  congestion.Undo(10000, UINT32_MAX);
  EXPECT_EQ(10000u, congestion.cwnd());
  EXPECT_EQ(UINT32_MAX, congestion.ssthresh());
  congestion.Undo(4000, 4000);
  EXPECT_EQ(10000u, congestion.cwnd());
}

}  // namespace
}  // namespace weir::netstack
