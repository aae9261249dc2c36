// WhenAll and WhenAny in virtual time.
#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "runtime/core/async_scope.h"
#include "runtime/core/sleep.h"
#include "runtime/core/when_all.h"
#include "runtime/core/when_any.h"
#include "tests/support/loop.h"

namespace weir {
namespace {

using std::chrono::milliseconds;
using testing::VirtualLoop;

template <typename T>
Task<T> After(int ms, T value) {
  static_cast<void>(co_await Sleep(milliseconds(ms)));
  co_return value;
}
Task<void> Pause(int ms) { static_cast<void>(co_await Sleep(milliseconds(ms))); }
Task<absl::Status> SleepFor(int ms) { co_return co_await Sleep(milliseconds(ms)); }
Task<int> AtOnce(int value) { co_return value; }

// Does not end before `ms` passed, whatever stop is requested.
Task<int> Stubborn(VirtualLoop& loop, int ms, bool& ended) {
  const Nanos until = loop.now_ns() + ms * kMillisecond;
  const TaskContext deaf{&loop.scheduler(), StopToken()};
  co_await runtime::SetContext{&deaf};
  while (loop.now_ns() < until) static_cast<void>(co_await Sleep(milliseconds(1)));
  ended = true;
  co_return ms;
}

TEST(WhenAll, GivesAllResultsWhenTheLastIsDone) {
  VirtualLoop loop;
  const Nanos start = loop.now_ns();
  auto body = [&]() -> Task<void> {
    auto [text, nothing, owned, number] = co_await WhenAll(After(20, std::string("text")), Pause(30),
                                                           After(10, std::make_unique<int>(7)), AtOnce(3));
    EXPECT_EQ(text, "text");
    EXPECT_EQ(*owned, 7);
    EXPECT_EQ(number, 3);
    static_assert(std::is_same_v<decltype(nothing), std::monostate>);
  };
  loop.Run(body());
  EXPECT_GE(loop.now_ns(), start + 30 * kMillisecond);
  EXPECT_LT(loop.now_ns(), start + 31 * kMillisecond);
}

TEST(WhenAll, OfNothingAndOfWhatIsDoneAtOnce) {
  VirtualLoop loop;
  EXPECT_EQ(loop.Run(WhenAll()), std::tuple<>());
  EXPECT_EQ(loop.Run(WhenAll(AtOnce(1), AtOnce(2))), (std::tuple<int, int>(1, 2)));
  EXPECT_TRUE(loop.Run(WhenAll(std::vector<Task<int>>())).empty());
}

TEST(WhenAll, OverAVectorInOrder) {
  VirtualLoop loop;
  std::vector<Task<std::unique_ptr<int>>> tasks;
  for (int i = 0; i < 10; ++i) tasks.push_back(After(100 - 10 * i, std::make_unique<int>(i)));
  std::vector<std::unique_ptr<int>> results = loop.Run(WhenAll(std::move(tasks)));
  ASSERT_EQ(results.size(), 10u);
  for (int i = 0; i < 10; ++i) EXPECT_EQ(*results[i], i);
  std::vector<Task<void>> pauses;
  for (int i = 0; i < 3; ++i) pauses.push_back(Pause(1));
  EXPECT_EQ(loop.Run(WhenAll(std::move(pauses))).size(), 3u);
}

TEST(WhenAll, AnErrorDoesNotStopTheOthers) {
  VirtualLoop loop;
  auto fail = []() -> Task<absl::Status> { co_return absl::AbortedError("no"); };
  auto [failed, slept] = loop.Run(WhenAll(fail(), SleepFor(5)));
  EXPECT_EQ(failed.code(), absl::StatusCode::kAborted);
  EXPECT_TRUE(slept.ok());
}

TEST(WhenAll, StopOfTheParentReachesEveryTask) {
  VirtualLoop loop;
  AsyncScope scope(loop.context());
  const Nanos start = loop.now_ns();
  bool done = false;
  auto body = [&]() -> Task<void> {
    auto [a, b] = co_await WhenAll(SleepFor(1000), SleepFor(2000));
    EXPECT_TRUE(absl::IsCancelled(a) && absl::IsCancelled(b));
    done = true;
  };
  scope.Spawn(body());
  scope.RequestStop();
  loop.RunAll();
  EXPECT_TRUE(done);
  EXPECT_EQ(loop.now_ns(), start);
}

// An exception to laziness would be a leak: tasks that are never started are destroyed with the call.
TEST(WhenAll, NotAwaited) {
  auto owned = std::make_shared<int>(1);
  {
    Task<std::tuple<std::shared_ptr<int>, int>> never = WhenAll(After(1, owned), AtOnce(1));
    EXPECT_EQ(owned.use_count(), 2);
  }
  EXPECT_EQ(owned.use_count(), 1);
}

TEST(WhenAny, GivesTheFirstAndStopsTheOthers) {
  VirtualLoop loop;
  const Nanos start = loop.now_ns();
  auto body = [&]() -> Task<void> {
    auto first = co_await WhenAny(SleepFor(1000), After(10, std::string("text")), Pause(500));
    EXPECT_EQ(first.index(), 1u);
    EXPECT_EQ(std::get<1>(first), "text");
  };
  loop.Run(body());
  EXPECT_LT(loop.now_ns(), start + 11 * kMillisecond);
  EXPECT_EQ(loop.scheduler().timers().armed(), 0u);
}

TEST(WhenAny, WaitsForTheEndOfTheOthers) {
  VirtualLoop loop;
  bool ended = false;
  const Nanos start = loop.now_ns();
  auto first = loop.Run(WhenAny(Stubborn(loop, 50, ended), Pause(10)));
  EXPECT_EQ(first.index(), 1u);
  EXPECT_TRUE(ended);
  EXPECT_GE(loop.now_ns(), start + 50 * kMillisecond);
}

TEST(WhenAny, ThoseBehindOneThatIsDoneAtOnceAreNotStarted) {
  VirtualLoop loop;
  bool started = false;
  auto last = [&]() -> Task<void> {
    started = true;
    co_return;
  };
  auto first = loop.Run(WhenAny(SleepFor(1000), AtOnce(2), last()));
  EXPECT_EQ(std::get<1>(first), 2);
  EXPECT_FALSE(started);
}

TEST(WhenAny, TwoInTheSameTurn) {
  VirtualLoop loop;
  auto first = loop.Run(WhenAny(After(10, 1), After(10, 2)));
  EXPECT_EQ(first.index(), 0u);
  EXPECT_EQ(std::get<0>(first), 1);
}

TEST(WhenAny, OverAVector) {
  VirtualLoop loop;
  std::vector<Task<std::unique_ptr<int>>> tasks;
  for (int ms : {30, 10, 20}) tasks.push_back(After(ms, std::make_unique<int>(ms)));
  auto [index, value] = loop.Run(WhenAny(std::move(tasks)));
  EXPECT_EQ(index, 1u);
  EXPECT_EQ(*value, 10);
  std::vector<Task<void>> pauses;
  for (int ms : {30, 20}) pauses.push_back(Pause(ms));
  EXPECT_EQ(loop.Run(WhenAny(std::move(pauses))).index, 1u);
}

TEST(WhenAny, StopOfTheParent) {
  VirtualLoop loop;
  AsyncScope scope(loop.context());
  bool done = false;
  auto body = [&]() -> Task<void> {
    auto first = co_await WhenAny(SleepFor(1000), SleepFor(2000));
    EXPECT_EQ(first.index(), 0u);
    EXPECT_TRUE(absl::IsCancelled(std::get<0>(first)));
    done = true;
  };
  scope.Spawn(body());
  scope.RequestStop();
  loop.RunAll();
  EXPECT_TRUE(done);
}

// As in a server: the timeout of one of several, each with its own.
TEST(WhenAny, WithTimeoutInside) {
  VirtualLoop loop;
  auto first = loop.Run(WhenAny(WithTimeout(SleepFor(100), milliseconds(10)), SleepFor(50)));
  EXPECT_TRUE(absl::IsDeadlineExceeded(std::get<0>(first)));
}

}  // namespace
}  // namespace weir
