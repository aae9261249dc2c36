// Two hosts of which one has few frames, and tiny segments that overtake each other: what is queued out of order would
// hold every frame of the pool, and with none left for an acknowledgment, for a segment that is cut, or for what comes
// in, nothing would ever go on again (DESIGN §4: at a bound a counted drop, and backpressure).
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "tests/sim/simulation.h"

namespace weir::sim {
namespace {

// Both send some thousand bytes in segments of up to 8, each in a frame of its own.
Params TinySegments(uint64_t seed, uint32_t frames, size_t connections) {
  Params params{.seed = seed};
  for (LinkParams& link : params.links) {
    link = {.loss = 30, .overtake = 300, .delay_ns = 5 * kMillisecond, .jitter_ns = 2 * kMillisecond};
    link.in_order = false;
  }
  params.hosts[seed % 2].frames = frames;
  for (size_t i = 0; i < connections; ++i) {
    ConnectionParams connection{.client = static_cast<int>(i % 2)};
    for (AppParams& app : connection.apps) {
      app = {.bytes = 2000 / connections, .max_write = 8, .max_read = 4096, .send_frames = true, .nodelay = true};
    }
    params.connections.push_back(connection);
  }
  return params;
}

class SmallPool : public ::testing::TestWithParam<uint32_t> {};

TEST_P(SmallPool, StreamsArriveAll) {
  for (size_t connections : {size_t{1}, size_t{3}}) {
    for (uint64_t seed = 1; seed <= 10; ++seed) {
      Simulation simulation({.seed = seed, .switches = {}, .params = TinySegments(seed, GetParam(), connections)});
      ASSERT_EQ("", simulation.Run()) << connections << " connections";
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Frames, SmallPool, ::testing::Values(16, 20, 24, 32, 48, 64, 128, 256, 512),
                         [](const auto& info) { return absl::StrCat(info.param); });

}  // namespace
}  // namespace weir::sim
