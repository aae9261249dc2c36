// A congestion window that is not used: RFC 2861, RFC 5681 §4.1.
#include <gtest/gtest.h>

#include "netstack/tcp/tcp_user_calls.h"
#include "tests/netstack/tcp/sender_lines.h"

namespace weir::testing_support {
namespace {

constexpr TcpTrace::Handshake kSack{.rtt = 100, .sack = true};

// Sends whole windows until the window is at least `cwnd`; returns the time and how many segments that took.
std::pair<double, int> Grow(TcpTrace& t, uint32_t cwnd) {
  double ms = 100;
  int segments = 0;
  while (t.sock().congestion.cwnd() < cwnd) {
    const int n = static_cast<int>(t.sock().congestion.cwnd() / kMss);
    t.Send(static_cast<size_t>(n) * kMss);
    t.Drain(ms);
    segments += n;
    ms += 100;
    t.In(ms, AckOf(segments));
  }
  return {ms, segments};
}

TEST(CwndValidation, DoublesWhenItIsUsed) {
  TcpTrace t;
  t.Establish(kSack);
  t.Send(10 * kMss);
  ExpectLast(t, 100, 0, 10);
  for (int i = 1; i <= 10; ++i) t.In(200, AckOf(i));
  EXPECT_EQ(20 * kMss, t.sock().congestion.cwnd());
}

// tcp_is_cwnd_limited: one segment at a time does not open it, however often.
TEST(CwndValidation, DoesNotGrowUnused) {
  TcpTrace t;
  t.Establish(kSack);
  for (int i = 0; i < 50; ++i) {
    t.Quiet(100 + i);
    t.Send(kMss);
    t.Out(100 + i, absl::StrCat("PA ", Segment(i), " ack 1"));
    t.In (100 + i, AckOf(i + 1));
  }
  EXPECT_EQ(10 * kMss, t.sock().congestion.cwnd());
}

// RFC 5681 §4.1: after an RTO of silence; each further one halves it, down to the initial window.
TEST(CwndValidation, SlowStartAfterIdle) {
  for (bool on : {true, false}) {
    InetTestHost::Options options;
    options.tcp.slow_start_after_idle = on;
    TcpTrace t({.host = options});
    t.Establish(kSack);
    const auto [ms, segments] = Grow(t, 40 * kMss);
    const uint32_t before = t.sock().congestion.cwnd();
    const double rto_ms = static_cast<double>(t.sock().rtt.rto_ns) / 1e6;
    t.Quiet(ms + 1.5 * rto_ms);
    t.Send(1);
    t.Drain();
    EXPECT_EQ(on ? before / 2 : before, t.sock().congestion.cwnd());
    t.In(ms + 1.5 * rto_ms + 100, absl::StrCat("A 1:1 ack ", 2 + segments * kMss, " win 65535"));
    t.Quiet(ms + 100000);
    t.Send(1);
    t.Drain();
    EXPECT_EQ(on ? 10 * kMss : before, t.sock().congestion.cwnd());
    EXPECT_LE(before / 4 * 3, t.sock().congestion.ssthresh());  // and it may come back fast
  }
}

TEST(CongestionControl, ByName) {
  TcpTrace t;
  t.Establish(kSack);
  EXPECT_EQ(netstack::TcpCongestionControl::kCubic, t.sock().congestion.control());
  EXPECT_TRUE(TcpSetCongestionControl(t.sock(), "reno"));
  EXPECT_EQ(netstack::TcpCongestionControl::kReno, t.sock().congestion.control());
  EXPECT_FALSE(TcpSetCongestionControl(t.sock(), "vegas"));
  t.Send(10 * kMss);
  ExpectLast(t, 100, 0, 10);
  t.In (200, AckOf(0, {{1, 10}}));
  EXPECT_EQ(5 * kMss, t.sock().congestion.ssthresh());
  t.Drain();
}

}  // namespace
}  // namespace weir::testing_support
