// AsyncEvent, Semaphore and AsyncMutex in virtual time.
#include <gtest/gtest.h>

#include <chrono>
#include <string>
#include <utility>

#include "runtime/core/async_event.h"
#include "runtime/core/async_mutex.h"
#include "runtime/core/async_scope.h"
#include "runtime/core/semaphore.h"
#include "runtime/core/sleep.h"
#include "tests/support/loop.h"

namespace weir {
namespace {

using std::chrono::milliseconds;
using testing::VirtualLoop;

Task<void> WaitFor(AsyncEvent& event, int& ok, int& cancelled) {
  const absl::Status set = co_await event.Wait();
  if (set.ok()) ++ok;
  if (absl::IsCancelled(set)) ++cancelled;
}

TEST(AsyncEvent, SetWakesAllAndLetsLaterOnesThrough) {
  VirtualLoop loop;
  AsyncEvent event;
  AsyncScope scope(loop.context());
  int ok = 0, cancelled = 0;
  for (int i = 0; i < 3; ++i) scope.Spawn(WaitFor(event, ok, cancelled));
  loop.RunAll();
  EXPECT_EQ(scope.live(), 3u);
  event.Set();
  event.Set();
  EXPECT_EQ(ok, 0);  // only through the scheduler
  loop.RunAll();
  EXPECT_EQ(ok, 3);
  scope.Spawn(WaitFor(event, ok, cancelled));
  EXPECT_EQ(ok, 4);  // at once
  event.Reset();
  scope.Spawn(WaitFor(event, ok, cancelled));
  loop.RunAll();
  EXPECT_EQ(ok, 4);
  EXPECT_FALSE(event.is_set());
  event.Set();
  event.Reset();  // takes nothing from who was woken
  loop.RunAll();
  EXPECT_EQ(ok, 5);
  EXPECT_EQ(scope.live(), 0u);
}

TEST(AsyncEvent, CancelledWhileWaitingAndBefore) {
  VirtualLoop loop;
  AsyncEvent event;
  AsyncScope scope(loop.context());
  int ok = 0, cancelled = 0;
  scope.Spawn(WaitFor(event, ok, cancelled));
  scope.RequestStop();
  event.Set();  // too late for it
  loop.RunAll();
  scope.Spawn(WaitFor(event, ok, cancelled));  // set, but the stop counts
  loop.RunAll();
  EXPECT_EQ(ok, 0);
  EXPECT_EQ(cancelled, 2);
}

TEST(AsyncEvent, SetWinsWhenItCameFirst) {
  VirtualLoop loop;
  AsyncEvent event;
  AsyncScope scope(loop.context());
  int ok = 0, cancelled = 0;
  scope.Spawn(WaitFor(event, ok, cancelled));
  event.Set();
  scope.RequestStop();
  loop.RunAll();
  EXPECT_EQ(ok, 1);
}

TEST(AsyncEvent, UnderATimeout) {
  VirtualLoop loop;
  AsyncEvent event;
  EXPECT_TRUE(absl::IsDeadlineExceeded(loop.Run(WithTimeout(event.Wait(), milliseconds(5)))));
  event.Set();
  EXPECT_TRUE(loop.Run(WithTimeout(event.Wait(), milliseconds(5))).ok());
}

Task<void> Take(Semaphore& semaphore, size_t permits, char name, std::string& order) {
  const absl::Status got = co_await semaphore.Acquire(permits);
  order += got.ok() ? name : '-';
}

TEST(Semaphore, TakesAtOnceWhatIsThere) {
  VirtualLoop loop;
  Semaphore semaphore(3);
  AsyncScope scope(loop.context());
  std::string order;
  scope.Spawn(Take(semaphore, 2, 'a', order));
  EXPECT_EQ(order, "a");
  EXPECT_TRUE(semaphore.TryAcquire());
  EXPECT_FALSE(semaphore.TryAcquire());
  EXPECT_EQ(semaphore.available(), 0u);
  semaphore.Release(3);
  EXPECT_EQ(semaphore.available(), 3u);
  EXPECT_FALSE(semaphore.TryAcquire(4));
  EXPECT_TRUE(semaphore.TryAcquire(3));
}

// A small request waits behind a large one, and TryAcquire does not pass those who wait.
TEST(Semaphore, FirstComeFirstServed) {
  VirtualLoop loop;
  Semaphore semaphore(0);
  AsyncScope scope(loop.context());
  std::string order;
  scope.Spawn(Take(semaphore, 3, 'a', order));
  scope.Spawn(Take(semaphore, 1, 'b', order));
  scope.Spawn(Take(semaphore, 2, 'c', order));
  semaphore.Release(2);
  loop.RunAll();
  EXPECT_EQ(order, "");
  EXPECT_FALSE(semaphore.TryAcquire());
  semaphore.Release(2);
  loop.RunAll();
  EXPECT_EQ(order, "ab");
  semaphore.Release();
  loop.RunAll();
  EXPECT_EQ(order, "ab");
  semaphore.Release();
  loop.RunAll();
  EXPECT_EQ(order, "abc");
  EXPECT_EQ(semaphore.available(), 0u);
}

// The large request at the front goes; those behind it no longer have to wait.
TEST(Semaphore, CancelOfTheFirstServesTheNext) {
  VirtualLoop loop;
  Semaphore semaphore(1);
  AsyncScope stopped(loop.context()), others(loop.context());
  std::string order;
  stopped.Spawn(Take(semaphore, 5, 'a', order));
  others.Spawn(Take(semaphore, 1, 'b', order));
  loop.RunAll();
  EXPECT_EQ(order, "");
  stopped.RequestStop();
  loop.RunAll();
  EXPECT_EQ(order, "-b");
  EXPECT_EQ(semaphore.available(), 0u);
}

TEST(Semaphore, AGrantedPermitIsKept) {
  VirtualLoop loop;
  Semaphore semaphore(0);
  AsyncScope scope(loop.context());
  std::string order;
  scope.Spawn(Take(semaphore, 1, 'a', order));
  semaphore.Release();
  scope.RequestStop();
  loop.RunAll();
  EXPECT_EQ(order, "a");
  // And under a stop nothing is taken.
  semaphore.Release();
  scope.Spawn(Take(semaphore, 1, 'b', order));
  EXPECT_EQ(order, "a-");
  EXPECT_EQ(semaphore.available(), 1u);
}

// One stop reaches a whole line: the grants that follow from a cancel do not go to those the same stop already took
// out.
TEST(Semaphore, OneStopForTheWholeLine) {
  VirtualLoop loop;
  Semaphore semaphore(1);
  AsyncScope scope(loop.context());
  std::string order;
  scope.Spawn(Take(semaphore, 2, 'a', order));
  for (char name : {'b', 'c', 'd'}) scope.Spawn(Take(semaphore, 1, name, order));
  scope.RequestStop();
  loop.RunAll();
  EXPECT_EQ(order, "-b--");
  EXPECT_EQ(semaphore.available(), 0u);
}

TEST(Semaphore, UnderATimeout) {
  VirtualLoop loop;
  Semaphore semaphore(1);
  EXPECT_TRUE(absl::IsDeadlineExceeded(loop.Run(WithTimeout(semaphore.Acquire(2), milliseconds(5)))));
  EXPECT_TRUE(loop.Run(WithTimeout(semaphore.Acquire(), milliseconds(5))).ok());
}

Task<void> Section(AsyncMutex& mutex, char name, std::string& order) {
  absl::StatusOr<AsyncMutex::Guard> guard = co_await mutex.Lock();
  if (!guard.ok()) {
    EXPECT_TRUE(absl::IsCancelled(guard.status()));
    order += '-';
    co_return;
  }
  order += name;
  static_cast<void>(co_await Sleep(milliseconds(1)));
  order += name;
}

TEST(AsyncMutex, OneAtATimeInOrder) {
  VirtualLoop loop;
  AsyncMutex mutex;
  AsyncScope scope(loop.context());
  std::string order;
  for (char name : {'a', 'b', 'c'}) scope.Spawn(Section(mutex, name, order));
  EXPECT_FALSE(mutex.TryLock().has_value());
  loop.RunAll();
  EXPECT_EQ(order, "aabbcc");
  EXPECT_FALSE(mutex.locked());
}

TEST(AsyncMutex, GuardMovesAndUnlocksOnce) {
  AsyncMutex mutex;
  std::optional<AsyncMutex::Guard> first = mutex.TryLock();
  EXPECT_TRUE(first->holds());
  AsyncMutex::Guard second = *std::move(first);
  first.reset();
  EXPECT_TRUE(mutex.locked());
  second.Unlock();
  second.Unlock();
  EXPECT_FALSE(mutex.locked());
  AsyncMutex::Guard third = *mutex.TryLock();
  third = AsyncMutex::Guard();
  EXPECT_FALSE(mutex.locked());
}

TEST(AsyncMutex, CancelLeavesTheLineToTheOthers) {
  VirtualLoop loop;
  AsyncMutex mutex;
  AsyncScope stopped(loop.context()), others(loop.context());
  std::string order;
  others.Spawn(Section(mutex, 'a', order));
  stopped.Spawn(Section(mutex, 'b', order));
  others.Spawn(Section(mutex, 'c', order));
  stopped.RequestStop();
  loop.RunAll();
  EXPECT_EQ(order, "a-acc");
}

// The unlock handed the mutex to the waiter, then the stop comes: it has the mutex, and unlocks it.
TEST(AsyncMutex, AHandedLockIsKept) {
  VirtualLoop loop;
  AsyncMutex mutex;
  AsyncScope scope(loop.context());
  std::string order;
  std::optional<AsyncMutex::Guard> guard = mutex.TryLock();
  scope.Spawn(Section(mutex, 'a', order));
  guard.reset();
  EXPECT_TRUE(mutex.locked());
  scope.RequestStop();
  loop.RunAll();
  EXPECT_EQ(order, "aa");
  EXPECT_FALSE(mutex.locked());
}

TEST(AsyncMutex, UnderATimeout) {
  VirtualLoop loop;
  AsyncMutex mutex;
  AsyncMutex::Guard guard = *mutex.TryLock();
  EXPECT_TRUE(absl::IsDeadlineExceeded(loop.Run(WithTimeout(mutex.Lock(), milliseconds(5))).status()));
  guard.Unlock();
  EXPECT_TRUE(loop.Run(WithTimeout(mutex.Lock(), milliseconds(5))).ok());
}

void DestroyEventWithAWaiter() {
  VirtualLoop loop;
  int ok = 0, cancelled = 0;
  AsyncScope scope(loop.context());
  AsyncEvent event;
  scope.Spawn(WaitFor(event, ok, cancelled));
}
void DestroyALockedMutex() {
  AsyncMutex::Guard guard;
  AsyncMutex mutex;
  guard = *mutex.TryLock();
}

TEST(SyncDeathTest, DestroyedInUse) {
  EXPECT_DEATH(DestroyEventWithAWaiter(), "check failed: empty");
  EXPECT_DEATH(DestroyALockedMutex(), "check failed: !locked_");
}

}  // namespace
}  // namespace weir
