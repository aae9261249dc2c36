// Random crowds around a channel, a semaphore, a mutex and an event, with timeouts and stops at any moment. Whatever
// the schedule: no value is lost or doubled, no permit is lost, nobody is in the section twice, everybody comes to an
// end.
#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <vector>

#include "runtime/core/async_event.h"
#include "runtime/core/async_mutex.h"
#include "runtime/core/async_scope.h"
#include "runtime/core/channel.h"
#include "runtime/core/semaphore.h"
#include "runtime/core/sleep.h"
#include "runtime/core/when_all.h"
#include "runtime/core/when_any.h"
#include "tests/support/loop.h"
#include "tests/support/random.h"

namespace weir {
namespace {

using std::chrono::microseconds;
using testing::Random;
using testing::VirtualLoop;

constexpr size_t kPermits = 5;

struct Totals {
  int sent = 0, refused = 0, received = 0, cancelled = 0, timeouts = 0, permits = 0, locks = 0, events = 0, firsts = 0;
};

struct World {
  World(VirtualLoop& loop, Random& random, Totals& totals)
      : loop(loop), random(random), totals(totals), channel(1 + random.Below(4)) {}

  microseconds Moment() { return microseconds(random.Below(2000)); }
  void Count(const absl::Status& status) {
    if (absl::IsCancelled(status)) ++totals.cancelled;
    if (absl::IsDeadlineExceeded(status)) ++totals.timeouts;
  }

