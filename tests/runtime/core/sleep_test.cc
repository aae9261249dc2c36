// Sleep, Yield and WithTimeout in virtual time.
#include "runtime/core/sleep.h"

#include <gtest/gtest.h>

#include <chrono>
#include <string>

#include "tests/support/loop.h"

namespace weir {
namespace {

using std::chrono::milliseconds;
using testing::VirtualLoop;

// One tick of the timer wheel.
constexpr Nanos kTick = 1 << 14;

Task<absl::Status> SleepFor(int ms) { co_return co_await Sleep(milliseconds(ms)); }
Task<absl::StatusOr<std::string>> TextAfter(int ms) {
  absl::Status slept = co_await Sleep(milliseconds(ms));
  if (!slept.ok()) co_return slept;
  co_return "text";
}

TEST(Sleep, WakesAfterTheDelayAndNotLaterThanATick) {
  VirtualLoop loop;
  for (int ms : {0, 1, 7, 1000, 86'400'000}) {
    const Nanos start = loop.now_ns();
    EXPECT_TRUE(loop.Run(SleepFor(ms)).ok());
    EXPECT_GE(loop.now_ns(), start + ms * kMillisecond);
    EXPECT_LE(loop.now_ns(), start + ms * kMillisecond + 2 * kTick);
  }
}

TEST(Sleep, Cancelled) {
  VirtualLoop loop;
  auto body = [&]() -> Task<absl::Status> {
    loop.stop().RequestStop();
    co_return co_await Sleep(milliseconds(5));
  };
  const Nanos start = loop.now_ns();
  EXPECT_TRUE(absl::IsCancelled(loop.Run(body())));
  EXPECT_EQ(loop.now_ns(), start);
}

TEST(Yield, TakesTurns) {
  VirtualLoop loop;
  std::string order;
  auto letters = [&](char c) -> Task<void> {
    for (int i = 0; i < 3; ++i) {
      order += c;
      co_await Yield();
    }
  };
  AsyncScope scope(loop.context());
  scope.Spawn(letters('a'));
  scope.Spawn(letters('b'));
  loop.RunAll();
  EXPECT_EQ(order, "ababab");
}

TEST(WithTimeout, InTime) {
  VirtualLoop loop;
  EXPECT_EQ(*loop.Run(WithTimeout(TextAfter(5), milliseconds(10))), "text");
  EXPECT_TRUE(loop.Run(WithTimeout(Sleep(milliseconds(5)), milliseconds(10))).ok());
  EXPECT_EQ(loop.scheduler().timers().armed(), 0u);
}

TEST(WithTimeout, TimesOut) {
  VirtualLoop loop;
  const Nanos start = loop.now_ns();
  EXPECT_TRUE(absl::IsDeadlineExceeded(loop.Run(WithTimeout(TextAfter(50), milliseconds(10))).status()));
  EXPECT_TRUE(absl::IsDeadlineExceeded(loop.Run(WithTimeout(Sleep(milliseconds(50)), milliseconds(10)))));
  EXPECT_LE(loop.now_ns(), start + 21 * kMillisecond);
}

TEST(WithTimeout, TheInnerTimeoutIsTheInnersOwn) {
  VirtualLoop loop;
  auto body = [&]() -> Task<absl::Status> {
    absl::Status inner = co_await WithTimeout(Sleep(milliseconds(50)), milliseconds(5));
    EXPECT_TRUE(absl::IsDeadlineExceeded(inner));
    // The outer context is in force again.
    co_return co_await Sleep(milliseconds(1));
  };
  EXPECT_TRUE(loop.Run(WithTimeout(body(), milliseconds(20))).ok());
  // The outer one ends both: the inner sleep is cancelled, and not by its own timeout.
  auto both = []() -> Task<absl::Status> {
    absl::Status inner = co_await WithTimeout(Sleep(milliseconds(50)), milliseconds(40));
    EXPECT_TRUE(absl::IsCancelled(inner));
    co_return inner;
  };
  EXPECT_TRUE(absl::IsDeadlineExceeded(loop.Run(WithTimeout(both(), milliseconds(5)))));
}

TEST(WithTimeout, StopOfTheScopeIsNotATimeout) {
  VirtualLoop loop;
  AsyncScope scope(loop.context());
  absl::Status status;
  auto body = [&]() -> Task<void> { status = co_await WithTimeout(Sleep(milliseconds(50)), milliseconds(10)); };
  scope.Spawn(body());
  scope.RequestStop();
  loop.RunAll();
  EXPECT_TRUE(absl::IsCancelled(status));
}

}  // namespace
}  // namespace weir
