#include "runtime/core/async_scope.h"

#include <gtest/gtest.h>

#include <chrono>

#include "runtime/core/sleep.h"
#include "tests/support/loop.h"

namespace weir {
namespace {

using std::chrono::milliseconds;
using testing::VirtualLoop;

Task<void> SleepAndCount(int ms, int& ok, int& cancelled) {
  const absl::Status slept = co_await Sleep(milliseconds(ms));
  if (slept.ok()) ++ok;
  if (absl::IsCancelled(slept)) ++cancelled;
}

TEST(AsyncScope, JoinWaitsForTheLastChild) {
  VirtualLoop loop;
  int ok = 0, cancelled = 0;
  const Nanos start = loop.now_ns();
  auto body = [&]() -> Task<void> {
    AsyncScope scope(co_await CurrentContext());
    for (int ms : {5, 20, 10}) scope.Spawn(SleepAndCount(ms, ok, cancelled));
    EXPECT_EQ(scope.live(), 3u);
    co_await scope.Join();
    EXPECT_EQ(scope.live(), 0u);
    co_await scope.Join();  // at once
  };
  loop.Run(body());
  EXPECT_EQ(ok, 3);
  EXPECT_GE(loop.now_ns(), start + 20 * kMillisecond);
  EXPECT_LT(loop.now_ns(), start + 21 * kMillisecond);
}

TEST(AsyncScope, SpawnRunsUntilTheFirstSuspension) {
  VirtualLoop loop;
  AsyncScope scope(loop.context());
  int step = 0;
  auto child = [&]() -> Task<void> {
    step = 1;
    co_await Yield();
    step = 2;
  };
  scope.Spawn(child());
  EXPECT_EQ(step, 1);
  EXPECT_EQ(scope.live(), 1u);
  loop.RunAll();
  EXPECT_EQ(step, 2);
  EXPECT_EQ(scope.live(), 0u);
}

TEST(AsyncScope, RequestStopCancelsChildren) {
  VirtualLoop loop;
  int ok = 0, cancelled = 0;
  const Nanos start = loop.now_ns();
  auto body = [&]() -> Task<void> {
    AsyncScope scope(co_await CurrentContext());
    for (int i = 0; i < 10; ++i) scope.Spawn(SleepAndCount(1000, ok, cancelled));
    scope.RequestStop();
    scope.RequestStop();
    scope.Spawn(SleepAndCount(1000, ok, cancelled));  // cancelled from the start
    co_await scope.Join();
  };
  loop.Run(body());
  EXPECT_EQ(ok, 0);
  EXPECT_EQ(cancelled, 11);
  EXPECT_EQ(loop.now_ns(), start);
}

TEST(AsyncScope, StopsWithItsParent) {
  VirtualLoop loop;
  int ok = 0, cancelled = 0;
  AsyncScope outer(loop.context());
  auto nested = [&]() -> Task<void> {
    AsyncScope inner(co_await CurrentContext());
    inner.Spawn(SleepAndCount(1000, ok, cancelled));
    co_await inner.Join();
  };
  outer.Spawn(nested());
  loop.stop().RequestStop();
  loop.RunAll();
  EXPECT_EQ(outer.live(), 0u);
  EXPECT_EQ(cancelled, 1);
}

// The last child ends and a new one starts before the joiner runs: it waits for that one too.
TEST(AsyncScope, SpawnWhileTheJoinerIsAboutToRun) {
  VirtualLoop loop;
  int ok = 0, cancelled = 0;
  bool joined = false;
  AsyncScope scope(loop.context());
  AsyncScope outside(loop.context());
  auto child = []() -> Task<void> { co_await Yield(); };
  auto join = [&]() -> Task<void> {
    co_await scope.Join();
    EXPECT_EQ(scope.live(), 0u);
    joined = true;
  };
  auto spawn_more = [&]() -> Task<void> {
    co_await Yield();
    EXPECT_EQ(scope.live(), 0u);  // the child ran before; the joiner is behind in the queue
    EXPECT_FALSE(joined);
    scope.Spawn(SleepAndCount(1, ok, cancelled));
  };
  scope.Spawn(child());
  outside.Spawn(join());
  outside.Spawn(spawn_more());
  loop.RunAll();
  EXPECT_TRUE(joined);
  EXPECT_EQ(ok, 1);
  EXPECT_EQ(outside.live(), 0u);
}

void DestroyWithAChild() {
  VirtualLoop loop;
  int ok = 0, cancelled = 0;
  AsyncScope scope(loop.context());
  scope.Spawn(SleepAndCount(1, ok, cancelled));
}

TEST(AsyncScopeDeathTest, DestroyedWithALiveChild) {
  EXPECT_DEATH(DestroyWithAChild(), "AsyncScope destroyed with 1 live task");
}

}  // namespace
}  // namespace weir
