// CUBIC by itself: RFC 9438 §4.
#include <gtest/gtest.h>

#include <cmath>

#include "netstack/tcp/tcp_cubic.h"

namespace weir::netstack {
namespace {

constexpr uint16_t kMss = 1000;

// A path of this round trip, over which a window's worth is acknowledged each round trip, two segments an ACK.
class Path {
 public:
  explicit Path(Nanos rtt_ns) : rtt_ns_(rtt_ns) {}

  uint32_t Run(uint32_t cwnd, Nanos ns) {
    const Nanos end_ns = now_ns_ + ns;
    while (now_ns_ < end_ns) {
      now_ns_ += rtt_ns_ * (2 * kMss) / cwnd;
      cwnd = cubic.OnAck({.now_ns = now_ns_, .acked = 2 * kMss, .cwnd = cwnd, .mss = kMss, .srtt_ns = rtt_ns_});
    }
    return cwnd;
  }
  TcpCubic cubic;

 private:
  Nanos rtt_ns_;
  Nanos now_ns_ = kSecond;
};

// §4.2: K seconds after a loss the window is again what it was, with a plateau there; K = cbrt(W_max (1 - beta) / C).
TEST(Cubic, FollowsTheFunction) {
  Path path(100 * kMillisecond);
  uint32_t cwnd = path.cubic.OnCongestion(1000 * kMss, kMss, false);
  EXPECT_EQ(700 * kMss, cwnd);
  const double k = std::cbrt(1000 * 0.3 / 0.4);
  const auto ns = [](double s) { return static_cast<Nanos>(s * 1e9); };
  cwnd = path.Run(cwnd, ns(k / 2));
  EXPECT_NEAR(1000 - 0.4 * std::pow(k / 2, 3), cwnd / kMss, 10);
  cwnd = path.Run(cwnd, ns(k / 2));
  EXPECT_NEAR(1000, cwnd / kMss, 2);
  cwnd = path.Run(cwnd, ns(k / 2));
  EXPECT_NEAR(1000 + 0.4 * std::pow(k / 2, 3), cwnd / kMss, 10);
}

// §4.3: on a short path the function grows too slowly; then the window is what Reno's would be.
TEST(Cubic, NotBelowReno) {
  Path path(kMillisecond);
  uint32_t cwnd = path.cubic.OnCongestion(20 * kMss, kMss, false);
  EXPECT_EQ(14 * kMss, cwnd);
  cwnd = path.Run(cwnd, 10 * kMillisecond);
  EXPECT_NEAR(14 + 10 * 0.53, static_cast<double>(cwnd) / kMss, 0.6);  // alpha a round trip
  cwnd = path.Run(cwnd, 100 * kMillisecond);
  EXPECT_NEAR(20 + 98, static_cast<double>(cwnd) / kMss, 3);  // and a segment, beyond what it was
}

// §4.7: a loss below the last maximum: the next one is less than the window was.
TEST(Cubic, FastConvergence) {
  TcpCubic falling, rising;
  for (TcpCubic* cubic : {&falling, &rising}) cubic->OnCongestion(1000 * kMss, kMss, false);
  falling.OnCongestion(800 * kMss, kMss, false);
  rising.OnCongestion(1000 * kMss, kMss, false);
  // The plateau is at 680 segments, and not at 800; the window soon gets there from below.
  const auto after = [](TcpCubic& cubic, uint32_t cwnd, double s) {
    Nanos now_ns = kSecond;
    while (now_ns < kSecond + static_cast<Nanos>(s * 1e9)) {
      now_ns += 100 * kMillisecond * 2 * kMss / cwnd;
      cwnd = cubic.OnAck({.now_ns = now_ns, .acked = 2 * kMss, .cwnd = cwnd, .mss = kMss,
                          .srtt_ns = 100 * kMillisecond});
    }
    return cwnd / kMss;
  };
  EXPECT_NEAR(680, after(falling, 560 * kMss, std::cbrt((680 - 560) / 0.4)), 5);
  EXPECT_NEAR(1000, after(rising, 700 * kMss, std::cbrt(300 / 0.4)), 5);
}

// §4.2: not more than half as much again in a round trip, however long ago the last ACK was.
TEST(Cubic, TargetIsBounded) {
  TcpCubic cubic;
  const uint32_t cwnd = cubic.OnCongestion(100 * kMss, kMss, false);
  cubic.OnAck({.now_ns = kSecond, .acked = kMss, .cwnd = cwnd, .mss = kMss, .srtt_ns = kMillisecond});
  const uint32_t later = cubic.OnAck(
      {.now_ns = 1000 * kSecond, .acked = cwnd, .cwnd = cwnd, .mss = kMss, .srtt_ns = kMillisecond});
  EXPECT_LE(later, cwnd * 3 / 2 + kMss);
}

// §5.8: time without anything in flight does not count.
TEST(Cubic, IdleTimeDoesNotCount) {
  TcpCubic a, b;
  const uint32_t cwnd = a.OnCongestion(100 * kMss, kMss, false);
  b.OnCongestion(100 * kMss, kMss, false);
  const auto ack = [&](TcpCubic& cubic, Nanos now_ns) {
    return cubic.OnAck({.now_ns = now_ns, .acked = 10 * kMss, .cwnd = cwnd, .mss = kMss, .srtt_ns = kMillisecond});
  };
  ack(a, kSecond);
  ack(b, kSecond);
  b.OnIdle(100 * kSecond, 101 * kSecond);
  EXPECT_EQ(ack(a, 2 * kSecond), ack(b, 102 * kSecond));
}

// §4.8 and §4.9: after a timeout the window at which congestion avoidance begins is the plateau; an undone reduction
// leaves the old maximum.
TEST(Cubic, TimeoutAndUndo) {
  TcpCubic cubic, undone;
  cubic.OnCongestion(100 * kMss, kMss, true);
  const uint32_t cwnd = cubic.OnAck(
      {.now_ns = kSecond, .acked = kMss, .cwnd = 50 * kMss, .mss = kMss, .srtt_ns = 100 * kMillisecond});
  EXPECT_NEAR(50 * kMss, cwnd, kMss / 10);
  undone.OnCongestion(1000 * kMss, kMss, false);
  undone.OnCongestion(800 * kMss, kMss, false);
  undone.Undo();
  const uint32_t fast = undone.OnAck(
      {.now_ns = kSecond, .acked = kMss, .cwnd = 800 * kMss, .mss = kMss, .srtt_ns = 100 * kMillisecond});
  EXPECT_LT(800 * kMss, fast);  // towards 1000
}

}  // namespace
}  // namespace weir::netstack
