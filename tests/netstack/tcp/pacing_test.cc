// Pacing: segments at intervals, by the round trip or by the program's rate; the beginning of a flow is not delayed.
#include <gtest/gtest.h>

#include <cstdlib>
#include <vector>

#include "netstack/tcp/tcp_pacing.h"
#include "tests/netstack/tcp/sender_lines.h"

namespace weir::testing_support {
namespace {

// The times of what is sent until `ms`.
std::vector<double> Times(TcpTrace& t, double ms) {
  std::vector<double> times;
  for (const std::string& line : t.Drain(ms)) times.push_back(std::atof(line.c_str()));
  return times;
}

TEST(Pacing, TheInitialWindowGoesAtOnceAndTheNextAtIntervals) {
  TcpTrace t;
  t.Establish({.rtt = 100, .sack = true});
  TcpSetPacing(t.sock(), UINT64_MAX);
  t.Send(40 * kMss);
  ExpectSegments(t, 100, 0, 10);
  t.In(200, AckOf(10));
  EXPECT_EQ(20 * kMss, t.sock().congestion.cwnd());
  // Twice the window a round trip: 36 segments in 100 ms, from the first one on.
  const std::vector<double> times = Times(t, 299);
  ASSERT_EQ(20u, times.size());
  EXPECT_EQ(200, times[0]);
  for (size_t i = 2; i < times.size(); ++i) EXPECT_NEAR(100.0 / 40, times[i] - times[i - 1], 0.2) << i;
}

TEST(Pacing, TheProgramsRate) {
  TcpTrace t;
  t.Establish({.rtt = 10, .sack = true});
  TcpSetPacing(t.sock(), 146'000);  // a segment every 10 ms
  t.Send(20 * kMss);
  ExpectSegments(t, 10, 0, 10);
  t.In(20, AckOf(10));
  std::vector<double> times;
  for (int i = 0; i < 10; ++i) {
    for (double at : Times(t, 21 + i * 10)) times.push_back(at);
    t.In(21 + i * 10, AckOf(10 + static_cast<int>(times.size())));
  }
  ASSERT_EQ(10u, times.size());
  for (size_t i = 2; i < times.size(); ++i) EXPECT_NEAR(10, times[i] - times[i - 1], 0.2) << i;
  EXPECT_EQ(0u, t.tcp().counters.retransmits);
}

TEST(Pacing, OffAgain) {
  TcpTrace t;
  t.Establish({.rtt = 100, .sack = true});
  TcpSetPacing(t.sock(), 1000);
  t.Send(20 * kMss);
  ExpectSegments(t, 100, 0, 10);
  t.In(200, AckOf(10));
  ASSERT_EQ(1u, Times(t, 250).size());
  TcpSetPacing(t.sock(), 0);
  t.host().Turn();
  EXPECT_EQ(9u, Times(t, 250).size());
}

// A connection that is closed while it waits for its turn leaves nothing behind (TcpTrace looks).
TEST(Pacing, ClosedMeanwhile) {
  TcpTrace t;
  t.Establish({.rtt = 100, .sack = true});
  TcpSetPacing(t.sock(), 1000);
  t.Send(20 * kMss);
  ExpectSegments(t, 100, 0, 10);
  t.In(200, AckOf(10));
  t.Drain(201);
  t.In (202, absl::StrCat("R 1:1"));
  EXPECT_EQ(ECONNRESET, t.sock().error);
  t.Close();
  t.ExpectGone();
}

}  // namespace
}  // namespace weir::testing_support
