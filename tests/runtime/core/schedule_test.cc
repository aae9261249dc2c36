// Random trees of tasks that sleep, yield, time out, spawn and are stopped. Every await must end, with an answer that
// fits the clock and the stop requests, and every scope must come to its join.
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>

#include "runtime/core/async_scope.h"
#include "runtime/core/sleep.h"
#include "tests/support/loop.h"
#include "tests/support/random.h"

namespace weir {
namespace {

using std::chrono::microseconds;
using testing::Random;
using testing::VirtualLoop;

constexpr Nanos kTick = 1 << 14;

struct World {
  VirtualLoop loop;
  Random random;
  int started = 0;
  int finished = 0;
  int cancelled = 0;
  int timeouts = 0;
};

Task<void> SleepOnce(World& world) {
  const auto us = static_cast<int64_t>(world.random.Below(world.random.OneIn(4) ? 1'000'000 : 1000));
  const TaskContext& context = co_await CurrentContext();
  const Nanos start = world.loop.now_ns();
  const bool stopped_before = context.stop.stop_requested();
  const absl::Status slept = co_await Sleep(microseconds(us));
  if (slept.ok()) {
    EXPECT_FALSE(stopped_before);
    EXPECT_GE(world.loop.now_ns(), start + us * kMicrosecond);
    EXPECT_LE(world.loop.now_ns(), start + us * kMicrosecond + 2 * kTick);
  } else {
    EXPECT_TRUE(absl::IsCancelled(slept));
    EXPECT_TRUE(context.stop.stop_requested());
    ++world.cancelled;
  }
}

Task<absl::Status> SleepUnderTimeout(World& world) {
  const auto sleep = static_cast<int64_t>(world.random.Below(2000));
  const auto limit = static_cast<int64_t>(world.random.Below(2000));
  const Nanos start = world.loop.now_ns();
  const absl::Status status = co_await WithTimeout(Sleep(microseconds(sleep)), microseconds(limit));
  if (absl::IsDeadlineExceeded(status)) {
    ++world.timeouts;
    EXPECT_GE(world.loop.now_ns(), start + limit * kMicrosecond);
    EXPECT_LE(limit, sleep + 2 * kTick / kMicrosecond);
  }
  EXPECT_LE(world.loop.now_ns(), start + std::min(sleep, limit) * kMicrosecond + 2 * kTick);
  co_return status;
}

Task<void> Tree(World& world, int depth) {
  ++world.started;
  AsyncScope scope(co_await CurrentContext());
  const int steps = 1 + static_cast<int>(world.random.Below(6));
  for (int i = 0; i < steps; ++i) {
    switch (world.random.Below(6)) {
      case 0:
        co_await SleepOnce(world);
        break;
      case 1:
        co_await Yield();
        break;
      case 2:
        static_cast<void>(co_await SleepUnderTimeout(world));
        break;
      case 3:
        if (world.random.OneIn(4)) scope.RequestStop();
        break;
      default:
        if (depth > 0) scope.Spawn(Tree(world, depth - 1));
    }
  }
  if (world.random.OneIn(3)) scope.RequestStop();
  co_await scope.Join();
  ++world.finished;
}

TEST(Schedule, RandomTreesOfTasks) {
  World world;
  for (int round = 0; round < 200; ++round) {
    AsyncScope root(world.loop.context());
    for (int i = 0; i < 4; ++i) root.Spawn(Tree(world, 4));
    const Nanos stop_at = world.loop.now_ns() + static_cast<Nanos>(world.random.Below(3'000'000));
    // Now and then all of it is stopped from outside, in the middle.
    if (round % 3 == 0 && world.loop.RunUntil([&] { return world.loop.now_ns() >= stop_at; })) root.RequestStop();
    world.loop.RunAll();
    ASSERT_EQ(root.live(), 0u);
    ASSERT_EQ(world.started, world.finished);
    ASSERT_EQ(world.loop.scheduler().timers().armed(), 0u);
  }
  EXPECT_GT(world.cancelled, 0);
  EXPECT_GT(world.timeouts, 0);
}

}  // namespace
}  // namespace weir
