#include "runtime/core/task.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>

#include "runtime/core/sleep.h"
#include "tests/support/loop.h"

namespace weir {
namespace {

using testing::VirtualLoop;

Task<int> Number(int n) { co_return n; }
Task<std::string> Text(int n) { co_return std::string(static_cast<size_t>(n), 'x'); }
Task<std::unique_ptr<int>> Owned(int n) { co_return std::make_unique<int>(n); }
Task<void> Store(int& where, int n) {
  where = co_await Number(n);
}

TEST(Task, GivesItsValue) {
  VirtualLoop loop;
  EXPECT_EQ(loop.Run(Number(42)), 42);
  EXPECT_EQ(loop.Run(Text(3)), "xxx");
}

TEST(Task, MoveOnlyResult) {
  VirtualLoop loop;
  EXPECT_EQ(*loop.Run(Owned(7)), 7);
}

TEST(Task, Void) {
  VirtualLoop loop;
  int n = 0;
  loop.Run(Store(n, 5));
  EXPECT_EQ(n, 5);
}

TEST(Task, IsLazy) {
  bool ran = false;
  auto set = [](bool& flag) -> Task<void> {
    flag = true;
    co_return;
  };
  {
    Task<void> never = set(ran);
    Task<void> moved = std::move(never);
    moved = set(ran);
  }
  EXPECT_FALSE(ran);
}

// A result whose type has no default, and arguments that live as long as the task.
struct NoDefault {
  explicit NoDefault(int n) : n(n) {}
  int n;
};
Task<NoDefault> Make(std::unique_ptr<int> n) {
  co_await Yield();
  co_return NoDefault(*n);
}

TEST(Task, KeepsItsArguments) {
  VirtualLoop loop;
  EXPECT_EQ(loop.Run(Make(std::make_unique<int>(9))).n, 9);
}

Task<int> SumOf(int count) {
  int sum = 0;
  for (int i = 0; i < count; ++i) sum += co_await Number(1);
  co_return sum;
}

// Each await starts a task that finishes at once: without symmetric transfer the stack would grow with each.
TEST(Task, AMillionAwaitsInALoopUseNoStack) {
  VirtualLoop loop;
  EXPECT_EQ(loop.Run(SumOf(1'000'000)), 1'000'000);
}

Task<int> Depth(int n) {
  if (n == 0) {
    co_await Yield();
    co_return 0;
  }
  co_return 1 + co_await Depth(n - 1);
}

// Suspended at the bottom of a deep chain, resumed there, and returned through all of it.
TEST(Task, ADeepChainUsesNoStack) {
  VirtualLoop loop;
  EXPECT_EQ(loop.Run(Depth(200'000)), 200'000);
}

Task<bool> SameContext(const TaskContext* outer) {
  const TaskContext& context = co_await CurrentContext();
  co_return &context == outer;
}
Task<bool> InheritsContext() {
  const TaskContext& context = co_await CurrentContext();
  co_return co_await SameContext(&context);
}

TEST(Task, InheritsTheContextOfItsAwaiter) {
  VirtualLoop loop;
  EXPECT_TRUE(loop.Run(InheritsContext()));
}

#ifndef WEIR_RECYCLER_OFF
TEST(Task, SteadyStateAllocatesNothing) {
  VirtualLoop loop;
  loop.Run(SumOf(10));
  const uint64_t misses = runtime::Recycler::ThisThread().misses();
  EXPECT_EQ(loop.Run(SumOf(1000)), 1000);
  EXPECT_EQ(runtime::Recycler::ThisThread().misses(), misses);
}
#endif

Task<void> Throws() {
  throw 1;
  co_return;
}

TEST(TaskDeathTest, AnExceptionEndsTheProcess) {
  VirtualLoop loop;
  EXPECT_DEATH(loop.Run(Throws()), "an exception left a coroutine");
}

}  // namespace
}  // namespace weir
