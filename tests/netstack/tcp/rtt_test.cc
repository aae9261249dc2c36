// Round-trip times by themselves: RFC 6298 §2, RFC 7323 appendix G.
#include <gtest/gtest.h>

#include "netstack/tcp/tcp_rtt.h"

namespace weir::netstack {
namespace {

TEST(Rtt, FirstAndFollowing) {
  TcpRtt rtt;
  EXPECT_EQ(kTcpInitialRto, rtt.rto_ns);
  rtt.Sample(400 * kMillisecond, 1);
  EXPECT_EQ(400 * kMillisecond, rtt.srtt_ns);
  EXPECT_EQ(200 * kMillisecond, rtt.rttvar_ns);
  EXPECT_EQ(1200 * kMillisecond, rtt.rto_ns);
  rtt.Sample(800 * kMillisecond, 1);
  EXPECT_EQ(450 * kMillisecond, rtt.srtt_ns);
  EXPECT_EQ(250 * kMillisecond, rtt.rttvar_ns);
}

// RFC 7323 appendix G: ten measurements a round trip move the mean about as much as one would.
TEST(Rtt, ManyMeasurementsARoundTrip) {
  TcpRtt one, many;
  one.Sample(100 * kMillisecond, 1);
  many.Sample(100 * kMillisecond, 1);
  one.Sample(200 * kMillisecond, 1);
  for (int i = 0; i < 10; ++i) many.Sample(200 * kMillisecond, 10);
  EXPECT_NEAR(static_cast<double>(one.srtt_ns), static_cast<double>(many.srtt_ns), 1e6);
}

TEST(Rtt, BoundsOfTheTimeout) {
  TcpRtt rtt;
  for (int i = 0; i < 100; ++i) rtt.Sample(kMillisecond, 1);
  EXPECT_EQ(kMillisecond + kTcpMinRto, rtt.rto_ns);
  rtt.Sample(1000 * kSecond, 1);
  EXPECT_EQ(kTcpMaxRto, rtt.rto_ns);
}

TEST(Rtt, TheShortestIsForgottenAfterFiveMinutes) {
  TcpRtt rtt;
  rtt.SampleMin(10 * kMicrosecond, 0);
  rtt.SampleMin(5 * kMicrosecond, kSecond);
  rtt.SampleMin(20 * kMicrosecond, 2 * kSecond);
  EXPECT_EQ(5 * kMicrosecond, rtt.min_ns);
  rtt.SampleMin(20 * kMicrosecond, kTcpMinRttWindow);
  EXPECT_EQ(5 * kMicrosecond, rtt.min_ns);
  rtt.SampleMin(20 * kMicrosecond, kTcpMinRttWindow + kSecond);
  EXPECT_EQ(20 * kMicrosecond, rtt.min_ns);
}

TEST(Rtt, DurationsAreRoundedUpAndBounded) {
  EXPECT_EQ(0, TcpDuration(0));
  EXPECT_EQ(0, TcpDuration(-1));
  EXPECT_EQ(TcpDuration::kStep, TcpDuration(1));
  EXPECT_EQ(kMicrosecond, TcpDuration(kMicrosecond));
  EXPECT_EQ(kMicrosecond + TcpDuration::kStep, TcpDuration(kMicrosecond + 1));
  EXPECT_EQ(kTcpMaxRto, TcpDuration(kTcpMaxRto));
  EXPECT_EQ(TcpDuration::kMax, TcpDuration(kNever));
}

}  // namespace
}  // namespace weir::netstack
