// AsyncMutex: keeps a section of code to one coroutine of a shard at a time across its awaits, such as the frames of
// one message on a shared connection. Handed on first come, first served. Code that does not await needs none: a shard
// is one thread.
//
//   absl::StatusOr<AsyncMutex::Guard> guard = co_await mutex.Lock();
//   if (!guard.ok()) co_return guard.status();          // kCancelled
//   ...                                                 // held until the guard goes
//
// It must not be destroyed while it is held or waited for. Nothing allocates.
#ifndef RUNTIME_CORE_ASYNC_MUTEX_H_
#define RUNTIME_CORE_ASYNC_MUTEX_H_

#include <coroutine>
#include <optional>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "runtime/core/wait_queue.h"

namespace weir {

class AsyncMutex {
 public:
  // Unlocks when destroyed; move-only.
  class [[nodiscard]] Guard {
   public:
    Guard() = default;
    Guard(Guard&& other) noexcept : mutex_(std::exchange(other.mutex_, nullptr)) {}
    Guard& operator=(Guard&& other) noexcept {
      if (this != &other) {
        Unlock();
        mutex_ = std::exchange(other.mutex_, nullptr);
      }
      return *this;
    }
    ~Guard() { Unlock(); }

    // Early; a second time it does nothing.
    void Unlock() {
      if (mutex_ != nullptr) std::exchange(mutex_, nullptr)->Unlock();
    }
    bool holds() const { return mutex_ != nullptr; }

   private:
    friend class AsyncMutex;
    explicit Guard(AsyncMutex& mutex) : mutex_(&mutex) {}
    AsyncMutex* mutex_ = nullptr;
  };

  class Awaiter : runtime::QueuedWaiter {
   public:
    explicit Awaiter(AsyncMutex& mutex) : QueuedWaiter("mutex"), mutex_(mutex) {}
    bool await_ready() const { return false; }
    template <typename Promise>
    bool await_suspend(std::coroutine_handle<Promise> self) {
      if (StoppedBefore(self) || !std::exchange(mutex_.locked_, true)) return false;
      WaitIn(mutex_.waiters_, self);
      return true;
    }
    absl::StatusOr<Guard> await_resume() const {
      if (cancelled()) return absl::CancelledError("AsyncMutex::Lock cancelled");
      return Guard(mutex_);
    }

   private:
    AsyncMutex& mutex_;
  };
  struct LockOperation {
    AsyncMutex* mutex;
    Awaiter operator co_await() const { return Awaiter(*mutex); }
  };

  AsyncMutex() = default;
  AsyncMutex(const AsyncMutex&) = delete;
  AsyncMutex& operator=(const AsyncMutex&) = delete;
  ~AsyncMutex() { WEIR_CHECK(!locked_); }

  // At once when it is free, otherwise through the scheduler when those before have unlocked. kCancelled, and not
  // locked, when the stop of the scope was requested.
  LockOperation Lock() { return {this}; }

  // Nothing when somebody holds it.
  std::optional<Guard> TryLock() {
    if (std::exchange(locked_, true)) return std::nullopt;
    return Guard(*this);
  }
  bool locked() const { return locked_; }

 private:
  // It stays locked, on behalf of the next in line.
  void Unlock() {
    runtime::QueuedWaiter* next = waiters_.Pop();
    if (next == nullptr) {
      locked_ = false;
    } else {
      next->Wake();
    }
  }

  bool locked_ = false;
  runtime::WaitQueue waiters_;
};

}  // namespace weir

#endif  // RUNTIME_CORE_ASYNC_MUTEX_H_
