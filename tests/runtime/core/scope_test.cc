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

// A stop that comes when the operation is over, even before its coroutine ran on, changes nothing.
TEST(AsyncScope, StopOfWhatIsFinished) {
  VirtualLoop loop;
  int ok = 0, cancelled = 0;
  AsyncScope scope(loop.context());
  scope.Spawn(SleepAndCount(1, ok, cancelled));
  loop.scheduler().timers().Advance(loop.now_ns() + kSecond);  // woken, not resumed
  EXPECT_EQ(ok, 0);
  scope.RequestStop();
  loop.RunAll();
  EXPECT_EQ(ok, 1);
  EXPECT_EQ(cancelled, 0);
  scope.RequestStop();
  EXPECT_EQ(scope.live(), 0u);
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
  EXPECT_DEATH(DestroyWithAChild(), "scope_test.cc:[0-9]+: AsyncScope destroyed with 1 live task");
  EXPECT_DEATH(DestroyWithAChild(),
               "SleepAndCount.*scope_test.cc:[0-9]+.*, spawned at .*scope_test.cc:[0-9]+, waits for sleep");
}

Task<absl::Status> FailAfter(int ms, absl::Status error) {
  absl::Status slept = co_await Sleep(milliseconds(ms));
  if (!slept.ok()) co_return slept;
  co_return error;
}

TEST(AsyncScope, JoinGivesTheFirstError) {
  VirtualLoop loop;
  const Nanos start = loop.now_ns();
  auto body = [&]() -> Task<absl::Status> {
    AsyncScope scope(co_await CurrentContext());
    scope.Spawn(FailAfter(20, absl::NotFoundError("second")));
    scope.Spawn(FailAfter(10, absl::AbortedError("first")));
    scope.Spawn(FailAfter(30, absl::OkStatus()));
    co_return co_await scope.Join();
  };
  EXPECT_EQ(loop.Run(body()), absl::AbortedError("first"));
  EXPECT_GE(loop.now_ns(), start + 30 * kMillisecond);  // nobody was stopped
}

TEST(AsyncScope, TheFirstErrorStopsTheSiblingsOnRequest) {
  VirtualLoop loop;
  int ok = 0, cancelled = 0;
  const Nanos start = loop.now_ns();
  auto body = [&]() -> Task<absl::Status> {
    AsyncScope scope(co_await CurrentContext(), AsyncScope::OnError::kStopAll);
    scope.Spawn(FailAfter(5, absl::OkStatus()));  // no error, no stop
    scope.Spawn(SleepAndCount(1000, ok, cancelled));
    scope.Spawn(FailAfter(1000, absl::OkStatus()));
    scope.Spawn(FailAfter(10, absl::AbortedError("first")));
    co_return co_await scope.Join();
  };
  EXPECT_EQ(loop.Run(body()), absl::AbortedError("first"));
  EXPECT_EQ(cancelled, 1);
  EXPECT_LT(loop.now_ns(), start + 11 * kMillisecond);
}

TEST(AsyncScope, AnErrorAtOnceStopsThoseSpawnedLater) {
  VirtualLoop loop;
  int ok = 0, cancelled = 0;
  auto fail = []() -> Task<absl::Status> { co_return absl::AbortedError("at once"); };
  auto body = [&]() -> Task<absl::Status> {
    AsyncScope scope(co_await CurrentContext(), AsyncScope::OnError::kStopAll);
    scope.Spawn(fail());
    scope.Spawn(SleepAndCount(1000, ok, cancelled));
    EXPECT_EQ(cancelled, 1);
    co_return co_await scope.Join();
  };
  EXPECT_EQ(loop.Run(body()), absl::AbortedError("at once"));
}

// kCancelled is the result only when nothing else went wrong.
TEST(AsyncScope, KCancelledGivesWayToAnError) {
  VirtualLoop loop;
  auto stubborn = []() -> Task<absl::Status> {
    static_cast<void>(co_await Sleep(milliseconds(5)));
    co_await Yield();
    co_return absl::DataLossError("the reason");
  };
  auto body = [&](bool with_error) -> Task<absl::Status> {
    AsyncScope scope(co_await CurrentContext());
    scope.Spawn(FailAfter(10, absl::OkStatus()));
    if (with_error) scope.Spawn(stubborn());
    scope.RequestStop();
    co_return co_await scope.Join();
  };
  EXPECT_EQ(loop.Run(body(true)), absl::DataLossError("the reason"));
  EXPECT_TRUE(absl::IsCancelled(loop.Run(body(false))));
}

}  // namespace
}  // namespace weir
