// When a shard spins and when it sleeps (DESIGN.md §7), as a function of time.
#include "netstack/host/idle_policy.h"

#include <gtest/gtest.h>

namespace weir {
namespace {

// `arrivals` arrivals, `gap_ns` apart, each found by a turn of its own.
Nanos Arrive(IdlePolicy& policy, Nanos now_ns, int arrivals, Nanos gap_ns) {
  for (int i = 0; i < arrivals; ++i) {
    policy.Worked(now_ns);
    policy.Spin(now_ns + 1);
    now_ns += gap_ns;
  }
  policy.Worked(now_ns);
  return now_ns;
}

TEST(IdlePolicy, BusyNeverSleepsAndWaitNeverSpins) {
  IdlePolicy busy(PollMode::kBusy), wait(PollMode::kWait);
  for (Nanos now_ns = 1; now_ns < kSecond; now_ns += kMillisecond) {
    EXPECT_TRUE(busy.Spin(now_ns));
    EXPECT_FALSE(wait.Spin(now_ns));
  }
}

// A hit is an arrival that came while the shard spun for it, in one or many looks; one that ended a sleep is none.
TEST(IdlePolicy, CountsArrivalsThatASpinCaught) {
  IdlePolicy busy(PollMode::kBusy), wait(PollMode::kWait), adaptive(PollMode::kAdaptive);
  for (IdlePolicy* policy : {&busy, &wait}) {
    policy->Worked(kSecond);
    for (int look = 1; look < 4; ++look) policy->Spin(kSecond + look);
    policy->Worked(kSecond + 5);
    policy->Worked(kSecond + 6);
  }
  EXPECT_EQ(busy.spin_hits(), 1u);
  EXPECT_EQ(wait.spin_hits(), 0u);

  const Nanos now_ns = Arrive(adaptive, kSecond, 100, 10 * kMicrosecond);
  const uint64_t caught = adaptive.spin_hits();
  EXPECT_GT(caught, 80u);
  EXPECT_TRUE(adaptive.Spin(now_ns + 1));
  EXPECT_FALSE(adaptive.Spin(now_ns + kMillisecond));
  adaptive.Worked(now_ns + 2 * kMillisecond);
  EXPECT_EQ(adaptive.spin_hits(), caught) << "it slept";
}

TEST(IdlePolicy, AdaptiveSleepsAtOnceBeforeItLearntAnything) {
  IdlePolicy policy(PollMode::kAdaptive);
  EXPECT_FALSE(policy.Spin(1));
}

TEST(IdlePolicy, AdaptiveSpinsWhileArrivalsAreCloseAndStopsSoonAfterThem) {
  IdlePolicy policy(PollMode::kAdaptive);
  const Nanos now_ns = Arrive(policy, kSecond, 100, 10 * kMicrosecond);
  EXPECT_TRUE(policy.Spin(now_ns + 1));
  EXPECT_TRUE(policy.Spin(now_ns + 10 * kMicrosecond));
  EXPECT_FALSE(policy.Spin(now_ns + 100 * kMicrosecond));
  EXPECT_FALSE(policy.Spin(now_ns + kSecond));
}

TEST(IdlePolicy, AdaptiveDoesNotSpinForArrivalsFarApart) {
  IdlePolicy policy(PollMode::kAdaptive);
  const Nanos now_ns = Arrive(policy, kSecond, 100, kMillisecond);
  EXPECT_FALSE(policy.Spin(now_ns + 1));
}

TEST(IdlePolicy, ABurstAfterSilenceIsLearntWithinAFewArrivals) {
  IdlePolicy policy(PollMode::kAdaptive);
  Nanos now_ns = Arrive(policy, kSecond, 10, kSecond);
  now_ns = Arrive(policy, now_ns, 20, 5 * kMicrosecond);
  EXPECT_TRUE(policy.Spin(now_ns + 1));
}

TEST(IdlePolicy, ALongGapNowAndThenDoesNotEndTheSpinning) {
  IdlePolicy policy(PollMode::kAdaptive);
  Nanos now_ns = Arrive(policy, kSecond, 50, 5 * kMicrosecond);
  for (int i = 0; i < 20; ++i) {
    now_ns = Arrive(policy, now_ns, 1, kMillisecond);
    now_ns = Arrive(policy, now_ns, 3, 5 * kMicrosecond);
    EXPECT_TRUE(policy.Spin(now_ns + 40 * kMicrosecond));
  }
}

TEST(IdlePolicy, MostlyLongGapsEndIt) {
  IdlePolicy policy(PollMode::kAdaptive);
  Nanos now_ns = Arrive(policy, kSecond, 50, 5 * kMicrosecond);
  for (int i = 0; i < 20; ++i) {
    now_ns = Arrive(policy, now_ns, 1, 5 * kMicrosecond);
    now_ns = Arrive(policy, now_ns, 3, kMillisecond);
  }
  EXPECT_FALSE(policy.Spin(now_ns + 1));
}

}  // namespace
}  // namespace weir
