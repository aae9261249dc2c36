// Two hosts of this stack and a bad link between them, some hundred seeds: see simulation.h for what is checked.
//
//   bazel test //tests/sim:sim_test                                        300 seeds
//   out/bin/tests/sim/sim_test --seeds=10000                               the long run
//   out/bin/tests/sim/sim_test --seeds=10000 --first_seed=10001            another one
//   out/bin/tests/sim/sim_test --seed=17                                   one, again
//   out/bin/tests/sim/sim_test --no_black_holes                            without links that say nothing of their MTU
//
// WEIR_TEST_SEED and WEIR_TEST_RUNS are --first_seed and --seeds for bazel test --test_env=...
#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <string>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "tests/sim/simulation.h"

namespace weir::sim {
namespace {

struct Range {
  uint64_t first = 1, count = 300;
  Switches switches;
};
Range range;

class SimTest : public ::testing::Test {
 protected:
  void RunAll(bool replay) {
    constexpr size_t kEnough = 8;  // failures, of a long run
    Simulation::Totals totals;
    std::string failed;
    size_t failures = 0;
    for (uint64_t seed = range.first; seed < range.first + range.count && failures < kEnough; ++seed) {
      Simulation simulation({.seed = seed, .switches = range.switches, .replay = replay});
      const std::string failure = simulation.Run();
      if (!failure.empty()) {
        ++failures;
        absl::StrAppend(&failed, " ", seed);
        ADD_FAILURE() << failure;
      }
      totals.Add(simulation.totals());
    }
    std::printf("seeds %llu to %llu: %s\n", static_cast<unsigned long long>(range.first),
                static_cast<unsigned long long>(range.first + range.count - 1), totals.ToString().c_str());
    if (failures > 0) FAIL() << "failed seeds:" << failed;
    if (range.count < 100) return;
    EXPECT_LT(0u, totals.predicted);
    EXPECT_LT(0u, totals.retransmits);
    EXPECT_LT(0u, totals.corrupted);
    EXPECT_LT(0u, totals.too_big);
    EXPECT_LT(0u, totals.queue_drops);
    EXPECT_LT(0u, totals.fast_opens);
    EXPECT_LT(0u, totals.mtu_probes);
    EXPECT_LT(0u, totals.crossed_syns);
    EXPECT_LT(0u, totals.crossed_fins);
  }
};

// With each run host A is fed the same packets once more, without header prediction, and does the same (DESIGN §4).
TEST_F(SimTest, StreamsArriveWholeAndPredictionChangesNothing) { RunAll(/*replay=*/true); }

void FromEnvironment() {
  if (const char* seed = std::getenv("WEIR_TEST_SEED")) range.first = std::strtoull(seed, nullptr, 10);
  if (const char* runs = std::getenv("WEIR_TEST_RUNS")) range.count = std::strtoull(runs, nullptr, 10);
}

bool FromArgument(absl::string_view argument) {
  if (argument == "--no_black_holes") return !(range.switches.black_holes = false);
  if (absl::ConsumePrefix(&argument, "--seeds=")) return absl::SimpleAtoi(argument, &range.count);
  if (absl::ConsumePrefix(&argument, "--first_seed=")) return absl::SimpleAtoi(argument, &range.first);
  if (!absl::ConsumePrefix(&argument, "--seed=")) return false;
  range.count = 1;
  return absl::SimpleAtoi(argument, &range.first);
}

}  // namespace
}  // namespace weir::sim

int main(int argc, char** argv) {
  ::testing::InitGoogleTest(&argc, argv);
  weir::sim::FromEnvironment();
  for (int i = 1; i < argc; ++i) {
    if (weir::sim::FromArgument(argv[i])) continue;
    std::fprintf(stderr, "%s is not known: see the top of sim_test.cc\n", argv[i]);
    return 2;
  }
  return RUN_ALL_TESTS();
}
