// Two hosts and a bad link between them, by seed: the streams arrive byte by byte, both ways, and nothing is left over.
// WEIR_TEST_SEED=17 begins with seed 17; WEIR_TEST_RUNS says how many seeds.
#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>

#include "tests/netstack/tcp/two_hosts.h"

namespace weir::testing_support {
namespace {

uint64_t FromEnvironment(const char* name, uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text != nullptr ? std::strtoull(text, nullptr, 10) : otherwise;
}

TEST(LossyLink, StreamsArriveWhole) {
  const uint64_t first = FromEnvironment("WEIR_TEST_SEED", 1), runs = FromEnvironment("WEIR_TEST_RUNS", 200);
  uint64_t frames = 0, retransmits = 0;
  for (uint64_t seed = first; seed < first + runs; ++seed) {
    TwoHosts hosts({.seed = seed});
    if (!hosts.Run()) return;
    frames += hosts.frames();
    retransmits += hosts.counters(0).retransmits + hosts.counters(1).retransmits;
  }
  std::printf("seeds %llu to %llu: %llu frames, %llu retransmissions\n", static_cast<unsigned long long>(first),
              static_cast<unsigned long long>(first + runs - 1), static_cast<unsigned long long>(frames),
              static_cast<unsigned long long>(retransmits));
}

// Up to three packets of ten lost, both ways.
TEST(LossyLink, StreamsArriveWholeThroughHeavyLoss) {
  const uint64_t first = FromEnvironment("WEIR_TEST_SEED", 1), runs = FromEnvironment("WEIR_TEST_RUNS", 60);
  for (uint64_t seed = first; seed < first + runs; ++seed) {
    TwoHosts hosts({.seed = seed, .loss_permille = static_cast<uint32_t>(100 + seed % 5 * 50)});
    if (!hosts.Run()) return;
  }
}

// What SACK, RACK and probes are for: at 2 % loss nearly every loss is repaired without waiting for the timer.
TEST(LossyLink, LossesAreRepairedWithoutTimeouts) {
  uint64_t timeouts[2] = {}, retransmits[2] = {};
  Nanos times[2] = {};
  for (uint64_t seed = 1; seed <= 5; ++seed) {
    for (bool options : {false, true}) {
      TwoHosts hosts({.seed = seed, .loss_permille = 20, .options = options, .bulk = true});
      if (!hosts.Run()) return;
      timeouts[options] += hosts.counters(1).timeouts;
      retransmits[options] += hosts.counters(1).retransmits;
      times[options] += hosts.done_ns();
    }
  }
  for (bool options : {false, true}) {
    std::printf("%s SACK: %llu retransmissions, %llu timeouts, %lld ms\n", options ? "with" : "without",
                static_cast<unsigned long long>(retransmits[options]),
                static_cast<unsigned long long>(timeouts[options]), static_cast<long long>(times[options] / 5000000));
  }
  EXPECT_GE(8u, timeouts[true]);  // of some 140 losses; without SACK three times as many
  EXPECT_LT(times[true], times[false]);
}

// DESIGN: "The fast path is only a shortcut".
TEST(LossyLink, PredictionChangesNothing) {
  const uint64_t first = FromEnvironment("WEIR_TEST_SEED", 1), runs = FromEnvironment("WEIR_TEST_RUNS", 60);
  uint64_t predicted = 0, slow = 0;
  for (uint64_t seed = first; seed < first + runs; ++seed) {
    TwoHosts with({.seed = seed, .prediction = true, .record = true});
    TwoHosts without({.seed = seed, .prediction = false, .record = true});
    if (!with.Run() || !without.Run()) return;
    ASSERT_TRUE(with.record() == without.record()) << with.Describe();
    for (int side = 0; side < 2; ++side) {
      predicted += with.counters(side).predicted_data + with.counters(side).predicted_acks;
      slow += with.counters(side).slow_path;
      EXPECT_EQ(0u, without.counters(side).predicted_data + without.counters(side).predicted_acks);
    }
  }
  std::printf("%llu segments of established connections predicted, %llu not\n",
              static_cast<unsigned long long>(predicted), static_cast<unsigned long long>(slow));
  EXPECT_LT(500u, predicted);
}

}  // namespace
}  // namespace weir::testing_support
