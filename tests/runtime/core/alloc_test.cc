// No heap allocation in the steady state: no call of malloc.
#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <memory>

#include "runtime/core/async_event.h"
#include "runtime/core/async_mutex.h"
#include "runtime/core/async_scope.h"
#include "runtime/core/channel.h"
#include "runtime/core/semaphore.h"
#include "runtime/core/sleep.h"
#include "runtime/core/when_all.h"
#include "runtime/core/when_any.h"
#include "tests/support/loop.h"
#include "tests/support/malloc_count.h"

namespace weir {
namespace {

using std::chrono::milliseconds;
using testing::VirtualLoop;

struct World {
  Channel<int> channel{4};
  Semaphore semaphore{1};
  AsyncMutex mutex;
  AsyncEvent event;
};

Task<void> SendMany(World& world, int count) {
  for (int i = 0; i < count; ++i) static_cast<void>(co_await world.channel.Send(i));
}
Task<int> RecvMany(World& world, int count) {
  int sum = 0;
  for (int i = 0; i < count; ++i) sum += (co_await world.channel.Recv()).value_or(0);
  co_return sum;
}
Task<void> InTurn(World& world, int count) {
  for (int i = 0; i < count; ++i) {
    static_cast<void>(co_await world.semaphore.Acquire());
    absl::StatusOr<AsyncMutex::Guard> guard = co_await world.mutex.Lock();
    static_cast<void>(co_await WithTimeout(Sleep(milliseconds(1)), milliseconds(2)));
    world.semaphore.Release();
  }
}
Task<void> WaitForSet(World& world) { static_cast<void>(co_await world.event.Wait()); }
Task<void> Set(World& world) {
  co_await Yield();
  world.event.Set();
}

Task<void> Everything(World& world, int count) {
  co_await WhenAll(SendMany(world, count), RecvMany(world, count), InTurn(world, count), InTurn(world, count));
  for (int i = 0; i < count; ++i) {
    world.event.Reset();
    co_await WhenAny(WaitForSet(world), Set(world));
    AsyncScope scope(co_await CurrentContext());
    scope.Spawn(Set(world));
    co_await scope.Join();
  }
}

TEST(Alloc, SteadyStateAllocatesNothing) {
  if (!testing::MallocCounted()) GTEST_SKIP() << "a sanitizer's build has a malloc of its own";
  VirtualLoop loop;
  World world;
  const auto count = [] { return testing::MallocCount(); };
  const uint64_t start = count();
  std::make_unique<int>(1);
  ASSERT_EQ(count(), start + 1) << "the count counts nothing";
  AsyncScope scope(loop.context());
  scope.Spawn(Everything(world, 10));
  const std::function<bool()> done = [&] { return scope.live() == 0; };
  ASSERT_TRUE(loop.RunUntil(done));
  const uint64_t warm = count();
  scope.Spawn(Everything(world, 10'000));
  ASSERT_TRUE(loop.RunUntil(done));
  EXPECT_EQ(count(), warm);
}

}  // namespace
}  // namespace weir