  VirtualLoop& loop;
  Random& random;
  Totals& totals;
  Channel<std::unique_ptr<int>> channel;
  Semaphore semaphore{kPermits};
  AsyncMutex mutex;
  AsyncEvent event;
  std::vector<bool> sent_ok;        // by value: whether Send said so
  std::vector<int> times_received;  // by value
  size_t held = 0;
  bool inside = false;
};

int NewValue(World& world) {
  world.sent_ok.push_back(false);
  world.times_received.push_back(0);
  return static_cast<int>(world.sent_ok.size()) - 1;
}

Task<void> SendSome(World& world) {
  for (uint64_t i = 1 + world.random.Below(8); i > 0; --i) {
    const int value = NewValue(world);
    absl::Status status;
    switch (world.random.Below(3)) {
      case 0:
        status = co_await world.channel.Send(std::make_unique<int>(value));
        break;
      case 1:
        status = co_await WithTimeout(world.channel.Send(std::make_unique<int>(value)), world.Moment());
        break;
      default:
        if (!world.channel.TrySend(std::make_unique<int>(value))) status = absl::UnavailableError("");
    }
    world.sent_ok[value] = status.ok();
    ++(status.ok() ? world.totals.sent : world.totals.refused);
    world.Count(status);
    if (world.random.OneIn(3)) world.Count(co_await Sleep(world.Moment()));
  }
}

void Took(World& world, const std::unique_ptr<int>& value) {
  ASSERT_NE(value, nullptr);
  ++world.times_received[*value];
  ++world.totals.received;
}

Task<void> RecvSome(World& world) {
  for (uint64_t i = 1 + world.random.Below(8); i > 0; --i) {
    switch (world.random.Below(3)) {
      case 0: {
        absl::StatusOr<std::unique_ptr<int>> value = co_await world.channel.Recv();
        if (value.ok()) Took(world, *value);
        world.Count(value.status());
        break;
      }
      case 1: {
        absl::StatusOr<std::unique_ptr<int>> value = co_await WithTimeout(world.channel.Recv(), world.Moment());
        if (value.ok()) Took(world, *value);
        world.Count(value.status());
        break;
      }
      default:
        if (std::optional<std::unique_ptr<int>> value = world.channel.TryRecv()) Took(world, *value);
    }
    if (world.random.OneIn(3)) world.Count(co_await Sleep(world.Moment()));
  }
}

Task<void> HoldPermits(World& world) {
  const size_t permits = 1 + world.random.Below(kPermits);
  const absl::Status got = co_await WithTimeout(world.semaphore.Acquire(permits), world.Moment());
  world.Count(got);
  if (!got.ok()) co_return;
  ++world.totals.permits;
  world.held += permits;
  EXPECT_LE(world.held, kPermits);
  world.Count(co_await Sleep(world.Moment()));
  world.held -= permits;
  world.semaphore.Release(permits);
}

Task<void> EnterSection(World& world) {
  absl::StatusOr<AsyncMutex::Guard> guard = co_await WithTimeout(world.mutex.Lock(), world.Moment());
  world.Count(guard.status());
  if (!guard.ok()) co_return;
  ++world.totals.locks;
  EXPECT_FALSE(world.inside);
  world.inside = true;
  world.Count(co_await Sleep(world.Moment()));
  world.inside = false;
}

Task<absl::Status> WaitForEvent(World& world) {
  const absl::Status set = co_await world.event.Wait();
  if (set.ok()) ++world.totals.events;
  co_return set;
}

// Whichever is first; both have ended afterwards.
Task<void> EventOrSleep(World& world) {
  std::vector<Task<absl::Status>> either;
  either.push_back(WaitForEvent(world));
  either.push_back(WithTimeout(WaitForEvent(world), world.Moment()));
  const auto [index, status] = co_await WhenAny(std::move(either));
  EXPECT_LT(index, 2u);
  world.Count(status);
  ++world.totals.firsts;
}

Task<void> Anything(World& world) {
  switch (world.random.Below(7)) {
    case 0:
    case 1:
      return SendSome(world);
    case 2:
    case 3:
      return RecvSome(world);
    case 4:
      return HoldPermits(world);
    case 5:
      return EnterSection(world);
    default:
      return EventOrSleep(world);
  }
}

Task<void> Several(World& world) {
  std::vector<Task<void>> tasks;
  for (uint64_t i = 1 + world.random.Below(4); i > 0; --i) tasks.push_back(Anything(world));
  co_await WhenAll(std::move(tasks));
}

// A few scopes of tasks, each stopped at a random moment.
void RunRound(World& world) {
  std::vector<std::unique_ptr<AsyncScope>> scopes;
  for (int i = 0; i < 4; ++i) {
    scopes.push_back(std::make_unique<AsyncScope>(world.loop.context()));
    for (int j = 0; j < 5; ++j) scopes.back()->Spawn(Several(world));
  }
  for (const auto& scope : scopes) {
    const Nanos until = world.loop.now_ns() + ToNanos(world.Moment());
    world.loop.RunUntil([&] { return world.loop.now_ns() >= until; });
    if (world.random.OneIn(2)) world.event.Set();
    if (world.random.OneIn(2)) world.event.Reset();
    if (world.random.OneIn(2)) scope->RequestStop();
    if (world.random.OneIn(6)) world.channel.Close();
  }
  world.loop.RunUntil([] { return false; });
  world.channel.Close();
  world.event.Set();
  world.loop.RunAll();
  for (const auto& scope : scopes) EXPECT_EQ(scope->live(), 0u);
}

TEST(SyncSchedule, RandomCrowds) {
  VirtualLoop loop;
  Random random;
  Totals totals;
  for (int round = 0; round < 300 && !::testing::Test::HasFailure(); ++round) {
    World world(loop, random, totals);
    RunRound(world);
    while (std::optional<std::unique_ptr<int>> value = world.channel.TryRecv()) Took(world, *value);
    for (size_t value = 0; value < world.sent_ok.size(); ++value) {
      ASSERT_EQ(world.times_received[value], world.sent_ok[value] ? 1 : 0) << "value " << value;
    }
    ASSERT_EQ(world.semaphore.available(), kPermits);
    ASSERT_FALSE(world.mutex.locked());
    ASSERT_EQ(loop.scheduler().timers().armed(), 0u);
  }
  EXPECT_EQ(totals.sent, totals.received);
  for (int count : {totals.sent, totals.refused, totals.cancelled, totals.timeouts, totals.permits, totals.locks,
                    totals.events, totals.firsts}) {
    EXPECT_GT(count, 100);
  }
}

}  // namespace
}  // namespace weir
